"""Fused codes: the views of an item weighed by how well each agrees with the code, item by item, without parameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher
from modalhash.solvers import signs
from modalhash.views import F64, Views, blocks

ROUNDS = 4  # of weights and code in turn; further rounds change next to no bit


def adaptive_weights(residuals: F64, has: NDArray[np.bool_]) -> F64:
    """Weights of the views of each item, in proportion to 1 / residual, sum 1 an item, 0 for a view that it lacks.

    residuals: (views, n) >= 0, how far each view's output is from the code; has: (views, n).  Views without any
    residual share all the weight.
    """
    left = np.where(has, residuals, np.inf)
    smallest = left.min(axis=0)
    perfect = has & (left <= 0)
    shares = np.where(smallest > 0, smallest / np.maximum(left, 1e-300), perfect)
    return np.asarray(shares / shares.sum(axis=0))


def fuse(outputs: F64, has: NDArray[np.bool_], rounds: int = ROUNDS) -> tuple[F64, F64]:
    """Σ_l w_l o_l (n, K) of each item's outputs, and the weights w (views, n) that were used.

    outputs: (views, n, K); has: (views, n).  From equal weights, code b = sgn(Σ w_l o_l) and w_l ∝ 1 / ‖b - o_l‖ in
    turn: reweighted least squares, so that Σ_l ‖b - o_l‖ of an item never rises.  No item looks at another.
    """
    weights = has / has.sum(axis=0)
    for _ in range(rounds):
        residuals = np.sqrt(((signs(_sum(weights, outputs)) - outputs) ** 2).sum(axis=2))
        weights = adaptive_weights(residuals, has)
    return _sum(weights, outputs), weights


def _sum(weights: F64, outputs: F64) -> F64:
    return np.asarray((weights[:, :, None] * outputs).sum(axis=0))


class FusedHasher(Hasher):
    """A system whose code of an item is a weighted sum of its views, with weights of the item's own."""

    def _fuse(self, outputs: F64, has: NDArray[np.bool_]) -> F64:
        return fuse(outputs, has)[0]

    def _weigh(self, outputs: F64, has: NDArray[np.bool_]) -> F64:
        """Weights (views, n) that `_fuse` gives to the views."""
        return fuse(outputs, has)[1]

    def view_weights(self, views: Views) -> F64:
        """Weights (n, views) that `encode` gives to the views of each item, 0 for a view that it lacks; rows sum to 1.

        Columns in the order in which the views were fitted (`widths_`).  Raises ValueError as `encode` does.
        """
        checked, present = self._check_encode(views)
        n = next(iter(checked.values())).shape[0]
        weights = np.zeros((n, len(self.widths_)))
        columns = [list(self.widths_).index(name) for name in checked]
        for rows in blocks(n):
            outputs, has = self._outputs_of({name: matrix[rows] for name, matrix in checked.items()}, present, rows)
            weights[rows.start : rows.stop, columns] = self._weigh(outputs, has).T
        return weights
