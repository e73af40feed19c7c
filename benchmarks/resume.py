"""The loop of benchmarks whose cells are files: what is there is not run again, and what is cut can follow later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

from modalhash.evaluation.results import write_result

Cell = Mapping[str, Any]


def run_missing(
    cells: Iterable[tuple[Path, Cell]],
    run: Callable[..., Mapping[str, Any]],
    facts: Mapping[str, Any],
    budget: float | None = None,
) -> None:
    """Write `run(**cell)`, the cell and the facts to the path of every cell that has no file, in the order given.

    budget: CPU seconds of this process after which no cell is begun.
    """
    for path, cell in cells:
        if path.exists():
            told = "is there"
        elif budget is not None and process_time() >= budget:
            told = f"cut, {process_time():.0f} s are spent"
        else:
            started = process_time()
            content = {"cell": dict(cell), **facts, **run(**cell)}
            write_result(path, content | {"cpu_seconds": round(process_time() - started, 1)})
            told = f"{process_time() - started:.0f} s"
        print(f"{path.stem}: {told}", flush=True)
