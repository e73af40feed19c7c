"""Bit strips: which bits of two codes agree, drawn as one small SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PER_ROW, WIDER = 32, 64  # bits a row; more than 128 bits take wider rows
GAP = 0.16  # between squares, as a share of a square


@dataclass(frozen=True)
class Strip:
    """Two SVG paths over a box of `width` x `height` squares: full squares that agree, low ones that differ."""

    agree: str
    differ: str
    width: int
    height: int


def strip(agreeing: NDArray[np.bool_]) -> Strip:
    """The strip of one comparison; agreeing: (n_bits,) bool, bits in reading order."""
    per_row = PER_ROW if len(agreeing) <= 4 * PER_ROW else WIDER
    rows, columns = np.divmod(np.arange(len(agreeing)), per_row)
    side = 1 - GAP
    full = f"h{side:g}v{side:g}h-{side:g}z"
    low = f"h{side:g}v{side / 3:.2g}h-{side:g}z"
    drop = side - side / 3
    places = list(zip(columns.tolist(), rows.tolist(), agreeing.tolist(), strict=True))
    return Strip(
        agree="".join(f"M{x} {y}{full}" for x, y, same in places if same),
        differ="".join(f"M{x} {y + drop:g}{low}" for x, y, same in places if not same),
        width=min(per_row, len(agreeing)),
        height=int(rows[-1]) + 1,
    )
