"""State: what a running service holds, and how routes reach it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from fastapi import Request

from modalhash.collection import Collection, model_checksum
from modalhash.index.scan import usable_cores
from modalhash.service.problems import Problem
from modalhash.service.settings import Settings
from modalhash.service.shelf import Shelf

if TYPE_CHECKING:
    from modalhash.recommend.recommender import Recommender

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Served:
    """What is served once it is loaded: the shelf of items, and perhaps a recommender with the titles of its items."""

    shelf: Shelf
    model: str  # checksum of the model
    recommender: Recommender | None = None
    titles: dict[Any, str] | None = None  # id of a recommended item -> title


class State:
    """Settings, what is served, and a pool of threads; `app.state.service` of the application.

    Routes get it by `state_of(request)`.
    """

    def __init__(self, settings: Settings, served: Served | None = None) -> None:
        self.settings = settings
        self._served = served
        self.failure: str | None = None  # why loading failed
        self._threads: anyio.CapacityLimiter | None = None

    @property
    def ready(self) -> bool:
        """True once the collection is loaded."""
        return self._served is not None

    @property
    def served(self) -> Served:
        """What is served; Problem 503 as long as it is not loaded."""
        if self._served is None:
            raise Problem(503, self.failure or "the collection is being loaded", {"Retry-After": "1"})
        return self._served

    def load(self) -> None:
        """Open what the settings name; takes seconds, so it runs in a thread."""
        self._served = open_served(self.settings)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the pool, at most as many at a time as there are usable cores."""
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self.settings.threads or usable_cores())
        return await anyio.to_thread.run_sync(function, *args, limiter=self._threads)

    def versions(self) -> dict[str, Any]:
        """Versions that go with every answer: the library, the model (checksum), the store (writes so far)."""
        from modalhash import __version__

        return {"library": __version__, "model": self.served.model[:16], "store": self.served.shelf.version}


def state_of(request: Request) -> State:
    """The state of the service that answers a request; use it as a dependency."""
    state = request.app.state.service
    assert isinstance(state, State)
    return state


def open_served(settings: Settings) -> Served:
    """Read the collection and the recommender; OSError or ValueError name what is absent or damaged."""
    folder = Path(settings.collection)
    collection = Collection.open(folder)
    recommender, titles = None, None
    if settings.recommender is not None:
        from modalhash.cli_recommend import open_recommender

        recommender, names = open_recommender(settings.recommender)
        titles = dict(zip(recommender.item_ids_.tolist(), names, strict=True)) if names else None
    return Served(Shelf(collection), model_checksum(folder / "model"), recommender, titles)
