"""Ratings as files: a CSV, a folder, a .npz; what is refused, by file, line and array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from outside_data import needs

from modalhash.datasets.ratings import Ratings, load_ratings, write_ratings
from modalhash.views import missing

HEAD = "user,item,rating"


def csv(folder: Path, *lines: str, name: str = "r.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf8")
    return path


def test_a_csv_in_any_order_with_titles(tmp_path: Path) -> None:
    path = csv(tmp_path, "\ufeffitem,when,rating,user,title", '10,x,4,b,"Ten, or so"', "9,x,1.5,a,", "10,x,2,a,Other")
    found = load_ratings(path)
    assert found.name == "r" and found.user_ids is not None and found.item_ids is not None
    assert found.user_ids.tolist() == ["a", "b"] and found.item_ids.tolist() == [9, 10]  # integers in their own order
    assert found.ratings.toarray().tolist() == [[1.5, 2], [0, 4]] and found.titles == ["9", "Ten, or so"]


@pytest.mark.parametrize(("id_", "kind"), [("7", "i"), ("-3", "i"), ("07", "U"), ("9" * 30, "U"), ("²", "U")])
def test_only_plain_integers_are_integers(tmp_path: Path, id_: str, kind: str) -> None:
    found = load_ratings(csv(tmp_path, HEAD, f"{id_},1,5", "8,2,4")).user_ids
    assert found is not None and found.dtype.kind == kind and id_ in map(str, found.tolist())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["user,item"], "head line lacks rating"),
        ([], "head line lacks user, item, rating"),
        ([HEAD], "holds no rating"),
        ([HEAD, "a,1,good"], "line 2: expected a rating as a number, got 'good'"),
        ([HEAD, "a,1,nan"], "line 2: expected a rating as a number"),
        ([HEAD, "a,1,3", "b,,3"], "line 3: expected a user, an item and a rating"),
        ([HEAD, "a,1"], "line 2: expected a user"),
        ([HEAD, "a,1,3,4"], "line 2: expected a user"),
        ([HEAD, "a,1,3", "b,1,3", "a,1,3"], r"line 4 rates item 1 by user a again \(line 2\)"),
    ],
)
def test_a_bad_csv_is_refused_by_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_ratings(csv(tmp_path, *lines))


def test_other_bytes_and_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"user,item,rating\ncaf\xe9,1,3\n")
    with pytest.raises(ValueError, match=r"latin.csv: is not a CSV in UTF-8"):
        load_ratings(tmp_path / "latin.csv")
    with pytest.raises(FileNotFoundError, match="nowhere: is neither known ratings"):
        load_ratings("nowhere")


def problem() -> Ratings:
    ratings = sp.random_array((6, 5), density=0.5, rng=np.random.default_rng(0), format="csr")
    gaps = sp.csr_array(np.array([[1.0, 0], [np.nan, 0], [0, 2], [0, 0], [1, 1]]))
    return Ratings(
        name="made",
        ratings=ratings,
        user_views={"age": np.arange(6.0)[:, None]},
        item_views={"tags": gaps, "plot": np.eye(5)},
        user_ids=np.array(["u", "v", "w", "x", "y", "z"]),
        item_ids=np.arange(5) * 10,
        titles=list("abcde"),
    )


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_files_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    made, path = problem(), tmp_path / "made"
    write_ratings(made, path)
    if kind == "npz":
        np.savez(tmp_path / "made.npz", **{file.stem: np.load(file) for file in path.glob("*.npy")})
        path = tmp_path / "made.npz"
    found = load_ratings(path)
    assert found.name == "made" and found.titles == made.titles
    np.testing.assert_array_equal(found.ratings.toarray(), made.ratings.toarray())
    np.testing.assert_array_equal(found.user_ids, made.user_ids)
    np.testing.assert_array_equal(found.item_ids, made.item_ids)
    np.testing.assert_array_equal(found.item_views["plot"], np.eye(5))
    np.testing.assert_array_equal(found.item_views["tags"].toarray(), made.item_views["tags"].toarray())
    assert missing(found.item_views["tags"]).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"view.text": np.eye(5)}, "unknown array 'view.text'"),
        ({"ratings.shape": None}, "ratings: a sparse matrix needs"),
        ({"ratings.indices": np.full(15, 9)}, "ratings: is not a CSR matrix"),
        ({f"ratings.{part}": None for part in ("data", "indices", "indptr", "shape")}, "holds no ratings"),
        ({"item_view.plot": np.eye(4)}, r"item_view.plot: expected \(5, d\)"),
        ({"user_view.age": np.ones(6)}, r"user_view.age: expected \(6, d\)"),
        ({"item_ids": np.arange(4)}, "item_ids holds 4 values, expected 5"),
        ({"titles": np.arange(5)}, "titles: expected n texts"),
    ],
)
def test_bad_arrays_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_ratings(problem(), tmp_path / "made")
    arrays = {file.stem: np.load(file) for file in (tmp_path / "made").glob("*.npy")} | changes
    np.savez(tmp_path / "bad.npz", **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises((ValueError, TypeError), match=message) as error:
        load_ratings(tmp_path / "bad.npz")
    assert "bad" in str(error.value)


def test_other_folders_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="holds other files"):
        write_ratings(problem(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@needs("ml1m")
@pytest.mark.slow
def test_ml1m_is_what_was_published() -> None:
    found = load_ratings("ml1m")
    assert found.ratings.shape == (6040, 3883) and found.ratings.nnz == 1_000_209
    assert np.bincount(found.ratings.data.astype(int)).tolist() == [0, 56174, 107557, 261197, 348971, 226310]
    assert found.titles is not None and found.titles[0] == "Toy Story (1995)"
    assert found.ratings[[0]].toarray()[0, list(found.titles).index("One Flew Over the Cuckoo's Nest (1975)")] == 5
    assert found.user_views["profile"].sum(axis=1).tolist() == [3.0] * 6040
    assert int(missing(found.item_views["poster"]).sum()) == 627 and int(missing(found.item_views["plot"]).sum()) == 38
