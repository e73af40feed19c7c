"""Exact Hamming scan: distances to all codes, then the nearest in the order (distance, position).

Three paths give the same answers: `vector` and `numba` (kernels.py) and `numpy` (here).  The processor and the
amount of work choose; the environment variable MODALHASH_KERNELS names one for tests.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.views import Array, blocks

SCORES = 4_000_000  # distances that numpy holds at once: bounds the memory of a search whatever the batch
SMALL = 10_000_000  # distances that numpy computes in less time than numba needs to load
WORTH_A_THREAD = 20_000_000  # distances computed by the kernels: some milliseconds
PATHS = ("vector", "numba", "numpy")
KERNELS = "modalhash.index.kernels"
CACHE_LINE = 64  # bytes
WIDTHS = (16, 32, 64, 128, 256)  # bits with kernels of their own; shorter codes are padded with zeros
Nearest = tuple[NDArray[np.int64], NDArray[np.int32]]
Within = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]


class Scanner:
    """Exact search over codes by comparing every one; the memory layout of the kernels is made once and kept.

    `threads`: at most so many (all usable cores by default); the answers do not depend on it.
    Codes of 64 bits or a divisor of it are read in place, longer ones are copied.
    """

    def __init__(self, codes: BinaryCodes, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        self.codes, self.threads = codes, threads
        self._done_by_numpy = 0

    @cached_property
    def _planes(self) -> tuple[Array, ...]:
        return planes(self.codes)

    def nearest(self, queries: BinaryCodes, k: int) -> Nearest:
        """Positions int64 and distances int32, both (queries, min(k, n)), of the k nearest codes."""
        check_pair(queries, self.codes)
        if k < 1:
            raise ValueError(f"k: expected at least 1, got {k}")
        k = min(k, len(self.codes))
        kernels = self._kernels(len(queries))
        if kernels is None or not len(queries) or not k:
            return nearest_numpy(queries, self.codes, k)
        threads = 1 if len(queries) * len(self.codes) < WORTH_A_THREAD else self.usable_threads()
        found: Nearest = kernels.nearest(
            self._planes, planes(queries), k, vector=use_vectors(kernels), threads=self.threads or threads
        )
        return found

    def within(self, queries: BinaryCodes, radius: int) -> Within:
        """Positions int64 and distances int32 of all codes with distance <= radius, all queries behind one another.

        The answers of query j end before ends[j], ends (queries,) int64, and start where those of query j - 1 end.
        """
        check_pair(queries, self.codes)
        if radius < 0:
            raise ValueError(f"radius: expected at least 0, got {radius}")
        kernels = self._kernels(len(queries))
        if kernels is None or not len(queries) or not len(self.codes):
            return within_numpy(queries, self.codes, radius)
        found: Within = kernels.within(self._planes, planes(queries), radius, vector=use_vectors(kernels))
        return found

    def usable_threads(self) -> int:
        """`threads`, or as many as there are usable cores."""
        return self.threads or usable_cores()

    def _kernels(self, queries: int) -> ModuleType | None:
        """The module of kernels, or None as long as loading it would cost more than numpy's slower search."""
        wanted = wanted_path()
        if wanted == "numpy" or len(self.codes) >= 2**32:
            return None
        if not wanted and KERNELS not in sys.modules:
            self._done_by_numpy += queries * len(self.codes)
            if self._done_by_numpy <= SMALL:
                return None
        return import_module(KERNELS)


def wanted_path() -> str:
    """What MODALHASH_KERNELS asks for: one of PATHS, or nothing; ValueError for anything else."""
    wanted = os.environ.get("MODALHASH_KERNELS", "")
    if wanted and wanted not in PATHS:
        raise ValueError(f"MODALHASH_KERNELS: expected one of {', '.join(PATHS)}, got {wanted!r}")
    return wanted


