"""Hash functions of one side (users or items): kernel features of its views, linear maps, and weights of the views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import choose_anchors, dense_anchors, kernel_width, rbf
from modalhash.codes import BinaryCodes
from modalhash.fusion import fuse
from modalhash.views import F64, Array, Floats, Matrix, Views, blocks, check_encode_views

SAMPLE = 10_000  # rows from which the kernel width is estimated
WEIGHTS = ("adaptive", "fixed", "equal", "joint")
Present: TypeAlias = Mapping[str, NDArray[np.bool_]]


@dataclass(eq=False)
class HashFunctions:
    """For each view φ, anchors (q, d), kernel width, mean (q,), and then a map (q + 1, r) and a weight.

    φ of a row is its RBF distances to the anchors minus their training mean, and a one.
    """

    anchors: dict[str, F64] = field(default_factory=dict)
    sigmas: dict[str, float] = field(default_factory=dict)
    means: dict[str, F64] = field(default_factory=dict)
    maps: dict[str, F64] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def fit_features(self, views: Mapping[str, Matrix], present: Present, q: int, rng: np.random.Generator) -> None:
        """Learn anchors, kernel widths and means from training rows that have the view."""
        n = len(next(iter(present.values())))
        common = choose_anchors(np.all(list(present.values()), axis=0), n, rng)
        sample = np.sort(rng.permutation(n)[:SAMPLE])
        for name, matrix in views.items():
            has = present[name]
            self.anchors[name] = dense_anchors(matrix, common[has[common]][:q])
            chosen = sample[has[sample]] if has[sample].any() else np.flatnonzero(has)[:SAMPLE]
            self.sigmas[name] = kernel_width(matrix[chosen], self.anchors[name])
            self.means[name] = np.zeros(len(self.anchors[name]))
            total = np.zeros(len(self.anchors[name]))
            for rows in blocks(n):
                total += self.features(name, matrix[rows][has[rows]])[:, :-1].sum(axis=0)
            self.means[name] = total / has.sum()

    def features(self, name: str, block: Matrix) -> F64:
        """φ of rows that have the view, (rows, q + 1)."""
        phi = np.ones((block.shape[0], len(self.anchors[name]) + 1))
        if block.shape[0]:
            phi[:, :-1] = rbf(block, self.anchors[name], self.sigmas[name]) - self.means[name]
        return phi

    def all_features(self, views: Mapping[str, Matrix], present: Present) -> dict[str, Floats]:
        """φ of every training row, (n, q + 1) float32, zero where the view is missing."""
        phi: dict[str, Floats] = {}
        for name, matrix in views.items():
            phi[name] = np.zeros((matrix.shape[0], len(self.anchors[name]) + 1), dtype=np.float32)
            for rows in blocks(matrix.shape[0]):
                has = present[name][rows]
                phi[name][rows][has] = self.features(name, matrix[rows][has])
        return phi

    def outputs(self, views: Mapping[str, Matrix], present: Present, rows: slice) -> tuple[F64, NDArray[np.bool_]]:
        """R W φ of a block of rows, (views, rows, r) with zeros where a view is missing, and who has which view."""
        has = np.stack([present[name][rows] for name in views])
        width = next(iter(self.maps.values())).shape[1]
        outputs = np.zeros((*has.shape, width))
        for output, own, (name, matrix) in zip(outputs, has, views.items(), strict=True):
            if own.any():
                output[own] = self.features(name, matrix[rows][own]) @ self.maps[name]
        return outputs, has

    def weigh(self, names: list[str], outputs: F64, has: NDArray[np.bool_], how: str) -> F64:
        """Fused outputs (rows, r): weights of each row (5.39), those of training, equal ones, or the sum ("joint")."""
        if how == "adaptive":
            return fuse(outputs, has)[0]
        if how == "joint":  # maps that were fitted together; outputs of missing views are zero
            return np.asarray(outputs.sum(axis=0))
        weights = np.array([self.weights[name] if how == "fixed" else 1.0 for name in names])[:, None] * has
        return np.asarray(((weights / weights.sum(axis=0))[:, :, None] * outputs).sum(axis=0))

    def encode(self, views: Views, widths: Mapping[str, int], how: str) -> F64:
        """Fused outputs (n, r) of rows that each have a fitted view; ValueError as in `check_encode_views`."""
        checked, present = check_encode_views(views, widths)
        n = next(iter(checked.values())).shape[0]
        fused = [self.weigh(list(checked), *self.outputs(checked, present, rows), how) for rows in blocks(n)]
        return np.vstack(fused)

    def state(self) -> dict[str, Array]:
        """All that was learned as one flat dict of arrays."""
        return {
            key: value
            for name in self.maps
            for key, value in (
                (f"{name}:anchors", self.anchors[name]),
                (f"{name}:mean", self.means[name]),
                (f"{name}:map", self.maps[name]),
                (f"{name}:scalars", np.array([self.sigmas[name], self.weights[name]])),
            )
        }

    @classmethod
    def of(cls, state: Mapping[str, Array]) -> HashFunctions:
        """The functions that `state` was made from."""
        functions = cls()
        for key, value in state.items():
            name, kind = key.rsplit(":", 1)
            if kind == "scalars":
                functions.sigmas[name], functions.weights[name] = float(value[0]), float(value[1])
            else:
                {"anchors": functions.anchors, "mean": functions.means, "map": functions.maps}[kind][name] = value
        return functions


def view_codes(functions: HashFunctions, views: Mapping[str, Matrix], present: Present) -> dict[str, Array]:
    """For each view the packed code that it alone gives every item, (n, ⌈r/8⌉) uint8, zeros where it is missing."""
    codes: dict[str, Array] = {}
    for name, matrix in views.items():
        width = functions.maps[name].shape[1]
        codes[name] = np.zeros((matrix.shape[0], -(-width // 8)), dtype=np.uint8)
        for rows in blocks(matrix.shape[0]):
            has = present[name][rows]
            if has.any():
                outputs = functions.features(name, matrix[rows][has]) @ functions.maps[name]
                codes[name][rows][has] = BinaryCodes.from_signs(outputs).packed
    return codes
