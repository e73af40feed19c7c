"""Steps of systems that store an item as words of codebooks: functions on arrays, named after the operation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, blocks

Indices = NDArray[np.uint8]


def decode(C: F64, A: Indices) -> F64:
    """CA: the sum of the chosen words, (rows, K), from codebooks (m, words, K) and indices (rows, m)."""
    return np.asarray(sum(words[column] for words, column in zip(C, A.T, strict=True)))


def nearest_words(C: F64, G: F64, T: F64, sweeps: int = 0) -> Indices:
    """Indices (rows, m): codebook by codebook, the word j that minimises C_jᵀGC_j - 2C_jᵀ(T - G·sum so far) (Eq. 17).

    C: (m, words, K); G: (K, K); T: (rows, K).  Each sweep then chooses every word again, given all the others.
    """
    A = np.zeros((len(T), len(C)), dtype=np.uint8)
    GC = C @ G
    lengths = np.sum(C * GC, axis=2)
    for rows in blocks(len(T)):
        left = T[rows].copy()  # T - G·(sum of the words chosen)
        for again in range(1 + sweeps):
            for j, words in enumerate(C):
                if again:
                    left += GC[j][A[rows, j]]
                A[rows, j] = np.argmin(lengths[j] - 2.0 * left @ words.T, axis=1)
                left -= GC[j][A[rows, j]]
    return A


def co_occurrences(columns: NDArray[np.intp], w: F64, size: int) -> F64:
    """AAᵀ (size, size): how often two words are chosen together.

    columns: (rows, m) the words that each row chooses, out of all codebooks; w: (rows,) how often a row occurs.
    """
    cells = columns[:, :, None] * size + columns[:, None, :]
    counts = np.bincount(cells.ravel(), np.repeat(w, columns.shape[1] ** 2), minlength=size * size)
    return np.asarray(counts.reshape(size, size), dtype=np.float64)
