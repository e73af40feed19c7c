"""A state of a store in memory: segments of rows that are never changed, searched together.

A change makes a new state that shares what stayed the same, so that a search that is under way goes on in its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.index.choice import Search
from modalhash.index.columns import Rows
from modalhash.index.hits import Hits
from modalhash.index.memory import Index
from modalhash.index.scan import nearest
from modalhash.views import Array

if TYPE_CHECKING:
    from modalhash.index.truth import News

MERGED = 32_768  # rows of a segment that is merged with what comes behind it
RATIO = 8  # a larger one is merged once it is no longer so many times larger than the next
DEAD = 1024  # dead rows, or the root of n if that is more, that a search may have to pass over
MARGIN = 16  # of them that a search expects among the nearest; it asks again where there are more


@dataclass(frozen=True, eq=False)
class Segment:
    """Rows of which some, `dead` (ascending), count no longer; `search` is shared by all that have the same rows."""

    rows: Rows
    search: Search
    dead: Array = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(cls, rows: Rows) -> Segment:
        """A segment of living rows."""
        return cls(rows, Search(rows.codes))

    def __len__(self) -> int:
        return len(self.rows) - len(self.dead)

    def without(self, positions: Array) -> Segment:
        """The same, but these positions are dead."""
        found = self.rows.find(positions)
        return replace(self, dead=np.union1d(self.dead, found)) if len(found) else self

    def living(self) -> Rows:
        """The rows that count."""
        return self.rows.pick(np.delete(np.arange(len(self.rows)), self.dead)) if len(self.dead) else self.rows

    def nearest(self, queries: BinaryCodes, k: int) -> tuple[Array, Array]:
        """Rows and distances (queries, min(k, living)) in the order (distance, position)."""
        if not len(self):
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.int32)
        return self._nearest(queries, min(k, len(self)), min(MARGIN, len(self.dead)))

    def _nearest(self, queries: BinaryCodes, k: int, margin: int) -> tuple[Array, Array]:
        """Ask for `margin` more than k, for the dead among them; again for queries that met more of those."""
        rows, distances = self.search.nearest(queries, k + margin)
        if not len(self.dead):
            return rows, distances
        dead = self.dead[np.minimum(np.searchsorted(self.dead, rows), len(self.dead) - 1)] == rows
        if not dead.any():
            return rows[:, :k], distances[:, :k]
        living = np.arange(len(rows))[:, None], np.argsort(dead, axis=1, kind="stable")[:, :k]
        rows, distances = rows[living], distances[living]
        short = np.flatnonzero(dead.sum(axis=1) > margin)
        if len(short):
            rows[short], distances[short] = self._nearest(queries[short], k, min(8 * margin, len(self.dead)))
        return rows, distances

    def nearest_of(self, queries: BinaryCodes, k: int, positions: Array) -> tuple[Array, Array]:
        """The same among some positions (ascending)."""
        chosen = np.setdiff1d(self.rows.find(positions), self.dead, assume_unique=True)
        rows, distances = nearest(queries, self.rows.codes[chosen], k)
        return chosen[rows], distances


@dataclass(frozen=True, eq=False)
class State:
    """All items at one version: `segments` in order of position, and `updated` ones, whose old rows are dead.

    last: the largest position that was ever given; cache: the file that the first segment is mapped from.
    """

    version: int
    last: int
    segments: tuple[Segment, ...]
    updated: Segment
    cache: str | None = None

    @classmethod
    def of(cls, rows: Rows, version: int, last: int, cache: str | None = None) -> State:
        """A state of one segment."""
        return cls(version, last, (Segment.of(rows),), Segment.of(Rows.none(rows.codes.n_bits)), cache)

    @cached_property
    def parts(self) -> tuple[Segment, ...]:
        """The segments that hold something; at least one."""
        return tuple(part for part in (*self.segments, self.updated) if len(part)) or self.segments[:1]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def after(self, news: News, version: int, last: int) -> State:
        """The state at a later version."""
        segments, updated = self.segments, self.updated
        if len(news.gone):
            segments = tuple(part.without(news.gone) for part in segments)
            updated = Segment.of(ordered([updated.without(news.gone).living(), news.updated]))
        if len(news.fresh):
            segments = _appended(segments, news.fresh, first=self.cache is not None)
        found = State(version, last, segments, updated, self.cache)
        n = sum(len(part.rows) for part in segments)
        too_many = sum(len(part.dead) for part in segments) > max(DEAD, isqrt(n))
        return State.of(found.rows(), version, last) if too_many else found

    def rows(self) -> Rows:
        """All items in one piece, in order of position."""
        return ordered([part.living() for part in (*self.segments, self.updated)])

    @cached_property
    def index(self) -> Index:
        """All items as an in-memory index."""
        rows = self.rows()
        return Index(rows.codes, rows.ids.take(np.arange(len(rows))))

    def search(self, queries: BinaryCodes, k: int, positions: Array | None = None) -> Hits:
        """The k nearest in the order (distance, position), of all or among some positions (ascending)."""
        found = [
            (part.rows, *(part.nearest(queries, k) if positions is None else part.nearest_of(queries, k, positions)))
            for part in self.parts
        ]
        if len(found) == 1:
            ((kept, rows, distances),) = found
            return Hits(kept.ids.take(rows), distances)
        columns = ((kept.ids.take(rows), distances, kept.positions[rows]) for kept, rows, distances in found)
        ids, distances, places = (np.concatenate(column, axis=1) for column in zip(*columns, strict=True))
        best = np.arange(len(ids))[:, None], np.lexsort((places, distances), axis=1)[:, :k]
        return Hits(ids[best], distances[best])


def ordered(parts: Sequence[Rows]) -> Rows:
    """Rows of several pieces in order of position."""
    parts = [part for part in parts if len(part)] or parts[:1]
    rows = Rows.joined(parts) if len(parts) > 1 else parts[0]
    return rows if (np.diff(rows.positions) > 0).all() else rows.pick(np.argsort(rows.positions))


def _appended(segments: tuple[Segment, ...], fresh: Rows, first: int) -> tuple[Segment, ...]:
    """Segments and a new one; small neighbours are merged, but none of the `first` (what is mapped stays so)."""
    kept = list(segments)
    while len(kept) > first and len(kept[-1].rows) <= max(MERGED, RATIO * len(fresh)):
        fresh = ordered([kept.pop().living(), fresh])
    return (*kept, Segment.of(fresh))
