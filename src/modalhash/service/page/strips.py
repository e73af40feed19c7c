"""Bits as small drawings: which bits of two codes agree, and which bits of a code are set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS, PER_ROW, WIDEST = 4, 16, 64  # squares a row: four rows of up to 64 bits, longer ones of longer codes


@dataclass(frozen=True)
class Strip:
    """Two SVG paths over a box of `width` x `height` squares, to be stroked: bits that are on, and the others."""

    on: str
    off: str
    width: int
    height: int


def strip(bits: NDArray[np.bool_], per_row: int | None = None) -> Strip:
    """The strip of (n_bits,) bool in reading order, in four rows or so unless `per_row` is given."""
    width = per_row or min(max(PER_ROW, -(-len(bits) // ROWS)), WIDEST)
    rows, columns = np.divmod(np.arange(len(bits)), width)
    places = list(zip(columns.tolist(), rows.tolist(), bits.tolist(), strict=True))
    on, off = (_squares([(x, y) for x, y, bit in places if bit is wanted]) for wanted in (True, False))
    return Strip(on, off, min(width, len(bits)), int(rows[-1]) + 1)


def _squares(places: Sequence[tuple[int, int]]) -> str:
    """Short lines, one a square; drawn as wide as they are long they fill it but for a gap."""
    return "".join(f"M{x + 0.1:.1f} {y}.5h.8" for x, y in places)
