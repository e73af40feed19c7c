"""Discounted cumulative gain, expected over ties: graded relevance, discount 1 / log2(1 + rank).

A group of items at one distance spreads its mean gain over the discounts of its places; the best order has no ties
that matter, so that the ratio of the expectations is the expected nDCG.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from modalhash.metrics.counts import before, places_before_cut
from modalhash.views import F64

Gain = Literal["exponential", "linear"]


@lru_cache(maxsize=4)
def discounts(n: int) -> F64:
    """Sums of the first 0 … n discounts 1 / log2(1 + rank)."""
    single = 1 / np.log2(np.arange(2, n + 2, dtype=np.longdouble))
    return np.concatenate([np.zeros(1), np.cumsum(single)]).astype(np.float64)


def gain_of(grades: F64, gain: Gain) -> F64:
    """Gain of each grade: 2^g - 1 (`exponential`) or g (`linear`)."""
    if gain not in ("exponential", "linear"):
        raise ValueError(f"gain: expected 'exponential' or 'linear', got {gain!r}")
    with np.errstate(over="ignore"):
        gains = np.exp2(grades) - 1 if gain == "exponential" else grades.astype(np.float64)
    if not np.isfinite(gains).all():
        raise ValueError(f"gain: 2^{grades.max():g} - 1 is not finite; use gain='linear'")
    return np.asarray(gains)


def expected_dcg(items: F64, gains: F64, cut: int | None) -> F64:
    """E[DCG] or E[DCG@cut] (queries,) from the items and the summed gains of each tie group, (queries, groups)."""
    start, places = before(items), places_before_cut(items, cut)
    table = discounts(int((start + places).max(initial=0)))
    weight = table[(start + places).astype(np.intp)] - table[start.astype(np.intp)]
    mean = np.divide(gains, items, out=np.zeros_like(gains), where=items > 0)
    return np.asarray((mean * weight).sum(axis=1))


def ndcg(items: F64, gains: F64, ideal: tuple[F64, F64], cut: int | None) -> F64:
    """E[nDCG] or E[nDCG@cut] a query; `ideal`: items and gains of each level, best first; 0 where nothing is relevant.

    Groups of the best order are levels, whose items are alike, so that its DCG follows from the same sum.
    """
    best = expected_dcg(*ideal, cut)
    found = expected_dcg(items, gains, cut)
    return np.asarray(np.divide(found, best, out=np.zeros_like(found), where=best > 0))
