"""The two .mat layouts, on small files written in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.io import savemat

from modalhash.datasets import load_dataset
from modalhash.datasets.mat_files import read_mat
from modalhash.views import is_sparse

RNG = np.random.default_rng(0)


def part(name: str, n: int) -> dict[str, Any]:
    labels = RNG.integers(0, 2, (n, 4)).astype(np.uint8)
    labels[:, 0] = 1
    return {f"I_{name}": RNG.random((n, 5)), f"T_{name}": RNG.random((n, 3)), f"L_{name}": labels}


def write(path: Path, **arrays: Any) -> Path:
    savemat(path, arrays)
    return path


def test_parts_without_a_database(tmp_path: Path) -> None:
    arrays = {**part("tr", 8), **part("te", 3)}
    data = load_dataset(write(tmp_path / "mir.mat", **arrays))
    assert data.name == "mir" and list(data.views) == ["image", "text"]
    assert data.split["train"].tolist() == data.split["database"].tolist() == list(range(8))
    assert data.split["query"].tolist() == [8, 9, 10] and not len(data.split["validation"])
    for split, name in (("train", "tr"), ("query", "te")):
        np.testing.assert_array_equal(data.part(split)["image"], arrays[f"I_{name}"])
        np.testing.assert_array_equal(data.part(split)["text"], arrays[f"T_{name}"])
        np.testing.assert_array_equal(data.part_labels(split), arrays[f"L_{name}"])


def test_parts_with_a_database(tmp_path: Path) -> None:
    arrays = {**part("tr", 8), **part("te", 3), **part("db", 6)}
    data = read_mat(write(tmp_path / "x.mat", **arrays))
    assert len(data) == 17 and data.split["database"].tolist() == list(range(11, 17))
    np.testing.assert_array_equal(data.part("database")["text"], arrays["T_db"])
    np.testing.assert_array_equal(data.part_labels("query"), arrays["L_te"])


@pytest.mark.parametrize("names", [("XAll", "YAll", "LAll"), ("xall", "YALL", "lAll")])
def test_all_in_one(tmp_path: Path, names: tuple[str, str, str]) -> None:
    arrays = dict(zip(names, part("x", 40).values(), strict=True))
    path = write(tmp_path / "all.mat", **arrays)
    data = load_dataset(path, query=0.2, validation=0.1, seed=3)
    assert [len(data.split[p]) for p in ("query", "validation", "train", "database")] == [8, 4, 28, 32]
    np.testing.assert_array_equal(data.views["text"], arrays[names[1]])
    assert load_dataset(path).split["query"].tolist() != load_dataset(path, seed=1).split["query"].tolist()
    with pytest.raises(TypeError, match="has no option 'fair'; it takes query, validation, seed"):
        load_dataset(path, fair=True)


def test_sparse_views_and_classes(tmp_path: Path) -> None:
    arrays = {**part("tr", 8), **part("te", 3)}
    for name, n in (("tr", 8), ("te", 3)):
        arrays[f"T_{name}"] = sp.csc_matrix(arrays[f"T_{name}"] * (arrays[f"T_{name}"] > 0.5))
        arrays[f"L_{name}"] = (np.arange(n) % 3).reshape(-1, 1)
    data = read_mat(write(tmp_path / "s.mat", **arrays))
    assert is_sparse(data.views["text"]) and np.asarray(data.labels).tolist() == [*(np.arange(8) % 3), 0, 1, 2]
    np.testing.assert_array_equal(data.part("query")["text"].toarray(), arrays["T_te"].toarray())
    row = {**arrays, "L_tr": np.arange(8).reshape(1, -1) % 3}
    assert np.asarray(read_mat(write(tmp_path / "r.mat", **row)).labels).tolist() == np.asarray(data.labels).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T_te": None}, r"x\.mat: expected I_tr.*T_te is not among"),
        ({"I_db": np.ones((2, 5))}, r"T_db, L_db is not among"),
        ({"T_tr": np.ones((7, 3))}, r"same number of rows.*image_tr 8, text_tr 7, labels_tr 8"),
        ({"T_te": np.ones((3, 4))}, r"text: parts have different columns: \(8, 3\), \(3, 4\)"),
        ({"I_tr": np.full((8, 5), np.inf)}, r"x\.mat: view 'image'.*infinity"),
        ({"L_tr": np.full((8, 4), 7)}, r"x\.mat: labels: expected only 0 and 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {**part("tr", 8), **part("te", 3), **change}
    with pytest.raises(ValueError, match=message):
        read_mat(write(tmp_path / "x.mat", **{key: value for key, value in arrays.items() if value is not None}))


def test_texts_are_no_matrix(tmp_path: Path) -> None:
    arrays = {**part("tr", 8), **part("te", 3), "T_tr": np.array(["a"] * 8)}
    with pytest.raises(TypeError, match=r"x\.mat: text: expected a matrix of numbers"):
        read_mat(write(tmp_path / "x.mat", **arrays))


def test_absent_damaged_and_hdf5_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.mat"):
        read_mat(tmp_path / "gone.mat")
    (tmp_path / "bad.mat").write_bytes(b"no such thing" * 30)
    with pytest.raises(ValueError, match=r"bad\.mat: is not a readable"):
        read_mat(tmp_path / "bad.mat")
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "new.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(500))
    with pytest.raises(ValueError, match=r"new\.mat: is a \.mat file of version 7\.3 \(HDF5\).*-v7"):
        read_mat(tmp_path / "new.mat")


def test_a_folder_takes_no_options(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"view.image": np.ones((3, 2))}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(TypeError, match="has no option 'fair'; it takes none"):
        load_dataset(tmp_path / "x.npz", fair=True)
