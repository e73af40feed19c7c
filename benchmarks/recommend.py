"""Recommendation on MovieLens-1M: `python benchmarks/recommend.py [--budget 1200] [--quick]`.

Cold films, cold users and one film left out, by codes and by real values; then two stages.  A cell (split, ratings
that the cold keep, bits) is a file in benchmarks/results/recommend/ and is not run again while it is there; delete it
to run it again.  `tools/make_tables.py` makes the page.  --quick: few films, one split, into a folder of its own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from films import Films, Task, cold_split, cold_tasks, few, left_out, load_films, warm_task
from recommenders import BASE, Contender, Setting, ours, peers, plain, variants
from resume import run_missing
from stages import curve, speed

from modalhash.evaluation.bootstrap import paired_bootstrap
from modalhash.evaluation.results import machine, versions, write_result
from modalhash.metrics.recommendation import coverage, popularity_bias, recommendation
from modalhash.recommend.peers import popularity

RESULTS = Path(__file__).parent / "results" / "recommend"
BITS, SPLITS = (32, 8, 128), 3  # the first length is run first, and with the variants
SIZES = 1500, 5000  # users and held-out pairs of a task
LIST = 10
WARM = 0  # the cell of films left out, where nobody is cold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="CPU time after which no cell is begun")
    parser.add_argument("--quick", action="store_true", help="few films, one split, 8 bits")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    folder = options.out or (RESULTS.with_name("recommend-quick") if options.quick else RESULTS)
    films, checksum = load_films()
    if options.quick:
        films = few(films, 300, 1500)
    facts = {"data": "ml1m", "checksum": checksum, "settings": BASE, "versions": versions(), "machine": machine()}

    def run(bits: int, kept: int, split: int) -> dict[str, Any]:
        whole = options.quick or (bits == BITS[0] and kept < 5 and split == 0)
        return run_cell(films, split, bits, kept, with_variants=whole)

    wanted = (
        (folder / f"bits{bits}-kept{kept}-split{split}.json", {"bits": bits, "kept": kept, "split": split})
        for split, bits, kept in cells(options.quick)
    )
    run_missing(wanted, run, facts, options.budget)
    if not (folder / "speed.json").exists() and not options.quick:
        write_result(folder / "speed.json", {"machine": machine(), "versions": versions(), **speed()})


def cells(quick: bool) -> list[tuple[int, int, int]]:
    """Splits, lengths and kept ratings, what matters most first."""
    if quick:
        return [(0, 8, 1), (0, 8, WARM)]
    main_, *others = BITS
    order = [(split, main_, kept) for split in range(SPLITS) for kept in (1, WARM)]
    for split in range(SPLITS):
        order += [(split, main_, 5), *((split, bits, kept) for bits in others for kept in (1, WARM))]
    return order + [(split, bits, 5) for split in range(SPLITS) for bits in others]


def run_cell(films: Films, seed: int, bits: int, kept: int, *, with_variants: bool) -> dict[str, Any]:
    """All contenders on one split: measures, and MDCF against each of its peers."""
    split = left_out(films, seed) if kept == WARM else cold_split(films, kept, seed)
    tasks = [warm_task(films, split, SIZES, seed)] if kept == WARM else cold_tasks(films, split, SIZES, seed)
    warm = np.setdiff1d(np.arange(films.ratings.shape[1]), split.cold_items)
    item_views = films.item_views(warm)
    user_views = films.user_views(split.train, item_views, kept or None, seed)
    fewest = 1 if kept == WARM else kept + 1
    s = Setting(split.train, user_views, item_views, bits, fewest, seed)
    found, model = ours(s)
    known = plain(s, neighbours=with_variants or bits == BITS[0])
    found = {**known, **peers(s), **found, **(variants(s, model) if with_variants else {})}
    content: dict[str, Any] = {"tasks": {task.name: measured(films, task, found) for task in tasks}}
    content["tested"] = {task.name: {"users": len(task.rows), "pairs": len(task.drawn)} for task in tasks}
    if kept == WARM:
        content["two_stages"] = curve(model, tasks[0])
    return content


def measured(films: Films, task: Task, found: dict[str, Contender]) -> dict[str, Any]:
    """Measures of every contender on a task; of MDCF against each peer the difference in nDCG@10 with its interval."""
    counts = popularity(films.ratings)[task.catalogue]
    rows, gains = {}, {}
    for name, contender in found.items():
        rows[name], gains[name] = figures(contender, task, counts)
    against = {}
    for name, contender in found.items():
        if contender.kind in ("codes", "real"):
            pairs = zip(("sampled", "whole"), gains["MDCF"], gains[name], (task.owner, task.rows), strict=True)
            against[name] = {
                kind: [round(v, 4) for v in vars(paired_bootstrap(one, two, owner)).values()]
                for kind, one, two, owner in pairs
            }
    return {"rows": rows, "against": against}


def figures(contender: Contender, task: Task, counts: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """The row of a contender, and its nDCG@10 of every sampled and every whole ranking."""
    D = np.asarray(contender.distances(task.rows, task.catalogue))
    at = np.searchsorted(task.rows, task.users)[:, None], np.searchsorted(task.catalogue, task.drawn)
    first = np.zeros(task.drawn.shape, dtype=bool)
    first[:, 0] = True
    sampled = recommendation(D[at], first, cuts=[LIST])
    whole = recommendation(D, task.relevant, cuts=[LIST], candidates=task.allowed)
    far = np.where(task.allowed, D, np.inf).astype(np.float32)
    top = np.argsort(far, axis=1, kind="stable")[:, :LIST]
    row = {
        "kind": contender.kind,
        "seconds": round(contender.seconds, 2),
        "sampled": {name: round(sampled.mean[name], 4) for name in ("HR@10", "nDCG@10")},
        "whole": {name: round(whole.mean[name], 4) for name in ("HR@10", "nDCG@10", "R@10", "AP")},
        "coverage": round(coverage(top, len(counts)), 4),
        "popularity": round(popularity_bias(top, counts), 3),
    }
    return row, (sampled.per_query["nDCG@10"], whole.per_query["nDCG@10"])


if __name__ == "__main__":
    main()
