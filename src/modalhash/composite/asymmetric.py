"""Codes from labels and what the views have in common: the asymmetric objective of SMH-OQA and its updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modalhash.solvers import procrustes, ridge, signs, update_bits
from modalhash.views import F64, Floats, Matrix, blocks, dense

if TYPE_CHECKING:
    from modalhash.composite.smh_oqa import SMHOQA

ROTATIONS = 5  # steps of R in an iteration
FLOOR = 1e-6  # added to the mean square of a residual, so that a view that fits exactly has a finite weight


@dataclass(kw_only=True, eq=False)
class Solution:
    """One iterate: codes and common part (n, K), rotation (K, K), maps (p + 1, K) and weights (views,)."""

    B: F64
    H: F64
    R: F64
    W: dict[str, F64]
    w: F64


class Problem:
    """The variables of Eq. 4.8 and one method an update, none of which raises the objective.

    Rows are items: B, H and P_l = φ_l W_l are (n, K), so that a column of the text is a row here.
    """

    def __init__(
        self,
        system: SMHOQA,
        phi: dict[str, Floats],
        present: Mapping[str, NDArray[np.bool_]],
        labels: Matrix,
        rng: np.random.Generator,
    ) -> None:
        self.system, self.phi, self.K = system, phi, system.n_bits
        self.n = labels.shape[0]
        self.alpha = 1000.0 / (self.K * self.n) if system.alpha is None else system.alpha
        self.Y = unit_rows(labels) if system.unit_labels else labels
        self.has = np.array([present[m] for m in phi], dtype=np.float64)
        self.v = self.has.mean(axis=1)
        self.mu = np.full(len(phi), 1.0 / len(phi))
        self.gram = {m: gram(values) for m, values in phi.items()}
        self.B = signs(rng.standard_normal((self.n, self.K)))
        self.R = procrustes(rng.standard_normal((self.K, self.K)))
        self.H = self.B @ self.R
        self.W: dict[str, F64] = {}
        self.P: dict[str, F64] = {}
        self.update_maps()

    def iterate(self) -> None:
        """One pass over all variables; W comes last, so that the maps of an iterate are the best for its H."""
        self.update_view_weights()
        self.update_rotation()
        self.update_common()
        self.update_codes()
        self.update_maps()

    def solution(self) -> Solution:
        """The current iterate; updates replace arrays and never write into them."""
        return Solution(B=self.B, H=self.H, R=self.R, W=dict(self.W), w=self.w)

    def S(self, values: F64) -> F64:
        """S values for values (n, K), through the labels."""
        return np.asarray(2.0 * (self.Y @ (self.Y.T @ values)) - values.sum(axis=0))  # Eq. 4.16

    @property
    def w(self) -> F64:
        """Weights of the views' terms: v/μ, or 1."""
        return np.asarray(np.ones(len(self.mu)) if self.system.weights == "equal" else self.v / self.mu)

    def residuals(self) -> F64:
        """‖H - W_l φ_l‖² of every view over the items that have it, and the floor."""
        sums = [np.sum(own[:, None] * (self.H - P) ** 2) for own, P in zip(self.has, self.P.values(), strict=True)]
        return np.asarray(np.array(sums) + FLOOR * self.K * self.has.sum(axis=1))

    # one update a variable
    def update_view_weights(self) -> None:
        """Update μ."""
        h = np.sqrt(self.v * self.residuals())
        self.mu = h / h.sum()  # Eq. 4.12

    def update_rotation(self) -> None:
        """Update R by steps on a linear bound of its objective (ours)."""
        a, B, H = self.system, self.B, self.H
        BB, HH = B.T @ B, H.T @ H
        cross = a.beta * B.T @ H + self.alpha * self.K * B.T @ self.S(H)
        rho = np.linalg.eigvalsh(BB)[-1] * np.linalg.eigvalsh(HH)[-1]
        for _ in range(ROTATIONS):
            self.R = procrustes(cross + self.alpha * (rho * self.R - BB @ self.R @ HH))

    def update_common(self) -> None:
        """Update H; the items' systems differ by a multiple of I only, so one eigenbasis solves all."""
        a, B, R = self.system, self.B, self.R
        values, vectors = np.linalg.eigh(B.T @ B)
        target = (a.beta * B + self.alpha * self.K * self.S(B)) @ R
        for weight, P in zip(self.w, self.P.values(), strict=True):
            target += weight * P
        basis = R.T @ vectors
        scale = (self.w @ self.has)[:, None] + a.beta + self.alpha * np.maximum(values, 0.0)
        self.H = ((target @ basis) / scale) @ basis.T  # Eq. 4.19, with BBᵀ

    def update_codes(self) -> None:
        """Update B, bit by bit (ours), or all of it where it is relaxed."""
        a, RH = self.system, self.H @ self.R.T
        Q = self.alpha * self.K * self.S(RH) + a.beta * RH
        M = self.alpha * RH.T @ RH
        if not a.discrete:
            self.B = np.linalg.solve(M + a.beta * np.eye(self.K), Q.T).T  # Eq. 4.61
            return
        self.B = self.B.copy()
        for rows in blocks(self.n):
            update_bits(self.B[rows], Q[rows], M)

    def update_maps(self) -> None:
        """Update W, and P = Wφ."""
        for weight, (m, phi) in zip(self.w, self.phi.items(), strict=True):
            cross = np.zeros((phi.shape[1], self.K))
            for rows in blocks(self.n):
                cross += phi[rows].T.astype(np.float64) @ self.H[rows]
            self.W[m] = ridge(self.gram[m], cross, self.system.delta / weight)  # Eq. 4.13
            self.P[m] = np.vstack([phi[rows].astype(np.float64) @ self.W[m] for rows in blocks(self.n)])

    def objective(self) -> float:
        """Eq. 4.8 with the floor of the residuals."""
        a, B, RH, Y = self.system, self.B, self.H @ self.R.T, self.Y
        counts = np.asarray(Y.T @ np.ones(self.n))
        YY = np.asarray(dense(Y.T @ Y))
        SS = 4.0 * np.sum(YY**2) - 4.0 * np.sum(counts**2) + float(self.n) ** 2
        total = self.w @ self.residuals() + a.delta * sum(np.sum(W**2) for W in self.W.values())
        fit = self.K**2 * SS - 2.0 * self.K * np.sum(self.S(B) * RH) + np.sum((B.T @ B) * (RH.T @ RH))
        return float(total + self.alpha * fit + a.beta * np.sum((B - RH) ** 2))


