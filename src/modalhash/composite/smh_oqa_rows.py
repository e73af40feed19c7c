"""What SMH-OQA keeps by row, features, codes and the common part, and its sums over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import squared_distances
from modalhash.codes import BinaryCodes
from modalhash.parts import Mask, Rows, unpacked
from modalhash.solvers import signs, update_bits
from modalhash.views import F64, Floats, Matrix, blocks, dense


class Sums(NamedTuple):
    """XᵀX, YᵀX and 1ᵀX of values X (n, K) and labels Y over all rows."""

    gram: F64
    labels: F64
    ones: F64


class FitSums(NamedTuple):
    """What the objective needs of the rows: Σ residuals a view, Σ SB·RH, RHᵀRH and ‖B - RH‖²."""

    residuals: F64
    agreement: float
    gram: F64
    distance: float


class CommonStep(NamedTuple):
    """What the rows need to update H: αK, β, sums of B, R, weights of the views, an eigenbasis and its values."""

    similarity: float
    beta: float
    codes: Sums
    R: F64
    weights: F64
    basis: F64
    quadratic: F64


class CodeStep(NamedTuple):
    """What the rows need to update B: αK, β, sums of RH (the first times α), R."""

    similarity: float
    beta: float
    turned: Sums
    R: F64


class FusedRows(Rows):
    """Some rows: labels `Y`, features `phi` (n, p + 1), codes `B`, common part `H` and `P` = Wφ (n, K) a view."""

    Y: Matrix
    B: F64
    H: F64
    best: tuple[F64, F64]

    # features; `own` are the rows that have any view of a group
    def own(self, names: Sequence[str]) -> Mask:
        """Rows that have any of the views."""
        return np.asarray(np.any([self.present[m] for m in names], axis=0))

    def differs(self, name: str, first: F64) -> bool:
        """Whether a row that has the view differs from `first` (1, d)."""
        own, matrix = self.present[name], self.views[name]
        return any(bool((dense(matrix[rows][own[rows]]) != first).any()) for rows in blocks(self.n))

    def column_sums(self, name: str) -> F64:
        """Sums of a view's columns over the rows that have it."""
        return column_sums(self.views[name], self.present[name])

    def fill_linear(self, group: str, means: dict[str, F64]) -> None:
        """φ: the centred rows of the views that have means, side by side, and ones."""
        phi = self.phi[group] = self.space(group, (self.n, sum(map(len, means.values())) + 1))
        for rows in blocks(self.n):
            block, has = {m: self.views[m][rows] for m in means}, {m: self.present[m][rows] for m in means}
            phi[rows] = np.hstack([*centred_parts(block, has, means), np.ones((rows.stop - rows.start, 1))])
        phi[~self.own(list(means))] = 0.0

    def make_room(self, group: str, q: int) -> None:
        """Zeros for φ, (n, q + 1)."""
        self.phi[group] = self.space(group, (self.n, q + 1))

    def add_distances(self, group: str, name: str, anchors: F64) -> F64:
        """Add the squared distances of a view to its anchors to φ; returns their sums over the rows that have it."""
        values, own, matrix = self.phi[group][:, :-1], self.present[name], self.views[name]
        total = np.zeros(values.shape[1])
        for rows in blocks(self.n):
            seen = own[rows]
            squares = squared_distances(matrix[rows] if seen.all() else matrix[rows][seen], anchors)
            values[rows][seen] += squares
            total += squares.sum(axis=0)
        return total

    def add_means(self, group: str, names: Sequence[str], name: str, spread: F64) -> None:
        """Add mean distances for the rows of a group that lack one of its views."""
        self.phi[group][:, :-1][self.own(names) & ~self.present[name]] += spread.astype(np.float32)

    def distance_sum(self, group: str) -> float:
        """The sum of the distances that stand squared in φ."""
        values = self.phi[group][:, :-1]
        return sum(float(np.sqrt(values[rows], dtype=np.float64).sum()) for rows in blocks(self.n))

    def exponentiate(self, group: str, names: Sequence[str], sigma: float) -> F64:
        """exp(-x / 2σ²) of φ; returns its column sums."""
        values = self.phi[group][:, :-1]
        values *= np.float32(-0.5 / sigma**2)
        np.exp(values, out=values)
        return column_sums(values, self.own(names))

    def centre(self, group: str, names: Sequence[str], mean: NDArray[np.float32]) -> None:
        """Take the mean from φ, and append ones."""
        phi = self.phi[group]
        phi[:, :-1] -= mean
        phi[:, -1] = 1.0
        phi[~self.own(names)] = 0.0

    # the variables
    def label_sums(self, unit: bool) -> tuple[F64, F64]:
        """Keep Y, of unit rows if asked for; returns YᵀY and Yᵀ1."""
        self.Y = unit_rows(self.labels) if unit else self.labels
        return np.asarray(dense(self.Y.T @ self.Y)), np.asarray(self.Y.T @ np.ones(self.n))

    def start(self, groups: dict[str, list[str]], rotation: F64, bits: NDArray[np.uint8]) -> dict[str, F64]:
        """Begin with the codes `bits` and H = BR, for the named views; returns φᵀφ of each."""
        self.phi = {group: self.phi[group] for group in groups}
        whole = np.ones(self.n, dtype=bool)
        has = [self.present[group] if names == [group] else whole for group, names in groups.items()]
        self.has = np.array(has, dtype=np.float64)
        self.B = unpacked(bits, len(rotation))
        self.H = self.B @ rotation
        self.P: dict[str, F64] = {}
        return {group: gram(values) for group, values in self.phi.items()}

    def S(self, sums: Sums) -> F64:
        """S X for values X (n, K) with these sums over all rows, through the labels."""
        return np.asarray(2.0 * (self.Y @ sums.labels) - sums.ones)  # Eq. 4.16

    def sums(self, values: F64) -> Sums:
        """The sums of values (n, K) over these rows."""
        return Sums(values.T @ values, np.asarray(self.Y.T @ values), values.sum(axis=0))

    def code_sums(self) -> Sums:
        """Sums of B."""
        return self.sums(self.B)

    def common_sums(self) -> Sums:
        """Sums of H."""
        return self.sums(self.H)

    def turned_sums(self, R: F64, alpha: float) -> Sums:
        """Sums of RH, the first times α."""
        RH = self.H @ R.T
        return Sums(alpha * RH.T @ RH, np.asarray(self.Y.T @ RH), RH.sum(axis=0))

    def residuals(self) -> F64:
        """‖H - W_l φ_l‖² of every view over the items that have it."""
        sums = [np.sum(own[:, None] * (self.H - P) ** 2) for own, P in zip(self.has, self.P.values(), strict=True)]
        return np.array(sums)

    def rotation_cross(self, similarity: float, beta: float, common: Sums) -> F64:
        """B(βH + αK SH)ᵀ."""
        return np.asarray(beta * self.B.T @ self.H + similarity * self.B.T @ self.S(common))

    def update_common(self, step: CommonStep) -> None:
        """Update H."""
        target = (step.beta * self.B + step.similarity * self.S(step.codes)) @ step.R
        for weight, P in zip(step.weights, self.P.values(), strict=True):
            target += weight * P
        scale = (step.weights @ self.has)[:, None] + step.beta + step.quadratic
        self.H = ((target @ step.basis) / scale) @ step.basis.T  # Eq. 4.19, with BBᵀ

    def linear(self, step: CodeStep) -> F64:
        """αK S RH + βRH, (n, K)."""
        return np.asarray(step.similarity * self.S(step.turned) + step.beta * (self.H @ step.R.T))

    def update_codes(self, step: CodeStep) -> None:
        """Update B, bit by bit."""
        Q, self.B = self.linear(step), self.B.copy()
        for rows in blocks(self.n):
            update_bits(self.B[rows], Q[rows], step.turned.gram)

    def relax_codes(self, step: CodeStep) -> None:
        """Update B as real values."""
        left = step.turned.gram + step.beta * np.eye(len(step.R))
        self.B = np.asarray(np.linalg.solve(left, self.linear(step).T).T)  # Eq. 4.61

    def start_multipliers(self) -> None:
        """Begin with Z_B = B and no multipliers."""
        self.Z_B, self.G_B = self.B, np.zeros_like(self.B)

    def multiply_codes(self, step: CodeStep, penalty: float) -> None:
        """Update B, its copy and their multipliers."""
        M = step.turned.gram
        self.B = B = signs(2.0 * self.linear(step) - self.Z_B @ M + penalty * self.Z_B - self.G_B)  # Eq. 4.23
        self.Z_B = signs(penalty * B + self.G_B - B @ M)  # Eq. 4.25
        self.G_B = self.G_B + penalty * (B - self.Z_B)

    def map_cross(self) -> dict[str, F64]:
        """φHᵀ of every view."""
        return {m: cross(phi, self.H) for m, phi in self.phi.items()}

    def project(self, maps: dict[str, F64]) -> None:
        """P = Wφ."""
        for m, phi in self.phi.items():
            self.P[m] = np.vstack([phi[rows].astype(np.float64) @ maps[m] for rows in blocks(self.n)])

    def fit_sums(self, R: F64, codes: Sums) -> FitSums:
        """What the objective adds up."""
        RH = self.H @ R.T
        return FitSums(self.residuals(), np.sum(self.S(codes) * RH), RH.T @ RH, np.sum((self.B - RH) ** 2))

    # the result
    def keep(self) -> None:
        """Remember this iterate; updates replace arrays and never write into them."""
        self.best = self.B, self.H

    def best_sums(self) -> tuple[F64, F64, float]:
        """Sums of B, of H and of the sizes of H, in the iterate that was kept."""
        B, H = self.best
        return B.sum(axis=0), H.sum(axis=0), float(np.abs(H).sum())

    def best_codes(self, thresholds: F64) -> NDArray[np.uint8]:
        """Codes of the iterate that was kept, as packed bits."""
        return BinaryCodes.from_signs(self.best[0] - thresholds).packed


def centred_parts(block: Mapping[str, Matrix], has: Mapping[str, Mask], means: Mapping[str, F64]) -> list[F64]:
    """Rows of views minus their means, one (rows, d) a mean; a view that a row lacks counts as its mean."""
    n = len(next(iter(has.values())))
    parts = []
    for m, mean in means.items():
        own, part = has[m] if m in has else np.zeros(n, dtype=bool), np.zeros((n, len(mean)))
        if own.any():
            part[own] = dense(block[m] if own.all() else block[m][own]) - mean
        parts.append(part)
    return parts


def column_sums(matrix: Matrix, own: Mask) -> F64:
    """Sums (d,) over the rows that `own` names, in float64."""
    total = np.zeros(matrix.shape[1])
    for rows in blocks(matrix.shape[0]):
        total += dense(matrix[rows][own[rows]]).sum(axis=0)
    return np.asarray(total)


def cross(phi: Floats, H: F64) -> F64:
    """φᵀH in float64, over blocks of rows."""
    total = np.zeros((phi.shape[1], H.shape[1]))
    for rows in blocks(len(phi)):
        total += phi[rows].T.astype(np.float64) @ H[rows]
    return total


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
