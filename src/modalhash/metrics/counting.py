"""Counts of items at each (query, Hamming distance, level of relevance), in one pass over packed codes and labels.

Nothing is sorted and no matrix of distances is made: every pair of a query and an item adds one to a cell.
A pass has two halves.  The first numbers the cells of a stripe of items; its loops hold no branch, so that the
compiler turns them into vectors.  The second adds the ones.  Near codes share few distances, and a cell that is
added to twice in a row waits for itself; neighbouring items therefore add to different copies of the counts.
The kernels do not check bounds, so `check` looks at every array before one is called.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

STRIPE = 4096  # items whose cells are numbered at once; they stay in a near cache while a group of queries passes
COPIES = 4  # of the counts; `tally` is written for this number
GROUP = 16  # queries of a group, at most
COPIED = 16 * 2**20  # bytes of the copies of a group

Words = NDArray[np.uint64]  # (words, n): word w of every code or of every label mask
intrinsic: Callable[[Callable[..., Any]], Any] = numba.extending.intrinsic
kernel = njit(cache=True, nogil=True)


@intrinsic
def bits_set(typing: Any, word: Any) -> Any:
    """Number of bits that are set."""
    return word(word), lambda context, builder, signature, args: builder.ctpop(args[0])


@kernel
def number_cells(items, query, classes, n_levels, start, cells, shared):  # type: ignore[no-untyped-def]
    """Cell = distance · n_levels + level of the items from `start` on, one for each place of `cells`.

    level: 1 where the classes are equal, else the number of shared labels, n_levels - 1 at most.
    """
    n = len(cells)
    cells[:], shared[:] = 0, 0
    for w in range(len(items[0])):
        word, codes = query[0][w], items[0][w][start : start + n]
        for x in range(n):
            cells[x] += np.uint32(bits_set(codes[x] ^ word))
    for w in range(len(items[1])):
        word, labels = query[1][w], items[1][w][start : start + n]
        if classes:
            for x in range(n):
                shared[x] = np.uint32(labels[x] == word)
        else:
            for x in range(n):
                shared[x] += np.uint32(bits_set(labels[x] & word))
    levels, highest = np.uint32(n_levels), np.uint32(n_levels - 1)
    for x in range(n):
        cells[x] = cells[x] * levels + min(shared[x], highest)


@kernel
def tally(cells, copies):  # type: ignore[no-untyped-def]
    """Add one to the cell of every item, in turn in each of the copies."""
    one, whole = np.uint32(1), len(cells) // COPIES * COPIES
    for x in range(0, whole, COPIES):
        copies[0, cells[x]] += one
        copies[1, cells[x + 1]] += one
        copies[2, cells[x + 2]] += one
        copies[3, cells[x + 3]] += one
    for x in range(whole, len(cells)):
        copies[0, cells[x]] += one


@kernel
def sum_copies(copies, counts):  # type: ignore[no-untyped-def]
    """Write the sum of the copies as counts (distances, levels)."""
    n_levels = counts.shape[1]
    for d in range(counts.shape[0]):
        for level in range(n_levels):
            total = np.int64(0)
            for copy in range(COPIES):
                total += np.int64(copies[copy, d * n_levels + level])
            counts[d, level] = total


@kernel
def count_span(items, queries, classes, span, counts):  # type: ignore[no-untyped-def]
    """Write the counts (queries, distances, levels) of the queries span[0] … span[1] - 1."""
    n, n_levels = items[0].shape[1], counts.shape[2]
    n_cells = (64 * len(items[0]) + 1) * n_levels
    group = max(1, min(GROUP, COPIED // (4 * COPIES * n_cells)))
    copies = np.empty((group, COPIES, n_cells), np.uint32)
    cells, shared = np.empty(STRIPE, np.uint32), np.empty(STRIPE, np.uint32)
    for first in range(span[0], span[1], group):
        size = min(group, span[1] - first)
        copies[:size] = 0
        for start in range(0, n, STRIPE):
            m = min(STRIPE, n - start)
            for j in range(size):
                query = queries[0][:, first + j], queries[1][:, first + j]
                number_cells(items, query, classes, n_levels, start, cells[:m], shared[:m])
                tally(cells[:m], copies[j])
        for j in range(size):
            sum_copies(copies[j], counts[first + j])


def check(items: tuple[Words, Words], queries: tuple[Words, Words], shape: tuple[int, int]) -> None:
    """Refuse what the kernels must not read or write: other dtypes, lengths, memory layouts, too many cells."""
    for name, (codes, labels) in (("items", items), ("queries", queries)):
        for words in (codes, labels):
            if words.dtype != np.uint64 or words.ndim != 2 or not words.flags.c_contiguous or not words.flags.aligned:
                raise TypeError(f"{name}: expected contiguous uint64 words (words, n), got {words.dtype} {words.shape}")
        if codes.shape[1] != labels.shape[1]:
            raise ValueError(f"{name}: {codes.shape[1]} codes do not fit {labels.shape[1]} labels")
    if any(len(item) != len(query) for item, query in zip(items, queries, strict=True)):
        raise ValueError("items and queries: expected equally many words")
    distances, levels = shape
    if not (1 <= distances <= 64 * len(items[0]) + 1 and levels >= 2):
        raise ValueError(f"shape: {shape} does not fit codes of {len(items[0])} words and levels from 0 to 1 or more")
    if items[0].shape[1] >= 2**32 or (64 * len(items[0]) + 1) * levels >= 2**32:
        raise ValueError(f"expected fewer than 2**32 items and cells, got {items[0].shape[1]} items, shape {shape}")


def count(
    items: tuple[Words, Words], queries: tuple[Words, Words], shape: tuple[int, int], classes: bool, threads: int = 1
) -> NDArray[np.int64]:
    """Items at each (distance, level), (queries, *shape) int64; shape: numbers of distances and of levels.

    items, queries: codes and labels, each (words, n) uint64.  Labels are bit masks, or one word that holds the class.
    A level is a number of shared labels, levels above the last count as the last.
    Threads share the queries; the counts are the same.
    """
    check(items, queries, shape)
    n = queries[0].shape[1]
    counts = np.zeros((n, *shape), np.int64)
    edges = np.linspace(0, n, min(threads, max(n, 1)) + 1).astype(np.int64).tolist()

    def work(span: tuple[int, int]) -> None:
        count_span(items, queries, classes, span, counts)

    if len(edges) == 2:
        work((0, n))
        return counts
    with ThreadPoolExecutor(len(edges) - 1) as pool:
        list(pool.map(work, pairwise(edges)))
    return counts
