"""ITQ: iterative quantization of principal components (Gong & Lazebnik 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from modalhash.baselines.linear import LinearHasher
from modalhash.codes import BinaryCodes
from modalhash.hasher import check_integer
from modalhash.nested import Nested, alignment, block_ends, blocks_of, greedy_order
from modalhash.solvers import itq_rotation
from modalhash.views import F64, Matrix


@dataclass(kw_only=True, eq=False)
class ITQ(LinearHasher, Nested):
    """Codes by principal components of the views side by side, rotated towards the corners of the cube.

    nested: rotate the first 16 components among themselves, then the next 16, 32, 64 …, so that the first bits never
    hang on later components; inside a block bits are ordered by what each adds (see `greedy_order`, the target being
    the components).  With one seed the first 16 bits are those of ITQ at 16 bits, in another order.
    """

    max_iter: int = 50

    summary: ClassVar[str] = "unsupervised: principal components, rotated to lose least by the sign"

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        check_integer("max_iter", self.max_iter, low=1)
        rng = self._rng()
        directions = self._fit_principal(views, int(rng.integers(2**31)))
        outputs = self._outputs(views, directions)
        if self.nested:
            rotation = nested_rotation(outputs, self.max_iter, rng)
        else:
            rotation = itq_rotation(outputs, self.max_iter, rng)
        self.functions_ = {name: W @ rotation for name, W in directions.items()}
        self.codes_ = self.encode(views)


def nested_rotation(outputs: F64, max_iter: int, rng: np.random.Generator) -> F64:
    """A rotation (K, K) of principal components (n, K) block by block, with its columns in nested order."""
    ends = block_ends(outputs.shape[1])
    rotation = np.zeros((outputs.shape[1],) * 2)
    for low, high in blocks_of(ends):
        rotation[low:high, low:high] = itq_rotation(outputs[:, low:high], max_iter, rng)
    bits = BinaryCodes.from_signs(outputs @ rotation)
    return rotation[:, greedy_order(*alignment(bits, lambda rows: outputs[rows]), ends)]
