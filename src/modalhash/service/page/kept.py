"""What the page keeps between requests: the places of ids, float vectors, the map; made anew when items change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from fastapi import Request

from modalhash.evaluation.bit_meanings import BitMeanings
from modalhash.service.page import floats
from modalhash.service.page.audience import Audience, audience_of
from modalhash.service.page.floats import F32
from modalhash.service.page.inspecting import Bits, bits_of, meanings_of
from modalhash.service.page.layout import Layout, layout
from modalhash.service.page.moment import Moment, moment_of
from modalhash.service.page.pictures import map_picture
from modalhash.service.problems import Problem
from modalhash.service.state import State

T = TypeVar("T")


class Once:
    """A value that is made when it is first asked for, by one thread; the others wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value: list[Any] = []

    def get(self, make: Callable[[], T]) -> T:
        """The value; an error of `make` is raised, and the next call tries again."""
        with self._lock:
            if not self._value:
                self._value.append(make())
            found: T = self._value[0]
            return found


class Kept:
    """Values that belong to one state of the collection, and float vectors by id where the collection has them."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.vectors: dict[int | str, F32] | None = None
        self.terms: dict[int | str, list[str]] = {}
        self._now: Moment | None = None
        self._values: dict[str, Once] = {}
        self._audience, self._vectors = Once(), Once()
        self._lock = threading.Lock()

    def now(self) -> Moment:
        """The collection as it is now."""
        collection = self.state.served.shelf.collection
        with self._lock:
            found = moment_of(collection, self._now)
            if found is not self._now:
                self._now, self._values = found, {}
            return found

    def value(self, name: str, moment: Moment, make: Callable[[Moment], T]) -> T:
        """The value of this name for this moment, made once."""
        with self._lock:
            once = self._values.setdefault(name, Once()) if moment is self._now else Once()
        return once.get(lambda: make(moment))

    def place(self, moment: Moment, item: str) -> int:
        """The position of an item by its id as text; Problem 404 if there is none."""
        found = moment.find(item)
        if found is None:
            raise Problem(404, f"there is no item {item[:80]!r}")
        return found

    def bits(self, moment: Moment) -> Bits:
        """Facts of the bits."""
        return self.value("bits", moment, lambda one: bits_of(one.codes))

    def layout(self, moment: Moment) -> Layout:
        """The map."""
        return self.value("layout", moment, lambda one: layout(one.codes))

    def map_picture(self, moment: Moment) -> bytes:
        """The map with its pictures, one WebP."""
        return self.value("picture", moment, self._draw)

    def _draw(self, moment: Moment) -> bytes:
        places = self.layout(moment)
        shown = [moment.picture(i) for i in places.shown.tolist()]
        return map_picture(shown, places.cells, places.columns, places.rows)

    def floats(self, moment: Moment) -> F32 | None:
        """Float vectors (n, K) of the items, rows of length 1; None where the collection keeps codes only."""
        if self.vectors is None and self.state.settings.collection == "demo":
            self.vectors, self.terms = self._vectors.get(lambda: of_demo(moment))
        return None if self.vectors is None else self.value("floats", moment, self._stack)

    def _stack(self, moment: Moment) -> F32:
        assert self.vectors is not None
        ids = moment.index.ids.tolist()
        for i, id_ in enumerate(ids):
            if id_ not in self.vectors:
                self.vectors[id_] = as_shown(moment, i)
        return np.stack([self.vectors[id_] for id_ in ids])

    def meanings(self, moment: Moment) -> BitMeanings:
        """What the bits stand for."""
        self.floats(moment)  # and terms, where there are any
        return self.value("meanings", moment, lambda one: meanings_of(one, self.terms))

    def audience(self) -> Audience | None:
        """The users of the recommender, None where none is served."""
        served, settings = self.state.served, self.state.settings
        if served.recommender is None:
            return None
        model, own = served.recommender, settings.collection == "demo" and settings.recommender is None
        return self._audience.get(lambda: audience_of(model, served.titles, own, self.picture))

    def picture(self, id_: int | str) -> bytes:
        """The picture of an item of the collection as it is now; empty bytes for none."""
        moment = self.now()
        at = moment.find(str(id_))
        return b"" if at is None else moment.picture(at)


def of_demo(moment: Moment) -> tuple[dict[int | str, F32], dict[int | str, list[str]]]:
    """Float vectors of the demo's items, from the views that their codes were made from, and the names of groups."""
    from modalhash.datasets import load_dataset

    data = load_dataset("emoji")
    rows = data.split["database"]
    ids = np.asarray(data.ids)[rows].tolist()
    values = floats.unit(moment.hasher.outputs(data.part("database")))
    names = [str(name) for name in data.label_names or []]
    terms = [[names[j] for j in np.flatnonzero(row)] for row in np.asarray(data.labels)[rows]]
    return dict(zip(ids, values, strict=True)), dict(zip(ids, terms, strict=True))


def as_shown(moment: Moment, at: int) -> F32:
    """The float vector (K,) of an item that is seen as its picture and its title; zeros if nothing in them is known."""
    views = moment.shown_views(at)
    if not views:
        return np.zeros(moment.hasher.n_bits, dtype=np.float32)
    return np.asarray(floats.unit(moment.hasher.outputs(views))[0])


def kept_of(request: Request) -> Kept:
    """What is kept for the application that answers a request."""
    kept = request.app.state.page
    assert isinstance(kept, Kept)
    return kept
