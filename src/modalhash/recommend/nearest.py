"""The nearest codes of each query, some left out for each, in the order (distance, position)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.model import check_integer
from modalhash.views import F64, Array, blocks

AT_ONCE = 2**22  # distances that are held at once
ROWS = 64  # queries of one product: fixed, so that no distance depends on who else asks

Found = tuple[Array, Array]


def nearest_codes(queries: BinaryCodes, codes: BinaryCodes, k: int, without: Sequence[Array] | None = None) -> Found:
    """Positions int64 and Hamming distances int32, both (queries, width).

    width = min(k, fewest positions left); `without`: for each query the positions to leave out.
    """
    width = _width(k, len(codes), without)
    positions = np.empty((len(queries), width), dtype=np.int64)
    distances = np.empty((len(queries), width), dtype=np.int32)
    for rows in blocks(len(queries), max(1, AT_ONCE // len(codes))):
        keys = queries[rows].hamming(codes) * np.int64(len(codes)) + np.arange(len(codes))
        _leave_out(keys, rows, without, np.iinfo(np.int64).max)
        if width < len(codes):
            keys = np.partition(keys, max(width - 1, 0), axis=1)[:, :width]
        distances[rows], positions[rows] = np.divmod(np.sort(keys, axis=1), len(codes))
    return positions, distances


def nearest_factors(queries: F64, factors: F64, k: int, without: Sequence[Array] | None = None) -> Found:
    """As `nearest_codes` with distance = minus the dot product, float32."""
    width = _width(k, len(factors), without)
    positions = np.empty((len(queries), width), dtype=np.int64)
    distances = np.empty((len(queries), width), dtype=np.float32)
    for rows in blocks(len(queries), ROWS):
        padded = np.zeros((ROWS, factors.shape[1]))
        padded[: rows.stop - rows.start] = queries[rows]
        scores = -(padded @ factors.T)[: rows.stop - rows.start].astype(np.float32)
        _leave_out(scores, rows, without, np.inf)
        positions[rows] = np.argsort(scores, axis=1, kind="stable")[:, :width]
        distances[rows] = np.take_along_axis(scores, positions[rows], axis=1)
    return positions, distances


def _width(k: int, n: int, without: Sequence[Array] | None) -> int:
    check_integer("k", k, low=1)
    most = max((len(gone) for gone in without), default=0) if without is not None else 0
    return min(int(k), n - most)


def _leave_out(values: Array, rows: slice, without: Sequence[Array] | None, far: float) -> None:
    for row, gone in zip(values, (without or [])[rows], strict=False):
        row[gone] = far
