"""Curves by rank: precision and recall of the first N places of a ranking, the expectation over ties, for many N."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.metrics.radius import ratio
from modalhash.views import F64

STEPS = (1, 2, 3, 5, 7)  # of every power of ten


def curve_ranks(n: int) -> NDArray[np.int64]:
    """Ranks at which curves of n items are taken: 1, 2, 3, 5, 7, 10, 20 … below n, then n."""
    below = [step * 10**power for power in range(len(str(n))) for step in STEPS]
    return np.array([rank for rank in below if rank < n] + [n], dtype=np.int64)


def hits_at(items: F64, hits: F64, ranks: NDArray[np.int64]) -> F64:
    """E[relevant items within the first N ranks] of every query and rank, (queries, ranks).

    items, hits: of each tie group, (queries, groups), every query with equally many items, ranks at most as many.
    Inside a group relevant items are spread evenly, so the expectation is linear between the ends of the groups.
    """
    queries = len(items)
    n = float(items[0].sum())
    ends, found = (np.pad(np.cumsum(counts, axis=1), ((0, 0), (1, 0))) for counts in (items, hits))
    shift = (n + 1) * np.arange(queries)[:, None]  # one rising line for all queries
    flat = np.interp((ranks[None] + shift).ravel(), (ends + shift).ravel(), found.ravel())
    return np.asarray(flat.reshape(queries, len(ranks)))


def rank_sums(items: F64, hits: F64, ranks: NDArray[np.int64]) -> dict[str, F64]:
    """What the curves are made of, summed over some queries, each (ranks,)."""
    if not len(items):
        return {name: np.zeros(len(ranks)) for name in ("precision_rank", "recall_rank")}
    found = hits_at(items, hits, ranks)
    relevant = np.broadcast_to(hits.sum(axis=1, keepdims=True), found.shape)
    return {"precision_rank": (found / ranks).sum(axis=0), "recall_rank": ratio(found, relevant).sum(axis=0)}


def rank_curves(sums: dict[str, F64], ranks: NDArray[np.int64], n_queries: int) -> dict[str, F64]:
    """`rank`, and the mean over queries of precision and recall within it, each (ranks,)."""
    queries = np.full(len(ranks), float(n_queries))
    return {"rank": ranks.astype(np.float64)} | {name: ratio(values, queries) for name, values in sums.items()}
