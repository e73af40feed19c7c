"""Tables of speed for tools/make_tables.py, from the result files of the benchmarks and from nothing else.

SPEED maps the name of a table to the function that makes its Markdown from the folder of results.  Runs on other
machines or with other versions come in a table of their own: their times cannot be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

Run = dict[str, Any]
CUT = "cut.json"
RANDOM = 0.5  # flips from which codes are random


def search_text(results: Path) -> str:
    """Exact search over binary codes: times of faiss flat, and how many times faster the others are."""
    head = [
        "n",
        "bits",
        "codes",
        "queries",
        "faiss flat µs",
        "our scan",
        "plain numba",
        "our buckets",
        "numpy",
        "spread",
    ]
    return by_machine(runs(results, "search-*.json"), head, search_rows)


def search_rows(members: list[Run]) -> list[list[str]]:
    """A row a cell, by kind of codes, length and number of items."""
    cells = [cell for run in members for cell in run["cells"]]
    rows = []
    for cell in sorted(cells, key=lambda cell: [cell[key] for key in ("flips", "bits", "n", "queries")]):
        ratio = cell["ratio"]
        buckets = next((name for name in ratio if name.endswith("scan where cheaper")), "")
        others = [times(ratio.get(name)) for name in ("scan, vectors", "scan, plain numba", buckets, "numpy")]
        first = [f"{cell['n']:,}", str(cell["bits"]), kind_of_codes(cell["flips"]), asked(cell["queries"])]
        rows.append([*first, number(cell["microseconds"]["faiss flat"]), *others, number(max(cell["spread"].values()))])
    return rows


def lookup_text(results: Path) -> str:
    """Look-up tables over quantised codes: times of faiss' residual quantizer, and how many times faster others are."""
    head = ["n", "codebooks", "score", "queries", "faiss RQ tables µs", "our vectors", "our plain numba", "faiss PQ"]
    return by_machine(runs(results, "lookup-*.json"), [*head, "faiss RQ default", "numpy", "spread"], lookup_rows)


def lookup_rows(members: list[Run]) -> list[list[str]]:
    """A row a cell."""
    names = ("vector", "numba", "faiss product quantizer", "faiss residual quantizer, default", "numpy")
    rows = []
    for cell in (cell for run in members for cell in run["cells"]):
        first = [f"{cell['n']:,}", str(cell["codebooks"]), cell["score"], asked(cell["queries"])]
        base = number(cell["microseconds"]["faiss residual quantizer, tables"])
        others = [times(cell["ratio"].get(name)) for name in names]
        rows.append([*first, base, *others, number(max(cell["spread"].values()))])
    return rows


def evaluation_text(results: Path) -> str:
    """Measures of whole rankings: seconds of CPU time for all queries, and how many times slower the loops are."""
    head = ["bits", "queries", "database", "ours s", "numpy loop, packed bits", "numpy loop, product of signs"]
    found = [
        {**run, "rounds": run["result"]["rounds"], "threads": run["result"]["threads"]}
        for run in runs(results, "evaluation-*.json")
    ]
    return by_machine(found, [*head, "spread", "largest error of AP"], evaluation_rows)


def evaluation_rows(members: list[Run]) -> list[list[str]]:
    """A row a length of codes."""
    rows = []
    for cell in sorted((run["result"] for run in members), key=lambda cell: [cell["bits"], cell["n"]]):
        loops = [
            f"{number(cell['cpu_seconds'][name])} ({times(cell['cpu_ratio'][name])})"
            for name in ("numpy loop, packed bits", "numpy loop, product of signs")
        ]
        first = [str(cell["bits"]), f"{cell['queries']:,}", f"{cell['n']:,}", number(cell["cpu_seconds"]["modalhash"])]
        last = [number(max(cell["cpu_spread"].values())), f"{cell['largest_difference_of_ap']:.0e}"]
        rows.append([*first, *loops, *last])
    return rows


