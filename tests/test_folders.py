"""Folders are written whole, replaced only if they are ours, and read back or refused by file name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.folders import ARRAYS, read_json, read_state, write_json, write_state, written_whole

MARKER = "model.json"


def write(folder: Path, text: str = "one") -> None:
    with written_whole(folder, marker=MARKER) as temporary:
        write_json(temporary / MARKER, {"format": 1, "text": text})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole_and_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "model"
    with written_whole(target, marker=MARKER) as temporary:
        write_json(temporary / MARKER, {"format": 1, "text": "one"})
        (temporary / "extra").write_text("x")
        assert not target.exists() and temporary.parent == target.parent
    assert names(target) == ["extra", MARKER]
    write(target, "two")
    assert names(target) == [MARKER] and read_json(target / MARKER)["text"] == "two"
    assert names(tmp_path / "new") == ["model"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write(tmp_path / "model")
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("exists", [True, False])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException], exists: bool) -> None:
    target = tmp_path / "model"
    if exists:
        write(target)
    with pytest.raises(error), written_whole(target, marker=MARKER) as temporary:
        (temporary / "half").write_text("half")
        raise error
    assert names(tmp_path) == (["model"] if exists else [])
    if exists:
        assert names(target) == [MARKER] and read_json(target / MARKER)["text"] == "one"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_during_the_swap_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    target, rename = tmp_path / "model", Path.rename
    write(target)

    def interrupted(self: Path, to: Path) -> Path:
        if to == target and self.name != "folder":
            raise error
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(error):
        write(target, "two")
    assert names(tmp_path) == ["model"] and read_json(target / MARKER)["text"] == "one"


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ValueError, match="file: is a file"):
        write(file)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="folder: holds other files"):
        write(folder)
    for foreign in ('{"entries": []}', "[1]", "not json", '{"format": "esm"}'):
        (folder / MARKER).write_text(foreign)  # a common name is no proof that we wrote it
        with pytest.raises(ValueError, match=MARKER):
            write(folder)
    assert file.read_text() == (folder / "letter.txt").read_text() == "mine"
    assert names(tmp_path) == ["file", "folder"]


STATE: dict[str, Any] = {
    "plain_": np.arange(6, dtype=np.float32).reshape(2, 3),
    "f_order_": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided_": np.arange(10)[::3],
    "bits_": np.array([True, False]),
    "empty_": np.zeros((0, 4)),
    "number_": np.array(3.5),
    "views_": {"text": np.ones(2), "a é": np.zeros((2, 2), np.uint8)},
    "codes_": BinaryCodes.from_signs(np.ones((3, 9))),
    "widths_": {"text": 3, "image": 2},
    "objective_": [0.1, 1 / 3, 1e-300],
    "nothing_": None,
    "none_of_them_": {},
    "text_": "ü",
}


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    write_state(tmp_path, MARKER, {"class": "Thing"}, STATE)
    header, state = read_state(tmp_path, MARKER)
    assert header["class"] == "Thing" and set(state) == set(STATE)
    for key, value in STATE.items():
        if isinstance(value, np.ndarray):
            assert state[key].dtype == value.dtype and state[key].shape == value.shape
            np.testing.assert_array_equal(state[key], value)
        elif key == "codes_":
            assert state[key].n_bits == 9
            np.testing.assert_array_equal(state[key].packed, value.packed)
        elif key == "views_":
            assert list(state[key]) == ["text", "a é"]
            np.testing.assert_array_equal(state[key]["a é"], np.zeros((2, 2)))
        else:
            assert state[key] == value
    assert list(state["widths_"]) == ["text", "image"]


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_state(tmp_path / name, MARKER, {"class": "Thing"}, STATE)
    for file in (MARKER, ARRAYS):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    views = {"image": np.random.default_rng(0).standard_normal((20, 9))}
    mh.PCASign(n_bits=9, random_state=0).fit(views).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("file", [MARKER, ARRAYS])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise", "text"])
def test_damaged_files_are_named(model: Path, file: str, damage: str) -> None:
    path, whole = model / file, (model / file).read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        noise = np.random.default_rng(0).integers(0, 256, 300, dtype=np.uint8).tobytes()
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": noise, "text": b"hello {"}[damage])
    with pytest.raises(FileNotFoundError if damage == "missing" else ValueError, match=file):
        mh.load(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("format", "1"),
        ("format", None),
        ("class", "LSH2"),
        ("class", None),
        ("class", ["LSH"]),
        ("params", None),
        ("params", {"n_bits": 9, "unknown": 1}),
        ("state", None),
        ("state", []),
        ("state", {"codes_": {"codes": "binary", "n_bits": 90}}),
        ("state", {"codes_": {"codes": "binary"}}),
        ("state", {"codes_": {}}),
        ("state", {"codes_": None}),
        ("state", {"views_": {"arrays": ["nowhere"]}}),
    ],
)
def test_headers_that_are_not_ours_are_refused_by_file(model: Path, key: str, value: object) -> None:
    header = json.loads((model / MARKER).read_text())
    header[key] = value
    (model / MARKER).write_text(json.dumps(header))
    with pytest.raises(ValueError, match=MARKER):
        mh.load(model)
    del header[key]
    (model / MARKER).write_text(json.dumps(header))
    with pytest.raises(ValueError, match=MARKER):
        mh.load(model)


def test_another_class_is_refused(model: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.json: holds a 'PCASign' model, not 'LSH'"):
        mh.LSH.load(model)
    (model / MARKER).write_text("[]")
    with pytest.raises(ValueError, match=r"model\.json: expected format 1, found 'list'"):
        mh.load(model)


def test_parameters_that_are_no_plain_values_are_not_saved(tmp_path: Path) -> None:
    hasher = mh.PCASign(n_bits=2).fit({"image": np.random.default_rng(0).standard_normal((20, 9))})
    hasher.verbose = Path("x")  # type: ignore[assignment]
    with pytest.raises(ValueError, match="PCASign: parameter verbose"):
        hasher.save(tmp_path / "model")
    assert names(tmp_path) == []
