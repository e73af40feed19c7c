"""Items as float vectors that are searched exactly: what codes are compared with, and what rescores them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modalhash.evaluation.spaces import F32
from modalhash.index import Hits
from modalhash.views import Array, blocks

SCORES = 4_000_000  # distances held at once
NEAR = 1e-6  # similarities closer than this are one: rounding of float32, items that are twice there


@dataclass(frozen=True, eq=False)
class Vectors:
    """An exact index over vectors: distance = offset - query · item, small = near.

    items: (n, d) float32, as decoded from what is stored; offset: (n,) float32 or None for 0; bytes_per_item: what is
    stored.  Searched like an Index, by float32 queries (queries, d).
    """

    items: F32
    bytes_per_item: float
    offset: F32 | None = None
    codes: None = field(default=None, init=False)

    def __len__(self) -> int:
        return len(self.items)

    def distances(self, queries: Array) -> F32:
        """Distances (queries, n) float32."""
        found = -(np.asarray(queries, dtype=np.float32) @ self.items.T)
        return np.asarray(found if self.offset is None else found + self.offset, dtype=np.float32)

    def search(self, queries: Array, k: int) -> Hits:
        """The k nearest items of every query, ordered by (distance, position)."""
        k = min(k, len(self))
        ids = np.empty((len(queries), k), dtype=np.int64)
        found = np.empty((len(queries), k), dtype=np.float32)
        for rows in blocks(len(queries), max(1, SCORES // len(self))):
            distances = self.distances(queries[rows])
            ids[rows] = nearest_places(distances, k)
            found[rows] = np.take_along_axis(distances, ids[rows], axis=1)
        return Hits(ids, found)


def nearest_places(distances: Array, k: int) -> NDArray[np.int64]:
    """Columns (rows, k) of the k smallest values of every row, ordered by (value, column)."""
    last = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    places = np.empty((len(distances), k), dtype=np.int64)
    for i, row in enumerate(distances <= last):  # a row has k places and the ties of its last one
        columns = np.flatnonzero(row)
        places[i] = columns[np.argsort(distances[i, columns], kind="stable")[:k]]
    return places


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest items of every query by floats, with all items that tie with the last of them.

    least: (queries,) similarity of the last one; starts, members: the items of query q are
    members[starts[q] : starts[q + 1]], at least k of them.
    """

    k: int
    least: F32
    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    def owners(self) -> NDArray[np.int64]:
        """The query of each member."""
        return np.repeat(np.arange(len(self.least)), np.diff(self.starts))


def float_neighbours(queries: F32, items: F32, k: int) -> Neighbours:
    """The k nearest items of every query by inner product; k is cut to the number of items."""
    k = min(k, len(items))
    least = np.empty(len(queries), dtype=np.float32)
    counts, members = [np.zeros(1, dtype=np.int64)], []
    for rows, similar in similarities(queries, items):
        least[rows] = np.partition(similar, len(items) - k, axis=1)[:, len(items) - k]
        near = similar >= least[rows, None] - NEAR
        counts.append(near.sum(axis=1))
        members.append(np.nonzero(near)[1])
    return Neighbours(k, least, np.cumsum(np.concatenate(counts)), np.concatenate(members))


def similarities(queries: F32, items: F32) -> Iterator[tuple[slice, F32]]:
    """Inner products (rows, n), some queries at a time."""
    for rows in blocks(len(queries), max(1, SCORES // len(items))):
        yield rows, queries[rows] @ items.T


def pair_similarities(queries: F32, items: F32, places: NDArray[np.int64]) -> F32:
    """Inner products (queries, k) of every query with its own items (queries, k)."""
    found = np.empty(places.shape, dtype=np.float32)
    for rows in blocks(len(queries), max(1, SCORES // max(1, places.shape[1] * queries.shape[1]))):
        found[rows] = np.einsum("qd,qkd->qk", queries[rows], items[places[rows]])
    return found
