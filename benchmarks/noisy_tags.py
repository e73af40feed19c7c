"""Social codes as tags become noise: `python benchmarks/noisy_tags.py [--bits 32 --seeds 3]`.

clipart with its real user tags (label words removed).  A share of the training items gets the tags of other items;
queries and database are pictures.  mAP image → image over the full ranking, mean and sd over seeds.  Results:
benchmarks/results/noisy-tags.json.
"""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.missing_views import spread
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.evaluation.results import machine, versions, write_result
from modalhash.views import Matrix

WAY = Protocol(query_views=("image",), database_views=("image",))


def shuffled(tags: Matrix, share: float, seed: int) -> Matrix:
    """Tags of which a share of the rows has changed places at random."""
    rng = np.random.default_rng(seed)
    order = np.arange(tags.shape[0])
    moved = rng.choice(order, round(share * len(order)), replace=False)
    order[np.sort(moved)] = moved
    return tags[order]


def score(name: str, bits: int, data: Dataset, share: float, seed: int) -> float:
    """mAP of a system that learned from these tags; one that takes other views learns from the pictures alone."""
    hasher, views = make(name, n_bits=bits, random_state=seed), data.part("train")
    given: dict[str, Any] = {**views, "tags": shuffled(views["tags"], share, seed)}
    hasher.fit(given if hasher.named_views else {"image": views["image"]})
    return evaluate(hasher, data, WAY).mean["AP"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["DSTDH", "DSTDH-T", "DSTDH-NT", "LAGNH", "ITQ"])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "noisy-tags.json")
    options = parser.parse_args()
    data = load_dataset("clipart", fair=True, views=("image", "tags"))
    rows = []
    for name, share in product(options.systems, options.shares):
        scores = [score(name, options.bits, data, share, seed) for seed in range(options.seeds)]
        rows.append({"system": name, "share": share, "mean": float(np.mean(scores)), "sd": spread(scores)})
        print(f"{name}, {share:.0%} of the tags moved: {rows[-1]['mean']:.4f} ± {rows[-1]['sd']:.4f}", flush=True)
    facts = {"data": data.name, "checksum": data.checksum, "bits": options.bits, "seeds": options.seeds}
    facts |= {"protocol": WAY.as_dict() | {"hash": WAY.hash}, "versions": versions(), "machine": machine()}
    write_result(options.out, facts | {"rows": rows})


if __name__ == "__main__":
    main()
