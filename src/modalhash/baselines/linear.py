"""What the training-free codes share: one centred linear map a view, summed over the views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modalhash.hasher import Hasher
from modalhash.solvers import centred_product, mean_and_scale, principal_directions
from modalhash.views import F64, Floats, Matrix


@dataclass(kw_only=True, eq=False)
class LinearHasher(Hasher):
    """Codes sign(Σ_views (x - mean) W): `means_` (d,) and `functions_` (d, K) a view.

    With all views this hashes their concatenation (each centred, and divided by its scale where scales matter);
    with one view it uses that view's part of the map.
    """

    fits_missing_views: ClassVar[bool] = False

    def _project(self, name: str, block: Matrix) -> Floats:
        return centred_product(block, self.means_[name], self.functions_[name])

    def _fit_means(self, views: dict[str, Matrix]) -> dict[str, float]:
        """Learn `means_` and return the scale (root of the total variance) of every view."""
        moments = {name: mean_and_scale(matrix) for name, matrix in views.items()}
        self.means_: dict[str, F64] = {name: mean for name, (mean, _) in moments.items()}
        self.functions_: dict[str, F64] = {}
        return {name: scale for name, (_, scale) in moments.items()}

    def _fit_principal(self, views: dict[str, Matrix], seed: int) -> dict[str, F64]:
        """The K principal directions of all views side by side, (d, K) a view."""
        scales = self._fit_means(views)
        n = next(iter(views.values())).shape[0]
        width = sum(matrix.shape[1] for matrix in views.values())
        if self.n_bits > min(n, width):
            raise ValueError(
                f"{self.name}: n_bits={self.n_bits} needs at least as many items and feature columns, "
                f"got {n} and {width}"
            )
        return principal_directions(views, self.means_, scales, self.n_bits, seed)

    def _outputs(self, views: dict[str, Matrix], functions: dict[str, F64]) -> F64:
        return np.asarray(sum(centred_product(views[name], self.means_[name], W) for name, W in functions.items()))
