"""The memory layout that the look-up-table kernels read, and the check that it is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.quantized import F32, QuantizedCodes

STEP = 256  # the kernels read whole runs of so many items, so planes are padded to a multiple
Planes = tuple[NDArray[np.uint8], F32, F32, int]  # words (planes, padded n), norms (n,), least norms (256,), n


def planes(codes: QuantizedCodes) -> Planes:
    """The codes as the kernels read them: words (m, padded n) uint8, norms, the least norms of 256 intervals, n.

    For `l2` the words have one row more, the interval of each norm.
    """
    n, m = codes.indices.shape
    rows = m + (codes.score == "l2")
    words = np.zeros((rows, -(-n // STEP) * STEP), dtype=np.uint8)
    words[:m, :n] = codes.indices.T
    least = np.empty(0, dtype=np.float32)
    if rows > m and n:
        least = np.linspace(codes.norms.min(), codes.norms.max(), 256, dtype=np.float32)
        words[m, :n] = np.searchsorted(least, codes.norms, side="right") - 1
    return words, codes.norms, least, n


def check(planes: Planes, tables: F32, squares: F32) -> None:
    """Refuse arrays that the kernels must not read: other dtypes, shapes, memory layouts, too many items."""
    words, norms, least_norms, n = planes
    kinds = (("words", words, np.uint8), ("norms", norms, np.float32), ("least norms", least_norms, np.float32))
    for name, array, kind in (*kinds, ("tables", tables, np.float32), ("squares", squares, np.float32)):
        if not isinstance(array, np.ndarray) or array.dtype != kind:
            raise TypeError(f"{name}: expected a {np.dtype(kind)} array")
        if not array.flags.c_contiguous or not array.flags.aligned:
            raise ValueError(f"{name}: expected a contiguous aligned array")
    if words.ndim != 2 or words.shape[1] % STEP or not 1 <= n <= words.shape[1] or n >= 2**32:
        raise ValueError(f"words: expected at least {n} items, a multiple of {STEP}, got shape {words.shape}")
    has_norms = int(len(norms) > 0)
    if norms.shape != (n * has_norms,) or least_norms.shape != (256 * has_norms,):
        raise ValueError(f"norms: expected shape ({n},) and 256 least ones, got {norms.shape}, {least_norms.shape}")
    if tables.shape != (len(squares), len(words) - has_norms, 256) or squares.ndim != 1:
        raise ValueError(f"tables: expected (queries, {len(words) - has_norms}, 256), got {tables.shape}")
