"""Float vectors beside the codes: the real values whose signs are the bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher
from modalhash.views import Array, Views, blocks

F32 = NDArray[np.float32]


def has_floats(hasher: Hasher) -> bool:
    """Whether the bits of this system are signs of real values that can be had."""
    return type(hasher).encode is Hasher.encode


def outputs(hasher: Hasher, views: Views) -> F32:
    """The values (n, K) whose signs are `hasher.encode(views)`, rows of length 1."""
    checked, present = hasher._check_encode(views)
    n = next(iter(checked.values())).shape[0]
    values = np.empty((n, hasher.n_bits), dtype=np.float32)
    for rows in blocks(n):
        block = {name: matrix[rows] for name, matrix in checked.items()}
        values[rows] = unit(hasher._fuse(*hasher._outputs_of(block, present, rows)))
    return values


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
