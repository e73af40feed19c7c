"""Steps of systems that store an item as words of codebooks: functions on arrays, named after the operation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.graphs import centroids
from modalhash.solvers import procrustes
from modalhash.solvers import ridge as solve_ridge
from modalhash.views import F64, blocks

Indices = NDArray[np.uint8]
SEEDS = 2**31 - 2**16  # room for one seed a codebook


def decode(C: F64, A: Indices) -> F64:
    """CA: the sum of the chosen words, (rows, K), from codebooks (m, words, K) and indices (rows, m)."""
    return np.asarray(sum(words[column] for words, column in zip(C, A.T, strict=True)))


def nearest_words(C: F64, G: F64, T: F64, sweeps: int = 0, start: Indices | None = None) -> Indices:
    """Indices (rows, m): codebook by codebook, the word j that minimises C_jᵀGC_j - 2C_jᵀ(T - G·sum so far) (Eq. 17).

    C: (m, words, K); G: (K, K); T: (rows, K).  Each sweep then chooses every word again, given all the others
    (iterated conditional modes).  From indices `start` there are only sweeps, and no row gets worse.
    """
    A = np.zeros((len(T), len(C)), dtype=np.uint8) if start is None else start.copy()
    GC = C @ G
    lengths = np.sum(C * GC, axis=2)
    for rows in blocks(len(T)):
        left = T[rows].copy()  # T - G·(sum of the words chosen)
        if start is not None:
            left -= decode(GC, A[rows])
        for again in range(0 if start is None else 1, 1 + sweeps):
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
    counts = np.zeros(size * size)
    for rows in blocks(len(columns)):
        cells = columns[rows, :, None] * size + columns[rows, None, :]
        counts += np.bincount(cells.ravel(), np.repeat(w[rows], columns.shape[1] ** 2), minlength=size * size)
    return counts.reshape(size, size)


def fitted_words(A: Indices, w: F64, E: F64, words: int, ridge: float) -> F64:
    """Codebooks (m, words, K) that minimise Σ_i w_i ‖e_i - sum of the words of i‖² + ridge ‖C‖².

    A: (n, m) indices; w: (n,) weights; E: (n, K).  AAᵀ has rank m(words - 1) + 1 at most: without a ridge there is
    no single answer.  Words that no row uses are zero.
    """
    from scipy.sparse import csr_array

    n, m = A.shape
    columns = A + words * np.arange(m)
    one_hot = csr_array((np.repeat(w, m), columns.ravel(), np.arange(0, n * m + 1, m)), shape=(n, m * words))
    C = solve_ridge(co_occurrences(columns, w, m * words), np.asarray(one_hot.T @ E), ridge)
    return C.reshape(m, words, E.shape[1])


def residual_words(E: F64, m: int, words: int, seed: int) -> F64:
    """Codebooks (m, words, K) to start from: k-means of the rows (n, K), then of what each earlier one leaves over.

    Words beyond the distinct rows are zero.
    """
    C, left = np.zeros((m, words, E.shape[1])), E.copy()
    for j in range(m):
        found = centroids({"": left}, min(words, len(E)), seed + j)[""]
        C[j, : len(found)] = found
        left -= C[j][nearest_words(C[[j]], np.eye(E.shape[1]), left)[:, 0]]
    return C


def cut_words(E: F64, m: int, words: int, rng: np.random.Generator) -> F64:
    """Codebooks (m, words, K) to start from: the space, rotated by chance, is cut into m parts, with k-means in each.

    Every codebook sees its share of all that tells rows (n, K) apart.  With m > K `residual_words`.
    """
    K, seed = E.shape[1], int(rng.integers(SEEDS))
    if m > K:
        return residual_words(E, m, words, seed)
    rotation = procrustes(rng.standard_normal((K, K)))
    C = np.zeros((m, words, K))
    for j, part in enumerate(np.array_split(rotation, m, axis=1)):
        found = centroids({"": E @ part}, min(words, len(E)), seed + j)[""]
        C[j, : len(found)] = found @ part.T
    return C


def hamming_order(C: F64, starts: int = 8, seed: int = 0) -> NDArray[np.intp]:
    """A new order (m, words) of every codebook's words in which near words get numbers of near bits.

    C: (m, words, K), words a power of two.  Maximises Σ_ab Hamming(a, b) ‖C_a - C_b‖² over the orders of a codebook:
    swaps of two words as long as one helps, from `starts` orders (the given one, others by chance); the best is kept.
    """
    m, words, _ = C.shape
    bits = np.bitwise_count(np.arange(words)[:, None] ^ np.arange(words)).astype(np.float64)
    squares = np.sum((C[:, :, None] - C[:, None]) ** 2, axis=3)
    scale = np.maximum(squares.max(axis=(1, 2), keepdims=True), 1e-300)
    rng = np.random.default_rng(seed)
    orders = np.stack([np.arange(words), *(rng.permutation(words) for _ in range(starts - 1))])
    orders = np.tile(orders, (m, 1))  # (m·starts, words), the starts of a codebook side by side
    left, right = np.triu_indices(words, 1)
    moving = np.arange(len(orders))
    while len(moving):
        F = _permuted(squares / scale, orders[moving], moving // starts)
        product = bits @ F
        own = np.diagonal(product, axis1=1, axis2=2)
        gains = (product + product.transpose(0, 2, 1) + 2 * bits * F - own[:, :, None] - own[:, None])[:, left, right]
        best = gains.argmax(axis=1)
        better = gains[np.arange(len(moving)), best] > 1e-9
        moving, best = moving[better], best[better]
        a, b = orders[moving, left[best]], orders[moving, right[best]]
        orders[moving, left[best]], orders[moving, right[best]] = b, a
    reached = (bits * _permuted(squares, orders, np.arange(len(orders)) // starts)).sum(axis=(1, 2))
    chosen = reached.reshape(m, starts).argmax(axis=1)
    return np.asarray(orders.reshape(m, starts, words)[np.arange(m), chosen])


def _permuted(squares: F64, orders: NDArray[np.intp], codebook: NDArray[np.intp]) -> F64:
    """Distances of the words of `codebook` in new orders, (orders, words, words)."""
    return np.asarray(squares[codebook[:, None, None], orders[:, :, None], orders[:, None]])
