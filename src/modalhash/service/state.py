"""State: what a running service holds, and how routes reach it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from fastapi import Request

from modalhash.collection import Collection, model_checksum
from modalhash.index.scan import all_cores
from modalhash.index.store import StoreLocked
from modalhash.service.audit import Audit
from modalhash.service.counters import Counters
from modalhash.service.keys import Keys
from modalhash.service.problems import Problem
from modalhash.service.rates import Rates
from modalhash.service.sessions import Sessions
from modalhash.service.settings import Settings
from modalhash.service.shelf import Shelf

if TYPE_CHECKING:
    from modalhash.recommend.recommender import Recommender

T = TypeVar("T")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        self.keys = None if settings.key_file is None else Keys.read(settings.key_file)
        self.audit = Audit(settings.audit_file)
        self.counters, self.sessions = Counters(), Sessions()
        self.rates = Rates(settings.rate, settings.burst)
        self.failure: str | None = None  # why loading failed
        self.on_failure: Callable[[], None] = lambda: None
        self._served, self._loading = served, threading.Lock()
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
        """Open what the settings name, once; takes seconds, so it runs in a thread."""
        with self._loading:
            if self._served is None:
                self._served = open_served(self.settings)

    async def run(self, function: Callable[..., T], *args: Any, at_once: bool = False) -> T:
        """Call a function of the library in the pool, at most as many at a time as there are cores.

        at_once: in this thread, for what takes little: handing it over and back would take half a millisecond, and
        much more on busy cores.  What it refuses (ValueError, TypeError) becomes Problem 422, trouble with files 503.
        """
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(self.settings.threads or all_cores())
        try:
            if at_once:
                return function(*args)
            return await anyio.to_thread.run_sync(function, *args, limiter=self._threads)
        except (ValueError, TypeError) as error:
            raise Problem(422, str(error)) from error
        except OSError as error:
            raise Problem(503, "the files cannot be read or written now", {"Retry-After": "5"}) from error

    async def write(self, function: Callable[..., T], *args: Any) -> T:
        """As `run`, for what writes: a disk that is full, fails or may not be written becomes Problem 507."""
        try:
            return await self.run(function, *args)
        except Problem as problem:
            if problem.status != 503:
                raise
            error = problem.__cause__
            if isinstance(error, StoreLocked):
                raise Problem(503, "another process writes to this store", {"Retry-After": "5"}) from error
            if isinstance(error, OSError):
                told = "the disk is full" if error.errno in FULL else "the disk cannot be written"
                raise Problem(507, f"{told}; nothing was stored") from error
            raise

    def versions(self) -> dict[str, Any]:
        """Versions that go with every answer: the library, the model (checksum), the store (writes so far)."""
        from modalhash import __version__

        return {"library": __version__, "model": self.served.model[:16], "store": self.served.shelf.version}

    def close(self) -> None:
        """Let go of files; what was written stays."""
        if self._served is not None:
            self._served.shelf.close()
        self.audit.close()


def state_of(request: Request) -> State:
    """The state of the service that answers a request; use it as a dependency."""
    state = request.app.state.service
    assert isinstance(state, State)
    return state


def open_served(settings: Settings) -> Served:
    """Read the collection and the recommender; OSError or ValueError name what is absent or damaged."""
    folder, recommender = Path(settings.collection), settings.recommender
    if settings.collection == "demo":
        from modalhash.service.demo import demo_folders

        folder, made = demo_folders()
        recommender = recommender or made
    collection = Collection.open(folder)
    model, titles = None, None
    if recommender is not None:
        from modalhash.cli_recommend import open_recommender

        model, names = open_recommender(recommender)
        titles = dict(zip(model.item_ids_.tolist(), names, strict=True)) if names else None
    shelf = Shelf(collection)
    shelf.warm()
    _one_thread()
    return Served(shelf, model_checksum(folder / "model"), model, titles)


def _one_thread() -> None:
    """One thread of BLAS a request, now that everything is loaded: requests run beside one another."""
    import scipy.linalg  # noqa: F401 - its BLAS must be loaded to be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
