"""A Dataset checks its parts, splits by rule, and its checksum follows every value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.datasets import Dataset, random_split

X = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
LABELS = np.eye(2)[np.arange(10) % 2]


def dataset(**changes: Any) -> Dataset:
    given: dict[str, Any] = {
        "name": "small",
        "views": {"image": X, "text": sp.csr_matrix(np.where(X > 0, X, 0))},
        "labels": LABELS,
        "ids": [f"id{i}" for i in range(10)],
        "split": {"query": [8, 9], "validation": [7]},
    }
    return Dataset(**{**given, **changes})


def test_parts_that_are_not_given_follow_from_those_that_are() -> None:
    split = dataset().split
    assert {part: rows.tolist() for part, rows in split.items()} == {
        "query": [8, 9],
        "validation": [7],
        "database": [0, 1, 2, 3, 4, 5, 6, 7],
        "train": [0, 1, 2, 3, 4, 5, 6],
    }
    assert all(rows.dtype == np.int64 for rows in split.values())
    everything = dataset(split={}).split
    assert everything["train"].tolist() == everything["database"].tolist() == list(range(10))
    assert not len(everything["query"]) and not len(everything["validation"])


def test_parts_hold_the_rows_of_the_split_in_its_order() -> None:
    data = dataset(split={"query": [9, 2]})
    part = data.part("query")
    np.testing.assert_array_equal(part["image"], X[[9, 2]])
    np.testing.assert_array_equal(part["text"].toarray(), np.where(X > 0, X, 0)[[9, 2]])
    np.testing.assert_array_equal(data.part_labels("query"), LABELS[[9, 2]])
    assert len(data) == 10


@pytest.mark.parametrize("form", [np.array, list, sp.csr_matrix, sp.coo_array, sp.csc_array])
def test_labels_of_every_form_are_split(form: Any) -> None:
    data = dataset(labels=form(LABELS.tolist() if form is list else LABELS))
    found = data.part_labels("query")
    np.testing.assert_array_equal(found.toarray() if sp.issparse(found) else found, LABELS[[8, 9]])
    assert dataset(labels=[0, 1] * 5).part_labels("query").tolist() == [0, 1]


def test_a_data_set_without_labels_says_so() -> None:
    with pytest.raises(ValueError, match="small: has no labels"):
        dataset(labels=None).part_labels("query")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"split": {"test": [1]}}, ValueError, r"split\.test.*train, validation"),
        ({"split": {"query": [10]}}, ValueError, r"split\.query.*0…9.*10"),
        ({"split": {"query": [-1]}}, ValueError, r"split\.query.*-1"),
        ({"split": {"train": [1, 1]}}, ValueError, r"split\.train.*twice"),
        ({"split": {"train": [1.0]}}, TypeError, r"split\.train.*float"),
        ({"split": {"train": [[1]]}}, TypeError, r"split\.train.*\(1, 1\)"),
        ({"split": {"train": np.ones(10, dtype=bool)}}, TypeError, r"split\.train.*bool"),
        ({"split": {"train": [1, 2], "query": [2, 3]}}, ValueError, r"split\.train: row 2 is a query"),
        ({"split": {"validation": [3], "query": [2, 3]}}, ValueError, r"split\.validation: row 3 is a query"),
        ({"ids": [1, 2]}, ValueError, "ids"),
        ({"ids": [1] * 10}, ValueError, "ids.*10 times"),
        ({"labels": LABELS[1:]}, ValueError, "labels"),
        ({"labels": LABELS * 2}, ValueError, "labels"),
        ({"views": {"image": X, "text": X[1:]}}, ValueError, "same number of rows"),
        ({"titles": ["a"]}, ValueError, "small: titles holds 1 values, expected 10"),
        ({"pictures": [b""] * 9}, ValueError, "pictures holds 9"),
        ({"raw": {"text": ["a"] * 11}}, ValueError, "text holds 11"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        dataset(**changes)


def test_the_checksum_is_stable() -> None:
    first = dataset().checksum
    assert len(first) == 64 and first == dataset().checksum
    text = np.where(X > 0, X, 0)
    same: list[dict[str, Any]] = [
        {"views": {"text": sp.csr_matrix(text), "image": X}},
        {"views": {"image": np.asfortranarray(X), "text": sp.csc_array(text)}},
        {"ids": np.array([f"id{i}" for i in range(10)], dtype="U40")},
        {"split": {"query": np.array([8, 9], dtype=np.uint8), "validation": [7], "train": list(range(7))}},
        {"titles": ["a"] * 10},
    ]
    for changes in same:
        assert dataset(**changes).checksum == first, changes


def test_the_checksum_changes_with_every_part() -> None:
    image, labels = X.copy(), LABELS.copy()
    image[4, 1] = np.nextafter(image[4, 1], np.float32(9))
    labels[3] = 1
    text = sp.csr_matrix(np.where(X > 0, X, 0))
    changes: list[dict[str, Any]] = [
        {},
        {"views": {"image": image, "text": text}},
        {"views": {"image": X, "text": text * 2}},
        {"views": {"image": X}},
        {"views": {"picture": X, "text": text}},
        {"views": {"image": X.astype(np.float64), "text": text}},
        {"views": {"image": X[:, ::-1], "text": text}},
        {"views": {"image": X, "text": text.toarray()}},
        {"labels": labels},
        {"labels": None},
        {"ids": [f"id{i}" for i in range(9, -1, -1)]},
        {"ids": None},
        {"split": {}},
        {"split": {"query": [9, 8], "validation": [7]}},
        {"split": {"query": [8, 9], "validation": [6]}},
    ]
    assert len({dataset(**change).checksum for change in changes}) == len(changes)


def test_a_split_by_chance() -> None:
    split = random_split(100, query=0.25, validation=0.1, seed=3)
    assert {part: len(rows) for part, rows in split.items()} == {
        "query": 25,
        "validation": 10,
        "train": 65,
        "database": 75,
    }
    assert sorted([*split["query"], *split["database"]]) == list(range(100))
    assert sorted([*split["train"], *split["validation"]]) == split["database"].tolist()
    again = random_split(100, query=0.25, validation=0.1, seed=3)
    assert all((split[part] == again[part]).all() for part in split)
    assert split["query"].tolist() != random_split(100, query=0.25, validation=0.1, seed=4)["query"].tolist()
    Dataset(name="x", views={"a": np.ones((100, 1))}, split=split)


@pytest.mark.parametrize(("query", "validation"), [(-0.1, 0.1), (0.1, -0.2), (0.6, 0.5), (1.0, 0.0)])
def test_shares_that_leave_nothing_are_refused(query: float, validation: float) -> None:
    with pytest.raises(ValueError, match="split"):
        random_split(100, query=query, validation=validation, seed=0)
