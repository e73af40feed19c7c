"""ITQ: iterative quantization of principal components (Gong & Lazebnik 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modalhash.baselines.linear import LinearHasher
from modalhash.hasher import check_integer
from modalhash.nested import Nested, block_ends, grown
from modalhash.solvers import itq_rotation
from modalhash.views import F64, Matrix


@dataclass(kw_only=True, eq=False)
class ITQ(LinearHasher, Nested):
    """Codes by principal components of the views side by side, rotated towards the corners of the cube.

    nested: rotate the first 16 components, then the first 32, 64 …, and keep at each length those of its bits that add
    most to the bits before them (see `greedy_order`; the target is the likeness by components).  Bits from different
    lengths are not orthogonal.  With one seed the first 16 bits are those of ITQ at 16 bits, in another order.
    """

    max_iter: int = 50

    summary: ClassVar[str] = "unsupervised: principal components, rotated to lose least by the sign"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        check_integer("max_iter", self.max_iter, low=1)
        rng = self._rng()
        directions = self._fit_principal(views, int(rng.integers(2**31)))
        outputs = self._outputs(views, directions)
        rotation = (nested_rotation if self.nested else itq_rotation)(outputs, self.max_iter, rng)
        self.functions_ = {name: W @ rotation for name, W in directions.items()}
        self.codes_ = self.encode(views)


def nested_rotation(outputs: F64, max_iter: int, rng: np.random.Generator) -> F64:
    """Directions (K, K) in the space of principal components (n, K) whose first columns are those of shorter codes."""
    K = outputs.shape[1]
    directions = np.zeros((K, 0))
    for length in block_ends(K):
        rotated = np.zeros((K, length))
        rotated[:length] = itq_rotation(outputs[:, :length], max_iter, rng)
        chosen = grown(outputs @ directions, outputs @ rotated, lambda rows: outputs[rows])
        directions = np.hstack([directions, rotated])[:, chosen]
    return directions
