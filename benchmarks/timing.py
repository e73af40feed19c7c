"""What the benchmarks share: options, facts of the machine, contenders that take turns, figures, result files."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numba
import numpy as np
from llvmlite import binding
from numpy.typing import NDArray

import modalhash

K = 100
ROUNDS = 5
CPU, WALL = 0, 1
Turn = tuple[Callable[[], Any], float]  # a call, and for how many queries its time counts
Times = dict[str, NDArray[np.float64]]  # contender -> (rounds, 2) seconds a query, CPU and wall


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has, under the first line of its docstring."""
    options = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--out", type=Path, help="where the results go")
    return options


def machine() -> dict[str, Any]:
    """Processor, cores, load and versions, of faiss and usearch too where they are loaded."""
    features = binding.get_host_cpu_features()
    versions = {"modalhash": modalhash.__version__, "python": platform.python_version()}
    versions |= {"numpy": np.__version__, "numba": numba.__version__}
    peers = (name for name in ("faiss", "usearch") if name in sys.modules)
    return {
        "processor": binding.get_host_cpu_name(),
        "features": sorted(name for name, on in features.items() if on and name.startswith("avx")),
        "cores": os.cpu_count(),
        "load_at_start": [round(value, 1) for value in os.getloadavg()],
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "versions": versions | {name: sys.modules[name].__version__ for name in peers},
    }


def take_turns(turns: Mapping[str, Turn], rounds: int) -> Times:
    """Every contender once a round, so that what disturbs the machine disturbs all of them."""
    seconds = {name: np.empty((rounds, 2)) for name in turns}
    for i in range(rounds):
        for name, (call, queries) in turns.items():
            cpu, wall = process_time(), perf_counter()
            call()
            seconds[name][i] = (process_time() - cpu) / queries, (perf_counter() - wall) / queries
    return seconds


def medians(seconds: Times, clock: int = CPU) -> dict[str, float]:
    """The median over the rounds."""
    return {name: float(np.median(values[:, clock])) for name, values in seconds.items()}


def spreads(seconds: Times, clock: int = CPU) -> dict[str, float]:
    """(largest - smallest) / median over the rounds."""
    middle = medians(seconds, clock)
    return {name: round(float(np.ptp(values[:, clock])) / middle[name], 2) for name, values in seconds.items()}


def figures(seconds: Times, base: str) -> dict[str, dict[str, float]]:
    """Microseconds a query by both clocks, how many times faster than `base`, and the spread."""
    cpu, wall = medians(seconds), medians(seconds, WALL)
    return {
        "microseconds": {name: round(1e6 * value, 2) for name, value in cpu.items()},
        "wall_microseconds": {name: round(1e6 * value, 2) for name, value in wall.items()},
        "ratio": {name: round(cpu[base] / value, 2) for name, value in cpu.items()},
        "spread": spreads(seconds),
    }


def write(content: Mapping[str, Any], out: Path | None, show: bool = True) -> None:
    """Print results, and write them whole or not at all."""
    text = json.dumps(content, indent=1) + "\n"
    if show:
        print(text, end="", flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        new = out.with_name(out.name + ".new")
        new.write_text(text, encoding="utf8")
        new.replace(out)
