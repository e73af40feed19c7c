"""Float vectors beside the codes: the real values whose signs are the bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.views import Array

F32 = NDArray[np.float32]


def unit(values: Array) -> F32:
    """Rows brought to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    scaled = np.divide(values, lengths, out=np.zeros(values.shape), where=lengths > 0)
    return np.asarray(scaled, dtype=np.float32)


def nearest(query: F32, values: Array, rows: NDArray[np.int64] | None, k: int) -> tuple[NDArray[np.int64], F32]:
    """Positions and cosine distances of the k nearest of some rows (None: all), in the order (distance, position)."""
    distances = (1 - (values if rows is None else values[rows]) @ query).astype(np.float32)
    k = min(k, len(distances))
    edge = np.partition(distances, k - 1)[k - 1]
    near = np.flatnonzero(distances <= edge)
    near = near[np.argsort(distances[near], kind="stable")][:k]
    return (near if rows is None else rows[near]), distances[near]
