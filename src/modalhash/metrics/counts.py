"""Counts of items and relevant items a tie group, and the expectations that follow from them.

Items at one distance have no order of their own.  Every measure here is the mean over all orders inside
the groups, each equally likely; with groups of one item it is the ordinary measure.
N and P are the items and the relevant items before a group, n and r those in it (all float64 arrays).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from modalhash.views import Array

F64 = NDArray[np.float64]


def group_counts(groups: NDArray[np.integer], relevant: NDArray[np.bool_], n_groups: int) -> tuple[F64, F64]:
    """Items and relevant items in each tie group, both (queries, n_groups), from (queries, items) group numbers."""
    queries = len(groups)
    cells = groups + np.arange(queries, dtype=np.int64)[:, None] * n_groups
    items = np.bincount(cells.ravel(), minlength=queries * n_groups)
    hits = np.bincount(cells[relevant], minlength=queries * n_groups)
    shape = (queries, n_groups)
    return items.reshape(shape).astype(np.float64), hits.reshape(shape).astype(np.float64)


def groups_by_distance(distances: Array) -> tuple[NDArray[np.int64], int]:
    """Tie groups of equal distances, numbered from the nearest (queries, items), and how many numbers there are.

    Integer distances are their own group numbers; floats are numbered a query, equal floats alike.
    """
    if distances.dtype.kind in "iu":
        return distances.astype(np.int64, copy=False), int(distances.max(initial=0)) + 1
    order = np.argsort(distances, axis=1, kind="stable")
    values = np.take_along_axis(distances, order, axis=1)
    numbers = np.zeros(distances.shape, dtype=np.int64)
    np.cumsum(values[:, 1:] != values[:, :-1], axis=1, out=numbers[:, 1:])
    groups = np.empty_like(numbers)
    np.put_along_axis(groups, order, numbers, axis=1)
    return groups, int(numbers.max(initial=0)) + 1


def groups_by_position(distances: Array) -> NDArray[np.int64]:
    """Rank of every item in the order (distance, position): tie groups of one item each."""
    order = np.argsort(distances, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(distances.shape[1])[None], axis=1)
    return ranks


@lru_cache(maxsize=4)
def harmonic(n: int) -> Array:
    """H(0) … H(n) in extended precision, because differences of neighbours are taken."""
    return np.concatenate([np.zeros(1, np.longdouble), np.cumsum(1 / np.arange(1, n + 1, dtype=np.longdouble))])


def before(counts: F64) -> F64:
    """Sums over the groups that come before each group."""
    return np.cumsum(counts, axis=1) - counts


def precision_sum(N: F64, P: F64, n: F64, r: F64, s: F64) -> F64:
    """E[Σ precision at the relevant items among the first s places of a group] (McSherry & Najork 2008)."""
    ranks = harmonic(int((N + s).max(initial=0)))
    h = (ranks[(N + s).astype(np.int64)] - ranks[N.astype(np.int64)]).astype(np.float64)
    share = np.divide(r, n, out=np.zeros_like(h), where=n > 0)
    pairs = np.divide(r - 1, n - 1, out=np.zeros_like(h), where=n > 1)
    return np.asarray(share * ((P + 1) * h + pairs * (s - (N + 1) * h)))


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


def log_binomial(n: Array, k: Array) -> F64:
    """log of n over k."""
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def hypergeometric(x: Array, n: Array, r: Array, s: Array) -> F64:
    """P(x of the s places drawn from n items, r of them relevant, are relevant); 0 outside the support."""
    inside = (x >= 0) & (x <= r) & (s - x >= 0) & (s - x <= n - r)
    y = np.where(inside, x, np.maximum(0, s - (n - r)))
    return np.asarray(
        np.where(inside, np.exp(log_binomial(r, y) + log_binomial(n - r, s - y) - log_binomial(n, s)), 0.0)
    )


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
    for x in range(int(np.minimum(r_b, s).max(initial=0)) + 1):
        inner = precision_sum(N, P, s, np.minimum(x, s), s)
        hits = P + x
        value = np.divide(complete + inner, hits, out=np.zeros_like(hits), where=hits > 0)
        result += hypergeometric(np.full(len(n), float(x)), n_b, r_b, s) * value
    return result


def expected_ap_first(n: F64, r: F64, cut: int) -> F64:
    """E[mean precision at the first min(cut, relevant) relevant items of the whole ranking], as one family has it."""
    rows = np.arange(len(n))
    group = cut_group(r, cut)
    N, P = before(n)[rows, group], before(r)[rows, group]
    n_b, r_b = n[rows, group], r[rows, group]
    wanted = np.clip(cut - P, 0, r_b)
    whole = np.where(np.arange(n.shape[1])[None] < group[:, None], n, 0)
    result = precision_sum(before(n), before(r), n, r, whole).sum(axis=1)
    for q in np.flatnonzero(wanted > 0):
        place = np.arange(1, n_b[q] + 1)[:, None]  # place j in the group holds its i-th relevant item
        i = np.arange(1, wanted[q] + 1)[None]
        chance = (r_b[q] / n_b[q]) * hypergeometric(i - 1, n_b[q] - 1, r_b[q] - 1, place - 1)
        result[q] += (chance * (P[q] + i) / (N[q] + place)).sum()
    found = np.minimum(r.sum(axis=1), cut)
    return np.asarray(np.divide(result, found, out=np.zeros_like(result), where=found > 0))
