"""Codes of items: packed bits that are compared by Hamming distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.views import Array, blocks


@dataclass(frozen=True, eq=False)
class BinaryCodes:
    """Binary codes of n items: `packed` (n, ⌈n_bits/8⌉) uint8 in `np.packbits` order, pad bits 0.

    Raises TypeError for another dtype and ValueError for a width that does not fit n_bits or pad bits that
    are set.
    """

    packed: NDArray[np.uint8]
    n_bits: int

    def __post_init__(self) -> None:
        if isinstance(self.n_bits, bool) or not isinstance(self.n_bits, int | np.integer) or self.n_bits < 1:
            raise ValueError(f"n_bits: expected an integer of at least 1, got {self.n_bits!r}")
        if not isinstance(self.packed, np.ndarray) or self.packed.dtype != np.uint8:
            found = self.packed.dtype if isinstance(self.packed, np.ndarray) else type(self.packed).__name__
            raise TypeError(f"packed: expected a uint8 array, got {found}")
        width = -(-self.n_bits // 8)
        if self.packed.ndim != 2 or self.packed.shape[1] != width:
            raise ValueError(f"packed: expected shape (n, {width}) for {self.n_bits} bits, got {self.packed.shape}")
        spare = 8 * width - self.n_bits
        if spare and (self.packed[:, -1] & ((1 << spare) - 1)).any():
            raise ValueError(f"packed: the last {spare} pad bits of every row must be 0")
        object.__setattr__(self, "n_bits", int(self.n_bits))

    @classmethod
    def from_signs(cls, values: Array) -> BinaryCodes:
        """Codes from real values (n, K): bit 1 where the value is >= 0, so that sign(0) = +1.

        Raises ValueError for NaN or a shape that is not (n, K) with K >= 1, TypeError for booleans, unsigned and
        other values that have no negative side.
        """
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] < 1:
            raise ValueError(f"signs: expected shape (n, n_bits), got {values.shape}")
        if values.dtype.kind not in "fi":
            raise TypeError(f"signs: expected floats or signed integers, got dtype {values.dtype}")
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError("signs: NaN has no sign")
        return cls(np.packbits(values >= 0, axis=1), values.shape[1])

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, rows: Any) -> BinaryCodes:
        """The codes of some rows (an integer, a slice, positions or a mask); one integer gives one code."""
        if isinstance(rows, int | np.integer):
            rows = [int(rows)]
        return BinaryCodes(self.packed[rows], self.n_bits)

    def prefix(self, n_bits: int) -> BinaryCodes:
        """The first n_bits bits of every code; a good shorter code only if the bits are ordered (`nested=True`).

        Raises TypeError unless n_bits is an integer, ValueError unless it is from 1 to the number of bits.
        """
        if isinstance(n_bits, bool) or not isinstance(n_bits, int | np.integer):
            raise TypeError(f"n_bits: expected an integer, got {n_bits!r}")
        if not 1 <= n_bits <= self.n_bits:
            raise ValueError(f"n_bits: expected an integer from 1 to {self.n_bits}, got {n_bits}")
        packed = self.packed[:, : -(-int(n_bits) // 8)].copy()
        if n_bits % 8:
            packed[:, -1] &= 0xFF << (8 - n_bits % 8) & 0xFF
        return BinaryCodes(packed, int(n_bits))

    @property
    def bytes_per_item(self) -> int:
        """Stored bytes an item: ⌈n_bits/8⌉."""
        return int(self.packed.shape[1])

    def signs(self) -> NDArray[np.int8]:
        """The codes as (n, n_bits) int8 of -1 and +1."""
        bits = np.unpackbits(self.packed, axis=1, count=self.n_bits)
        return (2 * bits.astype(np.int8) - 1).astype(np.int8)

    def words(self) -> NDArray[np.uint64]:
        """The codes as (n, ⌈n_bits/64⌉) uint64 machine words, padded with zero bytes."""
        width = -(-self.n_bits // 64) * 8
        padded = np.zeros((len(self), width), dtype=np.uint8)
        padded[:, : self.packed.shape[1]] = self.packed
        return padded.view(np.uint64)

    def hamming(self, other: BinaryCodes) -> NDArray[np.int32]:
        """Hamming distances (len(self), len(other)) int32; ValueError unless both have equal n_bits."""
        if not isinstance(other, BinaryCodes):
            raise TypeError(f"hamming: expected BinaryCodes, got {type(other).__name__}")
        if other.n_bits != self.n_bits:
            raise ValueError(f"hamming: {self.n_bits} bits cannot be compared with {other.n_bits} bits")
        mine, theirs = self.words(), np.ascontiguousarray(other.words().T)
        distances = np.zeros((len(self), len(other)), dtype=np.int32)
        for rows in blocks(len(self), 64):
            for word in range(mine.shape[1]):
                distances[rows] += np.bitwise_count(mine[rows, word, None] ^ theirs[word])
        return distances
