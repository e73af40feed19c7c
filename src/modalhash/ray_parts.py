"""Parts of a training set on Ray: actors keep blocks of rows, and answer for them in the order of the blocks."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from modalhash.parts import Parts
from modalhash.row_blocks import RowBlocks

ONE_THREAD = {"env_vars": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}}
LOCAL: dict[str, Any] = {"address": "local", "include_dashboard": False}
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0": Ray listens on 127.0.0.1 only, as it does on those systems
AHEAD = 4  # results a worker that may wait to be added up


def ready(workers: int) -> Any:
    """Ray, connected: to the cluster that the caller or RAY_ADDRESS named, else to one of this machine only.

    Raises ImportError without Ray, ValueError unless there is a logical CPU for every worker and one to spare.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" not in os.environ and "ray" not in sys.modules:
        os.environ.setdefault(LOOPBACK, "0")  # Ray looks when it is imported
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise ImportError("workers: they run on Ray: pip install 'modalhash[ray]'") from error
    if not ray.is_initialized():
        local: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else LOCAL | {"num_cpus": workers + 1}
        ray.init(log_to_driver=False, **local)
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers + 1:
        raise ValueError(f"workers: {workers} need {workers + 1} logical CPUs, the Ray cluster has {cpus}")
    return ray


def run_tasks(function: Callable[..., None], same: tuple[Any, ...], own: Iterable[tuple[Any, ...]], most: int) -> None:
    """Call function(*same, *own) for every `own`, at most so many at a time; a task whose worker dies is run again."""
    ray = ready(most)
    task = ray.remote(num_cpus=1, max_retries=3, runtime_env=ONE_THREAD)(_call)
    shared = ray.put((function, same))
    running: list[Any] = []
    for arguments in own:
        if len(running) == most:
            done, running = ray.wait(running)
            ray.get(done)
        running.append(task.remote(shared, arguments))
    ray.get(running)


def _call(shared: tuple[Callable[..., None], tuple[Any, ...]], own: tuple[Any, ...]) -> None:
    function, same = shared
    function(*same, *own)


class Worker:
    """An actor: some blocks of rows."""

    def __init__(self, hasher: Any, items: RowBlocks, mine: list[int], classes: Any, scratch: str | None) -> None:
        from modalhash.distributed import rows_of

        self.folder = None if scratch is None else Path(tempfile.mkdtemp(dir=scratch))
        self.rows = {i: rows_of(hasher, items, i, classes, self.folder) for i in mine}

    def call(self, block: int, method: str, given: tuple[Any, ...], own: tuple[Any, ...]) -> Any:
        """What a method of a block's rows returns."""
        return getattr(self.rows[block], method)(*given, *own)

    def clear(self) -> None:
        """Forget the rows and their files."""
        self.rows = {}
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class RayParts(Parts):
    """Blocks of rows, shared out among Ray actors by turns; the actors end with the `with` block.

    What an actor keeps is lost with it: then the fit ends in an error of Ray's, never in half an answer.
    """

    def __init__(self, hasher: Any, items: RowBlocks, scratch: str | os.PathLike[str] | None, workers: int) -> None:
        self.ray = ready(workers)
        self.blocks = len(items)
        place, classes = None if scratch is None else os.fspath(Path(scratch).absolute()), items.classes()
        actor = self.ray.remote(num_cpus=1, scheduling_strategy="SPREAD", runtime_env=ONE_THREAD)(Worker)
        shares = [list(range(self.blocks))[first::workers] for first in range(min(workers, self.blocks))]
        self.actors = [actor.remote(hasher, items, share, classes, place) for share in shares]

    def __len__(self) -> int:
        return self.blocks

    def each(self, method: str, *given: Any, own: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Any]:
        """Ask the actors, a few results ahead, and hand the answers out in the order of the blocks."""
        extra: Iterable[tuple[Any, ...]] = [()] * self.blocks if own is None else own
        shared = self.ray.put(given)
        waiting: deque[Any] = deque()
        for i, more in zip(range(self.blocks), extra, strict=True):
            if len(waiting) == AHEAD * len(self.actors):
                yield self.ray.get(waiting.popleft())
            waiting.append(self.actors[i % len(self.actors)].call.remote(i, method, shared, more))
        while waiting:
            yield self.ray.get(waiting.popleft())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.actors:
            with suppress(Exception):  # the actor is gone, or busy with what failed
                self.ray.get(worker.clear.remote(), timeout=10)
            self.ray.kill(worker)
