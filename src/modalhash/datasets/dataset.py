"""Dataset: views of items, what to show of them, and who trains, validates, queries and is found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.index.memory import check_ids
from modalhash.views import Array, Matrix, Views, check_labels, check_views, is_sparse

PARTS = ("train", "validation", "query", "database")
Positions = NDArray[np.int64]


@dataclass(kw_only=True, eq=False)
class Dataset:
    """Items with views, labels and a split.

    views: name -> (n, d); labels: as in `Hasher.fit`, or None; ids: (n,) unique integers or texts; titles: n texts
    and pictures: n encoded pictures (bytes, empty for none), to show; tags: n texts, the tags of an item apart by |, by
    which bits can be named; raw: view -> n texts or n encoded pictures;
    features: view -> the extractor that made its matrix, fitted on training rows; split: part -> positions.
    `train` may overlap `database`, never `query`.  Without a split every item trains and is found.
    """

    name: str
    views: Views
    labels: Matrix | None = None
    label_names: Sequence[str] | None = None
    ids: Array | None = None
    titles: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    pictures: Sequence[bytes] | None = None
    raw: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Positions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = check_views(self.views)
        if self.labels is not None:
            check_labels(self.labels, len(self))
            self.labels = self.labels.tocsr() if is_sparse(self.labels) else np.asarray(self.labels)
        self.ids = check_ids(np.arange(len(self)) if self.ids is None else self.ids, len(self))
        for name, column in {"titles": self.titles, "tags": self.tags, "pictures": self.pictures, **self.raw}.items():
            if column is not None and len(column) != len(self):
                raise ValueError(f"{self.name}: {name} holds {len(column)} values, expected {len(self)}")
        self.split = self._check_split()

    def __len__(self) -> int:
        return int(next(iter(self.views.values())).shape[0])

    def _check_split(self) -> dict[str, Positions]:
        for part in self.split:
            if part not in PARTS:
                raise ValueError(f"split.{part}: unknown part; known: {', '.join(PARTS)}")
        everything = np.arange(len(self))
        split = {part: check_positions(f"split.{part}", rows, len(self)) for part, rows in self.split.items()}
        split.setdefault("query", everything[:0])
        rest = np.setdiff1d(everything, split["query"])
        split.setdefault("database", rest)
        split.setdefault("validation", everything[:0])
        split.setdefault("train", np.setdiff1d(rest, split["validation"]))
        for part in ("train", "validation"):
            shared = np.intersect1d(split[part], split["query"])
            if len(shared):
                raise ValueError(f"split.{part}: row {shared[0]} is a query, too ({len(shared)} such rows)")
        return split

    def part(self, part: str) -> dict[str, Matrix]:
        """The views of one part of the split: train, validation, query or database."""
        return {name: matrix[self.split[part]] for name, matrix in self.views.items()}

    def part_labels(self, part: str) -> Matrix:
        """The labels of one part of the split; ValueError if the data set has none."""
        if self.labels is None:
            raise ValueError(f"{self.name}: has no labels")
        return self.labels[self.split[part]]

    @property
    def checksum(self) -> str:
        """SHA-256 over views, labels, ids and split: the same data, the same text."""
        digest = hashlib.sha256()
        columns: dict[str, Any] = {f"view.{name}": matrix for name, matrix in self.views.items()}
        columns |= {"labels": self.labels, "ids": self.ids} | {
            f"split.{part}": rows for part, rows in self.split.items()
        }
        for name in sorted(columns):
            digest.update(name.encode())
            for array in _arrays(columns[name]):
                digest.update(f"{array.dtype.str}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _arrays(matrix: Matrix) -> list[Array]:
    if matrix is None:
        return []
    if is_sparse(matrix):
        csr = matrix.tocsr()
        return [csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64), np.asarray(csr.shape)]
    array = np.asarray(matrix)
    return [np.char.encode(array, "utf8") if array.dtype.kind == "U" else array]  # without padding to the widest text


def check_positions(name: str, rows: object, n: int) -> Positions:
    """Positions as a (m,) int64 array of distinct values in range(n); the message of an error names them."""
    array = np.asarray(rows)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected positions (m,) of integers, got {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() >= n:
        raise ValueError(f"{name}: positions must lie in 0…{n - 1}, got {array.min()}…{array.max()}")
    if len(np.unique(array)) < len(array):
        raise ValueError(f"{name}: holds a position twice")
    return array.astype(np.int64)


def random_split(n: int, *, query: float, validation: float, seed: int) -> dict[str, Positions]:
    """A split by chance: `query` and `validation` are shares of all items; the database is all but the queries.

    Raises ValueError for shares that are negative or leave nothing to train on.
    """
    order = np.random.default_rng(seed).permutation(n)
    n_query, n_validation = round(n * query), round(n * validation)
    if min(n_query, n_validation) < 0 or n_query + n_validation >= n:
        raise ValueError(f"split: shares {query} of queries and {validation} of validation leave no training items")
    parts = {
        "query": order[:n_query],
        "validation": order[n_query : n_query + n_validation],
        "train": order[n_query + n_validation :],
        "database": order[n_query:],
    }
    return {part: np.sort(rows) for part, rows in parts.items()}