class Augmented(Problem):
    """R and B by augmented Lagrange multipliers (Eq. 4.9, corrected): the objective may rise."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.Z_B, self.Z_R = self.B, self.R
        self.G_B, self.G_R = np.zeros_like(self.B), np.zeros_like(self.R)

    def update_rotation(self) -> None:
        """Update R."""
        a, B, H = self.system, self.B, self.H
        cross = 2.0 * a.beta * B.T @ H + 2.0 * self.alpha * self.K * B.T @ self.S(H)
        C = cross - self.alpha * (B.T @ B) @ self.Z_R @ (H.T @ H) + a.penalty * self.Z_R - self.G_R  # Eq. 4.18
        self.R = procrustes(C)  # Eq. 4.15

    def update_codes(self) -> None:
        """Update B, the auxiliary variables and the multipliers."""
        a, penalty, B, RH = self.system, self.system.penalty, self.B, self.H @ self.R.T
        M = self.alpha * RH.T @ RH
        linear = 2.0 * self.alpha * self.K * self.S(RH) + 2.0 * a.beta * RH
        self.B = B = signs(linear - self.Z_B @ M + penalty * self.Z_B - self.G_B)  # Eq. 4.23
        self.Z_B = signs(penalty * B + self.G_B - B @ M)  # Eq. 4.25
        C = penalty * self.R + self.G_R - self.alpha * (B.T @ B) @ self.R @ (self.H.T @ self.H)
        self.Z_R = procrustes(C)  # Eq. 4.26, with R
        self.G_B = self.G_B + penalty * (B - self.Z_B)
        self.G_R = self.G_R + penalty * (self.R - self.Z_R)  # Eq. 4.27


def gram(phi: Floats) -> F64:
    """φᵀφ in float64, over blocks of rows."""
    total = np.zeros((phi.shape[1],) * 2)
    for rows in blocks(len(phi)):
        block = phi[rows].astype(np.float64)
        total += block.T @ block
    return total


def unit_rows(labels: Matrix) -> F64:
    """Rows of norm 1, (n, c) dense; a row without labels stays zero."""
    rows = dense(labels)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0))
