"""Growth of fit and encode with the number of items: A2LH, SMHOQA and ITQ, and encode by Ray against one process.

    python benchmarks/growth.py --n 10000 30000 100000 300000 1000000 --budget 300
    python benchmarks/growth.py --ray 2

Simulated views (class means and noise), one process a fit, one thread; CPU seconds, of a fit of `ROUNDS` iterations
and of encoding all items.  A cell that is in the file is not run again, and none is begun once --budget CPU seconds are
spent; results are written after every cell.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from timing import machine, write

from modalhash import distributed
from modalhash.catalog import make

OUT = Path(__file__).parent / "results" / "growth.json"
WIDTHS = {"image": 64, "text": 32}
LABELS, BITS, ANCHORS, ROUNDS = 10, 64, 100, 5
SETTINGS: dict[str, dict[str, Any]] = {
    "A2LH": {"n_anchors": ANCHORS, "max_iter": ROUNDS, "tolerance": 0.0},
    "SMHOQA": {"n_anchors": ANCHORS, "max_iter": ROUNDS, "tolerance": 0.0},
    "ITQ": {"max_iter": ROUNDS},
}
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
BLOCK = 50_000  # rows of a file in the comparison with Ray


def simulated(n: int) -> tuple[dict[str, Any], Any]:
    """Views (float32) and labels of n items."""
    rng = np.random.default_rng(0)
    labels = np.eye(LABELS, dtype=np.float32)[rng.integers(0, LABELS, n)]
    views = {}
    for name, width in WIDTHS.items():
        views[name] = rng.standard_normal((n, width), dtype=np.float32)
        views[name] += labels @ rng.standard_normal((LABELS, width), dtype=np.float32)
    return views, labels


def measured(name: str, n: int) -> dict[str, Any]:
    """CPU seconds of a fit and of encoding, in this process."""
    views, labels = simulated(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hasher = make(name, n_bits=BITS, random_state=0, **SETTINGS[name])
    times = [time.process_time()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hasher.fit(views, labels if hasher.needs_labels else None)
    times.append(time.process_time())
    hasher.encode(views)
    times.append(time.process_time())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fit, encode = np.diff(times).tolist()
    facts = {"system": name, "n": n, "fit_cpu_seconds": round(fit, 2), "encode_cpu_seconds": round(encode, 2)}
    return facts | {"inputs_gb": round(before / 1e6, 2), "peak_gb": round(peak / 1e6, 2)}


def exponents(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The power of n with which the time of a system grew over its two largest sizes."""
    found: dict[str, dict[str, float]] = {}
    for name in SETTINGS:
        own = sorted((row for row in rows if row["system"] == name), key=lambda row: row["n"])[-2:]
        if len(own) == 2:
            steps = np.log(own[1]["n"] / own[0]["n"])
            found[name] = {
                part: round(float(np.log(own[1][f"{part}_cpu_seconds"] / own[0][f"{part}_cpu_seconds"]) / steps), 2)
                for part in ("fit", "encode")
                if own[0][f"{part}_cpu_seconds"]
            }
    return found


def grown(options: argparse.Namespace, content: dict[str, Any]) -> None:
    """The cells that are missing, as far as the budget goes, small ones first, each in a process of its own."""
    rows = {(row["system"], row["n"]): row for row in content.get("cells", [])}
    for n, name in product(sorted(options.n), options.systems):
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        if (name, n) in rows or usage.ru_utime + usage.ru_stime >= options.budget:
            continue
        call = [sys.executable, __file__, "--one", name, str(n)]
        rows[name, n] = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        print(rows[name, n], flush=True)
        cells = [rows[key] for key in sorted(rows)]
        write(content | {"cells": cells, "growth": exponents(cells)}, options.out, show=False)


def by_ray(n: int, workers: int) -> dict[str, Any]:
    """Wall seconds of encoding files of n items, in this process and by Ray (its start apart)."""
    views, labels = simulated(n)
    hasher = make("A2LH", n_bits=BITS, random_state=0, **SETTINGS["A2LH"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hasher.fit({name: matrix[:10_000] for name, matrix in views.items()}, labels[:10_000])
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.npy" for name in views}
        for name, path in files.items():
            np.save(path, views[name])
        items = distributed.NpyBlocks(files, rows=BLOCK)
        times, cpu = [time.perf_counter()], time.process_time()
        distributed.encode(hasher, items, Path(folder) / "one")
        times.append(time.perf_counter())
        cpu = time.process_time() - cpu
        from modalhash.ray_parts import ready

        ready(workers)
        times.append(time.perf_counter())
        distributed.encode(hasher, items, Path(folder) / "ray", workers=workers)
        times.append(time.perf_counter())
        one_by_one, spread = (distributed.read_codes(Path(folder) / name) for name in ("one", "ray"))
        np.testing.assert_array_equal(distributed.stored(spread), distributed.stored(one_by_one))
    one, start, ray = np.diff(times).round(2).tolist()
    facts = {"n": n, "block_rows": BLOCK, "workers": workers, "one_process_seconds": one, "ray_seconds": ray}
    return facts | {"ray_start_seconds": start, "one_process_cpu_seconds": round(cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--systems", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--budget", type=float, default=300.0, help="CPU seconds after which no cell is begun")
    parser.add_argument("--ray", type=int, metavar="WORKERS", help="compare encoding by Ray instead")
    parser.add_argument("--one", nargs=2, metavar=("SYSTEM", "N"), help="run one cell here and print it")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]))))
        return
    kept = json.loads(options.out.read_text(encoding="utf8")) if options.out.exists() else {}
    kept |= {"machine": machine(), "bits": BITS, "anchors": ANCHORS, "iterations": ROUNDS, "widths": WIDTHS}
    if options.ray:
        write(kept | {"ray": by_ray(max(options.n), options.ray)}, options.out)
    else:
        grown(options, kept)


if __name__ == "__main__":
    main()
