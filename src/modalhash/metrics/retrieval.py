"""Measures of a ranking: AP, precision, recall, nDCG and curves by radius, every convention named; exact over ties.

Distances and relevance become counts per (query, tie group, level), and every measure is a function of the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from modalhash.hasher import check_integer
from modalhash.index.memory import Index, Queries
from modalhash.metrics.counts import (
    TieCounts,
    expected_ap_first,
    expected_ap_over_hits,
    expected_hits,
    expected_precision_sum,
)
from modalhash.metrics.gains import Gain, gain_of, ndcg
from modalhash.metrics.pairs import counted
from modalhash.metrics.radius import radius_curves, radius_sums, ratio, within_radius
from modalhash.metrics.rank_curves import curve_ranks, rank_curves, rank_sums
from modalhash.metrics.relevance import SharedLabels, as_relevance
from modalhash.views import F64, Array

Ties = Literal["expected", "position"]
Denominator = Literal["relevant", "min", "hits", "first"]
Empty = Literal["exclude", "zero"]


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """Measures of a set of queries.

    `mean`: name -> mean over the queries that count; `per_query`: name -> (queries,) float64, NaN for a query with
    nothing relevant that is excluded; `conventions`: how ties, AP@K, empty queries and gains were treated;
    `n_without_relevant`: queries with nothing relevant in the database; `curves`: precision and recall by rank (see
    `rank_curves`) and, for binary codes, by Hamming radius, with counts of pairs by distance (see `radius_curves`);
    `protocol`: hash of the protocol, empty where there is none.
    """

    mean: dict[str, float]
    per_query: dict[str, F64]
    conventions: dict[str, str]
    n_without_relevant: int
    n_queries: int = 0
    curves: dict[str, F64] = field(default_factory=dict)
    protocol: str = ""


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
    gain: Gain = "exponential",
) -> RetrievalResult:
    """All measures of every query against the whole index.

    AP and nDCG over the full ranking; AP, P (precision), R (recall), nDCG at each cut; for binary codes P@radius2
    (0 where the ball is empty), empty@radius2 (1 where it is) and the curves by radius.  Curves by rank for all codes.

    relevant: SharedLabels, or a (queries, items) matrix, 0/1 or graded, items in the order of insertion.
    ties: `expected` (mean over all orders of items at one distance) or `position` (order of insertion).
    denominator of AP@cut: see `average_precision`.  empty: queries with nothing relevant are `exclude`d from means and
    curves, or count as `zero`.  gain of nDCG: `exponential` (2^grade - 1) or `linear`.
    Raises ValueError for a shape or a convention that does not fit.
    """
    if ties not in ("expected", "position"):
        raise ValueError(f"ties: expected 'expected' or 'position', got {ties!r}")
    if empty not in ("exclude", "zero"):
        raise ValueError(f"empty: expected 'exclude' or 'zero', got {empty!r}")
    for cut in cuts:
        check_integer("cuts", cut, low=1)
    truth = as_relevance(relevant, len(queries), len(index))
    gains = gain_of(truth.grades, gain)
    parts: list[dict[str, F64]] = []
    sums: list[dict[str, F64]] = []
    ranked: list[dict[str, F64]] = []
    ranks = curve_ranks(len(index))
    for counts, by_distance in counted(index, queries, truth, gains, by_position=ties == "position"):
        parts.append(measures_of(counts, gains, cuts, denominator))
        kept = parts[-1]["relevant"] > 0 if empty == "exclude" else slice(None)
        ranked.append(rank_sums(counts.items[kept], counts.hits[kept], ranks))
        if by_distance is not None:
            items, hits = by_distance.items, by_distance.hits
            parts[-1] |= within_radius(items, hits)
            sums.append(radius_sums(items[kept], hits[kept], items.shape[1]))
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    conventions: dict[str, str] = {"ties": ties, "denominator": denominator, "empty": empty, "gain": gain}
    result = _summary(per_query, conventions)
    counting = result.n_queries if empty == "zero" else result.n_queries - result.n_without_relevant
    curves = rank_curves(total(ranked), ranks, counting)
    return replace(result, curves=curves | (radius_curves(total(sums), counting) if sums else {}))


def measures_of(counts: TieCounts, gains: F64, cuts: Sequence[int], denominator: Denominator) -> dict[str, F64]:
    """Name -> measure a query; gains: of each level, level 0 being 0."""
    items, hits, gained = counts.items, counts.hits, counts.gained
    relevant = hits.sum(axis=1)
    ideal = counts.levels[:, ::-1], (counts.levels * gains)[:, ::-1]
    measures = {"AP": average_precision(items, hits), "nDCG": ndcg(items, gained, ideal, None)}
    for cut in cuts:
        found = expected_hits(items, hits, cut)
        measures[f"AP@{cut}"] = average_precision(items, hits, cut, denominator)
        measures[f"P@{cut}"] = found / cut
        measures[f"R@{cut}"] = ratio(found, relevant)
        measures[f"nDCG@{cut}"] = ndcg(items, gained, ideal, cut)
    measures["relevant"] = relevant
    return measures


def total(parts: Sequence[dict[str, F64]]) -> dict[str, F64]:
    """Sums by name over blocks of queries."""
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


def _summary(per_query: dict[str, F64], conventions: dict[str, str]) -> RetrievalResult:
    if not per_query:
        raise ValueError("queries: expected at least one query, got none")
    without = per_query.pop("relevant") == 0
    counting = len(without) if conventions["empty"] == "zero" else int((~without).sum())
    if conventions["empty"] == "exclude":
        per_query = {name: np.where(without, np.nan, values) for name, values in per_query.items()}
    mean = {name: float(np.nanmean(values)) if counting else float("nan") for name, values in per_query.items()}
    return RetrievalResult(mean, per_query, conventions, int(without.sum()), len(without))
