"""Second moments of named column blocks, summed over blocks of rows: all that a closed-form fit needs of the data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modalhash.views import F64


class Moments:
    """G = ZᵀZ for data Z (n, size) whose columns are named blocks; `moments["a", "b"]` is aᵀb.

    widths: name -> number of columns.  Sums over disjoint row blocks add up, so a fit can stream its data.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        edges = np.cumsum([0, *widths.values()])
        self._slices = {
            name: slice(int(low), int(high)) for name, low, high in zip(widths, edges[:-1], edges[1:], strict=True)
        }
        self.size = int(edges[-1])
        self.gram: F64 = np.zeros((self.size, self.size))

    def at(self, name: str) -> slice:
        """Columns of one block in Z."""
        return self._slices[name]

    def __getitem__(self, names: tuple[str, str]) -> F64:
        return self.gram[self._slices[names[0]], self._slices[names[1]]]

    def rows(self, name: str) -> F64:
        """aᵀZ for one block a, (width of a, size)."""
        return self.gram[self._slices[name]]

    def add(self, block: F64) -> None:
        """Add rows of Z, (rows, size) float64."""
        self.gram += block.T @ block

    def clear(self, name: str) -> None:
        """Forget one block, which `add_rows` then fills again."""
        self.gram[self._slices[name]] = 0.0
        self.gram[:, self._slices[name]] = 0.0

    def add_rows(self, name: str, values: F64, block: F64) -> None:
        """Add rows of one block (rows, width) against all of Z (rows, size), which holds the same values."""
        self.add_cross(name, values.T @ block)

    def add_cross(self, name: str, cross: F64) -> None:
        """Add the product of one block with all of Z (width, size), a sum over rows."""
        here = self._slices[name]
        self.gram[here] += cross
        outside = np.ones(self.size, dtype=bool)
        outside[here] = False
        self.gram[outside, here] += cross[:, outside].T
