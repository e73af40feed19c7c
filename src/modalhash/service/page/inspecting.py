"""A look into the codes: how balanced the bits are, which go together, what tells each apart, who is near whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.evaluation.bit_meanings import MIN_COUNT, BitMeanings, Meaning, bit_meanings
from modalhash.service.page.floats import F32
from modalhash.service.page.layout import Layout
from modalhash.service.page.moment import Moment
from modalhash.service.page.titles import plain_title
from modalhash.views import F64, blocks
from modalhash.words import words

TERMS = 12  # that a bit stands for, at most
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
    return Bits((mean + 1) / 2, (int(a), int(b)), float(correlation[a, b]), distinct(codes))


def distinct(codes: BinaryCodes) -> int:
    """How many different codes there are; np.unique of rows would keep all other threads waiting, for seconds."""
    words = codes.words()
    words = words[np.lexsort(words.T)]
    return 1 + int((words[1:] != words[:-1]).any(axis=1).sum())


@dataclass(frozen=True, eq=False)
class Side:
    """One value of a bit: the share of items that have it, the terms that it stands for, items that are typical."""

    name: str
    share: float
    terms: Sequence[Meaning]
    items: Sequence[int]


def meanings_of(moment: Moment, more: Mapping[int | str, Sequence[str]]) -> BitMeanings:
    """What the bits stand for: words of titles, and what else is known of items by id."""
    from scipy.sparse import csr_matrix

    ids = moment.index.ids.tolist()
    lists = [
        sorted({*words(plain_title(title)), *more.get(id_, ())})
        for id_, title in zip(ids, moment.titles(), strict=True)
    ]
    names, places = np.unique([term for terms in lists for term in terms] or [""], return_inverse=True)
    edges = np.cumsum([0, *map(len, lists)])
    least = max(2, min(MIN_COUNT, len(moment) // 20))
    places = places[: edges[-1]]
    matrix: Any = csr_matrix((np.ones(len(places), dtype=np.float32), places, edges), shape=(len(lists), len(names)))
    kept = np.flatnonzero(np.bincount(places, minlength=len(names)) >= least)
    return bit_meanings(moment.codes, matrix[:, kept], [str(names[i]) for i in kept], min_count=least)


def sides_of(moment: Moment, meanings: BitMeanings, bit: int, vectors: F32 | None) -> list[Side]:
    """The two values of a bit; typical items by the float value where floats are kept, else evenly spread."""
    codes: BinaryCodes = moment.codes
    has = (codes.packed[:, bit // 8] >> (7 - bit % 8) & 1).astype(bool)
    terms = meanings.of_bit(bit, TERMS)
    return [
        Side(name, float(mask.mean()), [term for term in terms if term.value == value], _typical(mask, vectors, bit))
        for name, value, mask in (("on", 1, has), ("off", 0, ~has))
    ]


def telling_bit(meanings: BitMeanings) -> int:
    """The bit that tells most of any term."""
    told = np.where(meanings.significant, meanings.information, 0.0)
    return int(told.max(axis=0, initial=0.0).argmax())


def _typical(side: NDArray[np.bool_], vectors: F32 | None, bit: int) -> list[int]:
    rows = np.flatnonzero(side)
    if vectors is not None:
        rows = rows[np.argsort(-np.abs(vectors[rows, bit]), kind="stable")]
        return [int(i) for i in rows[:SHOWN]]
    return [int(rows[i * len(rows) // SHOWN]) for i in range(SHOWN)] if len(rows) >= SHOWN else rows.tolist()


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
