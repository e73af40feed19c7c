"""Make the tables of the docs and the README from result files: `python tools/make_tables.py [--check]`.

A page says where a table goes: `<!-- table: NAME -->` and `<!-- end of table -->`; what is between comes from
benchmarks/results/NAME/*.json and from nothing else (other tables: from those that speed_tables.py, store_tables.py,
service_tables.py, curve_tables.py, recommend_tables.py, compare_tables.py and explain_tables.py name).  NAME/SYSTEM
keeps the rows of one system, its variants and its peers; published/SYSTEM is what the texts print for it.  A known
table without results is "Not run yet.".  Drawings of drawings.py are made again where their files lie.  Figures in the
prose are made again where they are marked, and told where they are not (figures.py).  With --check nothing is written,
and the exit code is 1 if a page differs or holds a measured figure without a mark.  A table refuses cells of another
protocol or other data than its neighbours (exit code 2).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from cells import NOT_RUN, Results, cell_text, check_group, check_protocols, protocol_of, refusals, seeds_text, shown
from compare_tables import COMPARE
from curve_tables import CURVES
from drawings import DRAWINGS
from explain_tables import EXPLAIN
from figures import renewed, unmarked
from recommend_tables import RECOMMEND
from service_tables import SERVICE
from speed_tables import SPEED
from store_tables import STORE
from system_tables import system_text

from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.published import published
from modalhash.evaluation.results import TABLE_FILE, read_results
from modalhash.evaluation.tables import TABLES, kind_of
from modalhash.folders import read_json

ROOT = Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- table: ([\w./-]+) -->\n)(.*?)(<!-- end of table -->)", flags=re.S)
SHORT = {"image → text": "I→T", "text → image": "T→I"}


def main() -> None:
    """Write the tables, or say which pages differ from their result files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page differs")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    differ: list[Path] = []
    without_mark: list[str] = []

    def renew(path: Path, old: str, new: str) -> None:
        if new != old:
            differ.append(path)
            if not options.check:
                path.write_text(new, encoding="utf8")

    try:
        for page in [*sorted(options.docs.rglob("*.md")), options.docs.parent / "README.md"]:
            if not page.is_file():
                continue
            old = page.read_text(encoding="utf8")
            new = MARKED.sub(lambda m: f"{m[1]}{text_of(m[2], options.results)}\n{m[4]}", old)
            renew(page, old, renewed(new, options.results))
            without_mark += unmarked(page.relative_to(options.docs.parent).as_posix(), new)
        for name, draw in DRAWINGS.items():
            if (path := options.docs / name).is_file():
                renew(path, path.read_text(encoding="utf8"), draw(options.results))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"make_tables: {error}\n")
        raise SystemExit(2) from None
    for page in differ:
        sys.stdout.write(f"{page.relative_to(options.docs.parent)}: {'differs' if options.check else 'written'}\n")
    sys.stdout.writelines(f"{line}\n" for line in without_mark)
    raise SystemExit(1 if options.check and (differ or without_mark) else 0)


def text_of(name: str, results: Path) -> str:
    """The Markdown of a marker: a table of speed, of one system, or the cells in the folder of that name."""
    folder = name.rpartition("/")[0] or name
    own = {**SPEED, **CURVES, **RECOMMEND, **COMPARE, **EXPLAIN, **SERVICE, **STORE}
    if name not in own:
        if folder in TABLES and not (results / folder).is_dir():
            return NOT_RUN
        return system_text(name, results) if "/" in name else table_text(results / name)
    try:
        return own[name](results)
    except FileNotFoundError:
        return NOT_RUN
    except KeyError as error:
        raise ValueError(f"{name}: a result file lacks {error}") from None


