"""Shelf: the collection as the service uses it; the one place that knows how items are stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modalhash.collection import Collection
from modalhash.index import Hits
from modalhash.views import Views


@dataclass(frozen=True, eq=False)
class Item:
    """An item to show: its id, title and encoded picture (empty bytes for none)."""

    id: int | str
    title: str
    picture: bytes


@dataclass(frozen=True, eq=False)
class NewItem:
    """An item to store: what it is seen as (words, an encoded picture, view vectors), and what to show of it."""

    id: int | str
    title: str
    text: str | None = None
    picture: bytes = b""
    views: Mapping[str, Sequence[float]] | None = None


class Shelf:
    """A collection that many threads read and one at a time writes; `version` rises with every write."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.version = 0
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return len(self.collection)

    def search(
        self,
        text: str | None = None,
        image: bytes | None = None,
        views: Views | None = None,
        k: int = 10,
        allow: Any = None,
    ) -> Hits:
        """The k nearest items; see `Collection.search`."""
        return self.collection.search(text, image, views, k, allow)

    def get(self, ids: Sequence[int] | Sequence[str]) -> list[Item | None]:
        """The items of these ids, None for each that is not there."""
        collection = self.collection
        place = {id_: i for i, id_ in enumerate(np.asarray(collection.index.ids).tolist())}
        found = [place.get(id_) for id_ in ids]
        show = collection.show
        return [None if at is None else Item(ids[i], show.titles[at], show.pictures[at]) for i, at in enumerate(found)]

    def upsert(self, items: Sequence[NewItem]) -> int:
        """Store items, whole or not at all; returns the new version."""
        raise NotImplementedError

    def delete(self, ids: Sequence[int] | Sequence[str]) -> int:
        """Remove items and return how many were there; returns after the removal is durable."""
        raise NotImplementedError
