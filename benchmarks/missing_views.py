"""Quality as views go missing when encoding: `python benchmarks/missing_views.py [--system A2LH --bits 64]`.

uci_mfeat (six views of digits): queries lose 0 to 5 of their views, drawn anew for every query; the database keeps
all.  mAP over the full ranking, relevant = same digit, mean and sd over draws.  Results: benchmarks/results/.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.hasher import Hasher
from modalhash.index import Index
from modalhash.metrics import SharedLabels, retrieval
from modalhash.views import Matrix


def without(views: dict[str, Matrix], lost: int, rng: np.random.Generator) -> dict[str, Matrix]:
    """The views of items that each lose `lost` of them at random."""
    n = len(next(iter(views.values())))
    gone = np.argsort(rng.random((n, len(views))), axis=1) < lost
    return {name: np.where(gone[:, [i]], np.nan, matrix) for i, (name, matrix) in enumerate(views.items())}


def curve(hasher: Hasher, data: Dataset, draws: int) -> list[dict[str, float]]:
    """mAP for each number of lost views."""
    index = Index.build(hasher.encode(data.part("database")))
    relevant = SharedLabels(data.part_labels("query"), data.part_labels("database"))
    rows = []
    for lost in range(len(data.views)):
        scores = []
        for draw in range(draws if lost else 1):
            queries = without(data.part("query"), lost, np.random.default_rng([lost, draw]))
            scores.append(retrieval(index, hasher.encode_queries(queries), relevant).mean["AP"])
        rows.append({"lost": lost, "mAP": float(np.mean(scores)), "sd": float(np.std(scores))})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["A2LH", "ACQH", "CCAITQ", "ITQ"])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "missing-views.json")
    options = parser.parse_args()
    data = load_dataset("uci_mfeat")
    found: dict[str, Any] = {}
    for name in options.systems:
        hasher = make(name, n_bits=options.bits if name != "CCAITQ" else 4, random_state=0)
        hasher.fit(data.part("train"), data.part_labels("train") if hasher.needs_labels else None)
        found[name] = {"bits": hasher.n_bits, "curve": curve(hasher, data, options.draws)}
        print(name, *(f"{row['lost']}: {row['mAP']:.3f} ± {row['sd']:.3f}" for row in found[name]["curve"]), sep="  ")
    facts = {"data": data.name, "checksum": data.checksum, "draws": options.draws, "systems": found}
    options.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
