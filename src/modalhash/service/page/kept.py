"""What the page keeps between requests: the places of ids, float vectors, the map; made anew when items change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from fastapi import Request

from modalhash.collection import Collection
from modalhash.service.page import floats
from modalhash.service.page.floats import F32
from modalhash.service.state import State
from modalhash.views import missing

T = TypeVar("T")


class Kept:
    """Values that belong to one state of the collection, and float vectors by id where the collection has them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.vectors: dict[int | str, F32] = {}
        self._lock = threading.RLock()
        self._of: Collection | None = None
        self._values: dict[str, Any] = {}

    def value(self, name: str, collection: Collection, make: Callable[[Collection], T]) -> T:
        """The value of this name for this collection, made once."""
        with self._lock:
            if self._of is not collection:
                self._of, self._values = collection, {}
            if name not in self._values:
                self._values[name] = make(collection)
            found: T = self._values[name]
            return found

    def places(self, collection: Collection) -> dict[int | str, int]:
        """Positions by id."""
        return self.value("places", collection, lambda c: {id_: i for i, id_ in enumerate(c.index.ids.tolist())})

    def floats(self, collection: Collection) -> F32 | None:
        """Float vectors (n, K) of the items, rows of length 1; None where the collection keeps codes only."""
        return self.value("floats", collection, self._stack) if self.vectors else None

    def _stack(self, collection: Collection) -> F32:
        for i, id_ in enumerate(collection.index.ids.tolist()):
            if id_ not in self.vectors:
                self.vectors[id_] = as_shown(collection, i)
        return np.stack([self.vectors[id_] for id_ in collection.index.ids.tolist()])


def as_shown(collection: Collection, at: int) -> F32:
    """The float vector (K,) of an item that is seen as its picture and its title; zeros if nothing in them is known."""
    views = {}
    for name, extractor in collection.features.items():
        raw = {"image": collection.show.pictures[at], "text": collection.show.titles[at]}.get(extractor.takes)
        if raw:
            matrix = extractor.transform([raw])
            if not missing(matrix).any():
                views[name] = matrix
    try:
        return np.asarray(floats.outputs(collection.hasher, views)[0])
    except ValueError:  # no view that the model asks for
        return np.zeros(collection.hasher.n_bits, dtype=np.float32)


def kept_of(request: Request) -> Kept:
    """What is kept for the application that answers a request."""
    kept = request.app.state.page
    assert isinstance(kept, Kept)
    return kept
