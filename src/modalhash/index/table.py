"""Direct table: codes of up to 16 bits lie in one bucket a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.index.scan import Nearest, planes
from modalhash.views import Array

MOST_BITS = 16


class Table:
    """Exact search over codes of at most 16 bits by opening buckets from near to far; 4 bytes an item.

    Raises ValueError for longer codes.
    """

    def __init__(self, codes: BinaryCodes) -> None:
        if codes.n_bits > MOST_BITS:
            raise ValueError(f"table: expected codes of at most {MOST_BITS} bits, got {codes.n_bits}")
        from modalhash.index.probing import fill_buckets, rings

        (words,) = planes(codes)
        self.starts = np.empty(2**MOST_BITS + 1, np.int64)
        self.members = np.empty(len(codes), np.uint32)
        fill_buckets(words, np.uint16(0), np.uint16(2**MOST_BITS - 1), self.starts, self.members, words[:0].copy())
        values, ring_starts = rings(codes.n_bits, np.uint16)
        self.rings = _as_packed(values, codes.n_bits), ring_starts  # pad bits are never flipped

    def nearest(
        self, queries: BinaryCodes, k: int, budget: int = 2**62, threads: int = 1
    ) -> tuple[Nearest, NDArray[np.int64]]:
        """The k <= n nearest as `Scanner.nearest` has them, and the buckets and codes looked at for each query.

        A query that needs more than `budget` of them is given up: their number is negative, its rows hold nothing.
        """
        from modalhash.index.probing import probe, probe_table

        def search(*arguments: Array | int) -> None:
            words, limit, *out = arguments
            probe_table((self.starts, self.members), words, self.rings, limit, *out)

        return probe(search, planes(queries)[0], k, budget, threads)


def _as_packed(values: Array, bits: int) -> Array:
    """Values of so many bits, placed as the bits of a code are placed in its word."""
    spread = np.zeros((len(values), MOST_BITS), np.uint8)
    spread[:, :bits] = values[:, None] >> np.arange(bits, dtype=np.uint16) & 1
    return np.packbits(spread, axis=1).view(np.uint16)[:, 0].copy()
