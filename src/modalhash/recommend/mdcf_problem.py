"""The training problem of MDCF: two sides that take turns, one method an update.

Rows are users or items here (the text has them in columns): F = H Rᵀ are the rotated factors of a side, and
S ≈ F_users F_itemsᵀ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.functions import Present
from modalhash.recommend.ratings import Products
from modalhash.solvers import itq_rotation, procrustes, signs
from modalhash.views import F64, Floats, blocks


@dataclass(kw_only=True)
class Weights:
    """Weights of the terms of (5.15): α of this side, β, γ, penalty λ as a share of the curvature, ridge, rank d."""

    alpha: float
    beta: float
    gamma: float
    penalty: float
    ridge: float
    d: int
    equal: bool = False


class View:
    """One view of one side in training: φ, its gram matrix taken apart, and the map W (q + 1, r)."""

    def __init__(self, phi: Floats, has: NDArray[np.bool_], weights: Weights, r: int) -> None:
        self.phi, self.has, self.weights = phi, has, weights
        gram = np.zeros((phi.shape[1],) * 2)
        for rows in blocks(len(phi)):
            block = phi[rows].astype(np.float64)
            gram += block.T @ block
        self.values, self.vectors = np.linalg.eigh(gram)
        self.gram = gram
        self.ridge = weights.ridge * float(np.trace(gram)) / len(gram)
        self.W = np.zeros((phi.shape[1], r))
        self.V, self.low = np.eye(r), np.arange(r) < r - weights.d  # singular directions, and which are the smallest
        self.mu = 1.0
        self.cross = np.zeros_like(self.W)
        self.square = 0.0

    def look(self, H: F64) -> None:
        """Read H: φᵀH and ‖H‖² over the rows that have the view."""
        self.cross[:] = 0.0
        for rows in blocks(len(self.phi)):
            self.cross += self.phi[rows].astype(np.float64).T @ H[rows]
        self.square = float((H[self.has] ** 2).sum())

    def residual(self) -> float:
        """‖H - φW‖² over the rows that have the view, and the ridge."""
        fit = (self.W * (self.gram @ self.W)).sum() - 2.0 * (self.W * self.cross).sum() + self.square
        return max(float(fit + self.ridge * (self.W**2).sum()), 0.0)

    def update_map(self) -> None:
        """Update W, the Sylvester equation of (5.23) with a ridge, in the eigenvectors of both its sides."""
        share = self.weights.beta / self.mu
        left = share * (self.values + self.ridge)[:, None] + self.weights.gamma * self.low
        right = share * (self.vectors.T @ self.cross @ self.V)
        self.W = self.vectors @ (right / left) @ self.V.T

    def update_directions(self) -> None:
        """Update V, the left singular vectors of W in the text's orientation, smallest first (5.32)."""
        self.V = np.asarray(np.linalg.eigh(self.W.T @ self.W)[1])

    def outputs(self) -> F64:
        """φW, (n, r)."""
        return np.vstack([self.phi[rows].astype(np.float64) @ self.W for rows in blocks(len(self.phi))])

    def low_rank(self) -> float:
        """tr(Vᵀ W Wᵀ V) over the smallest directions (5.10)."""
        return float((((self.W @ self.V)[:, self.low]) ** 2).sum())


