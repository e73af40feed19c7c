"""The verb compare: a table and a verdict as text, an object with `verdict` and `rows` as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modalhash.cli_compare import direction
from modalhash.datasets import planted, write_dataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of two views and one of embeddings."""
    root = tmp_path_factory.mktemp("compare")
    data = planted("nuisance", 100, 0)
    write_dataset(data, root / "two")
    np.save(root / "own.npy", np.asarray(data.views["image"]))
    np.save(root / "own.labels.npy", np.asarray(data.labels).argmax(axis=1))
    return root


def test_compare_prints_a_table_and_a_verdict(run: Run) -> None:
    words = (
        "compare",
        "--data",
        "two",
        "--bits",
        "8",
        "--systems",
        "A2LH,sign,RaBitQ",
        "--seeds",
        "1",
        "--out",
        "kept",
    )
    code, text, error = run(*words)
    assert (code, error) == (0, "")
    assert "image → text (floats: canonical correlations" in text and "A2LH + rescoring" in text
    assert "not run: RaBitQ at 8 bits: 8 bits leave -56" in text
    assert text.splitlines()[-1].startswith("verdict: Train. ")
    code, told, error = run(*words, "--json")
    assert (code, error) == (0, "") and told.count("\n") == 1
    found = json.loads(told, parse_constant=lambda constant: pytest.fail(constant))
    assert text.splitlines()[-1] == f"verdict: {found['verdict']}"
    assert {row["system"] for row in found["rows"]} == {"float32", "A2LH", "sign", "RaBitQ"}
    pytest.importorskip("matplotlib")
    code, told, error = run("report", "kept", "--out", "page", "--measure", "neighbours@10")
    assert (code, error) == (0, "") and told.startswith(f"{len(found['rows'])} cards, written to page/report.html")
    page = (Path("page") / "report.html").read_text(encoding="utf8")
    row = next(row for row in found["rows"] if row["rescored"] and row["system"] == "A2LH")
    assert f"{row['mean']['neighbours@10']:.3f}" in page and "A2LH + rescoring" in page and "own length" in page
    for title in ("Quality for bytes", "Quality for time to learn", "Quality for time to search"):
        assert title in page
    assert "Floats: canonical correlations" in page and "were written before cards did" not in page


def test_what_a_budget_cuts_is_told_and_what_ran_is_kept(run: Run) -> None:
    words = ("compare", "--data", "two", "--bits", "8", "--systems", "A2LH,sign", "--seeds", "2", "--out", "short")
    code, text, _ = run(*words, "--set", "budget=0")
    assert code == 0 and "cut to keep the time: 20 runs (seeds first" in text
    assert "cut: seed 0: float32 at own length; A2LH at 8 bits; sign at own length, 8 bits" in text
    assert "cut: seed 1: A2LH at 8 bits" in text and "Nothing was compared." in text
    code, text, _ = run(*words)
    assert code == 0 and "cut" not in text.split("verdict")[0]
    assert "cut" not in run(*words, "--set", "budget=0")[1].split("verdict")[0]  # all runs are kept


def test_a_planted_leak_is_told_by_name_and_count(run: Run, place: Path) -> None:
    clean = planted("nuisance", 100, 0)
    views = {name: np.array(matrix) for name, matrix in clean.views.items()}
    query, train = clean.split["query"], clean.split["train"]
    views["image"][query[:6]] = views["image"][train[:6]]
    split = {**clean.split, "database": np.union1d(clean.split["database"], query[:4])}
    write_dataset(dataclasses.replace(clean, views=views, split=split), place / "leaky")
    code, text, error = run("compare", "--data", "leaky", "--bits", "8", "--systems", "sign", "--seeds", "1")
    assert (code, error) == (0, "")
    assert f"leak: queries_in_database: 4 of {len(query)} queries are in the database" in text
    copied = f"view image: 6 of {len(query)} queries have a row equal to one of the train part"
    assert f"leak: equal_rows: {copied}" in text
    assert "The data leaks" in text.splitlines()[-1] and copied in text.splitlines()[-1]
    np.save(place / "leaky" / "split.train.npy", np.union1d(train, query[:3]))
    code, text, error = run("compare", "--data", "leaky", "--bits", "8")
    assert (code, text) == (2, "") and "(3 such rows)" in error


def test_compare_reads_embeddings_and_settings(run: Run) -> None:
    base = ("compare", "--data", "own.npy", "--bits", "8", "--systems", "sign,mean-sign", "--seeds", "1", "--json")
    code, told, _ = run(*base, "--set", "measure=neighbours@5", "--set", "k=5", "--set", "centre=True")
    found = json.loads(told)
    assert code == 0 and found["facts"]["measure"] == "neighbours@5" and found["verdict"].startswith("Do not train.")
    assert "each view's training mean is subtracted" in found["facts"]["notes"]
    code, told, _ = run(*base, "--set", "views=vectors", "--set", "budget=0")
    assert code == 0 and json.loads(told)["facts"]["cut"]["cells"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "two", "--ways", "image"), "--ways: expected A>B, got 'image'"),
        (("--data", "two", "--ways", "image>audio"), "has no view 'audio'"),
        (("--data", "two", "--bits", "none"), "--bits: expected numbers"),
        (("--data", "two", "--systems", "Nothing"), "unknown system 'Nothing'"),
        (("--data", "two", "--set", "nothing=1"), "has no option 'nothing'"),
        (("--data", "two", "--set", "shared=image,audio"), "no view 'audio'"),
        (("--data", "none.npy"), "none.npy: is neither a data set"),
    ],
)
def test_bad_input_ends_with_one_line(run: Run, words: tuple[str, ...], told: str) -> None:
    code, out, error = run("compare", *words)
    assert (code, out) == (2, "") and told in error and error.count("\n") == 1


def test_directions_are_read() -> None:
    assert direction("image>text") == (("image",), ("text",)) and direction("all > all") == ((), ())
