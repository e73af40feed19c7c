"""Tables of what runs in production for tools/make_tables.py: the store, the service, fits on row blocks.

RUNNING maps the name of a table to the function that makes its Markdown from the folder of results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed_tables import Run, markdown, number, read, times

STORE = (  # what a row is called, and where its figure lies
    ("upsert, items a second of CPU", ("upsert", "items_per_cpu_second")),
    ("upsert of all of them, CPU s", ("upsert", "cpu_seconds")),
    ("update of all of them, CPU s", ("update all", "cpu_seconds")),
    ("upsert one by one, items a second of CPU", ("upsert one by one", "items_per_cpu_second")),
    ("bytes an item: `items.sqlite`", ("bytes_per_item", "truth")),
    ("bytes an item: file of codes", ("bytes_per_item", "cache")),
    ("open, CPU s, checksum included", ("open", "cpu_seconds")),
    ("open without the file of codes, CPU s", ("open without cache", "cpu_seconds")),
)
SEARCHES = (("search", ""), ("search after changes", " after 500 updates and 500 deletions"))


def store_text(results: Path) -> str:
    """Writes, sizes and searches of the store, a column a kind of ids."""
    facts = read(results / "store-1e6.json")
    cells = facts["cells"]
    rows = [[name, *(number(found_at(cell, path)) for cell in cells)] for name, path in STORE]
    for key, after in SEARCHES:
        for way, how in (("batch", f"batch of {facts['queries']}"), ("one by one", "one by one")):
            found = [cell[key][way] for cell in cells]
            ratios = [f"{times(each['ratio']['store'])} ({number(max(each['spread'].values()))})" for each in found]
            rows.append([f"search{after}, {how}: µs", *(number(each["microseconds"]["store"]) for each in found)])
            rows.append(["the same: `Index` over the store (spread)", *ratios])
    size = f"{cells[0]['n']:,} items, {cells[0]['bits']} bits, top {facts['k']}, {facts['rounds']} rounds"
    return f"{markdown(['', *(cell['ids'] for cell in cells)], rows)}\n\n{size}. {machine_text(facts['machine'])}"


def found_at(content: Any, path: tuple[str, ...]) -> float:
    """The number at the end of a path of keys."""
    for key in path:
        content = content[key]
    return float(content)


def serve_text(results: Path) -> str:
    """Requests and times of the service, alone and beside a program that never rests."""
    facts = read(results / "serve-1e6.json")
    head = ["clients", "beside another program", "requests/s", "median ms", "p99 ms", "longest ms", "CPU ms a request"]
    names = ("requests_a_second", "p50_ms", "p99_ms", "max_ms", "cpu_ms")
    rows = [
        [str(row["clients"]), "yes" if row["hog"] else "no", *(number(row[name]) for name in names)]
        for row in facts["rows"]
    ]
    told = f"{facts['n']:,} items, {facts['bits']} bits, top {facts['k']}, {facts['seconds']} s a row."
    return f"{markdown(head, rows)}\n\n{told} {machine_text(facts['machine'])}"


def growth_text(results: Path) -> str:
    """CPU seconds of fits and of encoding as items grow, and the exponents."""
    facts = read(results / "growth.json")
    found = {(cell["system"], cell["n"]): cell for cell in facts["cells"]}
    systems, sizes = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    rows = [[f"{n:,}", *(growth_cell(found.get((system, n))) for system in systems)] for n in sorted(sizes)]
    powers = [f"{facts['growth'][name]['fit']:.2f} / {facts['growth'][name]['encode']:.2f}" for name in systems]
    rows.append(["power of n, the two largest sizes", *powers])
    widths = " and ".join(str(width) for width in facts["widths"].values())
    told = (
        f"{facts['bits']} bits, views of {widths} columns, {facts['anchors']} anchors, {facts['iterations']} iterations"
    )
    head = ["items", *(f"{system} fit / encode CPU s (peak GB)" for system in systems)]
    return f"{markdown(head, rows)}\n\n{told}. {machine_text(facts['machine'])}"


def growth_cell(cell: Run | None) -> str:
    """One system at one size."""
    if cell is None:
        return "not run"
    times_ = " / ".join(number(cell[f"{name}_cpu_seconds"]) for name in ("fit", "encode"))
    return f"{times_} ({number(cell['peak_gb'])})"


def machine_text(machine: Run) -> str:
    """Processor, cores, load and versions."""
    told = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = machine["load_at_start"][0]
    return f"{machine['processor']}, {machine['cores']} cores, load {load} at the start; {told}."


RUNNING: dict[str, Callable[[Path], str]] = {"store": store_text, "serve": serve_text, "growth": growth_text}
