"""Seconds and peak memory of fits: `python benchmarks/fit.py [HMAH-1200 BSTH-5000 …]`, all cases without names.

Simulated views (class means and noise), one process a case, so that peak memory is its own.  Results go to
benchmarks/results/fit.json; a case that is run again replaces its row.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from timing import machine

from modalhash.catalog import make, system

OUT = Path(__file__).parent / "results" / "fit.json"


@dataclass(frozen=True)
class Case:
    """A system and the size of what it learns from."""

    system: str
    n: int
    widths: tuple[int, ...]
    bits: int
    labels: int = 10

    @property
    def name(self) -> str:
        """System and number of items."""
        return f"{self.system}-{self.n}"


CASES = [
    *(Case(name, 1_200, (128, 200), 32) for name in ("HMAH", "RDCMH", "CIRH", "DCSH")),
    Case("A2LH", 200_000, (500, 1_000), 64),
    Case("SMHOQA", 21_000, (4_096, 1_000), 128, labels=20),
    Case("UMHOQA", 21_000, (1_000, 500), 64),
    Case("BSTH", 5_000, (256, 128), 64),
    *(Case(name, n, (256, 128), 32) for name in ("DSTDH", "LAGNH") for n in (5_000, 10_000, 20_000)),
]


def simulated(case: Case) -> tuple[dict[str, Any], Any]:
    """Views (float32) and labels of a case; tags are zeros and ones."""
    rng = np.random.default_rng(0)
    labels = np.eye(case.labels, dtype=np.float32)[rng.integers(0, case.labels, case.n)]
    names = system(case.system).named_views or [f"view{i}" for i in range(len(case.widths))]
    views = {}
    for name, width in zip(names, case.widths, strict=True):
        views[name] = rng.standard_normal((case.n, width), dtype=np.float32)
        views[name] += 2 * labels @ rng.standard_normal((case.labels, width), dtype=np.float32)
        if name == "tags":
            views[name] = (views[name] > 3).astype(np.float32)
    return views, labels


def measured(case: Case) -> dict[str, Any]:
    """Seconds (clock and CPU) and gigabytes of a fit in this process."""
    views, labels = simulated(case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hasher = make(case.system, n_bits=case.bits, random_state=0)
    started, worked = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hasher.fit(views, labels if hasher.needs_labels else None)
    facts = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts |= {"inputs_gb": before / 1e6, "peak_gb": peak / 1e6}
    rounded = {name: round(value, 2) for name, value in facts.items()}
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return asdict(case) | rounded | {"rounds": len(getattr(hasher, "objective_", [])), "threads": threads}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(case.name for case in CASES))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--one", action="store_true", help="run one case here and print it")
    options = parser.parse_args()
    known = {case.name: case for case in CASES}
    unknown = [name for name in options.cases if name not in known]
    if unknown:
        parser.error(f"unknown cases {', '.join(unknown)}; known: {', '.join(known)}")
    if options.one:
        print(json.dumps(measured(known[options.cases[0]])))
        return
    kept = json.loads(options.out.read_text(encoding="utf8"))["rows"] if options.out.exists() else []
    rows = {f"{row['system']}-{row['n']}": row for row in kept}
    for name in options.cases or known:
        call = [sys.executable, __file__, name, "--one"]
        rows[name] = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        print(name, rows[name], flush=True)
        content = {"machine": machine(), "rows": [rows[name] for name in known if name in rows]}
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
