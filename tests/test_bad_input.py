"""Bad input over arrays, files, folders and the command line: refused by name, with nothing changed on disk."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.cli import main
from modalhash.collection import Collection, from_dataset
from modalhash.datasets import Dataset, make_dataset, planted, read_dataset, write_dataset
from modalhash.folders import ARRAYS

DATA = planted("nuisance", 40, 0)
X, Y, L = DATA.views["image"], DATA.views["text"], DATA.labels


def changed(matrix: Any, row: int, column: int | slice, value: float) -> Any:
    copy = np.array(matrix)
    copy[row, column] = value
    return copy


def sparse_with(value: float) -> Any:
    return sp.csr_array(changed(np.eye(40, 8), 3, slice(0, 2), value))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set (file and folder), a model, a collection, pictures and damaged copies of each."""
    root = tmp_path_factory.mktemp("bad")
    hasher = mh.LSH(n_bits=8, random_state=0).fit(DATA.views)
    hasher.save(root / "model")
    from_dataset(root / "collection", hasher, DATA)
    write_dataset(DATA, root / "data")
    np.savez(root / "good.npz", **{"view.image": X, "view.text": Y, "labels": np.asarray(L)})
    (root / "pictures").mkdir()
    (root / "pictures" / "a.png").write_bytes(b"no picture")
    (root / "table.csv").write_text("picture,text\na.png,one\nb.png,two\n")
    (root / "outside.csv").write_text("picture,text\n../table.csv,one\n")
    (root / "nothing.csv").write_text("name,words\na.png,one\n")
    (root / "latin.csv").write_bytes(b"picture,text\na.png,caf\xe9\n")
    (root / "split.csv").write_text("picture,text,split\na.png,one,exam\n")
    (root / "text.npz").write_text("not an archive")
    (root / "empty").mkdir()
    (root / "foreign").mkdir()
    (root / "foreign" / "thesis.txt").write_text("precious")
    (root / "file").write_text("a file")
    damages: dict[str, Callable[[Path], Any]] = {
        "json": lambda f: (f / "model.json").write_text("{"),
        "format": lambda f: (f / "model.json").write_text('{"format": 99}'),
        "class": lambda f: (f / "model.json").write_text('{"format": 1, "class": "Nobody"}'),
        "arrays": lambda f: (f / ARRAYS).write_bytes(b"\x10\x00"),
        "gone": lambda f: (f / ARRAYS).unlink(),
    }
    for name, damage in damages.items():
        hasher.save(root / f"model-{name}")
        damage(root / f"model-{name}")
    from_dataset(root / "collection-other", hasher, DATA)
    mh.LSH(n_bits=8, random_state=1).fit(DATA.views).save(root / "collection-other" / "model")
    from_dataset(root / "collection-half", hasher, DATA)
    (root / "collection-half" / "store" / "items.sqlite").unlink()
    for name, arrays in {
        "rows": {"view.image": X, "view.text": Y[:-1]},
        "unknown": {"view.image": X, "vew.text": Y},
        "text-view": {"view.image": np.full((40, 2), "a")},
        "no-view": {"labels": np.asarray(L)},
        "split": {"view.image": X, "split.train": np.array([0, 99])},
        "overlap": {"view.image": X, "split.train": np.array([0, 1]), "split.query": np.array([1])},
        "part": {"view.image": X, "split.exam": np.array([0])},
        "ids": {"view.image": X, "ids": np.zeros(40, dtype=int)},
        "labels": {"view.image": X, "labels": np.full((40, 3), 2)},
        "labelled": {"view.image": X, "labels": np.asarray(L), "labelled": np.ones(3, dtype=bool)},
        "sparse": {"view.image.data": np.ones(3), "view.image.indices": np.arange(3)},
        "csr": {
            "view.image.data": np.ones(1),
            "view.image.indices": np.array([9]),
            "view.image.indptr": np.array([0, 1]),
            "view.image.shape": np.array([1, 2]),
        },
        "offsets": {"raw.image.bytes": np.zeros(4, np.uint8), "raw.image.offsets": np.array([0, 9])},
        "lonely": {"raw.image.bytes": np.zeros(4, np.uint8)},
    }.items():
        np.savez(root / f"{name}.npz", **arrays)
    return root


def any_(value: Any) -> Any:
    """A value of the wrong type, which the type checker need not hear of."""
    return value


def picture(root: Path) -> Any:
    return mh.load(root / "model")


