"""Features of users and items from who rated what: the leading singular vectors of the ratings (5.48)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.ratings import Positions, Products
from modalhash.views import F64, Matrix


@dataclass(frozen=True, eq=False)
class InteractionFeatures:
    """P = U Σ of users (n, l) and Q = V of items (m, l) with R ≈ P Qᵀ, and Σ² (l,)."""

    P: F64
    Q: F64
    squares: F64

    def without(
        self, users: Positions, items: Positions, ratings: F64
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rows of P and Q for some pairs, (pairs, l) each, without what the pair's own rating puts into them.

        P = R Q and Q = Rᵀ P / Σ²: with the other side as it is, the rating r of a pair adds r q to its row of P and
        r p / Σ² to its row of Q.  ratings: (pairs,) on the scale of R, 0 for a pair without one.
        """
        p, q = self.P[users], self.Q[items]
        inverse = np.divide(1.0, self.squares, out=np.zeros_like(self.squares), where=self.squares > 0)
        own_p, own_q = ratings[:, None] * q, ratings[:, None] * p * inverse
        return (p - own_p).astype(np.float32), (q - own_q).astype(np.float32)


def interaction_features(R: Matrix, l: int, rng: np.random.Generator) -> InteractionFeatures:  # noqa: E741 - the text's letter
    """The l leading singular vectors of R, sparse (n, m); columns of zeros where R has fewer.  Signs are fixed."""
    n, m = R.shape
    rank = min(l, min(n, m) - 1)
    P, Q, squares = np.zeros((n, l)), np.zeros((m, l)), np.zeros(l)
    if rank < 1:  # one user or one item: R is a vector, and its own singular vector
        length = float(np.sqrt((R.data**2).sum()))
        dense = R.toarray()
        left, right = (dense / length, np.ones((1, 1))) if m == 1 else (np.ones((1, 1)), dense.T / length)
        P[:, :1], Q[:, :1], squares[0] = left * length, right, length**2
        return InteractionFeatures(P, Q, squares)
    U, values, V = Products(R, 0.0, None, rng).truncated_svd(rank, rng)
    large = values > 1e-9 * values[0]
    P[:, :rank], Q[:, :rank], squares[:rank] = U * values * large, V * large, values**2 * large
    return InteractionFeatures(P, Q, squares)


def scale_of(features: F64) -> float:
    """Root mean square of features, 1 if all are 0."""
    return float(np.sqrt((features**2).mean())) or 1.0
