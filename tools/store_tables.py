"""Tables of the store and of growth for tools/make_tables.py, from result files and from nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speed_tables import facts_of, machine_line, markdown, number, read, runs, times

CHANGED = ("search", "search after changes")


def writes_text(results: Path) -> str:
    """Writing, opening and bytes an item, a column a kind of store."""
    parts = []
    for run in runs(results, "store-*.json"):
        head = ["items, bits, ids", *(f"{cell['n']:,}, {cell['bits']}, {cell['ids']}" for cell in run["cells"])]
        rows = [[name, *(figure(cell) for cell in run["cells"])] for name, figure in WRITES.items()]
        parts.append(f"{markdown(head, rows)}\n\n{machine_line([run])}")
    return "\n\n".join(parts)


def both(spent: dict[str, float], scale: float = 1.0) -> str:
    """CPU time and the time that passed."""
    return " / ".join(number(scale * spent[f"{clock}_seconds"]) for clock in ("cpu", "wall"))


WRITES: dict[str, Callable[[dict[str, Any]], str]] = {
    "upsert, items a second of CPU": lambda cell: number(cell["upsert"]["items_per_cpu_second"]),
    "upsert of all, s: CPU / passed": lambda cell: both(cell["upsert"]),
    "update of all, s: CPU / passed": lambda cell: both(cell["update all"]),
    "one upsert alone, CPU ms": lambda cell: number(1e3 / cell["upsert one by one"]["items_per_cpu_second"]),
    "bytes an item: `items.sqlite`": lambda cell: number(cell["bytes_per_item"]["truth"]),
    "bytes an item: file of codes": lambda cell: number(cell["bytes_per_item"]["cache"]),
    "open, ms: CPU / passed": lambda cell: both(cell["open"], 1e3),
    "open without the file of codes, s: CPU / passed": lambda cell: both(cell["open without cache"]),
}


def searches_text(results: Path) -> str:
    """Searches of a store against those of an index in memory, as opened and after changes."""
    head = ["bits", "ids", "way", "queries", "`Index` µs", "store", "reader"]
    parts = []
    for run in runs(results, "store-*.json"):
        rows = [row for cell in run["cells"] for row in search_rows(cell, run["queries"])]
        table = markdown([*head, "store, changed", "reader, changed", "spread"], rows, left=4)
        parts.append(f"{table}\n\n{run['cells'][0]['n']:,} items. {machine_line([run])}")
    return "\n\n".join(parts)


def search_rows(cell: dict[str, Any], queries: int) -> list[list[str]]:
    """A row a way and a size of batches."""
    rows = []
    for way, figures in cell["search"].items():
        for asked in figures:
            before, after = (cell[state][way][asked] for state in CHANGED)
            ratios = [times(part["ratio"][name]) for part in (before, after) for name in ("store", "reader")]
            first = [str(cell["bits"]), cell["ids"], way, f"batch of {queries}" if asked == "batch" else asked]
            spread = max(value for part in (before, after) for value in part["spread"].values())
            rows.append([*first, number(before["microseconds"]["index"]), *ratios, number(spread)])
    return rows


def growth_text(results: Path) -> str:
    """CPU seconds of fits and of encoding as n grows, and the power of n over the two largest sizes."""
    facts = read(results / "growth.json")
    cells = {(cell["system"], cell["n"]): cell for cell in facts["cells"]}
    names, sizes = (sorted({key[i] for key in cells}) for i in (0, 1))
    rows = [[f"{n:,}", *(growth_cell(cells.get((name, n))) for name in names)] for n in sizes]
    powers = [" / ".join(f"{facts['growth'][name][part]:.2f}" for part in ("fit", "encode")) for name in names]
    head = ["items", *(f"{name} fit / encode, peak GB" for name in names)]
    widths = " and ".join(str(width) for width in facts["widths"].values())
    told = f"CPU seconds: {facts['bits']} bits, views of {widths} columns, {facts['anchors']} anchors"
    told += f", {facts['iterations']} iterations. {facts_of(facts | {'threads': 1})}"
    return f"{markdown(head, [*rows, ['power of n', *powers]])}\n\n{told}."


def growth_cell(cell: dict[str, Any] | None) -> str:
    """One fit; — where it was not run."""
    if cell is None:
        return "—"
    return f"{number(cell['fit_cpu_seconds'])} / {number(cell['encode_cpu_seconds'])}, {number(cell['peak_gb'])}"


def growth_ray_text(results: Path) -> str:
    """Encoding files of rows in one process and by Ray."""
    ray = read(results / "growth.json")["ray"]
    head = ["items", "blocks of", "one process s", "of it CPU s", "Ray workers", "with Ray s", "start of Ray s"]
    row = [f"{ray['n']:,}", f"{ray['block_rows']:,}", number(ray["one_process_seconds"])]
    row += [number(ray["one_process_cpu_seconds"]), str(ray["workers"])]
    return markdown(head, [[*row, number(ray["ray_seconds"]), number(ray["ray_start_seconds"])]], left=0)


STORE: dict[str, Callable[[Path], str]] = {
    "store-writes": writes_text,
    "store-searches": searches_text,
    "growth": growth_text,
    "growth-ray": growth_ray_text,
}
