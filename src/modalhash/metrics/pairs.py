"""From an index and what is relevant to counts, block of queries by block, by one of two routes with equal counts.

One route counts packed codes and labels in a single pass (counting.py), the other makes the distances and levels of
a block as matrices.  The amount of work chooses; MODALHASH_KERNELS names one for tests, as it does for the search.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.index.memory import Index, Queries
from modalhash.index.scan import usable_cores, wanted_path
from modalhash.metrics.counts import TieCounts, tie_counts
from modalhash.metrics.ranks import ranked_counts
from modalhash.metrics.relevance import GivenRelevance, SharedLabels
from modalhash.views import F64, Array, blocks

Relevance: TypeAlias = SharedLabels | GivenRelevance
Counted: TypeAlias = tuple[TieCounts, TieCounts | None]  # by tie group; by Hamming distance, None for floats
CELLS = 2_000_000  # distances, or counts, that numpy holds at once
KEPT = 500_000  # counts held at once: the measures pass over them many times, which is fastest in a cache
SMALL = 20_000_000  # pairs that numpy counts in less time than numba needs to load
WORTH_A_THREAD = 5_000_000  # pairs
COUNTING = "modalhash.metrics.counting"


def counted(index: Index, queries: Queries, truth: Relevance, gains: F64, by_position: bool) -> Iterator[Counted]:
    """Counts of all queries, in order, some queries at a time; gains: of each level of relevance.

    A tie group holds the items at one distance, or one item if items at one distance are ordered `by_position`.
    """
    if not by_position and isinstance(truth, SharedLabels) and isinstance(index.codes, BinaryCodes):
        labels = truth.words() if kernels_pay(len(queries) * len(index)) else None
        if labels is not None and isinstance(queries, BinaryCodes) and queries.n_bits == index.codes.n_bits:
            yield from by_kernels(index.codes, queries, labels, truth, gains)
            return
    yield from by_numpy(index, queries, truth, gains, by_position)


def kernels_pay(pairs: int) -> bool:
    """True where the kernels are asked for, or are loaded, or earn the time that loading takes."""
    wanted = wanted_path()
    return wanted != "numpy" and bool(wanted or COUNTING in sys.modules or pairs > SMALL)


def by_kernels(
    database: BinaryCodes, queries: BinaryCodes, labels: tuple[Array, Array], truth: SharedLabels, gains: F64
) -> Iterator[Counted]:
    """`counted` in one pass over codes and labels."""
    kernels: Any = import_module(COUNTING)
    shape = database.n_bits + 1, len(truth.grades)
    items = code_words(database), labels[1]
    for rows in blocks(len(queries), max(1, KEPT // (shape[0] * shape[1]))):
        asked = code_words(queries[rows]), np.ascontiguousarray(labels[0][:, rows])
        threads = usable_cores() if asked[0].shape[1] * len(database) > WORTH_A_THREAD else 1
        counts = TieCounts.of(kernels.count(items, asked, shape, np.ndim(truth.query) == 1, threads), gains)
        yield counts, counts


def code_words(codes: BinaryCodes) -> NDArray[np.uint64]:
    """The codes as (words, n) uint64."""
    return np.ascontiguousarray(codes.words().T)


def by_numpy(index: Index, queries: Queries, truth: Relevance, gains: F64, by_position: bool) -> Iterator[Counted]:
    """`counted` for any distances, any relevance and either rule for ties."""
    n_distances = index.codes.n_bits + 1 if isinstance(index.codes, BinaryCodes) else 0
    widest = max(len(index), n_distances * len(gains))  # cells of a query
    for rows in blocks(len(queries), max(1, CELLS // widest)):
        distances, levels = index.distances(queries[rows]), truth.rows_graded(rows)
        by_distance = tie_counts(distances, levels, n_distances, gains) if n_distances else None
        if by_distance is not None and not by_position:  # few distances: no sort
            yield by_distance, by_distance
        else:
            yield ranked_counts(distances, levels, gains, by_position=by_position), by_distance
