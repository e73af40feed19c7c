"""What is relevant to a query: shared labels, or a given matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.views import Array, Matrix, check_labels, is_sparse


@dataclass(frozen=True, eq=False)
class SharedLabels:
    """An item is relevant when it shares a label with the query.

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

    def rows(self, rows: slice) -> NDArray[np.bool_]:
        """Relevance of all items to some queries, (rows, database items) bool."""
        if np.ndim(self.query) == 1:
            return np.asarray(np.asarray(self.query)[rows, None] == np.asarray(self.database)[None])
        return np.asarray(self.query[rows] @ self.database.T > 0)


@dataclass(frozen=True, eq=False)
class GivenRelevance:
    """Relevance as a (queries, database items) boolean or 0/1 matrix."""

    matrix: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(queries, database items)."""
        return self.matrix.shape[0], self.matrix.shape[1]

    def rows(self, rows: slice) -> NDArray[np.bool_]:
        """Relevance of all items to some queries, (rows, database items) bool."""
        return np.asarray(self.matrix[rows]) > 0


def as_relevance(
    relevant: SharedLabels | GivenRelevance | Array, queries: int, items: int
) -> SharedLabels | GivenRelevance:
    """Relevance of the expected shape (queries, items); ValueError names the shape found."""
    known = relevant if isinstance(relevant, SharedLabels | GivenRelevance) else GivenRelevance(np.asarray(relevant))
    if isinstance(known, GivenRelevance) and known.matrix.ndim != 2:
        raise ValueError(f"relevant: expected shape ({queries}, {items}), got {known.matrix.shape}")
    if known.shape != (queries, items):
        raise ValueError(f"relevant: expected shape ({queries}, {items}), got {known.shape}")
    return known
