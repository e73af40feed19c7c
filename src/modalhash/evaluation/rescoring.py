"""Measures of a ranking by codes, and of the same ranking when its first items are ordered again by kept floats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.evaluation.spaces import F32
from modalhash.evaluation.vectors import NEAR, SCORES, Neighbours, pair_similarities
from modalhash.metrics import SharedLabels
from modalhash.metrics.counts import TieCounts, places_before_cut, tie_counts
from modalhash.metrics.gains import gain_of
from modalhash.metrics.pairs import counted
from modalhash.metrics.retrieval import measures_of
from modalhash.views import F64, blocks

STEPS = 4096  # groups that float distances beyond the shortlist are counted in
SEARCHES = 3  # by codes, of which the quickest counts: the first compiles or lays out memory
Measures = dict[str, F64]  # name -> a value a query, NaN where nothing is relevant


@dataclass(frozen=True, eq=False)
class Floats:
    """Unit rows of the queries and of the items of a direction, and the true neighbours of the queries."""

    queries: F32
    items: F32
    neighbours: Neighbours


@dataclass(frozen=True, eq=False)
class Asked:
    """What a ranking is measured by.

    labels: what is relevant, None without labels; floats: None where no float space exists; cut: rank of the measures
    with one; shortlist: how many of the first items are rescored.
    """

    labels: SharedLabels | None
    floats: Floats | None
    cut: int
    shortlist: int


@dataclass(frozen=True, eq=False)
class Ranking:
    """An index with its queries, the first items of every query, and their order by floats.

    places, near: (queries, shortlist) by codes, with their distances; ranks: of the same places by floats, None
    without.
    seconds: CPU time of the search, and of the search with rescoring.
    """

    index: Any
    queries: Any
    places: NDArray[np.int64]
    near: NDArray[Any]
    ranks: NDArray[np.intp] | None
    seconds: tuple[float, float]

    def again(self) -> NDArray[np.int64]:
        """The places in the order of the floats."""
        assert self.ranks is not None
        found = np.empty_like(self.places)
        np.put_along_axis(found, self.ranks, self.places, axis=1)
        return found


def rank(index: Any, queries: Any, asked: Asked, *, rescore: bool = True) -> Ranking:
    """Search the shortlist and order it by floats, where there are any; equal floats keep the order of the codes."""
    size = min(asked.shortlist, len(index))
    taken = []
    for _ in range(1 if index.codes is None else SEARCHES):
        started = process_time()
        hits = index.search(queries, size)
        taken.append(process_time() - started)
    searched, started = min(taken), process_time()
    ranks = None
    if rescore and asked.floats is not None:
        similar = pair_similarities(asked.floats.queries, asked.floats.items, hits.ids)
        order = np.argsort(-similar, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(size)[None], axis=1)
    return Ranking(index, queries, hits.ids, hits.distances, ranks, (searched, searched + process_time() - started))


def measures(ranking: Ranking, asked: Asked) -> tuple[Measures, Measures | None]:
    """Measures a query of the ranking by codes, and of the rescored one (None without floats)."""
    plain: Measures = {}
    again: Measures | None = None if ranking.ranks is None else {}
    if asked.floats is not None:
        name = f"neighbours@{asked.floats.neighbours.k}"
        plain[name] = found_neighbours(ranking, asked.floats)
        if again is not None:
            again[name] = found_among(ranking.again(), asked.floats)
    if asked.labels is not None:
        by_code, by_float = label_measures(ranking, asked.labels, (asked.cut,))
        plain |= by_code
        if again is not None and by_float is not None:
            again |= by_float
    return plain, again


def found_among(places: NDArray[np.int64], floats: Floats) -> F64:
    """Share of the first k places (queries, >= k) that hold an item no farther than the true k-th neighbour."""
    k = min(floats.neighbours.k, places.shape[1])
    similar = pair_similarities(floats.queries, floats.items, places[:, :k])
    hits = (similar >= floats.neighbours.least[:, None] - NEAR).sum(axis=1)
    return np.asarray(hits / floats.neighbours.k, dtype=np.float64)


def found_neighbours(ranking: Ranking, floats: Floats) -> F64:
    """Share of the true neighbours among the first k; expected over ties of Hamming distances, else as found."""
    codes = ranking.index.codes
    if not isinstance(codes, BinaryCodes):
        return found_among(ranking.places, floats)
    neighbours, n = floats.neighbours, len(floats.queries)
    same = SharedLabels(np.zeros(n, dtype=np.int64), np.zeros(len(codes), dtype=np.int64))
    items = np.concatenate([c.items for c, _ in counted(ranking.index, ranking.queries, same, np.arange(2.0), False)])
    share = np.divide(places_before_cut(items, neighbours.k), items, out=np.zeros_like(items), where=items > 0)
    owners = neighbours.owners()
    asked, stored = ranking.queries.packed[owners], codes.packed[neighbours.members]
    distance = np.bitwise_count(asked ^ stored).sum(axis=1, dtype=np.intp)
    hits = np.bincount(owners, weights=share[owners, distance], minlength=n)
    return np.asarray(np.minimum(hits / neighbours.k, 1.0))


def label_measures(ranking: Ranking, labels: SharedLabels, cuts: Sequence[int]) -> tuple[Measures, Measures | None]:
    """AP, nDCG and the measures at each cut of both rankings; NaN for queries with nothing relevant.

    The rescored ranking: its shortlist by floats, then all other items in the order of their codes, ties expected.
    """
    gains = gain_of(labels.grades, "exponential")
    parts: list[tuple[Measures, Measures | None]] = []
    for counts, again in both_counts(ranking, labels, gains):
        by_float = None if again is None else with_gaps(again, gains, cuts)
        parts.append((with_gaps(counts, gains, cuts), by_float))
    plain = joined([part for part, _ in parts])
    rescored = [part for _, part in parts if part is not None]
    return plain, joined(rescored) if rescored else None


def with_gaps(counts: TieCounts, gains: F64, cuts: Sequence[int]) -> Measures:
    """Measures from counts, NaN where nothing is relevant."""
    found = measures_of(counts, gains, cuts, "relevant")
    without = found.pop("relevant") == 0
    return {name: np.where(without, np.nan, values) for name, values in found.items()}


def joined(parts: Sequence[Measures]) -> Measures:
    """Measures of blocks of queries as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def both_counts(ranking: Ranking, labels: SharedLabels, gains: F64) -> Iterator[tuple[TieCounts, TieCounts | None]]:
    """Counts by codes and by codes with a rescored shortlist, some queries at a time."""
    if not isinstance(ranking.index.codes, BinaryCodes):
        yield from counts_of_floats(ranking, labels, gains)
        return
    start = 0
    for counts, _ in counted(ranking.index, ranking.queries, labels, gains, False):
        rows = slice(start, start + len(counts.items))
        start = rows.stop
        if ranking.ranks is None:
            yield counts, None
            continue
        levels = pair_levels(labels, rows, ranking.places[rows])
        yield counts, lifted(counts, ranking.near[rows], levels, ranking.ranks[rows], gains)


