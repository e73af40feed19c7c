"""Exact search over codes: our ways, faiss and numpy, one thread each, interleaved in one process.

    python benchmarks/search.py --n 100000 1000000 --bits 16 64 --queries 1 300

A cell asks for the top 100 in one batch of that many queries, or one by one if --queries is 1.  Contenders take
turns; a figure is the median over the rounds of CPU time a query, a ratio is faiss flat over ours, and the spread
is (largest - smallest) / median over the rounds.  Every answer is compared with that of faiss.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import faiss
import numba
import numpy as np
from llvmlite import binding

import modalhash
from modalhash.codes import BinaryCodes
from modalhash.index.choice import Search
from modalhash.index.scan import Scanner, nearest_numpy

K = 100
ONE_BY_ONE = 20  # queries of a turn when they are asked one by one
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
    turns = [asked[i : i + 1] for i in range(len(asked))] if queries == 1 else [asked]
    asks = contenders(database, len(asked))
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    for name, ask in asks.items():  # not timed: compiles, builds, measures itself, and is checked
        warm = [ask(turns[i % len(turns)]) for i in range(8 if queries == 1 else 2)]
        for (positions, distances), turn in zip(warm, turns, strict=False):
            expected = asks["faiss flat"](turn)
            assert np.array_equal(distances, expected[1]), f"{name}: other distances than faiss"
            assert np.array_equal(positions, expected[0]), f"{name}: other positions than faiss"
    for _ in range(rounds):
        for name, ask in asks.items():
            started = process_time()
            for turn in turns:
                ask(turn)
            seconds[name].append((process_time() - started) / len(asked))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {
        "n": n,
        "bits": bits,
        "queries": queries,
        "flips": flips,
        "microseconds": {name: round(1e6 * value, 2) for name, value in medians.items()},
        "ratio": {name: round(medians["faiss flat"] / value, 2) for name, value in medians.items()},
        "spread": {name: round((max(v) - min(v)) / medians[name], 2) for name, v in seconds.items()},
        "scan_gb_per_second": round(n * bits / 8 / medians["scan, vectors"] / 1e9, 1) if queries == 1 else None,
        "stream_gb_per_second": round(stream(n * bits // 8), 1) if queries == 1 else None,
    }


def stream(size: int, rounds: int = 7) -> float:
    """GB/s of reading as many bytes as the codes have: numpy's sum, the fastest plain reader at hand."""
    array, rates = np.ones(max(1, size // 8), np.uint64), []
    for _ in range(rounds):
        started = process_time()
        for _ in range(max(1, 2**28 // size)):
            array.sum()
        rates.append(max(1, 2**28 // size) * array.nbytes / (process_time() - started) / 1e9)
    return float(np.median(rates))


def machine() -> dict[str, Any]:
    features = binding.get_host_cpu_features()
    return {
        "processor": binding.get_host_cpu_name(),
        "features": sorted(name for name, on in features.items() if on and name.startswith("avx")),
        "cores": os.cpu_count(),
        "load_at_start": [round(value, 1) for value in os.getloadavg()],
        "versions": {
            "modalhash": modalhash.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "faiss": faiss.__version__,
        },
    }


def table(cells: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for cell in cells for name in cell["ratio"] if name != "faiss flat"))
    lines = [
        "| n | bits | queries | flips | faiss µs | " + " | ".join(names) + " | scan / stream GB/s | spread |",
        "|---" * (len(names) + 7) + "|",
    ]
    for cell in cells:
        ratios = [f"{cell['ratio'][name]:.1f} ×" if name in cell["ratio"] else "" for name in names]
        rate = f"{cell['scan_gb_per_second']} / {cell['stream_gb_per_second']}" if cell["queries"] == 1 else ""
        values = [cell["n"], cell["bits"], cell["queries"], cell["flips"], cell["microseconds"]["faiss flat"]]
        spread = max(cell["spread"].values())
        lines.append("| " + " | ".join(map(str, [*values, *ratios, rate, spread])) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[100_000])
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 300])
    parser.add_argument("--flips", type=float, nargs="+", default=[0.12], help="0.5 makes the codes random")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    facts = machine()
    cells = [
        measure(n, bits, queries, flips, options.rounds)
        for n in options.n
        for bits in options.bits
        for queries in options.queries
        for flips in options.flips
    ]
    print(table(cells))
    if options.out:
        content = {"machine": facts, "k": K, "rounds": options.rounds, "threads": 1, "cells": cells}
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
