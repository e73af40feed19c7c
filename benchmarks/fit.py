"""Seconds and peak memory of a fit as n grows: `python benchmarks/fit.py --system A2LH -n 200000`."""

import argparse
import json
import resource
import time
import warnings

import numpy as np

from modalhash.catalog import make


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="A2LH")
    parser.add_argument("-n", type=int, default=200_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[500, 1000])
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--bits", type=int, default=64)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    labels = np.eye(options.labels, dtype=np.float32)[rng.integers(0, options.labels, options.n)]
    views = {}
    for i, width in enumerate(options.widths):
        views[f"view{i}"] = rng.standard_normal((options.n, width), dtype=np.float32)
        views[f"view{i}"] += 2 * labels @ rng.standard_normal((options.labels, width), dtype=np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hasher = make(options.system, n_bits=options.bits, random_state=0)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hasher.fit(views, labels if hasher.needs_labels else None)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = {"system": options.system, "n": options.n, "widths": options.widths, "bits": options.bits}
    facts |= {"seconds": round(seconds, 1), "inputs_gb": round(before / 1e6, 2), "peak_gb": round(peak / 1e6, 2)}
    print(json.dumps(facts | {"iterations": len(getattr(hasher, "objective_", []))}))


if __name__ == "__main__":
    main()