def table_text(folder: Path) -> str:
    """The Markdown of a folder of results: one table a data set and direction."""
    table, results = read_json(folder / TABLE_FILE), read_results(folder)
    check_protocols(folder.name, results)
    groups: dict[tuple[int, int], Results] = defaultdict(list)
    for result in results:
        kind = kind_of(Protocol.from_dict(result["protocol"]))
        groups[table["sources"].index(result["cell"]["source"]), table["kinds"].index(list(kind))].append(result)
    parts = [f"**{table['title']}**"]
    for (i, j), members in sorted(groups.items()):
        title, caption = table["sources"][i], ", ".join([table["sources"][i], *table["kinds"][j]])
        check_group(f"{folder.name}, {caption}", members)
        parts.append(group_text(table, title, f"{caption} database codes", members))
    if table["cut"]["cells"]:
        parts.append(f"Cut to keep the time: {len(table['cut']['cells'])} cells ({table['cut']['order']}).")
    if table["absent"]:
        parts.append(f"Not measured, for want of the data: {', '.join(table['absent'])}.")
    return "\n\n".join(parts)


def group_text(table: dict[str, Any], title: str, caption: str, results: Results) -> str:
    """One table with its protocol under it."""
    protocol = protocol_of(caption, results)
    head = ["system", *(f"{bits} bits" for bits in table["bits"]), "bytes/item", fit_column(results)]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for system in table["systems"]:
        lines.append(row_text(system, table, [r for r in results if r["cell"]["system"] == system]))
    lines += published_rows(table, title, protocol)
    counts = [r for r in results if "mean" in r]
    notes = [f"{table['measure']}, {seeds_text(table)}. {queries_text(counts)}"]
    notes.append(f"Protocol `{protocol.hash}`: {protocol.words}. Data {results[0]['data']['checksum'][:12]}.")
    notes += refusals(results)
    return "\n".join([f"*{caption}*", "", *lines, "", "  \n".join(notes)])


def queries_text(results: Results) -> str:
    """How many queries count, and which do not."""
    if not results:
        return "No figures."
    first = results[0]
    told = f"{first['n_queries']} queries"
    if first["queries_left_out"]:
        told += f" ({first['queries_left_out']} more lack the view)"
    return f"{told}, {first['n_without_relevant']} of them without anything relevant."


def row_text(system: str, table: dict[str, Any], results: Results) -> str:
    """One system: a cell a length, the bytes of the lengths, the median seconds of a fit of the longest codes."""
    cells = []
    for bits in table["bits"]:
        cells.append(cell_text([r for r in results if r["cell"]["n_bits"] == bits], table))
    done = [r for r in results if "mean" in r]
    sizes = sorted({r["bytes_per_item"] for r in done})
    longest = max((r["cell"]["n_bits"] for r in done), default=0)
    seconds = [r["seconds"].get("fit_cpu", r["seconds"]["fit"]) for r in done if r["cell"]["n_bits"] == longest]
    bytes_ = "–".join(f"{size:g}" for size in (sizes[:1] + sizes[-1:] if len(sizes) > 1 else sizes)) or "—"
    return "| " + " | ".join([shown(system), *cells, bytes_, f"{np.median(seconds):.2f}" if seconds else "—"]) + " |"


def fit_column(results: Results) -> str:
    """What the column of seconds holds: CPU time, or the clock's in files that know no other."""
    return "fit CPU s" if any("fit_cpu" in r.get("seconds", {}) for r in results) else "fit s"


def published_rows(table: dict[str, Any], title: str, protocol: Protocol) -> list[str]:
    """What the texts print for the same data, direction and kind of codes."""
    rows: dict[str, dict[int, float]] = defaultdict(dict)
    for figure in published(data=title) if table["published"] else []:
        same = figure.direction == SHORT.get(protocol.direction)
        same &= figure.database_codes in (protocol.database_codes, "unstated")
        if same and figure.method in table["systems"]:
            rows[f"{figure.method} as printed (Table {figure.table})"][figure.bits] = figure.value
    return [
        "| " + " | ".join([name, *(f"{values[b]:.4f}" if b in values else "" for b in table["bits"]), "", ""]) + " |"
        for name, values in rows.items()
    ]


if __name__ == "__main__":
    main()
