"""SignEmbedding: one bit a dimension of an embedding, what engineers do today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modalhash.baselines.linear import LinearHasher
from modalhash.views import Floats, Matrix


@dataclass(kw_only=True, eq=False)
class SignEmbedding(LinearHasher):
    """Codes by the signs of the first `n_bits` dimensions, against zero or against each dimension's training mean.

    threshold: `zero` or `mean`.  Compares views only where they share one space, as image-text encoders give.
    Needs every view to have at least n_bits columns.
    """

    threshold: str = "zero"

    summary: ClassVar[str] = "one bit a dimension of a given embedding; views must share one space"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        if self.threshold not in ("zero", "mean"):
            raise ValueError(f"threshold: expected 'zero' or 'mean', got {self.threshold!r}")
        for name, matrix in views.items():
            if self.n_bits > matrix.shape[1]:
                raise ValueError(
                    f"SignEmbedding: n_bits={self.n_bits} needs as many columns; view {name!r} has {matrix.shape[1]}"
                )
        self._fit_means(views)
        if self.threshold == "zero":
            self.means_ = {name: np.zeros_like(mean) for name, mean in self.means_.items()}
        self.codes_ = self.encode(views)

    def _project(self, name: str, block: Matrix) -> Floats:
        columns = block[:, : self.n_bits]
        values = columns if isinstance(columns, np.ndarray) else columns.toarray()
        return np.asarray(values - self.means_[name][: self.n_bits])