def fit_text(results: Path) -> str:
    """Seconds and memory of fits."""
    facts = read(results / "fit.json")
    head = ["system", "items", "columns", "bits", "seconds", "CPU seconds", "rounds", "peak GB", "of it inputs"]
    rows = [
        [
            row["system"],
            f"{row['n']:,}",
            " + ".join(f"{width:,}" for width in row["widths"]),
            str(row["bits"]),
            *(number(row[name]) for name in ("seconds", "cpu_seconds")),
            str(row["rounds"] or ""),
            *(number(row[name]) for name in ("peak_gb", "inputs_gb")),
        ]
        for row in facts["rows"]
    ]
    threads = ", ".join(dict.fromkeys(str(row["threads"]) for row in facts["rows"]))
    told = f"Threads: {threads}. {facts_of({'machine': facts['machine'], 'threads': 1}).split(', one thread')[0]}"
    return f"{markdown(head, rows)}\n\n{told}; load {facts['machine']['load_at_start'][0]} when the last row ended."


def scale_text(results: Path) -> str:
    """Time, recall and memory as n grows, a table a kind of codes; then the exponents of growth."""
    folder = results / "scale"
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != CUT]
    if not paths:
        return "Not run yet."
    found = sorted((noted(path) for path in paths), key=in_order)
    parts = []
    for group, members in groupby(found, key=group_of):
        for _, same in groupby(members, key=facts_of):
            parts.append(scale_group(group, list(same)))
    left = read(folder / CUT)["cells"] if (folder / CUT).exists() else []
    if left:
        parts.append(f"Cut to keep the time: {', '.join(f'`{name}`' for name in left)}.")
    return "\n\n".join(parts)


def in_order(run: Run) -> tuple[str, str, str, int]:
    """Binary codes before quantised ones, tables whole, small sizes first."""
    return run["cell"]["kind"], group_of(run), facts_of(run), run["cell"]["n"]


def group_of(run: Run) -> str:
    """What the cells of one table share: the caption."""
    cell, threads = run["cell"], "one thread" if run["threads"] == 1 else f"{run['threads']} threads"
    if cell["kind"] == "words":
        return f"{cell['codebooks']} codebooks, {cell['score']}, batches of {cell['queries']}, {threads}"
    return f"{cell['bits']} bits, {kind_of_codes(cell['flips'])} codes, batches of {cell['queries']}, {threads}"


def scale_group(caption: str, members: list[Run]) -> str:
    """The table of one kind of codes, its growth, what was cut, and where and how it was measured."""
    batch = str(members[0]["cell"]["queries"])
    head = ["contender", "answers", "n", "one by one µs", "×", "batch µs", "×", f"recall@{members[0]['k']}"]
    names = list(dict.fromkeys(name for run in members for name in run["contenders"]))
    rows = [scale_row(name, run, batch) for name in names for run in members if name in run["contenders"]]
    grown = [growth_row(name, members, batch) for name in names]
    settings = {facts["family"]: facts["settings"] for run in members for facts in run["contenders"].values()}
    lines = [f"*{caption}; × is {members[0]['base']} over the contender*", ""]
    lines += [markdown([*head, "build s", "bytes/item", "resident"], rows, left=2), ""]
    if any(row[1:] != ["—"] * 3 for row in grown):
        lines += ["*Exponents of n, from the slope of log time over log n*", ""]
        lines += [markdown(["contender", "one by one", "batch", "build"], grown), ""]
    cuts = [f"{name} at {run['cell']['n']:,}: {why}" for run in members for name, why in run["cut"].items()]
    notes = [f"Cut: {'; '.join(cuts)}."] if cuts else []
    notes.append(
        "Settings at the largest size: " + "; ".join(f"{name}: {told}" for name, told in settings.items()) + "."
    )
    return "\n".join([*lines, "  \n".join([*notes, machine_line(members)])])


def scale_row(name: str, run: Run, batch: str) -> list[str]:
    """One contender at one size."""
    facts = run["contenders"][name]
    size, kind = f"{run['cell']['n']:,}", "exact" if facts["exact"] else "approximate"
    clock, base = clock_of(run), run["contenders"][run["base"]]
    cells = []
    for queries in ("1", batch):
        cells += [number(facts[clock][queries]), times(base[clock][queries] / facts[clock][queries])]
    resident = facts["resident_bytes_per_item"]
    last = [f"{facts['recall']:.3f}", number(facts["build_seconds"]), number(facts["bytes_per_item"])]
    return [name, kind, size, *cells, *last, "—" if resident is None else number(resident)]


