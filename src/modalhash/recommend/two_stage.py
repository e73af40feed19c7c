"""Two stages: the nearest codes are found first, then ranked again by the real-valued factors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.model import check_integer
from modalhash.recommend.nearest import ROWS, Found, nearest_codes
from modalhash.views import F64, Array, blocks


def recall_then_rank(
    queries: tuple[BinaryCodes, F64],
    items: tuple[BinaryCodes, F64],
    k: int = 10,
    n_recalled: int = 100,
    without: Sequence[Array] | None = None,
) -> Found:
    """The k items of largest product of factors among the `n_recalled` of nearest codes.

    queries, items: codes and factors (rows, r) of either side; `without`: for each query the positions to leave out.
    Returns positions int64 and distances float32 = minus the product, (queries, width), in the order (distance,
    position); width = min(k, n_recalled, fewest positions left).  ValueError for n_recalled < 1 or k < 1, codes and
    factors of different lengths.
    """
    check_integer("k", k, low=1)
    check_integer("n_recalled", n_recalled, low=1)
    for name, (codes, factors) in (("queries", queries), ("items", items)):
        if len(codes) != len(factors):
            raise ValueError(f"{name}: expected as many factors as codes, {len(codes)}, got {len(factors)}")
    recalled = np.sort(nearest_codes(queries[0], items[0], n_recalled, without)[0], axis=1)
    return rank_again(queries[1], items[1], recalled, k)


def rank_again(queries: F64, factors: F64, recalled: Array, k: int) -> Found:
    """The k of the `recalled` positions (queries, K), rising in each row, of largest product, as `recall_then_rank`."""
    width = min(k, recalled.shape[1])
    positions = np.empty((len(queries), width), dtype=np.int64)
    distances = np.empty((len(queries), width), dtype=np.float32)
    for rows in blocks(len(queries), ROWS):
        products = np.matmul(factors[recalled[rows]].astype(np.float64), queries[rows][:, :, None].astype(np.float64))
        scores = -products[:, :, 0].astype(np.float32)
        order = np.argsort(scores, axis=1, kind="stable")[:, :width]
        positions[rows] = np.take_along_axis(recalled[rows], order, axis=1)
        distances[rows] = np.take_along_axis(scores, order, axis=1)
    return positions, distances
