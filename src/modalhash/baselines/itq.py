"""ITQ: iterative quantization of principal components (Gong & Lazebnik 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from modalhash.baselines.linear import LinearHasher
from modalhash.hasher import check_integer
from modalhash.solvers import itq_rotation
from modalhash.views import Matrix


@dataclass(kw_only=True, eq=False)
class ITQ(LinearHasher):
    """Codes by principal components of the views side by side, rotated towards the corners of the cube."""

    max_iter: int = 50

    summary: ClassVar[str] = "unsupervised: principal components, rotated to lose least by the sign"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        check_integer("max_iter", self.max_iter, low=1)
        rng = self._rng()
        directions = self._fit_principal(views, int(rng.integers(2**31)))
        rotation = itq_rotation(self._outputs(views, directions), self.max_iter, rng)
        self.functions_ = {name: W @ rotation for name, W in directions.items()}
        self.codes_ = self.encode(views)
