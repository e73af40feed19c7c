"""Search as the number of items grows: exact ways and graphs, lists and hashes that are not exact, interleaved.

    python benchmarks/scale.py --n 100000 1000000 10000000 100000000 --rounds 3 --budget 900
    python benchmarks/scale.py --kind words --n 100000 1000000

A cell is one number of items, built by all contenders that are sensible at that size, in one process with one thread;
it is one file of benchmarks/results/scale and is not run again while that exists.  Queries are asked one by one, then
in one batch; contenders take turns and a figure is the median over the rounds.  Recall is by distance against the
exact answer, computed from the codes outside all contenders.  --budget begins no cell after so many seconds; what was
cut is printed and kept in cut.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads of faiss must not burn what others are measured by
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of k-means; --threads is about building graphs and searching

import faiss
import scale_codes
import scale_words
from contenders import Ask, Distances, Family, build, truth_of
from search import draw
from timing import K, Turn, figures, machine, parser, take_turns, write

from modalhash.index.choice import Search

RESULTS = Path(__file__).parent / "results" / "scale"
ONE_BY_ONE = 20  # queries of a turn when they are asked one by one
WARM = 8  # queries before: an exact search measures itself first
SAME = 0.999  # recall of an exact contender over float distances, whose last place may be rounded
LONG = 50_000_000  # items from which faiss flat is warmed up by one query only
Cell = dict[str, Any]


def measure(cell: Cell, rounds: int, threads: int) -> dict[str, Any]:
    """Build, compare and time all contenders of a cell."""
    asked, base, families, distances = prepared(cell, threads)
    facts, asks, cut = built(families, cell["n"], asked[:1])
    answers = {name: ask(asked) for name, ask in asks.items()}
    for truth in distances:
        check(
            {name: found for name, found in answers.items() if facts[name]["truth"] == truth}, facts, distances[truth]
        )
    parts = [asked[i : i + 1] for i in range(min(ONE_BY_ONE, len(asked)))]
    for queries, batches in (("1", parts), (str(len(asked)), [asked])):
        turns: dict[str, Turn] = {}
        for name, ask in asks.items():
            warm(ask, batches, cell["n"])
            turns[name] = partial(ask_all, ask, batches), sum(map(len, batches))
        for kind, values in figures(take_turns(turns, rounds), base).items():
            for name, value in values.items():
                facts[name].setdefault(kind, {})[queries] = value
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of this process so far, earlier cells included
    return {"base": base, "contenders": facts, "cut": cut, "peak_gb": round(peak / 1e6, 2)}


def prepared(cell: Cell, threads: int) -> tuple[Any, str, dict[str, Family], dict[str, Distances]]:
    """The queries, the contender that ratios are to, all contenders, and the distances that decide what is near."""
    if cell["kind"] == "words":
        return scale_words.prepared(cell["n"], cell["codebooks"], cell["score"], cell["queries"])
    import_module("modalhash.index.kernels")  # else the first million distances are numpy's
    small, few = draw(1_000, 2, cell["bits"], cell["flips"])
    for method in ("scan", *scale_codes.buckets_of_ours(cell["bits"])):
        search = Search(small, method, threads)
        for _ in range(4):
            search.nearest(few, 10)  # loads and compiles: not part of building
    database, asked = draw(cell["n"], cell["queries"], cell["bits"], cell["flips"])
    families = scale_codes.families(database, threads)
    return asked, scale_codes.BASE, families, {"codes": scale_codes.distances(database, asked)}


def built(families: dict[str, Family], n: int, first: Any) -> tuple[dict[str, Any], dict[str, Ask], dict[str, str]]:
    """What building took and how to ask, for every contender of this size; and what was cut, with the reason."""
    facts: dict[str, Any] = {}
    asks: dict[str, Ask] = {}
    cut = {name: family.why for name, family in families.items() if n > family.most}
    for name in (name for name in families if name not in cut):
        found, costs = build(families[name], n, first)
        print(f"  {name}: built in {costs['build_seconds']} s, {costs['bytes_per_item']} bytes an item", flush=True)
        asks |= found.asks
        facts |= {ask: {"family": name, **costs} for ask in found.asks}
    for name, why in cut.items():
        print(f"  {name}: cut at {n:,} items ({why})", flush=True)
    return facts, asks, cut


def check(answers: dict[str, Any], facts: dict[str, Any], distances: Distances) -> None:
    """Note every recall; an exact contender that misses an item ends the run."""
    truth = truth_of(distances, [found for name, found in answers.items() if facts[name]["exact"]])
    for name, found in answers.items():
        recall = truth.recall(found)
        assert not facts[name]["exact"] or recall >= SAME, f"{name}: is exact, but its recall is {recall}"
        facts[name]["recall"] = round(recall, 4)


def warm(ask: Ask, batches: list[Any], n: int) -> None:
    for i in range(1 if n >= LONG and len(batches) == 1 else WARM if len(batches) > 1 else 2):
        ask(batches[i % len(batches)])


def ask_all(ask: Ask, batches: list[Any]) -> None:
    for batch in batches:
        ask(batch)


def cells(options: argparse.Namespace) -> list[Cell]:
    """Small sizes first, so that a budget cuts the large ones."""
    if options.kind == "words":
        return [
            {"kind": "words", "n": n, "codebooks": m, "score": score, "queries": options.queries}
            for n, m, score in product(sorted(options.n), options.codebooks, options.scores)
        ]
    return [
        {"kind": "codes", "n": n, "bits": bits, "flips": flips, "queries": options.queries}
        for n, bits, flips in product(sorted(options.n), options.bits, options.flips)
    ]


def file_name(cell: Cell, threads: int) -> str:
    parts = [f"{name}{value}" for name, value in cell.items() if name != "kind"]
    return "-".join([cell["kind"], *parts, *([f"threads{threads}"] if threads > 1 else [])]) + ".json"


def run(cells: list[Cell], options: argparse.Namespace) -> list[str]:
    """Run the cells that have no file, and return the names of those that the budget cut."""
    started, cut = perf_counter(), []
    for cell in cells:
        path = options.out / file_name(cell, options.threads)
        if path.exists():
            print(f"{path.stem}: is there", flush=True)
            continue
        if options.budget is not None and perf_counter() - started >= options.budget:
            print(f"{path.stem}: cut, {options.budget:g} s are spent", flush=True)
            cut.append(path.stem)
            continue
        print(f"{path.stem}:", flush=True)
        about = {"machine": machine(), "k": K, "rounds": options.rounds, "threads": options.threads, "cell": cell}
        found = measure(cell, options.rounds, options.threads)
        write(about | found, path, show=False)
        for name, facts in found["contenders"].items():
            print(f"  {name}: {facts['microseconds']} µs a query, recall {facts['recall']}", flush=True)
    return cut


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--kind", choices=("codes", "words"), default="codes")
    options.add_argument("--n", type=int, nargs="+", default=[100_000])
    options.add_argument("--bits", type=int, nargs="+", default=[64])
    options.add_argument("--flips", type=float, nargs="+", default=[0.12], help="0.5 makes the codes random")
    options.add_argument("--codebooks", type=int, nargs="+", default=[4])
    options.add_argument("--scores", nargs="+", default=["l2"], choices=("dot", "l2"))
    options.add_argument("--queries", type=int, default=100, help="queries of a batch")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--budget", type=float, metavar="SECONDS")
    options.set_defaults(out=RESULTS)
    given = options.parse_args()
    if given.kind == "words" and given.threads > 1:
        options.error("--threads: our look-up over words has one")
    faiss.omp_set_num_threads(given.threads)
    note(run(cells(given), given), given)


def note(cut: list[str], options: argparse.Namespace) -> None:
    """Keep what a budget cut, now or in earlier runs, until it is run."""
    path = options.out / "cut.json"
    earlier = json.loads(path.read_text(encoding="utf8"))["cells"] if path.exists() else []
    left = sorted({name for name in [*earlier, *cut] if not (options.out / f"{name}.json").exists()})
    if left:
        write({"cells": left}, path, show=False)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
