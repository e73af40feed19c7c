"""The collection at one moment, as the page reads it: codes, ids, titles and pictures by position."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.collection import Collection
from modalhash.hasher import Hasher
from modalhash.index import Hits, Index
from modalhash.views import Array

MOST = 20_000  # items whose titles and pictures stay in memory


class Moment:
    """Items of a collection, by position; what is shown of a store's items is read when it is asked for."""

    def __init__(self, collection: Collection, version: int) -> None:
        self.collection, self.version = collection, version
        self.hasher: Hasher = collection.hasher
        self.features: Mapping[str, Any] = collection.features
        self.index: Index = collection.index
        self._rows: dict[int, tuple[str, bytes]] = {}
        self._reading = threading.Lock()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def codes(self) -> Any:
        """All codes."""
        return self.index.codes

    @property
    def takes(self) -> set[str]:
        """Kinds of raw values that can be searched with: text, image."""
        return {extractor.takes for extractor in self.features.values()}

    def id(self, at: int) -> int | str:
        """The id of a position."""
        found: int | str = self.index.ids[at].item()
        return found

    def title(self, at: int) -> str:
        """The title of a position."""
        return self._row(at)[0]

    def picture(self, at: int) -> bytes:
        """The encoded picture of a position, empty for none."""
        return self._row(at)[1]

    def titles(self) -> list[str]:
        """All titles, in order; of what was deleted meanwhile an empty one."""
        if self.collection.store is None:
            return list(self.collection.show.titles)
        found = self.collection.store.titles()
        return [found.get(id_, "") for id_ in self.index.ids.tolist()]

    @cached_property
    def folded_titles(self) -> list[str]:
        """All titles without regard to case, read once, for the filter."""
        return [title.casefold() for title in self.titles()]

    def _row(self, at: int) -> tuple[str, bytes]:
        row = self._rows.get(at)
        if row is None:
            row = self._read(at)
            with self._reading:
                if len(self._rows) > MOST:
                    self._rows = {}
                self._rows[at] = row
        return row

    def _read(self, at: int) -> tuple[str, bytes]:
        """What is shown of an item; of one that was deleted meanwhile nothing is."""
        store, rows = self.collection.store, slice(at, at + 1)
        try:
            show = self.collection.show if store is None else store.get(self.index.ids[rows]).show
        except ValueError:
            return "", b""
        at = at if store is None else 0
        return show.titles[at], show.pictures[at]

    @cached_property
    def _order(self) -> tuple[NDArray[np.int64], Array]:
        order = np.argsort(self.index.ids, kind="stable")
        return order, self.index.ids[order]

    def positions(self, ids: Array) -> NDArray[np.int64]:
        """Positions of ids that are there."""
        order, ordered = self._order
        return np.asarray(order[np.searchsorted(ordered, ids)])

    def find(self, text: str) -> int | None:
        """The position of the item whose id a text stands for, None if there is none."""
        order, ordered = self._order
        wanted: int | str = text
        if ordered.dtype.kind == "i":
            digits = text.removeprefix("-")
            if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
                return None
            wanted = int(text)
        place = int(np.searchsorted(ordered, wanted))
        found = place < len(ordered) and ordered[place].item() == wanted
        return int(order[place]) if found else None

    def search(self, query: Any, k: int, allowed: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Array]:
        """Positions and distances of the k nearest codes, among some positions if they are given."""
        mask = None
        if allowed is not None:
            mask = np.zeros(len(self), dtype=bool)
            mask[allowed] = True
        hits: Hits = self.index.search(query, k, mask)
        return self.positions(hits.ids[0]), hits.distances[0]

    def raw_views(self, text: str = "", image: bytes = b"") -> dict[str, Any]:
        """The views of words, a picture or both, their matrices (1, d).

        ValueError where the collection has no such view, or knows nothing of what is in one.
        """
        return self.collection.views(text or None, image or None)

    def shown_views(self, at: int) -> dict[str, Any]:
        """The views of what is shown of an item, its picture and its title, as far as something in them is known."""
        views: dict[str, Any] = {}
        for shown in ({"image": self.picture(at)}, {"text": self.title(at)}):
            with suppress(ValueError):
                views |= self.raw_views(**shown)
        return views if set(self.hasher.needed_views) <= set(views) else {}


def moment_of(collection: Collection, before: Moment | None) -> Moment:
    """The collection as it is now: `before`, unless items have changed since."""
    version = 0 if collection.store is None else collection.store.version()
    return before if before is not None and before.version == version else Moment(collection, version)
