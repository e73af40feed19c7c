"""Every verb of the command line, as text and as JSON, on small data; what it refuses, and what it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import modalhash as mh
from modalhash.cli_options import settings_of
from modalhash.datasets import Dataset, planted, write_dataset

Run = Callable[..., tuple[int, str, str]]
COLOURS = ("red", "green", "blue", "orange")
HEAVY = "{'torch', 'sklearn', 'numba', 'matplotlib', 'scipy.stats', 'pandas', 'pyarrow'}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a table, data sets of several kinds."""
    root = tmp_path_factory.mktemp("cli")
    (root / "pics").mkdir()
    lines = ["picture,text,labels,title"]
    for i in range(60):
        image = Image.new("RGB", (16, 16), "white")
        image.paste(COLOURS[i % 4], (0, 0, 4 + i % 12, 16))
        image.save(root / "pics" / f"{i}.png")
        lines.append(f'{i}.png,a {COLOURS[i % 4]} thing,{COLOURS[i % 4]},"{COLOURS[i % 4]}\n\x1b[31m{i}"')
    (root / "t.csv").write_text("\n".join(lines))
    data = planted("nuisance", 80, 0)
    x, y, labels = (np.array(m) for m in (data.views["image"], data.views["text"], data.labels))
    gaps, unknown = y.copy(), labels.copy()
    gaps[data.split["train"][:5]] = np.nan
    unknown[data.split["train"][:5]] = np.nan
    kinds: dict[str, dict[str, Any]] = {
        "two": {},
        "plain": {"labels": None},
        "one": {"views": {"image": x}},
        "gaps": {"views": {"image": x, "text": gaps}},
        "unknown": {"labels": unknown},
        "lost": {"views": {"image": x, "text": gaps}, "labels": None},
    }
    for name, changes in kinds.items():
        given = {"name": name, "views": {"image": x, "text": y}, "labels": labels, "split": data.split}
        write_dataset(Dataset(**{**given, **changes}), root / name)
    return root


def both(run: Run, *words: str) -> tuple[str, Any]:
    """The text and the JSON of a command that succeeds and says nothing on stderr."""
    code, text, error = run(*words)
    assert (code, error) == (0, ""), error
    code, told, error = run(*words, "--json")
    assert (code, error) == (0, "") and told.count("\n") == 1

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return text, json.loads(told, parse_constant=refuse)


@pytest.mark.parametrize(
    ("system", "data", "bits", "stored"),
    [("A2LH", "pictures", 16, 2), ("A2LH-K", "two", 8, 1), ("ACQH", "pictures", 8, 4), ("ITQ", "one", 8, 1)],
)
def test_the_whole_line(run: Run, tmp_path: Path, place: Path, system: str, data: str, bits: int, stored: int) -> None:
    if data == "pictures":
        text, facts = both(run, "data", "make", "pics", "--table", "t.csv", "--out", "pictures")
        assert "pics: 60 items" in text and text.endswith("written to pictures\n") and facts["out"] == "pictures"
    model, codes, folder = (str(tmp_path / name) for name in ("model", "codes", "collection"))
    text, facts = both(run, "fit", system, "--data", data, "--bits", str(bits), "--out", model)
    assert f"{system}, {bits} bits: learned from {facts['items']} items" in text and f"written to {model}" in text
    assert facts["system"] == system and facts["bits"] == bits and not mh.load(model).verbose
    text, facts = both(run, "evaluate", model, "--data", data, "--cuts", "5, 10")
    assert text.split()[:4] == ["query", "database", "queries", "AP"] and "AP@10" in text
    assert all(f"{row['AP']:.3f}" in text for row in facts["rows"])
    assert len(facts["rows"]) == (1 if data == "one" else 2) and facts["conventions"]["ties"] == "expected"
    text, facts = both(run, "encode", model, "--data", data, "--out", codes)
    size = "1 byte" if stored == 1 else f"{stored} bytes"
    assert text == f"{facts['items']} items, {size} each, written to {codes}.npz\n"
    assert facts["out"] == f"{codes}.npz" and facts["bytes_per_item"] == stored
    with np.load(facts["out"], allow_pickle=False) as file:
        expected = {"indices", "codebooks", "score"} if system == "ACQH" else {"packed", "n_bits"}
        assert set(file.files) == expected | {"ids"}
        assert len(file["ids"]) == facts["items"] == len(file["indices" if system == "ACQH" else "packed"])
    assert Path(facts["out"]).stat().st_mode & 0o777 == 0o666 & ~_umask()
    text, facts = both(run, "index", model, "--data", data, "--out", folder)
    assert text == f"{facts['items']} items, {size} each, written to {folder}\n"
    if data != "pictures":
        return
    for asked in (["--text", "blue thing"], ["--image", "pics/2.png"], ["--text", "blue", "--image", "pics/2.png"]):
        text, facts = both(run, "search", folder, *asked, "-k", "3")
        assert [hit["title"].startswith("blue\n\x1b") for hit in facts["hits"]] == [True] * 3
        assert len(text.splitlines()) == 2 + 3 + 1 and "\x1b" not in text  # one line a hit, whatever its title
        assert ("minus the inner product" if system == "ACQH" else "bits that differ, of 16") in text


