"""Counts of items and relevant items a tie group, and the expectations that follow from them.

Items at one distance have no order of their own.  Every measure here is the mean over all orders inside
the groups, each equally likely; with groups of one item it is the ordinary measure.
N and P are the items and the relevant items before a group, n and r those in it (all float64 arrays).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Array, blocks


@dataclass(frozen=True, eq=False)
class TieCounts:
    """What every measure of some queries is made of.

    items, hits, gained: items, relevant items and summed gains of each tie group, nearest first, all (queries, groups);
    levels: items of the whole database at each level of relevance, (queries, levels), level 0 not relevant.
    """

    items: F64
    hits: F64
    gained: F64
    levels: F64

    @classmethod
    def of(cls, counts: NDArray[np.integer], gains: F64) -> TieCounts:
        """From items at each level of relevance in each group, (queries, groups, levels); gains: of each level."""
        values = counts.astype(np.float64)
        items = values.sum(axis=2)
        return cls(items, items - values[:, :, 0], values @ gains, values.sum(axis=1))


def tie_counts(
    groups: NDArray[np.integer], levels: NDArray[np.integer], n_groups: int, gains: NDArray[np.float64]
) -> TieCounts:
    """Counts from the number of the tie group and the level of relevance of every item, both (queries, items).

    gains: of each level, (levels,), 0 for level 0.
    """
    queries, n_levels = len(groups), len(gains)
    cells = groups.astype(np.intp)  # a copy
    cells *= n_levels
    cells += levels
    cells += np.arange(queries)[:, None] * (n_groups * n_levels)
    counts = np.bincount(cells.ravel(), minlength=queries * n_groups * n_levels)
    return TieCounts.of(counts.reshape(queries, n_groups, n_levels), gains)


@lru_cache(maxsize=4)
def harmonic(n: int) -> Array:
    """H(0) … H(n) in extended precision, because differences of neighbours are taken."""
    return np.concatenate([np.zeros(1, np.longdouble), np.cumsum(1 / np.arange(1, n + 1, dtype=np.longdouble))])


@lru_cache(maxsize=4)
def log_factorial(n: int) -> Array:
    """log 0! … log n! in extended precision, because differences of large neighbours are taken."""
    return np.concatenate([np.zeros(1, np.longdouble), np.cumsum(np.log(np.arange(1, n + 1, dtype=np.longdouble)))])


def before(counts: F64) -> F64:
    """Sums over the groups that come before each group."""
    return np.cumsum(counts, axis=1) - counts


def precision_sum(N: F64, P: F64, n: F64, r: F64, s: F64) -> F64:
    """E[Σ precision at the relevant items among the first s places of a group] (McSherry & Najork 2008)."""
    sums = np.zeros(np.shape(r))
    some = (r > 0) & (s > 0)
    N, P, n, r, s = (values[some] for values in (N, P, n, r, s))
    ranks = harmonic(int((N + s).max(initial=0)))
    h = (ranks[(N + s).astype(np.int64)] - ranks[N.astype(np.int64)]).astype(np.float64)
    pairs = (r - 1) / np.maximum(n - 1, 1)
    sums[some] = (r / n) * ((P + 1) * h + pairs * (s - (N + 1) * h))
    return sums


def places_before_cut(n: F64, cut: int | None) -> F64:
    """How many places of each group lie within the first `cut` ranks (all of them for None)."""
    return n if cut is None else np.clip(cut - before(n), 0, n)


def expected_hits(n: F64, r: F64, cut: int | None) -> F64:
    """E[relevant items within the first `cut` ranks], (queries,)."""
    share = np.divide(r, n, out=np.zeros_like(n), where=n > 0)
    return np.asarray((share * places_before_cut(n, cut)).sum(axis=1))


def expected_precision_sum(n: F64, r: F64, cut: int | None) -> F64:
    """E[Σ precision at the relevant items within the first `cut` ranks], (queries,)."""
    return np.asarray(precision_sum(before(n), before(r), n, r, places_before_cut(n, cut)).sum(axis=1))


def cut_group(n: F64, cut: int) -> NDArray[np.intp]:
    """The group (queries,) that holds rank `cut`, or the last group if there are fewer items."""
    return np.asarray(np.minimum((np.cumsum(n, axis=1) < cut).sum(axis=1), n.shape[1] - 1))


def log_binomial(n: Array, k: Array) -> Array:
    """log of n over k in extended precision, for integers 0 <= k <= n held as floats."""
    table = log_factorial(int(np.max(n, initial=0)))
    whole, part = np.asarray(n).astype(np.intp), np.asarray(k).astype(np.intp)
    return np.asarray(table[whole] - table[part] - table[whole - part])


def hypergeometric(x: Array, n: Array, r: Array, s: Array) -> F64:
    """P(x of the s places drawn from n items, r of them relevant, are relevant); 0 outside the support."""
    inside = (x >= 0) & (x <= r) & (s - x >= 0) & (s - x <= n - r)
    y = np.where(inside, x, np.maximum(0, s - (n - r)))
    logs = log_binomial(r, y) + log_binomial(n - r, s - y) - log_binomial(n, s)
    return np.where(inside, np.exp(logs.astype(np.float64)), 0.0)


def at_most(i: int, n: int, r: int) -> F64:
    """P(at most i of the first t items are relevant) for t = 0 … n, r of the n being relevant.

    One minus the chance that the relevant item i + 1 has come by place t: a running sum of its chances a place.
    """
    if i < 0 or i >= r:
        return np.full(n + 1, float(i >= 0))
    place = np.arange(i + 1, n - r + i + 2)  # of the relevant item i + 1: i before it, r - i - 1 after it
    logs = log_binomial(place - 1, np.full_like(place, i)) + log_binomial(n - place, np.full_like(place, r - i - 1))
    chance = np.zeros(n + 1)
    chance[place] = np.exp((logs - log_binomial(np.asarray(n), np.asarray(r))).astype(np.float64))
    return np.clip(1 - np.cumsum(chance), 0, 1)


def expected_ap_over_hits(n: F64, r: F64, cut: int) -> F64:
    """E[Σ precision / hits] within the first `cut` ranks, 0 where there is no hit (the custom of many public codes)."""
    rows = np.arange(len(n))
    group = cut_group(n, cut)
    N, P = before(n)[rows, group], before(r)[rows, group]
    n_b, r_b = n[rows, group], r[rows, group]
    s = np.clip(cut - N, 0, n_b)
    whole = np.where(np.arange(n.shape[1])[None] < group[:, None], n, 0)
    complete = precision_sum(before(n), before(r), n, r, whole).sum(axis=1)
    result = np.zeros(len(n))
    N, P, n_b, r_b, s, complete = (values[:, None] for values in (N, P, n_b, r_b, s, complete))
    for some in blocks(int(np.minimum(r_b, s).max(initial=0)) + 1, 64):
        x = np.arange(some.start, some.stop, dtype=np.float64)[None]  # hits in the last group
        inner = precision_sum(*np.broadcast_arrays(N, P, s, np.minimum(x, s), s))
        value = np.divide(complete + inner, P + x, out=np.zeros_like(inner), where=P + x > 0)
        result += (hypergeometric(x, n_b, r_b, s) * value).sum(axis=1)
    return result


def expected_ap_first(n: F64, r: F64, cut: int) -> F64:
    """E[mean precision at the first min(cut, relevant) relevant items of the whole ranking], as one family has it."""
    rows = np.arange(len(n))
    group = cut_group(r, cut)
    N, P = before(n)[rows, group], before(r)[rows, group]
    n_b, r_b = n[rows, group], r[rows, group]
    wanted = np.clip(cut - P, 0, r_b)
    last = np.where(wanted == r_b, group, group - 1)  # the last group whose relevant items are all wanted
    whole = np.where(np.arange(n.shape[1])[None] <= last[:, None], n, 0)
    result = precision_sum(before(n), before(r), n, r, whole).sum(axis=1)
    for q in np.flatnonzero((wanted > 0) & (wanted < r_b)):
        result[q] += first_precision_sum(N[q], P[q], int(n_b[q]), int(r_b[q]), int(wanted[q]))
    found = np.minimum(r.sum(axis=1), cut)
    return np.asarray(np.divide(result, found, out=np.zeros_like(result), where=found > 0))


def first_precision_sum(N: float, P: float, n: int, r: int, wanted: int) -> float:
    """E[Σ precision at the first `wanted` of a group's r > wanted relevant items], in time and memory O(n).

    Place j holds a relevant item with chance r / n; X, the relevant items before it, is hypergeometric, and
    E[(P + 1 + X) 1{X < wanted}] splits by x C(r-1, x) = (r-1) C(r-2, x-1) into two distribution functions.
    """
    j = np.arange(1, n + 1)
    plain = (P + 1) * at_most(wanted - 1, n - 1, r - 1)
    shifted = (r - 1) / (n - 1) * (j[1:] - 1) * at_most(wanted - 2, n - 2, r - 2)
    plain[1:] += shifted
    return float(r / n * (plain / (N + j)).sum())
