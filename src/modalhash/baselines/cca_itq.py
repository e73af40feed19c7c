"""CCA-ITQ: canonical correlations of the views, rotated by ITQ (Gong & Lazebnik 2011), for any number of views."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from modalhash.baselines.linear import LinearHasher
from modalhash.hasher import check_integer, check_real
from modalhash.solvers import centred_product, fix_signs, itq_rotation, principal_directions
from modalhash.views import F64, Matrix


@dataclass(kw_only=True, eq=False)
class CCAITQ(LinearHasher):
    """Codes by directions in which the views agree, rotated towards the corners of the cube.

    Each view is reduced to at most `max_width` principal components, then all pairs of views are correlated at once
    (for two views: CCA).  Each covariance carries a ridge of `ridge` times its mean eigenvalue.
    Needs at least two views, and n_bits of at most the narrowest of them.
    """

    max_iter: int = 50
    ridge: float = 0.1
    max_width: int = 512

    min_views: ClassVar[int] = 2
    summary: ClassVar[str] = "unsupervised, two or more views: canonical correlations, rotated"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        check_integer("max_iter", self.max_iter, low=1)
        check_integer("max_width", self.max_width, low=1)
        check_real("ridge", self.ridge, low=0, inclusive=False)
        rng = self._rng()
        scales = self._fit_means(views)
        n = next(iter(views.values())).shape[0]
        widths = {name: min(matrix.shape[1], n, self.max_width) for name, matrix in views.items()}
        if self.n_bits > min(widths.values()):
            narrow = min(widths, key=lambda name: widths[name])
            raise ValueError(
                f"CCAITQ: n_bits={self.n_bits} needs views of at least {self.n_bits} dimensions; "
                f"view {narrow!r} has {widths[narrow]} (columns, items and max_width bound it)"
            )
        seed = int(rng.integers(2**31))
        reduce, reduced = reduced_views(views, self.means_, scales, widths, seed)
        directions = correlated_directions(list(reduced.values()), self.n_bits, self.ridge)
        outputs = np.asarray(sum(x @ w for x, w in zip(reduced.values(), directions, strict=True)))
        rotation = itq_rotation(outputs, self.max_iter, rng)
        self.functions_ = {name: reduce[name] @ w @ rotation for name, w in zip(views, directions, strict=True)}
        self.codes_ = self.encode(views)


def reduced_views(
    views: dict[str, Matrix], means: dict[str, F64], scales: dict[str, float], widths: dict[str, int], seed: int
) -> tuple[dict[str, F64], dict[str, F64]]:
    """Per view its principal directions (d, width), and the centred rows along them (n, width)."""
    reduce = {
        name: principal_directions({name: matrix}, means, scales, widths[name], seed)[name]
        for name, matrix in views.items()
    }
    return reduce, {name: centred_product(views[name], means[name], W) for name, W in reduce.items()}


def correlated_directions(views: list[F64], k: int, ridge: float) -> list[F64]:
    """Per centred view (n, d) the k directions (d, k) that maximise the correlation summed over all pairs of views.

    Solves C w = λ D w with C the covariance of the views side by side and D its blocks on the diagonal plus a ridge;
    directions are scaled by their correlation, as in Gong & Lazebnik.
    """
    from scipy.linalg import block_diag, eigh

    everything = np.hstack(views)
    covariance = everything.T @ everything
    inside = block_diag(
        *(x.T @ x + ridge * (np.trace(x.T @ x) / x.shape[1] or 1.0) * np.eye(x.shape[1]) for x in views)
    )
    values, vectors = eigh(covariance, inside, subset_by_index=(len(inside) - k, len(inside) - 1), check_finite=False)
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], fix_signs(vectors[:, order])
    weights = np.maximum(values - 1.0, 0.0) if len(views) > 1 else values
    weights = np.where(weights > 1e-10, weights, 0.0)
    edges = np.cumsum([0, *(x.shape[1] for x in views)])
    return [vectors[low:high] * weights for low, high in pairwise(edges)]
