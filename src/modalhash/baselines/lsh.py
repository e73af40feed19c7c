"""LSH: signs of random projections (Charikar 2002)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from modalhash.baselines.linear import LinearHasher
from modalhash.views import Matrix


@dataclass(kw_only=True, eq=False)
class LSH(LinearHasher):
    """Codes by random hyperplanes through the mean; they keep angles inside a view and know nothing across views."""

    summary: ClassVar[str] = "random hyperplanes; nothing is learned but the mean"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        rng = self._rng()
        scales = self._fit_means(views)
        for name, matrix in views.items():
            self.functions_[name] = rng.standard_normal((matrix.shape[1], self.n_bits)) / scales[name]
        self.codes_ = self.encode(views)
