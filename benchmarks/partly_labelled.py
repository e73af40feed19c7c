"""Quality as labels go: `python benchmarks/partly_labelled.py [--data emoji --bits 32 --shares 1.0 0.3]`.

A share of the training items, drawn anew for every seed, keeps its labels.  A system that takes unlabelled items
learns from all training items, the others from those with labels.  In a last case every item stays labelled, but only
a share of the ones is known (--ones) and the others look like zeros.  Queries of the query part against the database,
across views and with all views; mAP over the full ranking, relevant = a label in common, mean and sd over seeds.
Training items that lack a view are left out.  Results: benchmarks/results/.
"""

import argparse
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.missing_views import spread
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.evaluation.results import machine, versions, write_result
from modalhash.hasher import Hasher
from modalhash.views import check_labels, missing


def fitted(name: str, bits: int, data: Dataset, share: float, ones: float, seed: int) -> Hasher:
    """A system that saw the labels of a share of the training items, or a share of the ones of all of them."""
    hasher, rng = make(name, n_bits=bits, random_state=seed), np.random.default_rng(seed)
    views = data.part("train")
    whole = ~np.any([missing(matrix) for matrix in views.values()], axis=0)
    views = {m: matrix[whole] for m, matrix in views.items()}
    labels = np.array(check_labels(data.part_labels("train"), len(whole))[0], dtype=float)[whole]
    keep = rng.permutation(len(labels)) < round(share * len(labels))
    if ones < 1:
        labels *= rng.random(labels.shape) < ones
    if hasher.takes_unlabelled:
        labels[~keep] = np.nan
        return hasher.fit(views, labels)
    return hasher.fit({m: matrix[keep] for m, matrix in views.items()}, labels[keep])


def measured(name: str, data: Dataset, share: float, ones: float, options: argparse.Namespace) -> dict[str, Any]:
    """A row: mean and sd of mAP in every direction."""
    pairs = [*permutations([(view,) for view in data.views], 2), ((), ())]
    systems = [fitted(name, options.bits, data, share, ones, seed) for seed in range(options.seeds)]
    row: dict[str, Any] = {"system": name, "share": share, "ones": ones, "directions": {}}
    for a, b in pairs:
        protocol = Protocol(query_views=a, database_views=b)
        scores = [evaluate(hasher, data, protocol).mean["AP"] for hasher in systems]
        found = {"mean": float(np.mean(scores)), "sd": spread(scores), "protocol": protocol.hash}
        row["directions"][protocol.direction] = found
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["RDCMH", "HMAH", "A2LH"])
    parser.add_argument("--data", nargs="+", default=["emoji", "clipart"])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--ones", type=float, default=0.6)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "partly-labelled.json")
    options = parser.parse_args()
    cases = [*((share, 1.0) for share in options.shares), (1.0, options.ones)]
    facts: dict[str, Any] = {"bits": options.bits, "seeds": options.seeds, "versions": versions(), "machine": machine()}
    facts["sets"] = {}
    for source in options.data:
        data = load_dataset(source)
        facts["sets"][source] = {"checksum": data.checksum, "rows": (rows := [])}
        for name in options.systems:
            for share, ones in cases:
                rows.append(measured(name, data, share, ones, options))
                told = ", ".join(f"{way} {v['mean']:.3f} ± {v['sd']:.3f}" for way, v in rows[-1]["directions"].items())
                print(f"{source}: {name}, {share:.0%} labelled, {ones:.0%} of the ones: {told}", flush=True)
    write_result(options.out, facts)


if __name__ == "__main__":
    main()
