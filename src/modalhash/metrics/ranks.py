"""Counts of rankings with many different distances: rows are sorted, and groups without anything relevant are merged.

Neighbouring groups in which nothing is relevant add nothing to any measure, so they count as one: a query has at most
2 R + 1 groups for R relevant items, however many items there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.index.lookup import ordered
from modalhash.metrics.counts import TieCounts
from modalhash.views import Array

LEVEL_BITS, POSITION_BITS = 8, 24  # beside 32 bits of the distance in one key


def ranked_counts(
    distances: Array, levels: NDArray[np.integer], gains: NDArray[np.float64], *, by_position: bool
) -> TieCounts:
    """Counts of every query's ranking, groups padded to the longest one with empty groups.

    distances: (queries, items) int32 >= 0 or float32; levels: the level of relevance of each, below 256; gains: of
    each level.  Ties are groups, or with `by_position` ranked by position (groups of one item, or merged ones).
    """
    queries, n = distances.shape
    keys = sorted_keys(distances, levels, by_position)
    ranked = (keys & np.uint64((1 << LEVEL_BITS) - 1)).astype(np.uint8).ravel()
    keys >>= np.uint64(LEVEL_BITS if by_position else LEVEL_BITS + POSITION_BITS)
    first = np.ones(keys.shape, dtype=bool)
    np.not_equal(keys[:, 1:], keys[:, :-1], out=first[:, 1:])
    starts = merged(np.flatnonzero(first), ranked, n)
    row = starts // n
    rank = np.arange(len(starts)) - np.searchsorted(starts, np.arange(queries) * n)[row]
    shape = queries, int(rank.max()) + 1
    cell = row * shape[1] + rank
    relevant = np.flatnonzero(ranked)
    begins = np.zeros(ranked.size, dtype=bool)
    begins[starts] = True
    of_relevant = cell[np.cumsum(begins, dtype=np.int32)[relevant] - 1]
    items = np.zeros(shape)
    items.ravel()[cell] = np.diff(starts, append=queries * n)
    hits = np.bincount(of_relevant, minlength=items.size).reshape(shape)
    gained = np.bincount(of_relevant, weights=gains[ranked[relevant]], minlength=items.size).reshape(shape)
    totals = np.bincount(relevant // n * len(gains) + ranked[relevant], minlength=queries * len(gains))
    totals = totals.reshape(queries, -1)
    totals[:, 0] = n - totals.sum(axis=1)
    return TieCounts(items, hits.astype(np.float64), gained.astype(np.float64), totals.astype(np.float64))


def sorted_keys(distances: Array, levels: NDArray[np.integer], by_position: bool) -> NDArray[np.uint64]:
    """Rows of keys (distance, position or 0, level), sorted."""
    n = distances.shape[1]
    if n >= 1 << POSITION_BITS:
        raise ValueError(f"expected fewer than {1 << POSITION_BITS} items, got {n}")
    whole = distances if distances.dtype.kind in "iu" else ordered(distances.astype(np.float32, copy=False))
    keys = whole.astype(np.uint64)
    keys <<= np.uint64(POSITION_BITS)
    if by_position:
        keys |= np.arange(n, dtype=np.uint64)
    keys <<= np.uint64(LEVEL_BITS)
    keys |= levels.astype(np.uint64)
    keys.sort(axis=1)
    return keys


def merged(starts: NDArray[np.intp], ranked: NDArray[np.uint8], n: int) -> NDArray[np.intp]:
    """Starts of groups in rows of n items, without those where nothing is relevant on either side."""
    some = np.maximum.reduceat(ranked, starts) > 0
    keep = some.copy()
    keep[1:] |= some[:-1]
    keep |= starts % n == 0
    return np.asarray(starts[keep])
