"""The offline stage of UMH-OQA: its variables, and one method an update (book, Algorithm 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modalhash.fusion import Mask
from modalhash.quantizers import (
    SEEDS,
    cut_words,
    decode,
    fitted_words,
    hamming_order,
    nearest_words,
    residual_words,
)
from modalhash.solvers import centred_product, principal_directions, procrustes
from modalhash.views import F64, Matrix, blocks

if TYPE_CHECKING:
    from modalhash.composite.umh_oqa import UMHOQA

BITS = 4  # of an index
WORDS = 2**BITS  # of a codebook
SAMPLE = 10_000  # training rows from which the start is made
RIDGE = 1e-6  # on codebooks, relative to the weight of an average word


class View(NamedTuple):
    """A view that varies: the rows of the items that have it (n_l, d), who they are (n,), mean (d,) and scale."""

    matrix: Matrix
    present: Mask
    mean: F64
    scale: float


class Modality:
    """One view of the objective, or several side by side, centred and scaled when read."""

    def __init__(self, views: dict[str, View]) -> None:
        self.views = views
        self.has = np.any([view.present for view in views.values()], axis=0)
        self.rows = np.flatnonzero(self.has)
        self.at = {name: np.flatnonzero(view.present[self.rows]) for name, view in views.items()}
        self.width = sum(view.matrix.shape[1] for view in views.values())
        self.squares = float(sum(len(at) for at in self.at.values()))  # ‖X_l‖²: the scale makes it 1 a row

    def split(self, R: F64) -> dict[str, F64]:
        """The rows of R_l that belong to each view, divided by its scale."""
        edges = np.cumsum([0, *(view.matrix.shape[1] for view in self.views.values())])
        return {
            name: R[low:high] / view.scale
            for (name, view), low, high in zip(self.views.items(), edges[:-1], edges[1:], strict=True)
        }

    def project(self, R: F64) -> F64:
        """X_lᵀR_l, (rows, D)."""
        Z = np.zeros((len(self.rows), R.shape[1]))
        for name, W in self.split(R).items():
            view = self.views[name]
            for part in blocks(view.matrix.shape[0]):
                Z[self.at[name][part]] += centred_product(view.matrix[part], view.mean, W)
        return Z

    def cross(self, H: F64) -> F64:
        """X_lH_lᵀ, (d_l, D)."""
        parts = []
        for name, view in self.views.items():
            total = np.zeros((view.matrix.shape[1], H.shape[1]))
            for part in blocks(view.matrix.shape[0]):
                values = H[self.at[name][part]]
                total += transposed_product(view.matrix[part], values) - np.outer(view.mean, values.sum(axis=0))
            parts.append(total / view.scale)
        return np.vstack(parts)

    def only(self, rows: NDArray[np.intp]) -> Modality:
        """The same for some items, by their positions; they have all of the views."""
        views = {}
        for name, view in self.views.items():
            matrix = view.matrix[np.searchsorted(np.flatnonzero(view.present), rows)]
            views[name] = view._replace(matrix=matrix, present=np.ones(len(rows), dtype=bool))
        return Modality(views)


class Problem:
    """The variables of UMH-OQA and one method an update; rows are items, so H_l is (n_l, D) and B is A (n, m)."""

    def __init__(self, system: UMHOQA, modalities: list[Modality], rng: np.random.Generator) -> None:
        self.system, self.modalities, self.alpha = system, modalities, system.alpha
        self.n = n = len(modalities[0].has)
        self.D = min(system.latent_dim, n, max(modality.width for modality in modalities))
        self.mu = np.full(len(modalities), 1.0 / len(modalities))
        self.shares = np.array([n / len(modality.rows) for modality in modalities])
        self.ridge = RIDGE * n * len(modalities) ** 2 / WORDS
        self.R = self._start(rng)
        self.Z = [modality.project(R) for modality, R in zip(modalities, self.R, strict=True)]
        self.H = self.Z
        E = self.fused()
        sample = np.sort(rng.permutation(n)[:SAMPLE])
        m = system.n_bits // BITS
        if system.metric == "hamming":  # k-means of what is left over puts all that matters into the first few bits
            self.C = cut_words(E[sample], m, WORDS, rng)
        else:
            self.C = residual_words(E[sample], m, WORDS, int(rng.integers(SEEDS)))
        self.A = nearest_words(self.C, np.eye(self.D), E, system.sweeps)
        self.update_latent()

    def _start(self, rng: np.random.Generator) -> list[F64]:
        """Bases that turn every view towards the principal components of all views side by side.

        From the items that have every view; what they leave open is filled by chance.
        """
        everyone = [view.present for modality in self.modalities for view in modality.views.values()]
        rows = np.sort(rng.permutation(np.flatnonzero(np.all(everyone, axis=0)))[:SAMPLE])
        noise = [rng.standard_normal((modality.width, self.D)) for modality in self.modalities]
        if not len(rows):
            return [procrustes(values) for values in noise]
        chosen = [modality.only(rows) for modality in self.modalities]
        views = {name: view for modality in chosen for name, view in modality.views.items()}
        matrices = {name: view.matrix for name, view in views.items()}
        means = {name: view.mean for name, view in views.items()}
        scales = {name: view.scale for name, view in views.items()}
        W = principal_directions(matrices, means, scales, self.D, int(rng.integers(2**31)))
        V = np.asarray(sum(centred_product(view.matrix, view.mean, W[name]) for name, view in views.items()))
        crosses = [modality.cross(V) for modality in chosen]
        return [
            procrustes(cross + 1e-6 * (np.abs(cross).max() or 1.0) * values)
            for cross, values in zip(crosses, noise, strict=True)
        ]

    def totals(self) -> F64:
        """The weight of every item in the quantisation term: Σ 1/μ_l over the views it has, (n,)."""
        total = np.zeros(self.n)
        for modality, weight in zip(self.modalities, self.shares / self.mu, strict=True):
            total[modality.rows] += weight
        return total

    def fused(self) -> F64:
        """The mean of each item's latent rows, weighed by 1/μ_l, (n, D): the nearest words to it are those of 4.35.

        0 for an item that has only views which never vary: it weighs nothing.
        """
        E = np.zeros((self.n, self.D))
        for modality, H, weight in zip(self.modalities, self.H, self.shares / self.mu, strict=True):
            E[modality.rows] += weight * H
        return np.asarray(E / np.maximum(self.totals(), 1e-300)[:, None])

    def update_words(self) -> None:
        """Update B."""
        self.A = nearest_words(self.C, np.eye(self.D), self.fused(), self.system.sweeps, self.A)  # Eq. 4.35

    def update_bases(self) -> None:
        """Update every R_l."""
        self.R = [
            procrustes(modality.cross(H)) for modality, H in zip(self.modalities, self.H, strict=True)
        ]  # Eq. 4.38
        self.Z = [modality.project(R) for modality, R in zip(self.modalities, self.R, strict=True)]

    def update_latent(self) -> None:
        """Update every H_l."""
        Q = decode(self.C, self.A)
        self.H = [
            (self.alpha * Z + Q[modality.rows] / mu) / (self.alpha + 1.0 / mu)  # Eq. 4.41, with I/μ in the inverse
            for modality, Z, mu in zip(self.modalities, self.Z, self.mu, strict=True)
        ]

    def update_codebooks(self) -> None:
        """Update C."""
        self.C = fitted_words(self.A, self.totals(), self.fused(), WORDS, self.ridge)  # Eq. 4.44, with a ridge

    def residuals(self) -> F64:
        """‖H_l - Cν(B)‖ of every view, with its share, (views,)."""
        Q = decode(self.C, self.A)
        squares = [np.sum((H - Q[modality.rows]) ** 2) for modality, H in zip(self.modalities, self.H, strict=True)]
        return np.asarray(np.sqrt(self.shares * squares))

    def update_weights(self) -> None:
        """Update μ."""
        left = self.residuals()
        if self.system.weights != "equal" and left.max() > 0:
            left = np.maximum(left, 1e-9 * left.max())
            self.mu = left / left.sum()  # Eq. 4.48

    def renumber(self) -> None:
        """Give the words of every codebook numbers whose bits follow distances; no item changes its words."""
        order = hamming_order(self.C)
        self.C = np.take_along_axis(self.C, order[:, :, None], axis=1)
        self.A = np.take_along_axis(np.argsort(order, axis=1), self.A.T.astype(np.intp), axis=1).T.astype(np.uint8)

    def objective(self) -> float:
        """Eq. 4.34, with the ridge on C."""
        total = np.sum(self.residuals() ** 2 / self.mu) + self.ridge * np.sum(self.C**2)
        for modality, Z, H, share in zip(self.modalities, self.Z, self.H, self.shares, strict=True):
            total += self.alpha * share * (modality.squares - 2.0 * np.sum(H * Z) + np.sum(H**2))
        return float(total)


def transposed_product(matrix: Matrix, values: F64) -> F64:
    """matrixᵀ values in float64; a sparse matrix stays sparse."""
    return np.asarray(matrix.astype(np.float64).T @ values)