class Side:
    """Users or items in training: shared factors H (n, r), rotation R, codes B, auxiliary Z and G, and the views."""

    def __init__(self, H: F64, R: F64, phi: Mapping[str, Floats], present: Present, weights: Weights) -> None:
        self.H, self.R, self.Z, self.G = H, R, R.copy(), np.zeros_like(R)
        self.weights = weights
        self.views = {name: View(x, present[name], weights, H.shape[1]) for name, x in phi.items()}
        self.binary = False
        self.penalty = 0.0
        self.B = self.F
        for view in self.views.values():
            view.mu = 1.0 if weights.equal else 1.0 / len(self.views)
            view.look(H)
            view.update_map()
            view.update_directions()

    @property
    def F(self) -> F64:
        """The rotated factors H Rᵀ, whose signs are the codes."""
        return np.asarray(self.H @ self.R.T)

    def update_view_weights(self) -> None:
        """Update μ, in proportion to the residuals (5.19)."""
        if self.weights.equal or not self.views:
            return
        h = np.sqrt([view.residual() for view in self.views.values()])
        mu = np.maximum(h, 1e-9 * max(h.max(), 1e-300))
        for view, share in zip(self.views.values(), mu / mu.sum(), strict=True):
            view.mu = float(share)

    def update_maps(self) -> None:
        """Update every W and V."""
        for view in self.views.values():
            view.update_map()  # 5.21-5.23
            view.update_directions()  # 5.32

    def update_rotation(self, T: F64, M: F64) -> None:
        """Update R, Z and G by the augmented Lagrangian; T = S F and M = FᵀF of the other side.

        R is taken only if the objective does not rise, which the accumulated duals of the scheme cannot promise.
        """
        N = self.H.T @ self.H
        linear = self.weights.alpha * self.B.T @ self.H + T.T @ self.H
        self.penalty = self.weights.penalty * float(np.linalg.norm(M, 2) * np.linalg.norm(N, 2))
        R = procrustes(rotation_target(self.Z, self.G, M, N, linear, self.penalty))  # 5.26, 5.28
        if rotation_cost(R, M, N, linear) <= rotation_cost(self.R, M, N, linear):
            self.R = R
        self.Z = procrustes(auxiliary_target(R, self.G, M, N, self.penalty))  # 5.33, 5.34
        self.G = self.G + self.penalty * (R - self.Z)  # 5.35, 5.36

    def update_factors(self, T: F64, M: F64) -> None:
        """Update H; the weights of the views differ from row to row, so the system is solved in eigenvectors."""
        alpha, R = self.weights.alpha, self.R
        right = alpha * self.B @ R + T @ R
        own = np.zeros(len(self.H))
        for view in self.views.values():
            share = self.weights.beta / view.mu
            right += share * view.outputs()
            own += share * view.has
        values, vectors = np.linalg.eigh(R.T @ M @ R)
        scale = np.maximum(values, 0.0) + (own + alpha)[:, None]
        self.H = ((right @ vectors) / scale) @ vectors.T  # 5.29, 5.30
        for view in self.views.values():
            view.look(self.H)

    def update_codes(self) -> None:
        """Update B; real-valued in the relaxed problem."""
        self.B = signs(self.F) if self.binary else self.F  # 5.31

    def hash_functions(self) -> tuple[dict[str, F64], dict[str, float]]:
        """Maps of the last factors, rotated (q + 1, r), and weights of the views, 1/μ with sum 1."""
        self.update_view_weights()
        self.update_maps()
        inverse = {name: 1.0 / view.mu for name, view in self.views.items()}
        weights = {name: weight / sum(inverse.values()) for name, weight in inverse.items()}
        return {name: view.W @ self.R.T for name, view in self.views.items()}, weights

    def cost(self) -> float:
        """The terms of (5.15) that belong to this side."""
        w = self.weights
        parts = [w.beta / view.mu * view.residual() + w.gamma * view.low_rank() for view in self.views.values()]
        return w.alpha * float(((self.B - self.F) ** 2).sum()) + sum(parts)


def rotation_target(Z: F64, G: F64, M: F64, N: F64, linear: F64, penalty: float) -> F64:
    """C of max tr(RᵀC): -M Z N + 2 (α BHᵀ + F S H) + λZ - G (5.26; 5.28 with S in place of Sᵀ)."""
    return -M @ Z @ N + 2.0 * linear + penalty * Z - G


def auxiliary_target(R: F64, G: F64, M: F64, N: F64, penalty: float) -> F64:
    """C of max tr(ZᵀC): λR + G - M R N (5.33, 5.34 with the dual that the text lost)."""
    return penalty * R + G - M @ R @ N


def rotation_cost(R: F64, M: F64, N: F64, linear: F64) -> float:
    """tr(Rᵀ M R N) - 2 tr(Rᵀ linear): what the objective (5.15) has of one rotation."""
    return float((R * (M @ R @ N - 2.0 * linear)).sum())


def iterate(products: Products, sides: list[Side]) -> float:
    """One iteration: users, then items; returns the objective (5.15)."""
    users, items = sides
    for side, other, product in ((users, items, products.times), (items, users, products.transposed_times)):
        F = other.F
        T, M = product(F), F.T @ F
        side.update_view_weights()  # 5.19, 5.20
        side.update_maps()
        side.update_rotation(T, M)
        side.update_factors(T, M)
        side.update_codes()
    F = items.F
    cross = float((T * F).sum())
    squares = float(((users.F.T @ users.F) * (F.T @ F)).sum())
    return float(products.square - 2.0 * cross + squares + users.cost() + items.cost())


def start_factors(S: Products, r: int, rng: np.random.Generator) -> list[F64]:
    """Factors of both sides from the leading singular vectors of S, balanced, in one rotation towards the corners."""
    k = min(r, min(S.shape) - 1)
    n, m = S.shape
    left, right = np.zeros((n, r)), np.zeros((m, r))
    if k >= 1:
        P, values, Q = S.truncated_svd(k, rng)
        left[:, :k], right[:, :k] = P * np.sqrt(values), Q * np.sqrt(values)
    both = np.vstack([left * np.sqrt(m), right * np.sqrt(n)])
    rotation = itq_rotation(both, 50, rng)
    return [left @ rotation, right @ rotation]
