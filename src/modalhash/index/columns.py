"""Columns of a store in memory: ids of either kind, and rows of positions, codes and ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.views import Array

WIDTHS = (np.uint8, np.uint16, np.uint32)  # of a letter


@dataclass(frozen=True, eq=False)
class IdColumn:
    """Ids (n,): `values` int64; or texts, whose `letters` (code points, in the narrowest of WIDTHS that holds all)
    lie behind one another, the first of text i at values[i], (n + 1,) int64."""

    values: Array
    letters: Array | None = None

    @classmethod
    def of(cls, ids: Sequence[Any]) -> Self:
        """A column of integers or of texts."""
        if not len(ids) or not isinstance(ids[0], str):
            return cls(np.array(ids, np.int64))
        points = np.frombuffer("".join(ids).encode("utf-32-le"), np.uint32)
        width = next(width for width in WIDTHS if not points.size or points.max() <= np.iinfo(width).max)
        return cls(np.cumsum([0, *map(len, ids)], dtype=np.int64), points.astype(width))

    def __len__(self) -> int:
        return len(self.values) - (self.letters is not None)

    def take(self, rows: Array) -> Array:
        """The ids of rows, in their shape, as int64 or str."""
        if self.letters is None:
            return np.asarray(self.values[rows])
        starts = self.values[rows]
        lengths = self.values[rows + 1] - starts
        width = max(1, int(lengths.max(initial=1)))
        if not self.letters.size:  # no rows, or one id: the empty text
            return np.zeros(rows.shape, "U1")
        last, size = self.letters.size - width, self.letters.itemsize
        windows = np.ndarray(last + 1, f"V{width * size}", self.letters, strides=(size,))  # one begins at every letter
        letters = windows[np.minimum(starts, last)].view(self.letters.dtype).reshape(*rows.shape, width)
        late = starts > last
        if late.any():
            letters[late] = self.letters.take(starts[late][:, None] + np.arange(width), mode="clip")
        if (lengths < width).any():
            letters *= np.arange(width) < lengths[..., None]
        return np.asarray(letters.astype(np.uint32).view(f"U{width}")[..., 0])

    def pick(self, rows: Array) -> IdColumn:
        """The column of some rows (n,)."""
        if self.letters is None:
            return IdColumn(self.values[rows])
        lengths = self.values[rows + 1] - self.values[rows]
        starts = np.cumsum([0, *lengths.tolist()], dtype=np.int64)
        shift = np.repeat(self.values[rows] - starts[:-1], lengths)
        return IdColumn(starts, self.letters[np.arange(starts[-1]) + shift])

    @staticmethod
    def joined(parts: Sequence[IdColumn]) -> IdColumn:
        """Columns behind one another; empty ones have no kind."""
        parts = [part for part in parts if len(part)] or [IdColumn(np.empty(0, np.int64))]
        if parts[0].letters is None:
            return IdColumn(np.concatenate([part.values for part in parts]))
        letters = [part.letters for part in parts if part.letters is not None]
        ends = np.cumsum([0, *(len(part) for part in letters)])
        starts = [part.values[:-1] + end for part, end in zip(parts, ends[:-1].tolist(), strict=True)]
        return IdColumn(np.concatenate([*starts, ends[-1:]]), np.concatenate(letters))


@dataclass(frozen=True, eq=False)
class Rows:
    """Items in ascending order of position: `positions` (n,) int64, `codes`, `ids`."""

    positions: Array
    codes: BinaryCodes
    ids: IdColumn

    @classmethod
    def none(cls, n_bits: int) -> Self:
        """No rows."""
        empty = np.empty(0, np.int64)
        return cls(empty, BinaryCodes(np.empty((0, -(-n_bits // 8)), np.uint8), n_bits), IdColumn(empty))

    def __len__(self) -> int:
        return len(self.positions)

    def pick(self, rows: Array) -> Rows:
        """Some rows, in the order given."""
        return Rows(self.positions[rows], self.codes[rows], self.ids.pick(rows))

    def find(self, positions: Array) -> Array:
        """The rows that have one of the positions (ascending)."""
        rows = np.searchsorted(self.positions, positions)
        inside = rows < len(self)
        rows, wanted = rows[inside], positions[inside]
        return np.asarray(rows[self.positions[rows] == wanted])

    @staticmethod
    def joined(parts: Sequence[Rows]) -> Rows:
        """Rows behind one another."""
        packed = np.concatenate([part.codes.packed for part in parts])
        positions = np.concatenate([part.positions for part in parts])
        return Rows(positions, BinaryCodes(packed, parts[0].codes.n_bits), IdColumn.joined([p.ids for p in parts]))
