"""Multi-index hashing: near codes agree nearly in at least one of their chunks, and every chunk has a table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.index.scan import Nearest, planes
from modalhash.views import Array

LEAST_BITS, MOST_BITS = 17, 64
CHUNK_BITS = 16  # about: 2¹⁶ buckets hold a few codes each for 10⁵ to 10⁷ codes


class MultiIndex:
    """Exact search over codes of 17 to 64 bits by opening buckets chunk by chunk, radius by radius.

    Sublinear where neighbours are near; where they are far, the buckets are opened in vain and a scan is faster.
    Costs 16 bytes an item up to 32 bits, 24 to 48 above: every table holds the codes in its own order.
    Raises ValueError for other lengths (longer codes would need more than the scan in memory and in time).
    """

    def __init__(self, codes: BinaryCodes) -> None:
        if not LEAST_BITS <= codes.n_bits <= MOST_BITS:
            raise ValueError(f"multi_index: expected {LEAST_BITS} to {MOST_BITS} bits, got {codes.n_bits}")
        from modalhash.index.probing import RUN, fill_buckets, rings

        (words,) = planes(codes)
        chunks, self.chunk_bits = chunking(codes.n_bits)
        mask = words.dtype.type(2**self.chunk_bits - 1)
        starts = np.empty((chunks, 2**self.chunk_bits + 1), np.uint32)
        members = np.empty((chunks, len(codes)), np.uint32)
        kept = np.zeros((chunks, len(codes) + RUN), words.dtype)  # a run may begin in the last bucket
        for c in range(chunks):
            shift = words.dtype.type(c * self.chunk_bits)
            fill_buckets(words, shift, mask, starts[c], members[c], kept[c])
        self.tables = starts, members, kept, self.chunk_bits
        self.rings = rings(self.chunk_bits, np.uint32)

    def nearest(
        self, queries: BinaryCodes, k: int, budget: int = 2**62, threads: int = 1
    ) -> tuple[Nearest, NDArray[np.int64]]:
        """The k <= n nearest as `Scanner.nearest` has them, and the buckets and codes looked at for each query.

        A query that needs more than `budget` of them is given up: their number is negative, its rows hold nothing.
        """
        from modalhash.index.probing import probe, probe_chunks

        def search(*arguments: Array | int) -> None:
            words, limit, *out = arguments
            probe_chunks(self.tables, words, self.rings, limit, *out)

        return probe(search, planes(queries)[0], k, budget, threads)


def chunking(bits: int) -> tuple[int, int]:
    """Number of chunks and bits of a chunk that cover the bytes of a code."""
    used = -(-bits // 8) * 8
    chunks = max(2, round(used / CHUNK_BITS))
    return chunks, -(-used // chunks)


def built_bytes(bits: int) -> int:
    """Bytes an item of the tables, the buckets' bounds not counted."""
    return chunking(bits)[0] * (4 + (4 if bits <= 32 else 8))
