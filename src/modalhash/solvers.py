"""Steps that several systems share: functions on arrays, named after the operation.

Rows are items unless a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modalhash.views import F64, Array, Matrix, blocks, dense


def signs(values: Array) -> F64:
    """-1.0 or +1.0 of each value; sign(0) = +1."""
    return np.where(values >= 0, 1.0, -1.0)


def fix_signs(columns: F64) -> F64:
    """Columns whose largest entry (by size) is made positive, so that SVD and eigh give one answer everywhere."""
    if not columns.size:
        return columns
    largest = columns[np.argmax(np.abs(columns), axis=0), np.arange(columns.shape[1])]
    return np.asarray(columns * signs(largest))


def procrustes(cross: F64) -> F64:
    """The matrix R with orthonormal columns (or rows) that maximises tr(Rᵀ cross): P Qᵀ of cross = P Σ Qᵀ."""
    from scipy.linalg import svd

    left, _, right = svd(cross, full_matrices=False, lapack_driver="gesdd", check_finite=False)
    return np.asarray(left @ right)


def ridge(gram: F64, cross: F64, weight: float) -> F64:
    """W that minimises ‖target - X W‖² + weight ‖W‖², from gram = XᵀX (d, d) and cross = Xᵀ target (d, K)."""
    from scipy.linalg import solve

    return np.asarray(solve(gram + weight * np.eye(len(gram)), cross, assume_a="pos", check_finite=False))


def view_weights(residuals: F64, zeta: float) -> F64:
    """Weights μ >= 0 with Σμ = 1 that minimise Σ μ^ζ residual; residuals (M,) >= 0, ζ > 1.

    Views without any residual share all the weight.
    """
    smallest = residuals.min()
    if smallest <= 0:
        perfect = residuals <= 0
        return np.asarray(perfect / perfect.sum(), dtype=np.float64)
    weights = (smallest / residuals) ** (1.0 / (zeta - 1.0))
    return np.asarray(weights / weights.sum())


def centred_product(matrix: Matrix, mean: F64, weights: F64) -> F64:
    """(matrix - mean) @ weights in float64; a sparse matrix stays sparse."""
    if isinstance(matrix, np.ndarray):
        return np.asarray((matrix.astype(np.float64) - mean) @ weights)
    return np.asarray(matrix.astype(np.float64) @ weights - mean @ weights)


def row_product(matrix: Matrix, mean: F64, weights: F64) -> F64:
    """(matrix - mean) @ weights as `centred_product`, but each row is rounded alike in any batch (no BLAS)."""
    if isinstance(matrix, np.ndarray):
        return np.asarray(np.einsum("nd,kd->nk", matrix - mean, np.ascontiguousarray(weights.T), optimize=False))
    return centred_product(matrix, mean, weights)


def mean_and_scale(matrix: Matrix) -> tuple[F64, float]:
    """Column means (d,) and the root of the total variance (1 without any), in float64 over blocks of rows."""
    n, width = matrix.shape
    total, squares = np.zeros(width), 0.0
    for rows in blocks(n):
        block = dense(matrix[rows])
        total += block.sum(axis=0)
    mean = total / n
    for rows in blocks(n):
        squares += float(((dense(matrix[rows]) - mean) ** 2).sum())
    scale = float(np.sqrt(squares / n))
    return mean, scale if scale > 1e-12 * float(np.linalg.norm(mean)) else 1.0  # less is rounding of a constant view


def principal_directions(
    views: Mapping[str, Matrix], means: Mapping[str, F64], scales: Mapping[str, float], k: int, seed: int
) -> dict[str, F64]:
    """Per view the rows (d, k) of the k leading principal directions of all views side by side.

    Each view is centred and divided by its scale first.  Directions without variance are zero, so that no code
    hangs on rounding.  Exact covariance up to 3,000 columns, otherwise a truncated SVD that keeps sparse views sparse,
    or, where nearly as many directions as items are asked for, the plain SVD of the few items.
    """
    widths = [matrix.shape[1] for matrix in views.values()]
    n = next(iter(views.values())).shape[0]
    if sum(widths) > 3000 and k >= n - 1:
        values, vectors = _thin_principal(views, means, scales)
    elif sum(widths) <= 3000 or k >= sum(widths) - 1:
        values, vectors = _dense_principal(views, means, scales)
    else:
        values, vectors = _sparse_principal(views, means, scales, k, seed)
    order = np.argsort(-values, kind="stable")[:k]
    values, vectors = values[order], fix_signs(vectors[:, order])
    vectors = np.where(values > 1e-10 * max(values[0], 1e-300), vectors, 0.0)
    edges = np.cumsum([0, *widths])
    return {
        name: vectors[low:high] / scales[name] for name, low, high in zip(views, edges[:-1], edges[1:], strict=True)
    }


def _dense_principal(
    views: Mapping[str, Matrix], means: Mapping[str, F64], scales: Mapping[str, float]
) -> tuple[F64, F64]:
    from scipy.linalg import eigh

    n = next(iter(views.values())).shape[0]
    width = sum(matrix.shape[1] for matrix in views.values())
    covariance = np.zeros((width, width))
    for rows in blocks(n):
        block = np.hstack([(dense(matrix[rows]) - means[name]) / scales[name] for name, matrix in views.items()])
        covariance += block.T @ block
    values, vectors = eigh(covariance, check_finite=False)
    return values, vectors


def _thin_principal(
    views: Mapping[str, Matrix], means: Mapping[str, F64], scales: Mapping[str, float]
) -> tuple[F64, F64]:
    from scipy.linalg import svd

    rows = np.hstack([(dense(matrix) - means[name]) / scales[name] for name, matrix in views.items()])
    _, values, right = svd(rows, full_matrices=False, check_finite=False)
    return np.asarray(values**2), np.asarray(right.T)


def _sparse_principal(
    views: Mapping[str, Matrix], means: Mapping[str, F64], scales: Mapping[str, float], k: int, seed: int
) -> tuple[F64, F64]:
    from scipy.sparse.linalg import LinearOperator, svds

    edges = np.cumsum([0, *(matrix.shape[1] for matrix in views.values())])
    n = next(iter(views.values())).shape[0]

    def forward(x: F64) -> F64:
        x = x.reshape(edges[-1], -1)
        return np.asarray(
            sum(
                centred_product(matrix, means[name], x[low:high]) / scales[name]
                for (name, matrix), low, high in zip(views.items(), edges[:-1], edges[1:], strict=True)
            )
        )

    def backward(y: F64) -> F64:
        y = y.reshape(n, -1)
        parts = [(matrix.T @ y - np.outer(means[name], y.sum(axis=0))) / scales[name] for name, matrix in views.items()]
        return np.vstack(parts)

    operator = LinearOperator(
        (n, int(edges[-1])), matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=np.float64
    )
    start = np.random.default_rng(seed).standard_normal(min(operator.shape))
    _, values, right = svds(operator, k=k, v0=start)
    return np.asarray(values**2), np.asarray(right.T)


def itq_rotation(values: F64, n_iter: int, rng: np.random.Generator) -> F64:
    """Rotation (K, K) that brings the rows of `values` (n, K) close to the corners of the cube (Gong & Lazebnik 2011).

    Alternates B = sign(V R) and R = procrustes(Vᵀ B); ‖B - V R‖² never rises.
    """
    rotation = procrustes(rng.standard_normal((values.shape[1], values.shape[1])))
    for _ in range(n_iter):
        rotation = procrustes(values.T @ signs(values @ rotation))
    return rotation


def update_bits(bits: F64, linear: F64, coupling: F64) -> None:
    """One sweep of b_j = sgn(q_j - Σ_{i≠j} M_ij b_i) over the bits j of every row, in place; no row's energy rises.

    bits: (n, K) of ±1; linear: (n, K) Q; coupling: (K, K) symmetric M.  Minimises bᵀMb - 2qᵀb a row, one bit at a time.
    """
    free = coupling - np.diag(np.diag(coupling))
    fields = linear - bits @ free
    for j in range(bits.shape[1]):
        new = signs(fields[:, j])
        change = new - bits[:, j]
        bits[:, j] = new
        moved = np.flatnonzero(change)
        fields[moved] -= np.outer(change[moved], free[j])
