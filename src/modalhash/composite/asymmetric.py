"""Codes from labels and what the views have in common: the asymmetric objective of SMH-OQA and its updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modalhash.composite.smh_oqa_rows import CodeStep, CommonStep, FitSums, Sums
from modalhash.parts import Mask, Parts, drawn_signs
from modalhash.solvers import procrustes, ridge
from modalhash.views import F64

if TYPE_CHECKING:
    from modalhash.composite.smh_oqa import SMHOQA

ROTATIONS = 5  # steps of R in an iteration
FLOOR = 1e-6  # added to the mean square of a residual, so that a view that fits exactly has a finite weight


@dataclass(kw_only=True, eq=False)
class Solution:
    """The small part of an iterate: rotation (K, K), maps (p + 1, K) and weights (views,)."""

    R: F64
    W: dict[str, F64]
    w: F64


class Problem:
    """The variables of Eq. 4.8 and one method an update, none of which raises the objective.

    B, H and P_l = φ_l W_l are (n, K), a column of the text is a row here, and stay with the rows; `codes` are the
    sums of B.  groups: name of the features -> its views.
    """

    def __init__(
        self,
        system: SMHOQA,
        parts: Parts,
        groups: dict[str, list[str]],
        present: Mapping[str, Mask],
        rng: np.random.Generator,
    ) -> None:
        self.system, self.parts, self.K = system, parts, system.n_bits
        sizes = parts.sizes()
        self.n = n = sum(sizes)
        self.alpha = 1000.0 / (self.K * n) if system.alpha is None else system.alpha
        self.YY, self.Y1 = parts.total("label_sums", system.unit_labels)
        self.counts = np.array([present[m].sum() if names == [m] else n for m, names in groups.items()], np.float64)
        self.v = self.counts / n
        self.mu = np.full(len(groups), 1.0 / len(groups))
        bits = list(drawn_signs(rng, sizes, self.K))
        self.R = procrustes(rng.standard_normal((self.K, self.K)))
        self.gram: dict[str, F64] = parts.total("start", groups, self.R, own=bits)
        self.codes: Sums = parts.total("code_sums")
        self.W: dict[str, F64] = {}
        self.update_maps()

    def iterate(self) -> None:
        """One pass over all variables; W comes last, so that the maps of an iterate are the best for its H."""
        self.update_view_weights()
        self.update_rotation()
        self.update_common()
        self.update_codes()
        self.update_maps()

    def solution(self) -> Solution:
        """The current iterate; the rows keep theirs."""
        self.parts.run("keep")
        return Solution(R=self.R, W=dict(self.W), w=self.w)

    @property
    def w(self) -> F64:
        """Weights of the views' terms: v/μ, or 1."""
        return np.asarray(np.ones(len(self.mu)) if self.system.weights == "equal" else self.v / self.mu)

    def with_floor(self, residuals: F64) -> F64:
        """‖H - W_l φ_l‖² of every view over the items that have it, and the floor."""
        return np.asarray(residuals + FLOOR * self.K * self.counts)

    # one update a variable
    def update_view_weights(self) -> None:
        """Update μ."""
        h = np.sqrt(self.v * self.with_floor(self.parts.total("residuals")))
        self.mu = h / h.sum()  # Eq. 4.12

    def rotation_sums(self) -> tuple[F64, F64, F64]:
        """BBᵀ, HHᵀ and B(βH + αK SH)ᵀ."""
        common: Sums = self.parts.total("common_sums")
        cross = self.parts.total("rotation_cross", self.alpha * self.K, self.system.beta, common)
        return self.codes.gram, common.gram, cross

    def update_rotation(self) -> None:
        """Update R by steps on a linear bound of its objective (ours)."""
        BB, HH, cross = self.rotation_sums()
        rho = np.linalg.eigvalsh(BB)[-1] * np.linalg.eigvalsh(HH)[-1]
        for _ in range(ROTATIONS):
            self.R = procrustes(cross + self.alpha * (rho * self.R - BB @ self.R @ HH))

    def update_common(self) -> None:
        """Update H; the items' systems differ by a multiple of I only, so one eigenbasis solves all."""
        values, vectors = np.linalg.eigh(self.codes.gram)
        basis, quadratic = self.R.T @ vectors, self.alpha * np.maximum(values, 0.0)
        step = CommonStep(self.alpha * self.K, self.system.beta, self.codes, self.R, self.w, basis, quadratic)
        self.parts.run("update_common", step)  # Eq. 4.19

    def code_step(self) -> CodeStep:
        """What an update of B needs."""
        turned = self.parts.total("turned_sums", self.R, self.alpha)
        return CodeStep(self.alpha * self.K, self.system.beta, turned, self.R)

    def update_codes(self) -> None:
        """Update B, bit by bit (ours), or all of it where it is relaxed."""
        self.parts.run("update_codes" if self.system.discrete else "relax_codes", self.code_step())
        self.codes = self.parts.total("code_sums")

    def update_maps(self) -> None:
        """Update W, and P = Wφ."""
        cross: dict[str, F64] = self.parts.total("map_cross")
        for weight, m in zip(self.w, cross, strict=True):
            self.W[m] = ridge(self.gram[m], cross[m], self.system.delta / weight)  # Eq. 4.13
        self.parts.run("project", self.W)

    def objective(self) -> float:
        """Eq. 4.8 with the floor of the residuals."""
        a, fit = self.system, self.parts.total("fit_sums", self.R, self.codes)
        assert isinstance(fit, FitSums)
        SS = 4.0 * np.sum(self.YY**2) - 4.0 * np.sum(self.Y1**2) + float(self.n) ** 2
        total = self.w @ self.with_floor(fit.residuals) + a.delta * sum(np.sum(W**2) for W in self.W.values())
        similarity = self.K**2 * SS - 2.0 * self.K * fit.agreement + np.sum(self.codes.gram * fit.gram)
        return float(total + self.alpha * similarity + a.beta * fit.distance)


class Augmented(Problem):
    """R and B by augmented Lagrange multipliers (Eq. 4.9, corrected): the objective may rise.

    Z_B and its multipliers stay with the rows.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.parts.run("start_multipliers")
        self.Z_R, self.G_R = self.R, np.zeros_like(self.R)

    def update_rotation(self) -> None:
        """Update R."""
        a = self.system
        BB, HH, cross = self.rotation_sums()
        C = 2.0 * cross - self.alpha * BB @ self.Z_R @ HH + a.penalty * self.Z_R - self.G_R  # Eq. 4.18
        self.R = procrustes(C)  # Eq. 4.15

    def update_codes(self) -> None:
        """Update B, the auxiliary variables and the multipliers."""
        penalty = self.system.penalty
        self.parts.run("multiply_codes", self.code_step(), penalty)
        self.codes, common = self.parts.total("code_sums"), self.parts.total("common_sums")
        C = penalty * self.R + self.G_R - self.alpha * self.codes.gram @ self.R @ common.gram
        self.Z_R = procrustes(C)  # Eq. 4.26, with R
        self.G_R = self.G_R + penalty * (self.R - self.Z_R)  # Eq. 4.27
