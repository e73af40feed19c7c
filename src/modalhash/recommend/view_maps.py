"""Ridge maps from views to given factors: what gives anybody's factors to those whom nobody rated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import present_rows
from modalhash.recommend.functions import HashFunctions, Present
from modalhash.views import F64, Floats, Matrix, blocks

ANCHORS = 500  # a view, or half of the rows that have it where these are fewer
RIDGES = 10.0 ** np.arange(-4, 3)  # shares of the mean eigenvalue that are compared


@dataclass(eq=False)
class ViewMap:
    """W of min ‖Y - ΦW‖² + ρ ‖W‖², Φ the kernel features of all views side by side, zero where a view is missing.

    The features are those of MDCF: distances to anchors through an RBF kernel, centred, and a one a view.  ρ is the
    one of least generalised cross-validation error on the training rows.
    """

    functions: HashFunctions
    W: F64
    ridge: float

    def predict(self, views: dict[str, Matrix]) -> F64:
        """Factors (n, r) of rows by their views."""
        present = present_rows(views)
        n = len(next(iter(present.values())))
        return np.vstack([_stacked(self.functions, views, present, rows) @ self.W for rows in blocks(n)])


def fit_view_map(views: dict[str, Matrix], Y: F64, rng: np.random.Generator, n_anchors: int = ANCHORS) -> ViewMap:
    """The map from views, name -> (n, d) with NaN rows where one is missing, to factors Y (n, r)."""
    functions, present = HashFunctions(), present_rows(views)
    fewest = min(int(has.sum()) for has in present.values())
    functions.fit_features(views, present, max(1, min(n_anchors, fewest // 2)), rng)
    parts = (_stacked(functions, views, present, rows) for rows in blocks(len(Y)))
    W, ridge = least_error_ridge(parts, Y)
    return ViewMap(functions, W, ridge)


def joint_maps(phi: Mapping[str, Floats], Y: F64) -> dict[str, F64]:
    """For each view its rows (q + 1, r) of the one map from all features side by side to Y (n, r).

    phi: name -> (n, q + 1), zero where the view is missing; the outputs of the views add up to what is predicted.
    """
    parts = (np.hstack([x[rows].astype(np.float64) for x in phi.values()]) for rows in blocks(len(Y)))
    W = least_error_ridge(parts, Y)[0]
    ends = np.cumsum([x.shape[1] for x in phi.values()])[:-1]
    return dict(zip(phi, np.split(W, ends), strict=True))


def least_error_ridge(parts: Iterable[F64], Y: F64) -> tuple[F64, float]:
    """W of min ‖Y - ΦW‖² + ρ ‖W‖² and the ρ of least validation error; parts: Φ in blocks of rows, as `blocks` cuts."""
    gram, cross = np.zeros((1, 1)), np.zeros((1, 1))
    for rows, part in zip(blocks(len(Y)), parts, strict=True):
        gram, cross = gram + part.T @ part, cross + part.T @ Y[rows]
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    target = vectors.T @ cross
    choices = RIDGES * values.mean()
    errors = [validation_error(values, target, float((Y**2).sum()), len(Y), ridge) for ridge in choices]
    ridge = float(choices[int(np.argmin(errors))])
    return vectors @ (target / (values + ridge)[:, None]), ridge


def validation_error(values: F64, target: F64, square: float, n: int, ridge: float) -> float:
    """Generalised cross-validation: ‖Y - ΦW‖² / (1 - tr(hat matrix) / n)², in the eigenvectors of ΦᵀΦ."""
    W = target / (values + ridge)[:, None]
    residual = square - 2.0 * float((W * target).sum()) + float((values[:, None] * W**2).sum())
    free = 1.0 - float((values / (values + ridge)).sum()) / n
    return residual / max(free, 1e-6) ** 2


def _stacked(functions: HashFunctions, views: dict[str, Matrix], present: Present, rows: slice) -> F64:
    """Φ of a block of rows, (rows, all features)."""
    parts = []
    for name, matrix in views.items():
        has: NDArray[np.bool_] = present[name][rows]
        phi = np.zeros((len(has), len(functions.anchors[name]) + 1))
        phi[has] = functions.features(name, matrix[rows][has])
        parts.append(phi)
    return np.hstack(parts)