def test_a_system_of_pictures_and_tags_needs_no_tags_later(run: Run, tmp_path: Path) -> None:
    data, model, folder = planted("social", 80, 0), str(tmp_path / "model"), str(tmp_path / "collection")
    write_dataset(data, tmp_path / "social")
    alone = Dataset(name="alone", views={"image": data.views["image"]}, labels=data.labels, split=data.split)
    write_dataset(alone, tmp_path / "alone")
    _, facts = both(run, "systems", "--for", str(tmp_path / "social"))
    assert [row["fits"] for row in facts["systems"] if row["name"] in ("DSTDH", "LAGNH")] == ["yes", "yes"]
    both(run, "fit", "DSTDH", "--data", str(tmp_path / "social"), "--bits", "8", "--out", model)
    found = [both(run, "evaluate", model, "--data", str(tmp_path / name))[1]["rows"] for name in ("social", "alone")]
    assert found[0] == found[1] and [(row["query"], row["database"]) for row in found[0]] == [("image", "image")]
    for verb, out in (("encode", str(tmp_path / "codes")), ("index", folder)):
        both(run, verb, model, "--data", str(tmp_path / "alone"), "--out", out)
        code, _, error = run(verb, model, "--data", str(tmp_path / "social"), "--out", out, "--views", "tags")
        assert code == 2 and "DSTDH: codes come from the view 'image', and it is absent" in error
    code, _, error = run("fit", "DSTDH", "--data", str(tmp_path / "alone"), "--out", str(tmp_path / "new"))
    assert code == 2 and "learns from the views 'image' and 'tags', got 'image'" in error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_data_is_listed_and_checked(run: Run) -> None:
    text, facts = both(run, "data", "list")
    assert text.startswith("emoji ") and "emoji" in facts["datasets"]
    text, facts = both(run, "data", "check", "gaps")
    assert "view text: 30 columns, missing for 5 items" in text and facts["views"]["text"]["missing"] == 5
    assert f"split: train {facts['split']['train']}, validation 8, query 20, database 60" in text
    text, facts = both(run, "data", "check", "unknown")
    assert "5 items not labelled" in text and "with none" not in text
    assert facts["labels"] == {"columns": 5, "per_item": 1.0, "unlabelled": 5, "without_any": 0}
    text, facts = both(run, "data", "check", "plain")
    assert "labels: none" in text and facts["labels"] is None


@pytest.mark.parametrize(
    ("data", "choice"),
    [
        ("two", "A2LH"),
        ("plain", "CCAITQ"),
        ("one", "A2LH"),
        ("gaps", "A2LH"),
        ("unknown", "RDCMH"),
        ("lost", "UMHOQA"),
    ],
)
def test_systems_for_data(run: Run, data: str, choice: str | None) -> None:
    text, facts = both(run, "systems", "--for", f"./{data}")
    assert facts["recommended"] == choice and all(
        row["name"] in text and row["why"] in text for row in facts["systems"]
    )
    assert (f"try: modalhash fit {choice} --data ./{data} " if choice else "nothing to recommend: ") in text


