"""Exact search over codes: our ways, faiss and numpy, one thread each, interleaved in one process.

    python benchmarks/search.py --n 100000 1000000 --bits 16 64 --queries 1 300

A cell asks for the top 100 in one batch of that many queries, or one by one if --queries is 1.  Contenders take
turns; a figure is the median over the rounds of CPU time a query, a ratio is faiss flat over ours, and the spread
is (largest - smallest) / median over the rounds.  Every answer is compared with that of faiss.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any

import faiss
import numpy as np
from timing import K, Turn, figures, machine, parser, take_turns, write

from modalhash.codes import BinaryCodes
from modalhash.index.choice import Search
from modalhash.index.scan import Scanner, nearest_numpy

ONE_BY_ONE = 100  # queries of a turn when they are asked one by one
MOST_FOR_NUMPY = 40_000_000  # distances of a turn
Answer = tuple[Any, Any]  # positions, distances
Ask = Callable[[BinaryCodes], Answer]


def draw(n: int, queries: int, bits: int, flips: float, seed: int = 0) -> tuple[BinaryCodes, BinaryCodes]:
    """Database and queries around n / 1000 random centres, every bit flipped with probability `flips`."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (max(8, n // 1000), bits // 8), dtype=np.uint8)
    packed = np.empty((n + queries, bits // 8), np.uint8)
    for start in range(0, len(packed), 100_000):
        rows = packed[start : start + 100_000]
        noise = rng.random((len(rows), bits), dtype=np.float32) < flips
        rows[:] = centres[rng.integers(0, len(centres), len(rows))] ^ np.packbits(noise, axis=1)
    return BinaryCodes(packed[:n], bits), BinaryCodes(packed[n:].copy(), bits)


def scan_by(path: str, database: BinaryCodes) -> Ask:
    scanner = Scanner(database, threads=1)

    def ask(queries: BinaryCodes) -> Answer:
        os.environ["MODALHASH_KERNELS"] = path
        return scanner.nearest(queries, K)

    return ask


def buckets(database: BinaryCodes, method: str) -> Ask:
    search = Search(database, method, threads=1)

    def ask(queries: BinaryCodes) -> Answer:
        os.environ["MODALHASH_KERNELS"] = "vector"
        return search.nearest(queries, K)

    return ask


def contenders(database: BinaryCodes, queries: int) -> dict[str, Ask]:
    flat = faiss.IndexBinaryFlat(database.n_bits)
    flat.add(database.packed)
    asks: dict[str, Ask] = {
        "faiss flat": lambda queries: flat.search(queries.packed, K)[::-1],
        "scan, vectors": scan_by("vector", database),
        "scan, plain numba": scan_by("numba", database),
    }
    if queries * len(database) <= MOST_FOR_NUMPY:
        asks["numpy"] = lambda queries: nearest_numpy(queries, database, K)
    if database.n_bits <= 64:
        method = "table" if database.n_bits <= 16 else "multi_index"
        asks[f"{method}, scan where cheaper"] = buckets(database, method)
    return asks


def measure(n: int, bits: int, queries: int, flips: float, rounds: int) -> dict[str, Any]:
    database, asked = draw(n, ONE_BY_ONE if queries == 1 else queries, bits, flips)
    parts = [asked[i : i + 1] for i in range(len(asked))] if queries == 1 else [asked]
    asks = contenders(database, len(asked))
    check(asks, parts, warm=8 if queries == 1 else 2)
    turns: dict[str, Turn] = {name: (partial(ask_all, ask, parts), len(asked)) for name, ask in asks.items()}
    found = figures(take_turns(turns, rounds), "faiss flat")
    rate = n * bits / 8 / found["microseconds"]["scan, vectors"] / 1e3
    facts = {"n": n, "bits": bits, "queries": queries, "flips": flips, **found}
    return facts | {
        "scan_gb_per_second": round(rate, 1) if queries == 1 else None,
        "stream_gb_per_second": round(stream(n * bits // 8), 1) if queries == 1 else None,
    }


def ask_all(ask: Ask, parts: list[BinaryCodes]) -> list[Answer]:
    return [ask(part) for part in parts]


def check(asks: dict[str, Ask], parts: list[BinaryCodes], warm: int) -> None:
    """Not timed: every contender compiles, builds, measures itself, and must answer as faiss does."""
    for name, ask in asks.items():
        found = ask_all(ask, [parts[i % len(parts)] for i in range(warm)])
        for (positions, distances), part in zip(found, parts, strict=False):
            expected = asks["faiss flat"](part)
            assert np.array_equal(distances, expected[1]), f"{name}: other distances than faiss"
            assert np.array_equal(positions, expected[0]), f"{name}: other positions than faiss"


def stream(size: int, rounds: int = 7) -> float:
    """GB/s of reading as many bytes as the codes have: numpy's sum, the fastest plain reader at hand."""
    array, rates = np.ones(max(1, size // 8), np.uint64), []
    for _ in range(rounds):
        started = process_time()
        for _ in range(max(1, 2**28 // size)):
            array.sum()
        rates.append(max(1, 2**28 // size) * array.nbytes / (process_time() - started) / 1e9)
    return float(np.median(rates))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, nargs="+", default=[100_000])
    options.add_argument("--bits", type=int, nargs="+", default=[16, 64, 128])
    options.add_argument("--queries", type=int, nargs="+", default=[1, 300])
    options.add_argument("--flips", type=float, nargs="+", default=[0.12], help="0.5 makes the codes random")
    given = options.parse_args()
    faiss.omp_set_num_threads(1)
    facts = {"machine": machine(), "k": K, "rounds": given.rounds, "threads": 1}
    cells = [
        measure(n, bits, queries, flips, given.rounds)
        for n in given.n
        for bits in given.bits
        for queries in given.queries
        for flips in given.flips
    ]
    write(facts | {"cells": cells}, given.out)


if __name__ == "__main__":
    main()
