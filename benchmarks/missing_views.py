"""Quality as views go missing when encoding: `python benchmarks/missing_views.py [--systems A2LH ITQ --bits 64]`.

uci_mfeat (six views of digits): queries lose 0 to 5 of their views, drawn anew for every query; the database keeps
all.  mAP over the full ranking, relevant = same digit, mean and sd over draws.  With three views lost, every system is
compared with itself fitted on a single view, on the queries that still have that view.  Results: benchmarks/results/.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from modalhash.catalog import make
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.missing_views import beside_single_views, missing_views
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.results import machine, versions, write_result
from modalhash.hasher import Hasher

SHORT = {"CCAITQ": 4}  # bits of a system that cannot do more here: a view has six columns
LOST = 3
WAY = Protocol()  # all views against all views


def fitted(name: str, bits: int, data: Dataset, view: str = "") -> Hasher:
    """A system fitted on all views, or on one of them."""
    hasher = make(name, n_bits=SHORT.get(name, bits), random_state=0)
    views = data.part("train")
    return hasher.fit(
        {view: views[view]} if view else views, data.part_labels("train") if hasher.needs_labels else None
    )


def singles(name: str, bits: int, data: Dataset) -> dict[str, Hasher]:
    """The system on each view alone, where it can."""
    found = {}
    for view in data.views:
        try:
            found[view] = fitted(name, bits, data, view)
        except ValueError as error:  # too few columns for that many bits, or two views needed
            print(f"{name} on {view} alone: {error}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=["SMHOQA", "BSTH", "A2LH", "ACQH", "UMHOQA", "ITQ", "CCAITQ"])
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "missing-views.json")
    options = parser.parse_args()
    data = load_dataset("uci_mfeat")
    found: dict[str, Any] = {}
    for name in options.systems:
        hasher = fitted(name, options.bits, data)
        curve = missing_views(hasher, data, WAY, draws=options.draws)
        beside = beside_single_views(hasher, singles(name, options.bits, data), data, lost=LOST, draws=options.draws)
        found[name] = {
            "bits": hasher.n_bits,
            "curve": [dataclasses.asdict(point) for point in curve],
            "singles": beside,
        }
        print(name, *(f"{point.lost}: {point.mean:.3f} ± {point.sd:.3f}" for point in curve), sep="  ", flush=True)
        for view, pair in beside.items():
            print(f"  {LOST} lost, queries with {view}: fused {pair['fused']:.3f}, {view} alone {pair['single']:.3f}")
    facts = {"data": data.name, "checksum": data.checksum, "draws": options.draws, "lost_beside_singles": LOST}
    facts |= {"protocol": WAY.as_dict() | {"hash": WAY.hash}, "versions": versions(), "machine": machine()}
    write_result(options.out, facts | {"systems": found})


if __name__ == "__main__":
    main()
