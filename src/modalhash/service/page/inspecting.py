"""A look into the codes: how balanced the bits are, which go together, what tells each apart, who is near whom."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.service.page.floats import F32
from modalhash.service.page.layout import Layout
from modalhash.service.page.moment import Moment
from modalhash.views import F64, blocks

WORD = re.compile(r"[^\W\d_]{3,}")
SHOWN = 8  # items on either side of a bit
REGIONS = (("top", "middle", "bottom"), ("far left", "left", "right", "far right"))


@dataclass(frozen=True, eq=False)
class Bits:
    """Facts of all bits: share of items that have each, (K,), and the pair that goes together most."""

    shares: F64
    pair: tuple[int, int]
    correlation: float
    distinct: int

    @property
    def uneven(self) -> float:
        """How far the shares are from one half, on average."""
        return float(np.abs(self.shares - 0.5).mean())


def bits_of(codes: BinaryCodes) -> Bits:
    """Balance and correlation of the bits, from sums over blocks of rows."""
    n, width = len(codes), codes.n_bits
    total, cross = np.zeros(width), np.zeros((width, width))
    for rows in blocks(n):
        signs = codes[rows].signs().astype(np.float64)
        total += signs.sum(axis=0)
        cross += signs.T @ signs
    mean = total / n
    spread = np.sqrt(1 - mean**2)
    scale = np.outer(spread, spread)
    correlation = np.divide(cross / n - np.outer(mean, mean), scale, out=np.zeros_like(cross), where=scale > 1e-12)
    np.fill_diagonal(correlation, 0)
    a, b = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    distinct = len(np.unique(codes.packed, axis=0))
    return Bits((mean + 1) / 2, (int(a), int(b)), float(correlation[a, b]), distinct)


@dataclass(frozen=True, eq=False)
class Meaning:
    """What tells the two sides of a bit apart: words of titles and items that are typical."""

    bit: int
    share: float
    words_on: Sequence[tuple[str, float]]
    words_off: Sequence[tuple[str, float]]
    on: Sequence[int]
    off: Sequence[int]


def meaning(moment: Moment, bit: int, vectors: F32 | None) -> Meaning:
    """One bit by the words and items of either side; by its float value where floats are kept, else evenly spread."""
    codes = moment.codes
    assert isinstance(codes, BinaryCodes)
    has = (codes.packed[:, bit // 8] >> (7 - bit % 8) & 1).astype(bool)
    on, off = (_typical(np.flatnonzero(side), vectors, bit) for side in (has, ~has))
    words_on, words_off = telling_words(moment.titles(), has)
    return Meaning(bit, float(has.mean()), words_on, words_off, on, off)


def _typical(rows: NDArray[np.int64], vectors: F32 | None, bit: int) -> list[int]:
    if vectors is not None:
        rows = rows[np.argsort(-np.abs(vectors[rows, bit]), kind="stable")]
        return [int(i) for i in rows[:SHOWN]]
    return [int(rows[i * len(rows) // SHOWN]) for i in range(SHOWN)] if len(rows) >= SHOWN else rows.tolist()


def telling_words(
    titles: Iterable[str], has: NDArray[np.bool_], most: int = 6
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Words of titles that stand on one side much more often than on the other, with the share of that side's word.

    By the z-score of the share of items with the word whose bit is set; words of at least four titles.
    """
    both: Counter[str] = Counter()
    ones: Counter[str] = Counter()
    for title, bit in zip(titles, has.tolist(), strict=True):
        words = set(WORD.findall(title.casefold()))
        both.update(words)
        if bit:
            ones.update(words)
    share = float(has.mean())
    spread = np.sqrt(max(share * (1 - share), 1e-12))
    scored = sorted(((ones[w] / c - share) * np.sqrt(c) / spread, w) for w, c in both.items() if c >= 4)
    on = [(w, ones[w] / both[w]) for score, w in reversed(scored) if score > 2][:most]
    off = [(w, 1 - ones[w] / both[w]) for score, w in scored if score < -2][:most]
    return on, off


def regions(places: Layout) -> list[tuple[str, list[int]]]:
    """Items by where they are on the map, for who does not see it: (name, positions), in reading order."""
    columns, rows = places.cells.T
    across = np.minimum(columns * 4 // max(1, places.columns), 3)
    down = np.minimum(rows * 3 // max(1, places.rows), 2)
    order = np.lexsort((columns, rows))
    found = []
    for y, row in enumerate(REGIONS[0]):
        for x, column in enumerate(REGIONS[1]):
            inside = order[(down[order] == y) & (across[order] == x)]
            if len(inside):
                found.append((f"{row}, {column}", places.shown[inside].tolist()))
    return found