Case = tuple[str, Callable[[Path], Any], type[Exception], str]
A2LH = mh.A2LH
ARRAY_CASES: list[Case] = [
    ("views no mapping", lambda r: A2LH().fit(any_([X, Y]), L), TypeError, "views: expected a mapping"),
    ("no views", lambda r: A2LH().fit({}, L), ValueError, "at least one view"),
    ("view name", lambda r: A2LH().fit({"a/b": X}, L), ValueError, "'a/b' is not a view name"),
    ("texts", lambda r: A2LH().fit({"image": np.full((40, 2), "a")}, L), TypeError, "view 'image': expected numbers"),
    ("one dimension", lambda r: A2LH().fit({"image": np.ones(40)}, L), ValueError, r"view 'image'.*\(40,\)"),
    ("no rows", lambda r: A2LH().fit({"image": np.ones((0, 3))}, L), ValueError, r"view 'image'.*\(0, 3\)"),
    ("no columns", lambda r: A2LH().fit({"image": np.ones((40, 0))}, L), ValueError, r"view 'image'.*\(40, 0\)"),
    ("unequal rows", lambda r: A2LH().fit({"image": X, "text": Y[:-1]}, L), ValueError, "same number of rows.*39"),
    ("infinity", lambda r: A2LH().fit({"image": changed(X, 3, 0, np.inf)}, L), ValueError, "'image': row 3 .*infinity"),
    (
        "partly NaN",
        lambda r: A2LH().fit({"image": changed(X, 3, 0, np.nan)}, L),
        ValueError,
        "'image': row 3 is NaN in part",
    ),
    ("sparse infinity", lambda r: A2LH().fit({"tags": sparse_with(np.inf)}, L), ValueError, "'tags': row 3 .*infinity"),
    ("sparse NaN", lambda r: A2LH().fit({"tags": sparse_with(np.nan)}, L), ValueError, "'tags': row 3 stores NaN"),
    (
        "gap in training",
        lambda r: mh.ITQ(n_bits=4).fit({"image": changed(X, 3, slice(None), np.nan)}),
        ValueError,
        "ITQ: cannot train with missing views; row 3",
    ),
    (
        "no view at all",
        lambda r: A2LH().fit({"image": changed(X, 3, slice(None), np.nan)}, L),
        ValueError,
        "row 3 has no view at all",
    ),
    (
        "view all missing",
        lambda r: A2LH().fit({"image": X, "text": np.full_like(Y, np.nan)}, L),
        ValueError,
        "view 'text': every row is missing",
    ),
    ("no labels", lambda r: A2LH().fit(DATA.views), ValueError, "A2LH: needs labels"),
    (
        "label rows",
        lambda r: A2LH().fit(DATA.views, np.asarray(L)[:-1]),
        ValueError,
        r"labels: expected shape.*\(39, 5\)",
    ),
    ("label values", lambda r: A2LH().fit(DATA.views, 2 * np.asarray(L)), ValueError, "labels: expected only 0 and 1"),
    ("labels all zero", lambda r: A2LH().fit(DATA.views, 0 * np.asarray(L)), ValueError, "labels: .*no 1 at all"),
    ("real classes", lambda r: A2LH().fit(DATA.views, np.ones(40)), TypeError, "labels: classes"),
    ("text labels", lambda r: A2LH().fit(DATA.views, np.full(40, "cat")), TypeError, "labels: expected numbers"),
    (
        "unlabelled row",
        lambda r: A2LH().fit(DATA.views, changed(L, 2, slice(None), np.nan)),
        ValueError,
        "row 2 is not labelled",
    ),
    ("n_bits zero", lambda r: A2LH(n_bits=0).fit(DATA.views, L), ValueError, "n_bits"),
    ("n_bits real", lambda r: A2LH(n_bits=any_(8.0)).fit(DATA.views, L), TypeError, "n_bits"),
    ("n_bits too large", lambda r: mh.ITQ(n_bits=71).fit(DATA.views), ValueError, "n_bits=71 needs"),
    ("one view", lambda r: mh.CCAITQ(n_bits=4).fit({"image": X}), ValueError, "CCAITQ: needs at least 2 views"),
    ("seed", lambda r: mh.LSH(random_state=-1).fit(DATA.views), ValueError, "random_state"),
    ("threshold", lambda r: mh.SignEmbedding(n_bits=4, threshold="median").fit(DATA.views), ValueError, "threshold"),
    ("unknown parameter", lambda r: A2LH().set_params(gamma=1), ValueError, "no parameter 'gamma'"),
    ("not fitted", lambda r: A2LH().encode(DATA.views), ValueError, "A2LH: is not fitted"),
    ("unknown view", lambda r: picture(r).encode({"audio": X}), ValueError, "view 'audio' is unknown"),
    (
        "other width",
        lambda r: picture(r).encode({"image": X[:, :-1]}),
        ValueError,
        r"view 'image': expected 40 columns",
    ),
    (
        "nothing to encode",
        lambda r: picture(r).encode({"image": changed(X, 0, slice(None), np.nan)}),
        ValueError,
        "row 0 has no view at all",
    ),
    (
        "query bits",
        lambda r: mh.Index.build(mh.BinaryCodes(np.zeros((2, 1), np.uint8), 8)).search(
            mh.BinaryCodes(np.zeros((1, 2), np.uint8), 9), 1
        ),
        ValueError,
        "9 bits do not fit an index of 8",
    ),
    (
        "query floats",
        lambda r: mh.Index.build(mh.BinaryCodes(np.zeros((2, 1), np.uint8), 8)).search(any_(np.zeros((1, 8))), 1),
        TypeError,
        "BinaryCodes.*float64 array",
    ),
    ("planted kind", lambda r: planted("nothing"), ValueError, "unknown planted problem 'nothing'"),
    (
        "query trains",
        lambda r: Dataset(name="d", views=DATA.views, split={"train": np.arange(9), "query": np.arange(2)}),
        ValueError,
        "split.train: row 0 is a query",
    ),
]
FILE_CASES: list[Case] = [
    ("absent data", lambda r: mh.load_dataset("nowhere"), FileNotFoundError, "nowhere.*emoji"),
    ("text as npz", lambda r: read_dataset(r / "text.npz"), ValueError, r"text.npz: is not a readable"),
    ("empty folder", lambda r: read_dataset(r / "empty"), ValueError, "empty: holds no .npy files"),
    *(
        (f"data {name}", lambda r, file=f"{name}.npz": read_dataset(r / file), error, rf"{name}.npz: .*{message}")
        for name, error, message in [
            ("rows", ValueError, "same number of rows"),
            ("unknown", ValueError, "unknown array 'vew.text'"),
            ("text-view", TypeError, "view 'image'"),
            ("no-view", ValueError, "no view"),
            ("split", ValueError, "split.train"),
            ("overlap", ValueError, "split.train: row 1"),
            ("part", ValueError, "split.exam"),
            ("ids", ValueError, "ids: 0"),
            ("labels", ValueError, "labels"),
            ("labelled", ValueError, "labelled"),
            ("sparse", ValueError, "view.image"),
            ("csr", ValueError, "view.image"),
            ("offsets", ValueError, "raw.image"),
            ("lonely", ValueError, "raw.image"),
        ]
    ),
    ("absent model", lambda r: mh.load(r / "nowhere"), FileNotFoundError, "nowhere.model.json"),
    ("model json", lambda r: mh.load(r / "model-json"), ValueError, "model.json: is not valid JSON"),
    ("model format", lambda r: mh.load(r / "model-format"), ValueError, "model.json: expected format 1, found 99"),
    ("model class", lambda r: mh.load(r / "model-class"), ValueError, "model.json: .*'Nobody'"),
    ("model arrays", lambda r: mh.load(r / "model-arrays"), ValueError, "arrays.safetensors: is damaged"),
    ("model without arrays", lambda r: mh.load(r / "model-gone"), FileNotFoundError, "arrays.safetensors: not found"),
    ("other class", lambda r: A2LH.load(r / "model"), ValueError, "model.json: holds a 'LSH' model"),
    ("save over foreign", lambda r: picture(r).save(r / "foreign"), ValueError, "foreign: holds other files"),
    ("save over file", lambda r: picture(r).save(r / "file"), ValueError, "file: is a file"),
    ("absent collection", lambda r: Collection.open(r / "nowhere"), FileNotFoundError, "collection.json"),
    ("other model", lambda r: Collection.open(r / "collection-other"), ValueError, "another model"),
    (
        "half a collection",
        lambda r: Collection.open(r / "collection-half"),
        FileNotFoundError,
        "items.sqlite: not found",
    ),
    (
        "words without extractor",
        lambda r: Collection.open(r / "collection").search(text="cat"),
        ValueError,
        "takes no text",
    ),
    ("nothing asked", lambda r: Collection.open(r / "collection").search(), ValueError, "give text, image or views"),
    (
        "collection over foreign",
        lambda r: from_dataset(r / "foreign", picture(r), DATA),
        ValueError,
        "holds other files",
    ),
    ("no pictures", lambda r: make_dataset(r / "empty"), ValueError, "empty: holds no pictures"),
    ("no folder", lambda r: make_dataset(r / "nowhere"), FileNotFoundError, "nowhere: is not a folder"),
    ("table absent", lambda r: make_dataset(r / "pictures", r / "none.csv"), FileNotFoundError, "none.csv: not found"),
    (
        "picture absent",
        lambda r: make_dataset(r / "pictures", r / "table.csv"),
        FileNotFoundError,
        "line 3: picture 'b.png'",
    ),
    (
        "picture outside",
        lambda r: make_dataset(r / "pictures", r / "outside.csv"),
        ValueError,
        "line 2: .*not a picture inside",
    ),
    (
        "no picture column",
        lambda r: make_dataset(r / "pictures", r / "nothing.csv"),
        ValueError,
        "nothing.csv: has no column",
    ),
    ("not UTF-8", lambda r: make_dataset(r / "pictures", r / "latin.csv"), ValueError, "latin.csv: .*UTF-8"),
    (
        "split of table",
        lambda r: make_dataset(r / "pictures", r / "split.csv"),
        ValueError,
        "line 2: unknown split 'exam'",
    ),
    ("broken picture", lambda r: make_dataset(r / "pictures"), ValueError, r"picture"),
    ("shares", lambda r: make_dataset(r / "pictures", query=0.6, validation=0.5), ValueError, "leave nothing"),
]
COMMAND_CASES: list[tuple[str, str]] = [
    ("fit Nothing --data good.npz --out new", "unknown system 'Nothing'"),
    ("fit A2LH --data nowhere --out new", "nowhere"),
    ("fit A2LH --data good.npz --out foreign --bits 8", "foreign: holds other files"),
    ("fit A2LH --data good.npz --out new --set alpha", "expected NAME=VALUE"),
    ("fit A2LH --data good.npz --out new --set gamma=1", "no parameter 'gamma'"),
    ("fit A2LH --data good.npz --out new --set alpha=-1", "alpha"),
    ("fit A2LH --data good.npz --out new --bits 0", "--bits"),
    ("fit ITQ --data good.npz --out new --bits 400", "n_bits=400 needs"),
    ("encode model --data rows.npz --out new.npz", "rows.npz"),
    ("encode model --data good.npz --out new.npz --views audio", "view 'audio'"),
    ("encode nowhere --data good.npz --out new.npz", "model.json: not found"),
    ("index model --data good.npz --out foreign", "foreign: holds other files"),
    ("index model-json --data good.npz --out new", "model.json"),
    ("search collection --text cat", "takes no text"),
    ("search collection", "give text, image or views"),
    ("search nowhere --text cat", "collection.json"),
    ("evaluate model --data good.npz", "has no query items"),
    ("evaluate model --data data --cuts many", "--cuts"),
    ("evaluate model --data data --queries train", "--queries"),
    ("systems --for nowhere", "nowhere"),
    ("data check labels.npz", "labels.npz"),
    ("data make nowhere --out new", "nowhere: is not a folder"),
    ("data make pictures --table table.csv --out new", "line 3: picture 'b.png'"),
    ("demo --bits many", "--bits"),
    ("nothing", "No such command"),
]


def snapshot(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [c[1:] for c in ARRAY_CASES + FILE_CASES],
    ids=[c[0] for c in ARRAY_CASES + FILE_CASES],
)
def test_library_refuses_by_name_and_leaves_the_disk_alone(
    prepared: Path, call: Callable[[Path], Any], error: type[Exception], message: str
) -> None:
    before = snapshot(prepared)
    with pytest.raises(error, match=message):
        call(prepared)
    assert snapshot(prepared) == before


@pytest.mark.parametrize(("line", "message"), COMMAND_CASES, ids=[case[0] for case in COMMAND_CASES])
def test_command_line_exits_with_2_and_one_message(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    monkeypatch.chdir(prepared)
    monkeypatch.setattr(sys, "argv", ["modalhash", *line.split()])
    before = snapshot(prepared)
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in told
    assert "Traceback" not in told
    assert snapshot(prepared) == before
