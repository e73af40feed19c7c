"""Quality as labels go: `python benchmarks/partly_labelled.py [--data emoji --bits 32 --shares 1.0 0.3]`.

A share of the training items, drawn anew for every seed, keeps its labels.  A system that takes unlabelled items
learns from all training items, the others from those with labels.  Queries of the query part against the database,
across views; mAP over the full ranking, relevant = a label in common, mean and sd over seeds.  Training items that
lack a view are left out.  Results: benchmarks/results/.
"""

import argparse
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.hasher import Hasher
from modalhash.views import check_labels, missing


def fitted(name: str, bits: int, data: Dataset, share: float, seed: int) -> Hasher:
    """A system that saw the labels of a share of the training items."""
    hasher = make(name, n_bits=bits, random_state=seed)
    views = data.part("train")
    whole = ~np.any([missing(matrix) for matrix in views.values()], axis=0)
    views = {m: matrix[whole] for m, matrix in views.items()}
    labels = np.array(check_labels(data.part_labels("train"), len(whole))[0], dtype=float)[whole]
    keep = np.random.default_rng(seed).permutation(len(labels)) < round(share * len(labels))
    if hasher.takes_unlabelled:
        labels[~keep] = np.nan
        return hasher.fit(views, labels)
    return hasher.fit({m: matrix[keep] for m, matrix in views.items()}, labels[keep])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["RDCMH", "HMAH", "A2LH"])
    parser.add_argument("--data", nargs="+", default=["emoji", "clipart"])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.3, 0.1])
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "partly-labelled.json")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for source in options.data:
        data = load_dataset(source)
        protocols = [Protocol(query_views=(a,), database_views=(b,)) for a, b in permutations(data.views, 2)]
        rows = []
        for name in options.systems:
            for share in options.shares:
                systems = [fitted(name, options.bits, data, share, seed) for seed in range(options.seeds)]
                row: dict[str, Any] = {"system": name, "share": share}
                for protocol in protocols:
                    scores = [evaluate(hasher, data, protocol).mean["AP"] for hasher in systems]
                    spread = {"mAP": float(np.mean(scores)), "sd": float(np.std(scores))}
                    row[protocol.direction] = spread | {"protocol": protocol.hash}
                rows.append(row)
                words = [
                    f"{p.direction} {row[p.direction]['mAP']:.3f} ± {row[p.direction]['sd']:.3f}" for p in protocols
                ]
                print(f"{source}  {name}  {share:.0%}", *words, sep="  ", flush=True)
        found[source] = {"checksum": data.checksum, "rows": rows}
    facts = {"bits": options.bits, "seeds": options.seeds, "data": found}
    options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
