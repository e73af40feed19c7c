"""Measures of a whole ranking: ours against the numpy loop of many public codes, one thread, in one process.

    OPENBLAS_NUM_THREADS=1 python benchmarks/evaluation.py --queries 2000 --n 184577 --bits 64

Contenders take turns.  The loops sort every query's distances and measure AP, AP, P and R at 50 and 500 on the sorted
relevance; they run on a sample of the queries and their time is scaled to all of them.  Ours runs on all queries, and
measures nDCG and the curves by radius besides.  A figure is the median over the rounds, a ratio is the loop's over
ours.  AP of the sample is compared with a slow twin: the expectation over ties, summed place by place.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from timing import WALL, Turn, machine, medians, parser, spreads, take_turns, write

from modalhash.codes import BinaryCodes
from modalhash.index.memory import Index
from modalhash.metrics import SharedLabels, retrieval
from modalhash.metrics.pairs import code_words

CUTS = (50, 500)
CENTRES = 200
FLIPS = 0.12
Bools = NDArray[np.bool_]


@dataclass
class Task:
    """Clustered codes; items around one centre share its labels, and every item has one label of its own."""

    database: BinaryCodes
    queries: BinaryCodes
    truth: SharedLabels

    @classmethod
    def draw(cls, n: int, queries: int, bits: int, n_labels: int) -> Task:
        rng = np.random.default_rng(0)
        centres = rng.integers(0, 256, (CENTRES, bits // 8), dtype=np.uint8)
        given = rng.random((CENTRES, n_labels)) < 2 / n_labels
        which = rng.integers(0, CENTRES, n + queries)
        packed, labels = centres[which], given[which].astype(np.float32)
        for start in range(0, len(packed), 100_000):
            rows = packed[start : start + 100_000]
            rows ^= np.packbits(rng.random((len(rows), bits), dtype=np.float32) < FLIPS, axis=1)
        labels[np.arange(n + queries), rng.integers(0, n_labels, n + queries)] = 1
        codes = BinaryCodes(packed[:n], bits), BinaryCodes(packed[n:].copy(), bits)
        return cls(*codes, SharedLabels(labels[n:], labels[:n]))

    def part(self, size: int) -> Task:
        return Task(self.database, self.queries[:size], SharedLabels(self.truth.query[:size], self.truth.database))


def measures(relevant: Bools) -> list[float]:
    """AP, then AP, P and R at each cut, of the relevance in the order of the ranking."""
    hits = np.cumsum(relevant)
    total = max(int(hits[-1]), 1)
    precisions = np.where(relevant, hits / np.arange(1, len(relevant) + 1), 0)
    found = [float(precisions.sum() / total)]
    for cut in CUTS:
        found += [float(precisions[:cut].sum() / total), float(hits[cut - 1] / cut), float(hits[cut - 1] / total)]
    return found


def loop_over_signs(task: Task) -> Callable[[], list[list[float]]]:
    """The usual loop: float codes of -1 and +1, distances by a product, an argsort a query."""
    signs, asked = task.database.signs().astype(np.float32), task.queries.signs().astype(np.float32)
    given, wanted = np.asarray(task.truth.database), np.asarray(task.truth.query)

    def run() -> list[list[float]]:
        found = []
        for code, labels in zip(asked, wanted, strict=True):
            distances = 0.5 * (signs.shape[1] - signs @ code)
            found.append(measures((given @ labels > 0)[np.argsort(distances)]))
        return found

    return run


def loop_over_bits(task: Task) -> Callable[[], list[list[float]]]:
    """The same loop with the best that numpy has: bits counted in words, a stable sort of one-byte distances."""
    words, asked = code_words(task.database), task.queries.words()
    given, wanted = np.asarray(task.truth.database), np.asarray(task.truth.query)
    kind = np.uint8 if task.database.n_bits < 256 else np.uint16

    def run() -> list[list[float]]:
        found = []
        for code, labels in zip(asked, wanted, strict=True):
            distances = np.bitwise_count(words ^ code[:, None]).sum(axis=0, dtype=kind)
            found.append(measures((given @ labels > 0)[np.argsort(distances, kind="stable")]))
        return found

    return run


def slow_twin(task: Task) -> NDArray[np.float64]:
    """E[AP] a query: every place of a group of ties holds each of its items with the same chance."""
    found = []
    for q in range(len(task.queries)):
        distances = task.queries[q].hamming(task.database)[0]
        relevant = np.asarray(task.truth.database) @ np.asarray(task.truth.query)[q] > 0
        before, hits, total = 0, 0, np.longdouble(0)
        for d in np.unique(distances):
            n, r = int((distances == d).sum()), int(relevant[distances == d].sum())
            place = np.arange(1, n + 1, dtype=np.longdouble)
            others = np.longdouble(r - 1) / max(n - 1, 1)  # chance that another place of the group is relevant
            if r:
                total += np.longdouble(r) / n * ((hits + 1 + (place - 1) * others) / (before + place)).sum()
            before, hits = before + n, hits + r
        found.append(float(total / hits) if hits else np.nan)
    return np.array(found)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    start = peak()
    task = Task.draw(options.n, options.queries, options.bits, options.labels)
    index, drawn = Index.build(task.database), peak()
    began = process_time()
    result = retrieval(index, task.queries, task.truth, CUTS)  # loads and, the first time ever, compiles the kernels
    first, ours_peak = process_time() - began, peak()
    sample = task.part(min(options.sample, options.queries))
    share = len(sample.queries) / options.queries  # of the queries that the loops answer
    turns: dict[str, Turn] = {
        "modalhash": (lambda: retrieval(index, task.queries, task.truth, CUTS), 1.0),
        "numpy loop, product of signs": (loop_over_signs(sample), share),
        "numpy loop, packed bits": (loop_over_bits(sample), share),
    }
    seconds = take_turns(turns, options.rounds)
    cpu, wall = medians(seconds), medians(seconds, WALL)
    twin = slow_twin(sample)
    return {
        "n": options.n,
        "queries": options.queries,
        "bits": options.bits,
        "labels": options.labels,
        "threads": options.threads,
        "sample": len(sample.queries),
        "rounds": options.rounds,
        "cpu_seconds": {name: round(value, 3) for name, value in cpu.items()},
        "wall_seconds": {name: round(value, 3) for name, value in wall.items()},
        "cpu_ratio": {name: round(value / cpu["modalhash"], 1) for name, value in cpu.items()},
        "wall_ratio": {name: round(value / wall["modalhash"], 1) for name, value in wall.items()},
        "cpu_spread": spreads(seconds),
        "first_call_cpu_seconds": round(first, 2),
        "peak_mb": {"at start": start, "with the data": drawn, "after ours": ours_peak},
        "mean_ap": result.mean["AP"],
        "largest_difference_of_ap": float(np.nanmax(np.abs(result.per_query["AP"][: len(twin)] - twin))),
    }


def peak() -> int:
    """The most memory that the process has held so far, in MB."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=184_577)
    options.add_argument("--queries", type=int, default=2_000)
    options.add_argument("--bits", type=int, default=64)
    options.add_argument("--labels", type=int, default=24)
    options.add_argument("--sample", type=int, default=50, help="queries of the loops")
    options.add_argument("--threads", type=int, default=1, help="of ours; the loops have one")
    given = options.parse_args()
    content = {"machine": machine(), "result": {}}
    with patch("modalhash.metrics.pairs.usable_cores", lambda: given.threads):
        content["result"] = measure(given)
    write(content, given.out)


if __name__ == "__main__":
    main()
