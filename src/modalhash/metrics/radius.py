"""Measures of a ball of radius r around the query: all items at a Hamming distance of at most r; no ties matter."""

from __future__ import annotations

import numpy as np

from modalhash.views import F64

RADIUS = 2  # of the measures a query that look-up by a hash table has


def ratio(part: F64, whole: F64) -> F64:
    """part / whole, 0 where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0))


def within_radius(items: F64, hits: F64, radius: int = RADIUS) -> dict[str, F64]:
    """Precision a query within the radius, 0 where the ball is empty, and 1 where it is empty, both (queries,)."""
    inside, found = items[:, : radius + 1].sum(axis=1), hits[:, : radius + 1].sum(axis=1)
    return {f"P@radius{radius}": ratio(found, inside), f"empty@radius{radius}": (inside == 0).astype(np.float64)}


def radius_sums(items: F64, hits: F64, n_radii: int) -> dict[str, F64]:
    """What the curves are made of, summed over some queries, each (n_radii,): radius r counts distances 0 … r.

    items, hits: (queries, groups), group = distance, groups <= n_radii.
    """
    widen = ((0, 0), (0, n_radii - items.shape[1]))
    inside = np.cumsum(np.pad(items, widen), axis=1)
    found = np.cumsum(np.pad(hits, widen), axis=1)
    relevant = np.broadcast_to(hits.sum(axis=1, keepdims=True), found.shape)
    return {
        "inside": inside.sum(axis=0),
        "found": found.sum(axis=0),
        "relevant": relevant.sum(axis=0),
        "precision": ratio(found, inside).sum(axis=0),
        "recall": ratio(found, relevant).sum(axis=0),
        "empty": (inside == 0).sum(axis=0).astype(np.float64),
    }


def radius_curves(sums: dict[str, F64], n_queries: int) -> dict[str, F64]:
    """Precision and recall by radius 0 … K, each (K + 1,): `micro` of totals over queries, `macro` mean over queries.

    `empty_balls` is the share of queries whose ball holds nothing; their precision counts as 0.  `relevant_pairs` and
    `irrelevant_pairs` count pairs of a query and an item at exactly that distance.
    """
    queries = np.full(len(sums["inside"]), float(n_queries))
    wrong = sums["inside"] - sums["found"]
    return {
        "radius": np.arange(len(queries), dtype=np.float64),
        "precision_micro": ratio(sums["found"], sums["inside"]),
        "recall_micro": ratio(sums["found"], sums["relevant"]),
        "precision_macro": ratio(sums["precision"], queries),
        "recall_macro": ratio(sums["recall"], queries),
        "empty_balls": ratio(sums["empty"], queries),
        "relevant_pairs": np.diff(sums["found"], prepend=0.0),
        "irrelevant_pairs": np.diff(wrong, prepend=0.0),
    }