def clock_of(run: Run) -> str:
    """CPU time for one thread, else the time that passes."""
    return "microseconds" if run["threads"] == 1 else "wall_microseconds"


def growth_row(name: str, members: list[Run], batch: str) -> list[str]:
    """The exponents of one contender; — with fewer than two sizes."""
    found = [(run["cell"]["n"], run["contenders"][name]) for run in members if name in run["contenders"]]
    sizes = [n for n, _ in found]
    series = [[facts[clock_of(members[0])][q] for _, facts in found] for q in ("1", batch)]
    series.append([facts["build_seconds"] for _, facts in found])
    return [name, *(exponent(sizes, values) for values in series)]


def exponent(sizes: Sequence[int], values: Sequence[float]) -> str:
    """Least-squares slope of log value over log size."""
    if len(set(sizes)) < 2 or min(values) <= 0:
        return "—"
    return f"{np.polyfit(np.log(sizes), np.log(values), 1)[0]:.2f}"


def runs(results: Path, pattern: str) -> list[Run]:
    """The result files of a benchmark, each with its name; ValueError if there is none."""
    paths = sorted(results.glob(pattern), key=lambda path: path.stem)
    if not paths:
        raise ValueError(f"{results.name}: no file {pattern}")
    return [noted(path) for path in paths]


def noted(path: Path) -> Run:
    """A result file with the name that the line under a table gives."""
    return {**read(path), "file": path.stem}


def read(path: Path) -> Run:
    """A result file; ValueError names it if it is none."""
    try:
        found: Run = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    return found


def facts_of(run: Run) -> str:
    """What times can only be compared within: processor, cores, versions, threads."""
    machine, versions = run["machine"], run["machine"]["versions"]
    wide = "with" if any(name.startswith("avx512") for name in machine["features"]) else "without"
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    threads = "one thread" if run["threads"] == 1 else f"{run['threads']} threads"
    return f"{machine['processor']} {wide} AVX-512, {machine['cores']} cores, {threads}; {told}"


def machine_line(members: Iterable[Run]) -> str:
    """Machine, versions and protocol once, load and rounds of every file."""
    members = list(members)
    loads = [f"`{run['file']}` {run['machine']['load_at_start'][0]} ({run['rounds']} rounds)" for run in members]
    top = f"; top {members[0]['k']}" if "k" in members[0] else ""
    clock = "CPU time" if members[0]["threads"] == 1 else "time that passes"
    return f"{facts_of(members[0])}{top}; {clock}, median over the rounds. Load at the start: {', '.join(loads)}."


def by_machine(found: list[Run], head: list[str], rows: Callable[[list[Run]], list[list[str]]]) -> str:
    """One table for the runs on one machine with the same versions, its facts under it."""
    parts = []
    for _, group in groupby(sorted(found, key=facts_of), key=facts_of):
        members = list(group)
        parts.append(f"{markdown(head, rows(members), left=0)}\n\n{machine_line(members)}")
    return "\n\n".join(parts)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table whose first columns are aligned to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(value: float) -> str:
    """Three digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def times(ratio: float | None) -> str:
    """A ratio, or nothing where it was not measured."""
    return "" if ratio is None else f"{number(ratio)} ×"


def kind_of_codes(flips: float) -> str:
    """In words, how codes were drawn."""
    return "random" if flips == RANDOM else "clustered" if flips == 0.12 else f"clustered, {flips:g} flipped"


def asked(queries: int) -> str:
    """How queries were asked."""
    return "one by one" if queries == 1 else f"batch of {queries}"


SPEED: dict[str, Callable[[Path], str]] = {
    "search": search_text,
    "lookup": lookup_text,
    "evaluation": evaluation_text,
    "scale": scale_text,
    "fit": fit_text,
}
