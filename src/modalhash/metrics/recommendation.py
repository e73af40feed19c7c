"""Measures of recommendations: hit rate, recall, nDCG, MAP, exact over ties of distances; coverage and popularity.

Items at one distance have no order of their own: every measure of a ranking is the mean over all their orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import check_integer
from modalhash.metrics.counts import before, cut_group, hypergeometric
from modalhash.metrics.ranks import ranked_counts
from modalhash.metrics.retrieval import Empty, RetrievalResult, measures_of
from modalhash.views import F64, Array, blocks

ROWS = 256  # rankings that are measured at once
GAINS = np.array([0.0, 1.0])


def recommendation(
    distances: Array,
    relevant: Array,
    cuts: Sequence[int] = (10,),
    *,
    candidates: Array | None = None,
    empty: Empty = "exclude",
) -> RetrievalResult:
    """Measures of rankings, one a row: users against the catalogue, or a held-out item against sampled others.

    distances: (rows, items) int32 >= 0 or floats, small = near; relevant: (rows, items) bool; candidates: (rows, items)
    bool, the items that may be recommended (None: all).  HR@cut (a relevant item among the first; with one relevant
    item a row this is Accuracy@cut), R@cut (recall), P@cut, AP@cut over min(relevant, cut), nDCG@cut, and AP and
    nDCG of the whole ranking.  Rows without a relevant item are `exclude`d from means or count as `zero`.
    Raises ValueError for shapes that differ, NaN, and relevant items that are no candidates.
    """
    values, truth = np.asarray(distances), np.asarray(relevant, dtype=bool)
    if values.ndim != 2 or values.shape != truth.shape or 0 in values.shape:
        raise ValueError(f"relevant: expected the shape of the distances, {values.shape}, got {truth.shape}")
    if empty not in ("exclude", "zero"):
        raise ValueError(f"empty: expected 'exclude' or 'zero', got {empty!r}")
    for cut in cuts:
        check_integer("cuts", cut, low=1)
    values = _checked(values)
    allowed = np.ones(values.shape, dtype=bool) if candidates is None else np.asarray(candidates, dtype=bool)
    if allowed.shape != values.shape or (truth & ~allowed).any():
        raise ValueError("candidates: expected the shape of the distances, every relevant item among them")
    parts = [_measures(values[rows], truth[rows], allowed[rows], cuts) for rows in blocks(len(values), ROWS)]
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    without = per_query.pop("relevant") == 0
    if empty == "exclude":
        per_query = {name: np.where(without, np.nan, found) for name, found in per_query.items()}
    counting = empty == "zero" or not without.all()
    mean = {name: float(np.nanmean(found)) if counting else float("nan") for name, found in per_query.items()}
    conventions = {"ties": "expected", "denominator": "min", "empty": empty}
    return RetrievalResult(mean, per_query, conventions, int(without.sum()), len(values))


def _checked(values: Array) -> Array:
    if values.dtype.kind == "f":
        if np.isnan(values).any():
            raise ValueError(f"distances: row {np.flatnonzero(np.isnan(values).any(axis=1))[0]} holds NaN")
        return values.astype(np.float32)
    if values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError("distances: expected integers >= 0 or floats")
    return values


def _measures(
    distances: Array, relevant: NDArray[np.bool_], allowed: NDArray[np.bool_], cuts: Sequence[int]
) -> dict[str, F64]:
    far = np.inf if distances.dtype.kind == "f" else int(distances.max()) + 1
    ranked = np.where(allowed, distances, far).astype(distances.dtype if distances.dtype.kind == "f" else np.int64)
    counts = ranked_counts(ranked, relevant.astype(np.uint8), GAINS, by_position=False)
    measures = measures_of(counts, GAINS, cuts, "min")
    return measures | {f"HR@{cut}": expected_hit(counts.items, counts.hits, cut) for cut in cuts}


def expected_hit(items: F64, hits: F64, cut: int) -> F64:
    """Chance of a relevant item among the first `cut`, from the items and relevant items of each tie group."""
    rows, group = np.arange(len(items)), cut_group(items, cut)
    sooner, n, r = before(hits)[rows, group], items[rows, group], hits[rows, group]
    places = np.clip(cut - before(items)[rows, group], 0, n)
    return np.where(sooner > 0, 1.0, 1.0 - hypergeometric(np.zeros(len(n)), n, r, places))


def coverage(positions: Array, n_items: int) -> float:
    """Share of the catalogue that stands in any list; positions: (users, k) of items in 0 … n_items - 1."""
    return len(np.unique(_positions(positions, n_items))) / n_items


def popularity_bias(positions: Array, popularity: Array) -> float:
    """Mean popularity of what is recommended over the mean of the catalogue: 1 for lists drawn by chance.

    positions: (users, k) of items; popularity: (items,) >= 0, such as the number of training ratings.
    """
    known = np.asarray(popularity, dtype=np.float64)
    if known.ndim != 1 or not np.isfinite(known).all() or known.min(initial=0) < 0 or not known.any():
        raise ValueError("popularity: expected (items,) numbers >= 0, not all zero")
    return float(known[_positions(positions, len(known))].mean() / known.mean())


def _positions(positions: Array, n_items: int) -> NDArray[np.integer]:
    array = np.asarray(positions)
    if array.dtype.kind not in "iu" or not array.size or array.min() < 0 or array.max() >= n_items:
        raise ValueError(f"positions: expected positions of items in 0 to {n_items - 1}, at least one")
    return array
