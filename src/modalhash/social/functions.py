"""One layer that maps features to codes: with tanh, as the last layer of a network, or by linear regression."""

from __future__ import annotations

import numpy as np

from modalhash.layers import Arrays
from modalhash.solvers import ridge
from modalhash.views import F64, Floats


def linear_layer(X: Floats, Z: F64, weight: float) -> Arrays:
    """W, without a bias, that minimises ‖Z - X W‖² / n + weight ‖W‖², in closed form."""
    X = X.astype(np.float64)
    n = len(X)
    return {"0.weight": ridge(X.T @ X / n, X.T @ Z / n, weight), "0.bias": np.zeros(Z.shape[1])}


def tanh_loss(layer: F64, X: F64, Z: F64, decay: float) -> tuple[float, F64]:
    """‖tanh(X W + 1b) - Z‖² / 2n + decay ‖W‖² / 2 (Eq. 2.11) of layer = [W; b], (d + 1, K), and its gradient."""
    n, W = len(X), layer[:-1]
    F = np.tanh(X @ W + layer[-1])
    gap = F - Z
    slope = gap * (1.0 - F * F) / n
    gradient = np.vstack([X.T @ slope + decay * W, slope.sum(axis=0)])
    return float(np.sum(gap**2) / (2 * n) + 0.5 * decay * np.sum(W**2)), gradient


def tanh_layer(X: Floats, Z: F64, decay: float, max_iter: int) -> tuple[Arrays, float]:
    """W and b that make `tanh_loss` small, by L-BFGS from the regression of Z on X; and the loss."""
    from scipy.optimize import minimize

    rows: F64 = X.astype(np.float64)
    shape = (X.shape[1] + 1, Z.shape[1])
    start = np.vstack([linear_layer(X, Z, decay)["0.weight"], Z.mean(axis=0)])

    def loss(flat: F64) -> tuple[float, F64]:
        value, gradient = tanh_loss(flat.reshape(shape), rows, Z, decay)
        return value, gradient.ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": max_iter})
    layer = np.asarray(found.x, dtype=np.float64).reshape(shape)
    return {"0.weight": layer[:-1], "0.bias": layer[-1]}, float(found.fun)
