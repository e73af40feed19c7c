"""Codes that take their meaning from noisy tags and from neighbours: the augmented Lagrangian of DSTDH, step by step.

Rows are items, so that every matrix is the transpose of the text's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import squared_distances
from modalhash.graphs import AnchorGraph
from modalhash.solvers import signs
from modalhash.views import F64, Matrix, blocks, dense

LEAST = 1e-30  # a degree or a length below this counts as none


class Hypergraph:
    """Items joined by concepts, kept as Θ = D_v^-1/2 H D_e^-1/2 (n, a) in float32, so that ΘΘᵀ is 1 - the Laplacian."""

    def __init__(self, incidence: NDArray[np.float32]) -> None:
        """incidence: H (n, a) >= 0, which is overwritten; items and concepts without any weight stay alone."""
        d = incidence.sum(axis=1, dtype=np.float64)  # Eq. 2.6
        delta = incidence.sum(axis=0, dtype=np.float64)  # Eq. 2.5
        incidence *= inverse_root(d).astype(np.float32)[:, None]
        incidence *= inverse_root(delta).astype(np.float32)
        self.theta = incidence

    def affinity(self, Z: F64) -> F64:
        """D_v^-1/2 H D_e⁻¹ Hᵀ D_v^-1/2 Z for Z (n, K), in O(n a K) operations."""
        return np.asarray(self.theta @ (self.theta.T @ Z.astype(np.float32)), dtype=np.float64)


def inverse_root(degrees: F64) -> F64:
    """1 / √degree, 0 where there is none."""
    return np.where(degrees > LEAST, 1.0 / np.sqrt(np.maximum(degrees, LEAST)), 0.0)


def incidence(rows: Iterable[F64], n: int, concepts: F64, bandwidth: float = 1.0) -> NDArray[np.float32]:
    """H (n, a): exp(-d² / 2σ²) of items and concepts, σ = `bandwidth` · the mean distance to the nearest (Eq. 2.4).

    rows: the items, block after block.
    """
    H, at, nearest = np.empty((n, len(concepts)), dtype=np.float32), 0, 0.0
    for block in rows:
        squares = squared_distances(block, concepts)
        nearest += float(np.sqrt(squares.min(axis=1)).sum())
        H[at : at + len(block)] = squares
        at += len(block)
    sigma = bandwidth * nearest / n or 1.0
    for part in blocks(n):
        H[part] = np.exp(H[part] * np.float32(-0.5 / sigma**2))
    return H


def shrink_rows(T: F64, threshold: float) -> F64:
    """A that minimises ½‖A - T‖² + threshold · Σ_i ‖a_i‖ row by row: each is shortened by it (Eq. 2.16)."""
    lengths = np.sqrt(np.einsum("ij,ij->i", T, T))
    keep = np.maximum(0.0, 1.0 - threshold / np.maximum(lengths, LEAST))
    return np.asarray(T * keep[:, None])


@dataclass(frozen=True, kw_only=True)
class Weights:
    """α weighs the visual graph, β concepts, ν the hash function, η the size of P; μ the constraints, growing by ρ."""

    alpha: float
    beta: float
    nu: float
    eta: float
    mu: float
    rho: float


@dataclass
class Transfer:
    """Minimises Σ_i ‖z_i - y_i P‖ - α tr(ZᵀSZ) - β tr(ZᵀGZ) + ν‖F - Z‖² + η‖P‖² over Z in {-1, +1} and P (Eq. 2.12).

    Y (n, c): tags, or None to leave the direct transfer out; S, G: the two graphs, None for one that is left out;
    F (n, K): outputs of the hash functions, None as long as there are none.  With A = Z - YP and B = Z each update is
    the exact minimiser of the augmented Lagrangian (Eq. 2.13) over its variable.  `squared` puts ‖z - yP‖² / 2√K in
    place of its root, pulls as much where P is 0, needs no A; `relaxed` lets Z move in [-1, 1].
    """

    weights: Weights
    Z: F64
    Y: Matrix | None = None
    S: AnchorGraph | None = None
    G: Hypergraph | None = None
    F: F64 | None = None
    squared: bool = False
    relaxed: bool = False
    objective: list[float] = field(default_factory=list)
    residual: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.w = 0.5 / float(np.sqrt(self.Z.shape[1]))  # weight of the squared transfer
        self.Y_f: Matrix = None if self.Y is None else self.Y.astype(np.float64)
        if self.Y_f is not None:
            self.values, self.vectors = np.linalg.eigh(dense(self.Y_f.T @ self.Y_f))
        self.begin(self.Z, self.F)

    def begin(self, Z: F64, F: F64 | None) -> None:
        """Start anew from codes Z, with other outputs F of the hash functions."""
        self.Z, self.F, self.mu = Z, F, self.weights.mu
        self.P = np.zeros((0 if self.Y is None else self.Y.shape[1], Z.shape[1]))
        self.A, self.E_A, self.B, self.E_B, self.YP = (np.zeros_like(Z) for _ in range(5))
        self.pulled = self.pull(Z)

    def run(self, max_iter: int, tolerance: float) -> bool:
        """Iterate until no code changes and both constraints hold to `tolerance`; Z and P become the best seen."""
        best, least = (self.Z, self.P), np.inf
        for _ in range(max_iter):
            before = self.Z
            if self.Y is not None:
                self.update_residual()
                self.update_transfer()
            self.update_copy()
            self.update_codes()
            self.update_multipliers()
            self.objective.append(self.value())
            if self.objective[-1] < least:
                least, best = self.objective[-1], (self.Z, self.P)
            if self.residual[-1] <= tolerance and (self.relaxed or np.array_equal(before, self.Z)):
                break
        converged = bool(self.residual[-1] <= tolerance)
        self.Z, self.P = best
        return converged

    def pull(self, Z: F64) -> F64:
        """α S Z + β G Z: where the neighbours of every item want its code."""
        total = np.zeros_like(Z)
        if self.S is not None:
            total += self.weights.alpha * self.S.affinity(Z)
        if self.G is not None:
            total += self.weights.beta * self.G.affinity(Z)
        return total

    def update_residual(self) -> None:
        """Update A."""
        if not self.squared:
            self.A = shrink_rows(self.Z - self.YP + self.E_A / self.mu, 1.0 / self.mu)  # Eq. 2.16

    def update_transfer(self) -> None:
        """Update P."""
        target = self.Z - self.A + self.E_A / self.mu
        ridge = self.values[:, None] + self.weights.eta / (self.w if self.squared else 0.5 * self.mu)
        cross = self.vectors.T @ np.asarray(self.Y_f.T @ target)
        self.P = self.vectors @ (cross / ridge)  # Eq. 2.18, corrected and with the ridge
        self.YP = np.asarray(self.Y_f @ self.P)

    def update_copy(self) -> None:
        """Update B."""
        self.B = self.Z + (self.E_B + self.pulled) / self.mu  # Eq. 2.20

    def update_codes(self) -> None:
        """Update Z."""
        mu, nu = self.mu, self.weights.nu
        target = mu * self.B - self.E_B + self.pull(self.B)
        if self.Y is not None:
            target += 2.0 * self.w * self.YP if self.squared else mu * (self.A + self.YP) - self.E_A
        if self.F is not None:
            target += 2.0 * nu * self.F
        if self.relaxed:
            transfer = 0.0 if self.Y is None else 2.0 * self.w if self.squared else mu
            stiff = mu + transfer + (0.0 if self.F is None else 2.0 * nu)
            self.Z = np.clip(target / stiff, -1.0, 1.0)
        else:
            self.Z = signs(target)  # Eq. 2.23
        self.pulled = self.pull(self.Z)

    def update_multipliers(self) -> None:
        """Update E_A, E_B and μ; note how far the constraints are from holding, relative to ‖Z‖."""
        gap_B = self.Z - self.B
        gaps = [gap_B]
        self.E_B = self.E_B + self.mu * gap_B
        if self.Y is not None and not self.squared:
            gaps.append(self.Z - self.YP - self.A)
            self.E_A = self.E_A + self.mu * gaps[1]
        self.mu *= self.weights.rho  # Eq. 2.24
        self.residual.append(max(float(np.linalg.norm(gap)) for gap in gaps) / float(np.sqrt(self.Z.size)))

    def value(self) -> float:
        """Eq. 2.12 at Z and P, for one item."""
        return (self.misfit(self.Z - self.YP) + self.rest() - float(np.sum(self.Z * self.pulled))) / len(self.Z)

    def lagrangian(self) -> float:
        """Eq. 2.13, which A, P, B and Z minimise in turn."""
        mu, gap = self.mu, self.Z - self.YP
        total = self.rest() - float(np.sum(self.B * self.pulled))
        total += 0.5 * mu * float(np.sum((self.Z - self.B + self.E_B / mu) ** 2))
        if self.Y is None or self.squared:
            return total + self.misfit(gap)
        return total + self.misfit(self.A) + 0.5 * mu * float(np.sum((gap - self.A + self.E_A / mu) ** 2))

    def misfit(self, A: F64) -> float:
        """Σ_i ‖a_i‖, or the squares in its place; 0 without direct transfer."""
        squares = np.sum(A**2, axis=1)
        if self.Y is None:
            return 0.0
        return float(self.w * squares.sum() if self.squared else np.sqrt(squares).sum())

    def rest(self) -> float:
        """ν‖F - Z‖² + η‖P‖²."""
        own = 0.0 if self.F is None else self.weights.nu * float(np.sum((self.F - self.Z) ** 2))
        return own + self.weights.eta * float(np.sum(self.P**2))
