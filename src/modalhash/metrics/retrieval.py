"""Measures of a ranking: AP and AP@K with every convention named, precision and recall at K; exact over ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import check_integer
from modalhash.index.memory import Index, Queries
from modalhash.metrics.counts import (
    expected_ap_first,
    expected_ap_over_hits,
    expected_hits,
    expected_precision_sum,
    group_counts,
    groups_by_distance,
    groups_by_position,
)
from modalhash.metrics.relevance import SharedLabels, as_relevance
from modalhash.views import Array, blocks

F64 = NDArray[np.float64]
Ties = Literal["expected", "position"]
Denominator = Literal["relevant", "min", "hits", "first"]
Empty = Literal["exclude", "zero"]
CELLS = 8_000_000  # distances held at once


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Measures of a set of queries.

    `mean`: name -> mean over the queries that count; `per_query`: name -> (queries,) float64, NaN for a query with
    nothing relevant that is excluded; `conventions`: how ties, AP@K and empty queries were treated;
    `n_without_relevant`: queries with nothing relevant in the database.
    """

    mean: dict[str, float]
    per_query: dict[str, F64]
    conventions: dict[str, str]
    n_without_relevant: int
    n_queries: int = field(default=0)


def average_precision(items: F64, hits: F64, cut: int | None = None, denominator: Denominator = "relevant") -> F64:
    """E[AP] or E[AP@cut] a query from the items and the relevant items in each tie group, both (queries, groups).

    denominator of AP@cut: all `relevant` items; `min`(relevant, cut); the `hits` within the cut; or `first`:
    the mean precision at the first `cut` relevant items of the whole ranking.  0 where nothing is relevant.
    """
    if denominator not in ("relevant", "min", "hits", "first"):
        raise ValueError(f"denominator: expected relevant, min, hits or first, got {denominator!r}")
    if cut is not None:
        check_integer("cut", cut, low=1)
        if denominator == "hits":
            return expected_ap_over_hits(items, hits, cut)
        if denominator == "first":
            return expected_ap_first(items, hits, cut)
    relevant = hits.sum(axis=1)
    divisor = np.minimum(relevant, cut) if denominator == "min" and cut is not None else relevant
    sums = expected_precision_sum(items, hits, cut)
    return np.asarray(np.divide(sums, divisor, out=np.zeros_like(sums), where=divisor > 0))


def retrieval(
    index: Index,
    queries: Queries,
    relevant: SharedLabels | Array,
    cuts: Sequence[int] = (50, 500),
    *,
    ties: Ties = "expected",
    denominator: Denominator = "relevant",
    empty: Empty = "exclude",
) -> RetrievalResult:
    """AP over the full ranking and AP, precision, recall at each cut, for every query against the whole index.

    relevant: SharedLabels or a (queries, items) 0/1 matrix, items in the order of insertion.  ties: `expected` (mean
    over all orders of items at one distance) or `position` (order of insertion).  denominator: see `average_precision`.
    empty: queries with nothing relevant are `exclude`d from the means or count as `zero`.
    Raises ValueError for a shape or a convention that does not fit.
    """
    if ties not in ("expected", "position"):
        raise ValueError(f"ties: expected 'expected' or 'position', got {ties!r}")
    if empty not in ("exclude", "zero"):
        raise ValueError(f"empty: expected 'exclude' or 'zero', got {empty!r}")
    for cut in cuts:
        check_integer("cuts", cut, low=1)
    truth = as_relevance(relevant, len(queries), len(index))
    parts: list[dict[str, F64]] = []
    for rows in blocks(len(queries), max(1, CELLS // len(index))):
        distances = index.distances(queries[rows])
        groups, n_groups = (
            groups_by_distance(distances) if ties == "expected" else (groups_by_position(distances), len(index))
        )
        items, hits = group_counts(groups, truth.rows(rows), n_groups)
        parts.append(_measures(items, hits, cuts, denominator))
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    return _summary(per_query, {"ties": ties, "denominator": denominator, "empty": empty})


def _measures(items: F64, hits: F64, cuts: Sequence[int], denominator: Denominator) -> dict[str, F64]:
    relevant = hits.sum(axis=1)
    measures = {"AP": average_precision(items, hits)}
    for cut in cuts:
        found = expected_hits(items, hits, cut)
        measures[f"AP@{cut}"] = average_precision(items, hits, cut, denominator)
        measures[f"P@{cut}"] = found / cut
        measures[f"R@{cut}"] = np.divide(found, relevant, out=np.zeros_like(found), where=relevant > 0)
    measures["relevant"] = relevant
    return measures


def _summary(per_query: dict[str, F64], conventions: dict[str, str]) -> RetrievalResult:
    if not per_query:
        raise ValueError("queries: expected at least one query, got none")
    without = per_query.pop("relevant") == 0
    if conventions["empty"] == "exclude":
        per_query = {name: np.where(without, np.nan, values) for name, values in per_query.items()}
    mean = {
        name: float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
        for name, values in per_query.items()
    }
    return RetrievalResult(mean, per_query, conventions, int(without.sum()), len(without))
