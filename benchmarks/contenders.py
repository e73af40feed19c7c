"""Contenders of benchmarks/scale.py: what is built, what it costs, and how much of the exact answer it finds."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Ask = Callable[[Any], Any]  # queries -> positions (queries, k), -1 where nothing was found
Distances = Callable[[int, Ids], NDArray[np.float64]]  # of one query to some items, computed outside all contenders
STATUS = Path("/proc/self/status")
ROUNDING = 1e-5  # relative, of float distances


@dataclass
class Built:
    """An index with one way or more to ask it.

    `stored`: the bytes it holds; `shared`: bytes of codes that it reads in place, which no growth of the process shows.
    """

    asks: dict[str, Ask]
    stored: Callable[[], int]
    shared: int = 0


@dataclass
class Family:
    """How to build an index of n items, up to which n that is done, and why not beyond.

    `truth`: contenders of one truth search the same codes, and the exact ones among them give the exact answer.
    """

    make: Callable[[], Built]
    settings: str
    exact: bool = False
    most: float = float("inf")
    why: str = ""
    truth: str = "codes"


@dataclass
class Truth:
    """Distances of the codes themselves, and of every query's k-th nearest item."""

    distances: Distances
    last: NDArray[np.float64]

    def recall(self, positions: Any) -> float:
        """Of the k places, how many hold an item no farther than the k-th nearest: ties do not count as misses."""
        hits = 0
        for j, row in enumerate(np.asarray(positions, dtype=np.int64)):
            found = self.distances(j, np.unique(row[row >= 0]))
            hits += int((found <= self.last[j] + ROUNDING * max(1.0, abs(self.last[j]))).sum())
        return hits / int(positions.size)


def truth_of(distances: Distances, answers: list[Any]) -> Truth:
    """The nearest of what the exact contenders found: one that missed an item then has a recall below 1."""
    last = [[float(distances(j, row).max()) for j, row in enumerate(positions)] for positions in answers]
    return Truth(distances, np.min(last, axis=0))


def build(family: Family, n: int, first: Any) -> tuple[Built, dict[str, Any]]:
    """An index that has answered its first query, and what that took: CPU time and memory."""
    before, started = resident(), process_time()
    built = family.make()
    next(iter(built.asks.values()))(first)
    seconds, after = process_time() - started, resident()
    growth = None if before is None or after is None else max(0, after - before) + built.shared
    return built, {
        "exact": family.exact,
        "settings": family.settings,
        "truth": family.truth,
        "build_seconds": round(seconds, 6),
        "bytes_per_item": round(built.stored() / n, 2),
        "resident_bytes_per_item": None if growth is None else round(growth / n, 1),
    }


def resident() -> int | None:
    """Bytes of memory that the process holds, files apart; what is free goes back to the system first."""
    if not STATUS.exists():
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) * 1024


def stored_by_faiss(write: Callable[..., None], index: Any) -> int:
    """Bytes of a faiss index when written, counted without keeping them."""
    faiss: Any = import_module("faiss")
    size = 0

    def count(part: Any) -> int:
        nonlocal size
        size += len(part)
        return len(part)

    write(index, faiss.PyCallbackIOWriter(count))
    return size


def arrays_within(*holders: Any) -> Iterator[Any]:
    """All arrays that some objects hold, in attributes, tuples and dictionaries."""
    for holder in holders:
        if isinstance(holder, np.ndarray):
            yield holder
        elif isinstance(holder, tuple | list):
            yield from arrays_within(*holder)
        elif hasattr(holder, "__dict__"):
            yield from arrays_within(*vars(holder).values())


def array_bytes(*holders: Any) -> int:
    """Bytes of the memory behind these arrays; views of one array count once."""
    roots = {}
    for array in arrays_within(*holders):
        while isinstance(array.base, np.ndarray):
            array = array.base
        roots[array.ctypes.data] = array.nbytes
    return sum(roots.values())
