"""What the page keeps between requests: the places of ids, float vectors, the map; made anew when items change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from fastapi import Request

from modalhash.collection import Collection
from modalhash.service.page import floats
from modalhash.service.page.audience import Audience, audience_of
from modalhash.service.page.floats import F32
from modalhash.service.page.inspecting import Bits, bits_of
from modalhash.service.page.layout import Layout, layout
from modalhash.service.page.pictures import map_picture
from modalhash.service.problems import Problem
from modalhash.service.state import State
from modalhash.views import missing

T = TypeVar("T")


class Kept:
    """Values that belong to one state of the collection, and float vectors by id where the collection has them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.vectors: dict[int | str, F32] | None = None
        self._audience: Audience | None = None
        self._lock = threading.RLock()
        self._of: Collection | None = None
        self._values: dict[str, Any] = {}

    @property
    def collection(self) -> Collection:
        """The collection as it is now."""
        return self.state.served.shelf.collection

    def value(self, name: str, collection: Collection, make: Callable[[Collection], T]) -> T:
        """The value of this name for this collection, made once."""
        with self._lock:
            if self._of is not collection:
                self._of, self._values = collection, {}
            if name not in self._values:
                self._values[name] = make(collection)
            found: T = self._values[name]
            return found

    def place(self, collection: Collection, item: str) -> int:
        """The position of an item by its id as text; Problem 404 if there is none."""
        places = self.value("places", collection, lambda c: {str(id_): i for i, id_ in enumerate(c.index.ids.tolist())})
        if item not in places:
            raise Problem(404, f"there is no item {item[:80]!r}")
        return places[item]

    def bits(self, collection: Collection) -> Bits:
        """Facts of the bits."""
        return self.value("bits", collection, lambda c: bits_of(c.index.codes))  # type: ignore[arg-type]

    def layout(self, collection: Collection) -> Layout:
        """The map."""
        return self.value("layout", collection, lambda c: layout(c.index.codes))  # type: ignore[arg-type]

    def map_picture(self, collection: Collection) -> bytes:
        """The map with its pictures, one WebP."""
        return self.value("picture", collection, self._draw)

    def _draw(self, collection: Collection) -> bytes:
        places = self.layout(collection)
        shown = [collection.show.pictures[i] for i in places.shown]
        return map_picture(shown, places.cells, places.columns, places.rows)

    def floats(self, collection: Collection) -> F32 | None:
        """Float vectors (n, K) of the items, rows of length 1; None where the collection keeps codes only."""
        if self.vectors is None and self.state.settings.collection == "demo":
            with self._lock:
                self.vectors = self.vectors or demo_vectors(collection)
        return None if self.vectors is None else self.value("floats", collection, self._stack)

    def _stack(self, collection: Collection) -> F32:
        assert self.vectors is not None
        for i, id_ in enumerate(collection.index.ids.tolist()):
            if id_ not in self.vectors:
                self.vectors[id_] = as_shown(collection, i)
        return np.stack([self.vectors[id_] for id_ in collection.index.ids.tolist()])

    def audience(self) -> Audience | None:
        """The users of the recommender, None where none is served."""
        served, settings = self.state.served, self.state.settings
        if served.recommender is None:
            return None
        with self._lock:
            if self._audience is None:
                own = settings.collection == "demo" and settings.recommender is None
                self._audience = audience_of(served.recommender, served.titles, own, self._pictures)
            return self._audience

    def _pictures(self) -> dict[int | str, bytes]:
        collection = self.collection
        return dict(zip(collection.index.ids.tolist(), collection.show.pictures, strict=True))


def demo_vectors(collection: Collection) -> dict[int | str, F32]:
    """Float vectors of the demo's items, from the views that their codes were made from."""
    from modalhash.datasets import load_dataset

    data = load_dataset("emoji")
    values = floats.outputs(collection.hasher, data.part("database"))
    return dict(zip(np.asarray(data.ids)[data.split["database"]].tolist(), values, strict=True))


def as_shown(collection: Collection, at: int) -> F32:
    """The float vector (K,) of an item that is seen as its picture and its title; zeros if nothing in them is known."""
    views = shown_views(collection, at)
    if not views:
        return np.zeros(collection.hasher.n_bits, dtype=np.float32)
    return np.asarray(floats.outputs(collection.hasher, views)[0])


def shown_views(collection: Collection, at: int) -> dict[str, Any]:
    """The views of what is shown of an item, its picture and its title; without those in which nothing is known."""
    views = {}
    for name, extractor in collection.features.items():
        raw = {"image": collection.show.pictures[at], "text": collection.show.titles[at]}.get(extractor.takes)
        matrix = extractor.transform([raw]) if raw else None
        if matrix is not None and not missing(matrix).any():
            views[name] = matrix
    return views if set(collection.hasher.needed_views) <= set(views) else {}


def kept_of(request: Request) -> Kept:
    """What is kept for the application that answers a request."""
    kept = request.app.state.page
    assert isinstance(kept, Kept)
    return kept