def use_vectors(kernels: ModuleType) -> bool:
    """Explicit vectors if they are asked for, or by default where the processor has them."""
    return (wanted_path() or ("vector" if kernels.has_vectors() else "numba")) == "vector"


def usable_cores() -> int:
    """As many of the cores as MODALHASH_THREADS allows; all of them where it is not set."""
    most = os.environ.get("MODALHASH_THREADS", "")
    if most:
        if not most.isdigit() or int(most) < 1:
            raise ValueError(f"MODALHASH_THREADS: expected a number of at least 1, got {most!r}")
        return min(int(most), all_cores())
    return all_cores()


def all_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def nearest(queries: BinaryCodes, database: BinaryCodes, k: int) -> Nearest:
    """Positions int64 and distances int32, both (queries, min(k, n)), of the k nearest codes.

    Ties keep the order of the database.  For more than one search over the same codes keep a `Scanner`.
    """
    return Scanner(database).nearest(queries, k)


def check_pair(queries: BinaryCodes, database: BinaryCodes) -> None:
    """TypeError unless both are BinaryCodes, ValueError unless they have equal n_bits."""
    for name, codes in (("queries", queries), ("database", database)):
        if not isinstance(codes, BinaryCodes):
            raise TypeError(f"{name}: expected BinaryCodes, got {type(codes).__name__}")
    if queries.n_bits != database.n_bits:
        raise ValueError(f"queries of {queries.n_bits} bits do not fit a database of {database.n_bits} bits")


def planes(codes: BinaryCodes) -> tuple[Array, ...]:
    """The codes word by word: plane w (n,) holds word w of every code, as uint16, uint32 or uint64.

    Codes are padded with zero bits to the next of 16, 32, 64, 128, 256 bits, then to a multiple of 64.
    """
    bits = next((width for width in WIDTHS if width >= codes.n_bits), -(-codes.n_bits // 64) * 64)
    packed = codes.packed
    if packed.shape[1] < bits // 8:
        packed = np.zeros((len(codes), bits // 8), np.uint8)
        packed[:, : codes.packed.shape[1]] = codes.packed
    words = np.ascontiguousarray(packed).view(f"u{min(bits, 64) // 8}")
    if words.shape[1] == 1:
        return (np.require(words[:, 0], requirements=["C", "A"]),)
    return tuple(_aligned(plane) for plane in words.T)


def _aligned(plane: Array) -> Array:
    """A copy that starts at a cache line: a vector that lies across two of them takes two reads."""
    room = np.empty(plane.nbytes + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    copy = room[start : start + plane.nbytes].view(plane.dtype)
    copy[:] = plane
    return copy


def nearest_numpy(queries: BinaryCodes, database: BinaryCodes, k: int) -> Nearest:
    """`nearest` for k <= n without kernels: the key distance · n + position is unique, so the answer is too."""
    n = len(database)
    positions = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.int32)
    for rows in blocks(len(queries) if k else 0, max(1, SCORES // max(n, 1))):
        keys = queries[rows].hamming(database).astype(np.int64)
        keys *= n
        keys += np.arange(n)
        if k < n:
            keys = np.partition(keys, k - 1, axis=1)[:, :k]
        keys.sort(axis=1)
        distances[rows], positions[rows] = np.divmod(keys[:, :k], n)
    return positions, distances


def within_numpy(queries: BinaryCodes, database: BinaryCodes, radius: int) -> Within:
    """`Scanner.within` without kernels."""
    counts, found = [np.empty(0, np.int64)], [(np.empty(0, np.int64), np.empty(0, np.int32))]
    for rows in blocks(len(queries), max(1, SCORES // max(len(database), 1))):
        distances = queries[rows].hamming(database)
        near = distances <= radius
        owners, positions = np.nonzero(near)
        order = np.lexsort((distances[near], owners))  # stable: equal distances stay in order of position
        counts.append(near.sum(axis=1))
        found.append((positions[order], distances[near][order]))
    positions, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    return np.cumsum(np.concatenate(counts)), positions, distances
