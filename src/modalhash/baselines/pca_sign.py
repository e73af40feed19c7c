"""PCASign: signs of principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from modalhash.baselines.linear import LinearHasher
from modalhash.views import Matrix


@dataclass(kw_only=True, eq=False)
class PCASign(LinearHasher):
    """Codes by the signs of the first `n_bits` principal components of the views side by side."""

    summary: ClassVar[str] = "unsupervised: signs of principal components"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        seed = int(self._rng().integers(2**31))
        self.functions_ = self._fit_principal(views, seed)
        self.codes_ = self.encode(views)