def counts_of_floats(
    ranking: Ranking, labels: SharedLabels, gains: F64
) -> Iterator[tuple[TieCounts, TieCounts | None]]:
    """The same for distances that are floats: the shortlist as it is ordered, all else in STEPS groups by distance."""
    for rows in blocks(len(ranking.places), max(1, SCORES // len(ranking.index))):
        distances, levels = ranking.index.distances(ranking.queries[rows]), labels.rows_graded(rows)
        places = ranking.places[rows]
        groups = steps_of(distances)
        counts = tie_counts(groups, levels, STEPS, gains)
        own = np.take_along_axis(groups, places, axis=1), np.take_along_axis(levels, places, axis=1)
        near = np.take_along_axis(distances, places, axis=1)
        apart = np.zeros(near.shape, dtype=np.intp)
        apart[:, 1:] = np.cumsum(near[:, 1:] != near[:, :-1], axis=1)
        apart[near >= near[:, -1:]] = -1  # items that tie with the last one may lie outside the shortlist
        again = None if ranking.ranks is None else lifted(counts, *own, ranking.ranks[rows], gains)
        yield lifted(counts, *own, apart, gains), again


def steps_of(distances: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Distances as numbers of steps of equal width, from the smallest of a row to its largest."""
    low = distances.min(axis=1, keepdims=True)
    span = distances.max(axis=1, keepdims=True) - low
    steps = (distances - low) * (STEPS / np.where(span > 0, span, 1.0)).astype(np.float32)
    return np.asarray(np.minimum(steps.astype(np.intp), STEPS - 1))


def lifted(
    counts: TieCounts, groups: NDArray[Any], levels: NDArray[np.intp], ranks: NDArray[np.intp], gains: F64
) -> TieCounts:
    """Counts with some items taken out of their groups and put before all others.

    groups, levels, ranks: (queries, k) of these items: where they are, how relevant, and the group in front that they
    join; an item of rank -1 stays where it is.
    """
    owners = np.broadcast_to(np.arange(len(levels))[:, None], levels.shape)
    taken = (ranks >= 0).astype(np.float64)
    found: list[F64] = []
    for rest, one in ((counts.items, 1.0), (counts.hits, levels > 0), (counts.gained, gains[levels])):
        left, head = rest.copy(), np.zeros(levels.shape)
        np.subtract.at(left, (owners, groups), taken * one)
        np.add.at(head, (owners, np.maximum(ranks, 0)), taken * one)
        found.append(np.hstack([head, left]))
    items, hits, gained = found
    return TieCounts(items, hits, gained, counts.levels)


def pair_levels(labels: SharedLabels, rows: slice, places: NDArray[np.int64]) -> NDArray[np.intp]:
    """Levels of relevance (rows, k) of every query's own items: how many labels they share."""
    asked, given = labels.query[rows], labels.database
    if np.ndim(asked) == 1:
        return np.asarray(asked[:, None] == given[places], dtype=np.intp)
    return np.asarray(np.einsum("qc,qkc->qk", asked, given[places]), dtype=np.intp)
