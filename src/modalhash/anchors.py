"""The RBF anchor map φ(x)_j = exp(-‖x - a_j‖² / 2σ²), minus its training mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Matrix, dense


def choose_anchors(complete: NDArray[np.bool_], n_anchors: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of distinct items, drawn at random from those that have every view (others if they run short).

    complete: (n,) bool.  Positions come in random order, so that a caller may cut the list.
    The same items serve as anchors of every view.
    """
    order = rng.permutation(len(complete))
    order = np.concatenate([order[complete[order]], order[~complete[order]]])
    return order[:n_anchors]


def squared_distances(block: Matrix, anchors: F64) -> F64:
    """Squared Euclidean distances (rows, q) between rows of a block and anchors (q, d), in float64, never negative."""
    if isinstance(block, np.ndarray):
        rows = block.astype(np.float64)
        norms = np.einsum("ij,ij->i", rows, rows)
        products = rows @ anchors.T
    else:
        rows = block.astype(np.float64)
        norms = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
        products = np.asarray(rows @ anchors.T)
    products *= -2.0
    products += norms[:, None]
    products += np.einsum("ij,ij->i", anchors, anchors)
    return np.asarray(np.maximum(products, 0.0, out=products))


def kernel_width(sample: Matrix, anchors: F64) -> float:
    """σ: the mean distance of sample rows to the anchors (1 if all coincide)."""
    return float(np.sqrt(squared_distances(sample, anchors)).mean()) or 1.0


def rbf(block: Matrix, anchors: F64, sigma: float) -> F64:
    """φ of a block of rows, (rows, q) float64 with values in (0, 1], not centred."""
    values = squared_distances(block, anchors)
    values *= -0.5 / sigma**2
    return np.asarray(np.exp(values, out=values))


def dense_anchors(matrix: Matrix, positions: NDArray[np.intp]) -> F64:
    """The anchor rows of a view as a dense (q, d) float64 array."""
    return dense(matrix[positions])
