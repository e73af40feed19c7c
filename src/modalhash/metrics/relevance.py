"""What is relevant to a query, and how much: shared labels, or a given matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Array, Matrix, blocks, check_labels, is_sparse


@dataclass(frozen=True, eq=False)
class SharedLabels:
    """An item is relevant when it shares a label with the query; its grade is the number of labels they share.

    query, database: (n, c) 0/1 labels over the same c columns, or (n,) integer classes in both.
    """

    query: Matrix
    database: Matrix

    def __post_init__(self) -> None:
        shapes = [np.shape(labels) for labels in (self.query, self.database)]
        if len(shapes[0]) != len(shapes[1]) or shapes[0][1:] != shapes[1][1:]:
            raise ValueError(f"labels: query {shapes[0]} and database {shapes[1]} do not have the same columns")
        if len(shapes[0]) == 2:
            for name in ("query", "database"):
                labels = getattr(self, name)
                if any(np.shape(labels)) and (labels.count_nonzero() if is_sparse(labels) else np.any(labels)):
                    labels, _ = check_labels(labels, labels.shape[0])
                object.__setattr__(
                    self, name, np.asarray(labels.toarray() if is_sparse(labels) else labels, dtype=np.float32)
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, database items)."""
        return np.shape(self.query)[0], np.shape(self.database)[0]

    @property
    def grades(self) -> F64:
        """Grade of each level, ascending from 0: 0 … the largest number of labels that two items could share."""
        if np.ndim(self.query) == 1:
            return np.arange(2.0)
        most = [np.sum(labels, axis=1).max(initial=0) for labels in (self.query, self.database)]
        return np.arange(max(min(most), 1) + 1, dtype=np.float64)

    def rows(self, rows: slice) -> NDArray[np.bool_]:
        """Relevance of all items to some queries, (rows, database items) bool."""
        return self.rows_graded(rows) > 0

    def rows_graded(self, rows: slice) -> NDArray[np.intp]:
        """Levels of all items for some queries, (rows, database items): the number of shared labels."""
        if np.ndim(self.query) == 1:
            same = np.asarray(self.query)[rows, None] == np.asarray(self.database)[None]
            return np.asarray(same, dtype=np.intp)
        return np.asarray(self.query[rows] @ self.database.T).astype(np.intp)

    def words(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
        """Labels of the queries and of the items as (words, n) uint64: bit masks, or one word that holds the class.

        None for classes that are no integers, or integers that no one type holds.
        """
        both = np.asarray(self.query), np.asarray(self.database)
        if both[0].ndim == 2:
            return mask_words(both[0]), mask_words(both[1])
        kind = np.result_type(*both)
        if kind.kind not in "biu":
            return None
        query, database = (classes.astype(kind).astype(np.uint64)[None] for classes in both)
        return query, database


def mask_words(labels: Array) -> NDArray[np.uint64]:
    """0/1 labels (n, c) as bit masks (⌈c/64⌉, n) uint64, at least one word; pad bits are 0."""
    n, columns = labels.shape
    packed = np.zeros((n, 8 * max(1, -(-columns // 64))), np.uint8)
    for rows in blocks(n):
        packed[rows, : -(-columns // 8)] = np.packbits(labels[rows] > 0, axis=1)
    return np.ascontiguousarray(packed.view(np.uint64).T)


@dataclass(frozen=True, eq=False)
class GivenRelevance:
    """Relevance as a (queries, database items) boolean, 0/1 or graded matrix; what is not above 0 is not relevant.

    Raises ValueError for NaN, or more than 256 different grades.
    """

    matrix: Array

    def __post_init__(self) -> None:
        if self.matrix.dtype.kind == "f" and np.isnan(self.matrix).any():
            raise ValueError("relevant: the matrix holds NaN")
        if len(self.grades) > 256:
            raise ValueError(f"relevant: expected at most 256 different grades, got {len(self.grades)}")

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, database items)."""
        return self.matrix.shape[0], self.matrix.shape[1]

    @cached_property
    def grades(self) -> F64:
        """Grade of each level, ascending: 0 (not relevant), then the different grades of the matrix."""
        if self.matrix.dtype == bool:
            return np.arange(2.0)
        values = np.unique(self.matrix)
        return np.concatenate([[0.0], values[values > 0].astype(np.float64)])

    def rows(self, rows: slice) -> NDArray[np.bool_]:
        """Relevance of all items to some queries, (rows, database items) bool."""
        return np.asarray(self.matrix[rows]) > 0

    def rows_graded(self, rows: slice) -> NDArray[np.intp]:
        """Levels of all items for some queries, (rows, database items): positions in `grades`."""
        if self.matrix.dtype == bool:
            return np.asarray(self.matrix[rows], dtype=np.intp)
        return np.searchsorted(self.grades, np.maximum(self.matrix[rows], 0))


def as_relevance(
    relevant: SharedLabels | GivenRelevance | Array, queries: int, items: int
) -> SharedLabels | GivenRelevance:
    """Relevance of the expected shape (queries, items); ValueError names the shape found."""
    known = isinstance(relevant, SharedLabels | GivenRelevance)
    shape = relevant.shape if known else np.shape(relevant)
    if shape != (queries, items):
        raise ValueError(f"relevant: expected shape ({queries}, {items}), got {shape}")
    return relevant if isinstance(relevant, SharedLabels | GivenRelevance) else GivenRelevance(np.asarray(relevant))