def test_systems(run: Run) -> None:
    text, facts = both(run, "systems")
    assert all(row["summary"] in text for row in facts["systems"])
    assert "A2LH-K" in text and "A2LH-K" in next(r for r in facts["systems"] if r["name"] == "A2LH")["variants"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ("False", False),
        ("null", None),
        ("None", None),
        ("rbf", "rbf"),
        ("[3, 4]", (3, 4)),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_settings(text: str, value: Any) -> None:
    found = settings_of([f"x={text}"])["x"]
    assert found == value and type(found) is type(value)


def test_settings_reach_the_model(run: Run, tmp_path: Path) -> None:
    words = ["fit", "A2LH", "--data", "two", "--out", str(tmp_path / "m"), "--bits", "8", "--seed", "3"]
    assert run(*words, "--set", "n_anchors=7", "--set", "beta=0.5", "--set", "discrete=false", "--json")[0] == 0
    params = mh.load(tmp_path / "m").get_params()
    assert (params["n_anchors"], params["beta"], params["discrete"]) == (7, 0.5, False)
    assert (params["n_bits"], params["random_state"]) == (8, 3)


def test_measures_that_do_not_exist_are_null(run: Run, tmp_path: Path, place: Path) -> None:
    data = planted("clusters", 40, 0)
    labels = np.array(data.labels)
    labels[data.split["query"]] = 0
    write_dataset(Dataset(name="n", views=data.views, labels=labels, split=data.split), tmp_path / "n")
    model = str(tmp_path / "m")
    assert run("fit", "LSH", "--data", str(tmp_path / "n"), "--bits", "8", "--out", model)[0] == 0
    text, facts = both(run, "evaluate", model, "--data", str(tmp_path / "n"), "--same")
    assert facts["rows"][0]["AP"] is None and len(facts["rows"]) == 4
    assert " - " in text and facts["without_relevant"]["image→text"] == 10


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("fit A2LH --data two --out new --set n_bits=4", "n_bits has an option of its own, --bits"),
        ("fit A2LH --data two --out new --set name=4", "no parameter 'name'"),
        ("fit A2LH --data two --out new --set random_state=4", "--seed"),
        ("fit A2LH --data plain --out new", "A2LH: needs labels, and plain has none; see `modalhash systems --for"),
        ("fit A2LH --data nowhere --out pics", "pics: holds other files"),
        ("data make nowhere --out pics", "pics: holds other files"),
        ("evaluate m --data two --cuts 5,x", "--cuts: expected numbers"),
        ("evaluate m --data two --cuts 0", "--cuts: expected numbers"),
        ("evaluate m --data two --cuts ²", "--cuts: expected numbers"),
        ("evaluate m --data pictureless", "pictureless"),
        ("evaluate m --data other", "other: has the views 'audio', the model knows 'image', 'text'"),
        ("index m --data other --out new", "the model knows 'image', 'text'"),
        ("encode m --data other --out new", "the model knows 'image', 'text'"),
        ("search c --image none.png", "--image: none.png is not a file"),
        ("demo --bits 8,-1", "--bits: expected numbers"),
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_bad_input_is_one_line_on_stderr(run: Run, place: Path, line: str, message: str, extra: list[str]) -> None:
    if not (place / "m").exists():
        mh.LSH(n_bits=8, random_state=0).fit(planted("nuisance", 80, 0).views).save(place / "m")
        sounds = {"audio": np.ones((4, 2))}
        other = Dataset(name="other", views=sounds, labels=np.arange(4), split={"query": np.array([0])})
        write_dataset(other, place / "other")
    code, out, error = run(*line.split(), *extra)
    assert (code, out) == (2, "") and message in error
    assert error.startswith("modalhash: ") and error.count("\n") == 1
    assert not (place / "new").exists() and not (place / "new.npz").exists()


def test_warnings_are_one_line(run: Run, tmp_path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        words = ("--out", str(tmp_path / "m"), "--bits", "8", "--set", "max_iter=1", "--json")
        code, out, error = run("fit", "A2LH", "--data", "two", *words)
    assert code == 0 and json.loads(out)
    assert error.startswith("modalhash: warning: A2LH: the objective") and error.count("\n") == 1


def test_ctrl_c_exits_with_130(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modalhash.crossmodal.a2lh.A2LH._fit", stop)
    assert run("fit", "A2LH", "--data", "two", "--out", str(tmp_path / "m"))[0] == 130
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [[], ["data"], ["--help"], ["fit", "--help"], ["data", "make", "--help"]])
def test_help_names_every_option(run: Run, words: list[str]) -> None:
    code, out, error = run(*words)
    assert code == (0 if "--help" in words else 2) and "Usage" in out + error


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"modalhash {mh.__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["data", "list"], ["--version"]])
def test_light_verbs_import_nothing_heavy(words: list[str]) -> None:
    program = (
        "import sys\nfrom modalhash.cli import main\n"
        f"sys.argv = ['modalhash', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', sorted({HEAVY} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "heavy: []"


def test_importtime_shows_no_heavy_module() -> None:
    words = [sys.executable, "-X", "importtime", "-m", "modalhash.cli", "--help"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "typer" in modules and not modules & {"torch", "sklearn", "numba", "matplotlib", "scipy.stats", "numpy"}
