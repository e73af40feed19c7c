"""Exact Hamming scan: distances to all codes, then the k nearest in the order (distance, position)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.views import blocks

SCORES = 4_000_000  # distances held at once: bounds the memory of a search whatever the batch


def nearest(queries: BinaryCodes, database: BinaryCodes, k: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Positions (queries, k) int64 and distances (queries, k) int32 of the k nearest codes.

    Ties keep the order of the database: the key distance · n + position is unique, so the answer is too.
    """
    n = len(database)
    positions = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.int32)
    for rows in blocks(len(queries), max(1, SCORES // n)):
        keys = queries[rows].hamming(database).astype(np.int64)
        keys *= n
        keys += np.arange(n)
        if k < n:
            keys = np.partition(keys, k - 1, axis=1)[:, :k]
        keys.sort(axis=1)
        distances[rows], positions[rows] = np.divmod(keys[:, :k], n)
    return positions, distances
