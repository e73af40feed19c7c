"""The table of the service for tools/make_tables.py, from its result file and from nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from speed_tables import facts_of, markdown, number, read

COLUMNS = ("requests_a_second", "p50_ms", "p99_ms", "max_ms", "cpu_ms")


def serve_text(results: Path) -> str:
    """Requests and times of the service, alone and beside a program that never rests."""
    facts = read(results / "serve-1e6.json")
    head = ["clients", "beside another program", "requests/s", "median ms", "p99 ms", "longest ms", "CPU ms a request"]
    rows = [
        [str(row["clients"]), "yes" if row["hog"] else "no", *(number(row[name]) for name in COLUMNS)]
        for row in facts["rows"]
    ]
    told = f"{facts['n']:,} items, {facts['bits']} bits, top {facts['k']}, {facts['seconds']} s a row."
    load = facts["machine"]["load_at_start"][0]
    return f"{markdown(head, rows)}\n\n{told} {facts_of(facts | {'threads': 1})}. Load at the start: {load}."


SERVICE: dict[str, Callable[[Path], str]] = {"serve": serve_text}
