"""Reviews beside ratings: in files, by pair and by time; what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from outside_data import lines, needs

from modalhash.datasets.ratings import Ratings, load_ratings, write_ratings
from modalhash.datasets.reviews import Reviews, read_reviews
from modalhash.evaluation.rating_splits import leave_one_out

TEXTS = ["Warm, “very” warm.", "", "猫\nline two\x00", "again"]


def reviews(**changed: Any) -> Reviews:
    given = {
        "users": np.array([0, 1, 2, 0], dtype=np.uint16),
        "items": np.array([1, 0, 1, 1]),
        "texts": TEXTS,
        "times": np.array([5, 3, 9, 7]),
        "helpful": np.array([0, 2, 1, 0]),
    }
    return Reviews(**{**given, **changed})


def ratings(**changed: Any) -> Ratings:
    values = sp.csr_array(np.array([[0, 4.0], [2, 0], [0, 5]]))
    return Ratings(**{"name": "r", "ratings": values, "reviews": reviews(), **changed})


@pytest.mark.parametrize("kind", ["folder", "npz", "texts"])
def test_files_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    write_ratings(ratings(), tmp_path / "r")
    path = tmp_path / "r"
    if kind != "folder":
        arrays = {file.stem: np.load(file) for file in path.glob("*.npy")}
        if kind == "texts":  # as one would write by hand
            arrays = {key: array for key, array in arrays.items() if key not in ("reviews.bytes", "reviews.offsets")}
            arrays["reviews.texts"] = np.array([text.rstrip("\0") for text in TEXTS])
        path = tmp_path / "r.npz"
        np.savez(path, **arrays)
    found = load_ratings(path).reviews
    assert found is not None
    assert [text.rstrip("\0") for text in found.texts] == [text.rstrip("\0") for text in TEXTS]
    assert kind == "texts" or list(found.texts) == TEXTS
    for name in ("users", "items", "times", "helpful"):
        np.testing.assert_array_equal(getattr(found, name), getattr(reviews(), name))


def test_what_is_not_known_is_not_written(tmp_path: Path) -> None:
    bare = ratings(reviews=reviews(times=None, helpful=None, texts=["", "", "", "\ud800"]))
    write_ratings(bare, tmp_path / "r")
    found = load_ratings(tmp_path / "r").reviews
    assert found is not None and found.times is None and found.helpful is None and found.texts[3] == "\ud800"
    write_ratings(ratings(reviews=None), tmp_path / "s")
    assert load_ratings(tmp_path / "s").reviews is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reviews.users": None}, "reviews: need reviews.users"),
        ({"reviews.bytes": None, "reviews.offsets": None}, "need either reviews.texts, or reviews.bytes"),
        ({"reviews.texts": np.array(["a"] * 4)}, "need either reviews.texts, or reviews.bytes"),
        ({"reviews.offsets": None}, "need both reviews.bytes and reviews.offsets"),
        ({"reviews.offsets": np.array([0, 9])}, "reviews.offsets: must rise from 0"),
        (
            {"reviews.bytes": np.full(3, 255, np.uint8), "reviews.offsets": np.array([0, 3, 3, 3, 3])},
            "review 0 is not UTF-8",
        ),
        ({"reviews.bytes": np.zeros(3)}, r"reviews.bytes: expected bytes \(uint8\)"),
        ({"reviews.users": np.array([0, 1, 3, 0])}, "reviews.users: positions must lie in 0…2, got 0…3"),
        ({"reviews.items": np.array([0, -1, 1, 0])}, "reviews.items: positions must lie in 0…1, got -1…1"),
        ({"reviews.items": np.array([0, 1])}, "reviews.items: holds 2 values, expected 4, one a text"),
        ({"reviews.items": np.zeros(4)}, r"reviews.items: expected \(r,\) integers"),
        ({"reviews.times": np.array([1.0, np.nan, 2, 3])}, "reviews.times: review 1 has none"),
        ({"reviews.times": np.arange(3)}, "reviews.times: holds 3 values, expected 4"),
        ({"reviews.helpful": np.array(list("abcd"))}, r"reviews.helpful: expected \(r,\) numbers"),
        ({"reviews.colour": np.zeros(4)}, "unknown array 'reviews.colour'"),
    ],
)
def test_bad_arrays_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_ratings(ratings(), tmp_path / "r")
    arrays = {file.stem: np.load(file) for file in (tmp_path / "r").glob("*.npy")} | changes
    np.savez(tmp_path / "bad.npz", **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises((ValueError, TypeError), match=message) as error:
        load_ratings(tmp_path / "bad.npz")
    assert "bad.npz" in str(error.value)


def test_texts_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="text 1 is a NoneType"):
        reviews(texts=["a", None, "b", "c"])


def test_a_csv_with_reviews(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    rows = [
        "user,item,rating,review,time,helpful",
        'b,1,5,"Two\nlines, ""so"".",2014-01-02,3',
        "a,1,4,  ,,",
        "a,2,3,Fine,1388620800.5,0",
        "b,2,1,Fine too,2014-01-02T01:00:00+01:00,1",
    ]
    path.write_text("\n".join(rows), encoding="utf8")
    data = load_ratings(path)
    found = data.reviews
    assert (
        found is not None
        and data.user_ids is not None
        and list(found.texts) == ['Two\nlines, "so".', "Fine", "Fine too"]
    )
    assert found.users.tolist() == [1, 0, 1] and found.items.tolist() == [0, 1, 1]
    assert found.times is not None and found.times.tolist() == [1388620800.0, 1388620800.5, 1388620800.0]
    assert found.helpful is not None and found.helpful.tolist() == [3, 0, 1]
    users, items, texts = data.written or ([], [], [])
    assert np.asarray(users).tolist() == ["b", "a", "b"] and np.asarray(items).tolist() == [1, 2, 2] and len(texts) == 3
    assert Ratings(name="x", ratings=data.ratings, reviews=found).written is not None
    assert Ratings(name="x", ratings=data.ratings).written is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1,4,Good,someday,1", "line 2: expected a time as a number or an ISO date, got 'someday'"),
        ("a,1,4,Good,,1", "line 2: expected a time"),
        ("a,1,4,Good,5,many", "line 2: expected helpful votes as a number, got 'many'"),
    ],
)
def test_a_bad_csv_is_refused_by_line(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "r.csv").write_text(f"user,item,rating,review,time,helpful\n{row}\n")
    with pytest.raises(ValueError, match=message):
        load_ratings(tmp_path / "r.csv")


def test_without_any_review_other_columns_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user,item,rating,review,time\na,1,4,,someday\n")
    assert load_ratings(tmp_path / "r.csv").reviews is None
    (tmp_path / "s.csv").write_text("user,item,rating,time\na,1,4,someday\n")
    assert load_ratings(tmp_path / "s.csv").reviews is None
    (tmp_path / "t.csv").write_text("user,item,rating,review\na,1,4,Good\n")
    found = load_ratings(tmp_path / "t.csv").reviews
    assert found is not None and found.times is None and found.helpful is None


def test_reviews_of_some_ratings_and_their_times() -> None:
    data = ratings()
    found = reviews().of(sp.csr_array(np.array([[0, 1.0], [0, 0], [0, 1]])))
    assert list(found.texts) == [TEXTS[0], TEXTS[2], TEXTS[3]] and found.helpful is not None
    assert found.helpful.tolist() == [0, 1, 0] and found.users.tolist() == [0, 2, 0]
    assert reviews().times_of(data.ratings).tolist() == [7, 3, 9]  # the later one of two reviews
    assert len(reviews().of(sp.csr_array((3, 2)))) == 0
    with pytest.raises(ValueError, match="user 2 rated item 1, but no review says when"):
        reviews().some(np.array([0, 1])).times_of(data.ratings)
    with pytest.raises(ValueError, match="have no times"):
        reviews(times=None).times_of(data.ratings)


def test_the_latest_is_left_out() -> None:
    rng = np.random.default_rng(0)
    values = sp.csr_array((rng.random((20, 9)) < 0.4) * 3.0)
    values.eliminate_zeros()
    entries = values.tocoo()
    order = rng.permutation(values.nnz)  # reviews need not stand in the order of the ratings
    when = rng.permutation(values.nnz)
    own = Reviews(entries.row[order], entries.col[order], [""] * values.nnz, times=when[order])
    split = leave_one_out(values, times=own.times_of(values))
    held = split.test.tocoo()
    for user, item in zip(held.row.tolist(), held.col.tolist(), strict=True):
        mine = {int(entries.col[i]): int(when[i]) for i in np.flatnonzero(entries.row == user)}
        assert mine[item] == max(mine.values())
    assert not set(zip(*map(np.ndarray.tolist, (held.row, held.col)), strict=True)) & set(
        zip(own.of(split.train).users.tolist(), own.of(split.train).items.tolist(), strict=True)
    )


def test_a_damaged_file_of_reviews_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "reviews.npz", users=np.array([0]))
    with pytest.raises(ValueError, match=r"reviews.npz: reviews: need reviews.items"):
        read_reviews(tmp_path / "reviews.npz")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(
        tmp_path / "amazon_musical_instruments.npz",
        user=np.array([1, 0, 1], dtype=np.uint16),
        item=np.array([0, 1, 1], dtype=np.uint16),
        rating=np.array([5, 4, 1], dtype=np.uint8),
        time=np.array([10, 20, 30], dtype=np.uint32),
        helpful=np.array([[1, 2], [0, 0], [3, 9]], dtype=np.int32),
        asin=np.array(["B1", "B2"]),
        review__utf8=lines(["One.", "", "Three."]),
    )
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))


def test_instruments_as_ratings_and_reviews(small: None) -> None:
    found = load_ratings("amazon_musical_instruments")
    assert found.ratings.toarray().tolist() == [[0, 4], [5, 1]] and found.reviews is not None
    assert found.item_ids is not None and found.item_ids.tolist() == ["B1", "B2"] and found.user_ids is None
    assert list(found.reviews.texts) == ["One.", "", "Three."] and found.reviews.users.tolist() == [1, 0, 1]
    assert found.reviews.helpful is not None and found.reviews.helpful.tolist() == [1, 0, 3]
    assert found.written is not None and np.asarray(found.written[1]).tolist() == ["B1", "B2", "B2"]


def test_instruments_are_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODALHASH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"amazon_musical_instruments\.npz.*MODALHASH_DATA"):
        load_ratings("amazon_musical_instruments")


@needs("amazon_musical_instruments")
def test_instruments_are_what_was_published() -> None:
    found = load_ratings("amazon_musical_instruments")
    assert found.ratings.shape == (1429, 900) and found.ratings.nnz == 10_261 and found.reviews is not None
    assert np.bincount(found.ratings.data.astype(int)).tolist() == [0, 217, 250, 772, 2084, 6938]
    assert sum(len(text.split()) for text in found.reviews.texts) > 900_000
    assert len(found.reviews.times_of(found.ratings)) == 10_261
