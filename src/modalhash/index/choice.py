"""Which way to search: the scan, or buckets where they are measured to be cheaper.  The answers are the same."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from time import process_time

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.index import multi_index, table
from modalhash.index.multi_index import MultiIndex, built_bytes, chunking
from modalhash.index.scan import KERNELS, Nearest, Scanner, check_pair, wanted_path
from modalhash.index.table import Table

METHODS = ("auto", "scan", "table", "multi_index")
FEW = 32  # queries of a batch below which the scan cannot share its passes over the memory
TRIAL = 8  # queries that measure the buckets
AGAIN = 16  # searches after which the slower way is tried once more
FAR = 3  # a scan that was measured to be so many times slower is not tried again
SECONDS_AN_ENTRY = 4e-9  # a bucket or code looked at, until it is measured
MEMORY = 0.9  # of what earlier queries took: one that looks at little takes long an entry
SECONDS_A_PLACE = 40e-9  # an item in one table, when built
WORTH_A_TABLE = 100_000  # codes
WORTH_A_MULTI_INDEX = 1_000_000
NO_LIMIT = 2**62  # entries
MOST_BYTES = 2**30  # that "auto" may spend on a multi-index


@dataclass
class Costs:
    """Seconds a query of both ways, for batches of about one size."""

    scan: float = float("inf")
    buckets: float = float("inf")
    turn: int = 0

    def next_way(self) -> tuple[bool, int]:
        """Whether to open buckets next, and for how many queries at most."""
        self.turn += 1
        if self.turn <= 4:  # each way twice: what is done for the first time compiles, copies or warms up
            return self.turn % 2 == 0, FEW if self.turn % 2 else TRIAL
        opened = self.buckets < self.scan
        if self.turn % AGAIN == 0 and self.scan < FAR * self.buckets:
            return not opened, TRIAL  # the first measures may have met a cold cache or a busy machine
        return opened, sys.maxsize

    def add(self, opened: bool, seconds: float) -> None:
        """Note what one query took."""
        old = self.buckets if opened else self.scan
        mean = seconds if self.turn <= 4 else (old + seconds) / 2
        if opened:
            self.buckets = mean
        else:
            self.scan = mean


class Search:
    """Exact search over codes by one of METHODS.

    "table" (to 16 bits) and "multi_index" (17 to 64 bits) build buckets at the first search and open them as long
    as that is measured to be cheaper than the scan.  "auto" scans; it builds a table for at least 100,000 codes,
    and a multi-index only for at least 1,000,000 codes, once searches of fewer than 32 queries have taken longer
    than building it takes, and if it fits into 1 GiB (it costs 16 to 48 bytes an item).  A thread builds them, so
    that no search waits: scans answer until they are there.
    Raises ValueError for another method or one that does not fit the length of the codes.
    """

    def __init__(self, codes: BinaryCodes, method: str = "auto", threads: int | None = None) -> None:
        check_method(method, codes.n_bits)
        self.codes, self.method = codes, method
        self.scanner = Scanner(codes, threads)
        self.buckets: Table | MultiIndex | None = None
        self._building: threading.Thread | None = None
        self._lock = threading.Lock()
        self._seconds_of_few = 0.0
        self._opened = (0.0, 0.0)  # seconds and entries of queries by buckets, older ones fading
        self._costs: dict[tuple[int, int], Costs] = {}

    def nearest(self, queries: BinaryCodes, k: int) -> Nearest:
        """Positions int64 and distances int32, both (queries, min(k, n)), of the k nearest codes."""
        check_pair(queries, self.codes)
        if k < 1 or not len(queries) or not len(self.codes) or not self._has_buckets():
            return self._scan(queries, k)
        k = min(k, len(self.codes))
        costs = self._costs.setdefault((min(len(queries), FEW).bit_length(), k.bit_length()), Costs())
        found, done = [], 0
        while done < len(queries):
            opened, most = costs.next_way()
            part = queries[done : done + most]
            started = process_time()
            found.append(self._open(part, k, self._budget(costs.scan, most)) if opened else self._scan(part, k))
            costs.add(opened, (process_time() - started) / len(part))
            done += len(part)
        if len(found) == 1:
            return found[0]
        return np.concatenate([positions for positions, _ in found]), np.concatenate([d for _, d in found])

    def _scan(self, queries: BinaryCodes, k: int) -> Nearest:
        started = process_time()
        found = self.scanner.nearest(queries, k)
        if len(queries) < FEW:
            self._seconds_of_few += process_time() - started
        return found

    def _budget(self, seconds: float, most: int) -> int:
        """Entries a query may look at in so many seconds; a trial supposes no worse than the usual cost of one.

        What was measured may come from a moment in which the machine stood still, and a trial is to find that out.
        """
        measured = self._seconds_an_entry()
        entries = seconds / (measured if most > TRIAL else min(measured, SECONDS_AN_ENTRY))
        return int(min(entries, NO_LIMIT))  # another thread may not have measured the scan yet

    def _open(self, queries: BinaryCodes, k: int, budget: int) -> Nearest:
        """Open buckets of at most so many entries a query, then scan for the queries that need more."""
        assert self.buckets is not None
        started = process_time()
        (positions, distances), work = self.buckets.nearest(queries, k, budget, self.scanner.usable_threads())
        spent, entries = self._opened
        self._opened = MEMORY * spent + process_time() - started, MEMORY * entries + float(np.abs(work).sum())
        if work.min() < 0:
            given_up = np.flatnonzero(work < 0)
            positions[given_up], distances[given_up] = self._scan(queries[given_up], k)
        return positions, distances

    def _seconds_an_entry(self) -> float:
        spent, entries = self._opened
        return spent / entries if spent else SECONDS_AN_ENTRY

    def _has_buckets(self) -> bool:
        if self.buckets is not None or self.method == "scan" or wanted_path() == "numpy":
            return self.buckets is not None and wanted_path() != "numpy"
        if self.method != "auto":
            self._build()
        elif self._building is None and self._worth_building():
            with self._lock:
                if self._building is None:
                    self._building = threading.Thread(target=self._build, name="modalhash-buckets", daemon=True)
                    self._building.start()
        return self.buckets is not None

    def _build(self) -> None:
        made = (Table if self.codes.n_bits <= table.MOST_BITS else MultiIndex)(self.codes)
        made.nearest(self.codes[:1], 1)  # compiles: no search shall wait for that, nor take it for the cost of an entry
        self.buckets = made

    def _worth_building(self) -> bool:
        n, bits = len(self.codes), self.codes.n_bits
        if KERNELS not in sys.modules or bits > multi_index.MOST_BITS:
            return False
        if bits <= table.MOST_BITS:
            return n >= WORTH_A_TABLE
        repaid = self._seconds_of_few > SECONDS_A_PLACE * n * chunking(bits)[0]
        return n >= WORTH_A_MULTI_INDEX and n * built_bytes(bits) <= MOST_BYTES and repaid


def check_method(method: str, bits: int) -> None:
    """ValueError unless the method is known and fits codes of so many bits."""
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if method == "table" and bits > table.MOST_BITS:
        raise ValueError(f"method 'table' needs codes of at most {table.MOST_BITS} bits, got {bits}")
    if method == "multi_index" and not multi_index.LEAST_BITS <= bits <= multi_index.MOST_BITS:
        allowed = f"{multi_index.LEAST_BITS} to {multi_index.MOST_BITS}"
        raise ValueError(f"method 'multi_index' needs codes of {allowed} bits, got {bits}")
