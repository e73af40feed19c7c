"""Make the tables of the docs from result files: `python tools/make_tables.py [--check]`.

A page says where a table goes: `<!-- table: NAME -->` and `<!-- end of table -->`; what is between comes from
benchmarks/results/NAME/*.json and from nothing else.  With --check nothing is written, and the exit code is 1 if a page
differs.  A table refuses cells of another protocol or other data than its neighbours (exit code 2).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.published import published
from modalhash.evaluation.results import TABLE_FILE, read_results
from modalhash.folders import read_json

ROOT = Path(__file__).parent.parent
MARKED = re.compile(r"(<!-- table: ([\w.-]+) -->\n)(.*?)(<!-- end of table -->)", flags=re.S)
OWN = ("query_views", "database_views", "database", "database_codes", "hash")  # what protocols of a page differ in
SHORT = {"image → text": "I→T", "text → image": "T→I"}
Results = list[dict[str, Any]]


def main() -> None:
    """Write the tables, or say which pages differ from their result files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page differs")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    options = parser.parse_args()
    differ = []
    try:
        for page in sorted(options.docs.rglob("*.md")):
            old = page.read_text(encoding="utf8")
            new = MARKED.sub(lambda m: f"{m[1]}{table_text(options.results / m[2])}\n{m[4]}", old)
            if new != old:
                differ.append(page)
                if not options.check:
                    page.write_text(new, encoding="utf8")
    except (ValueError, OSError) as error:
        sys.stderr.write(f"make_tables: {error}\n")
        raise SystemExit(2) from None
    for page in differ:
        sys.stdout.write(f"{page.relative_to(options.docs)}: {'differs' if options.check else 'written'}\n")
    raise SystemExit(1 if options.check and differ else 0)


def table_text(folder: Path) -> str:
    """The Markdown of a folder of results: one table a data set and direction."""
    table, results = read_json(folder / TABLE_FILE), read_results(folder)
    check_protocols(folder.name, results)
    groups: dict[tuple[str, str, str], Results] = defaultdict(list)
    for result in results:
        protocol = result["protocol"]
        direction = Protocol.from_dict(protocol).direction
        groups[result["cell"]["source"], protocol["database_codes"], direction].append(result)
    order = {title: i for i, title in enumerate(table["sources"])}
    parts = [f"**{table['title']}**"]
    for (title, codes, direction), members in sorted(
        groups.items(), key=lambda item: (order.get(item[0][0], 99), item[0][1:])
    ):
        check_group(f"{folder.name}, {title}, {direction}", members)
        parts.append(group_text(table, title, f"{title}, {direction}, {codes} database codes", members))
    if table["cut"]["cells"]:
        parts.append(f"Cut to keep the time: {len(table['cut']['cells'])} cells ({table['cut']['order']}).")
    parts += [f"Not measured here: {title}." for title in table["absent"]]
    return "\n\n".join(parts)


def check_protocols(name: str, results: Results) -> None:
    """ValueError unless the protocols differ only in the views, and in whose codes are searched."""
    shared = {str({k: v for k, v in result["protocol"].items() if k not in OWN}) for result in results}
    if len(shared) > 1:
        raise ValueError(f"{name}: cells of {len(shared)} protocols in one table: {' | '.join(sorted(shared))}")


def check_group(name: str, results: Results) -> None:
    """ValueError unless all cells of a table have one protocol and one checksum of the data."""
    for what, key in (("protocol", "hash"), ("data", "checksum")):
        found = sorted({result[what][key] for result in results})
        if len(found) > 1:
            raise ValueError(f"{name}: cells of {len(found)} {what} {key}s in one table: {', '.join(found)}")


def group_text(table: dict[str, Any], title: str, caption: str, results: Results) -> str:
    """One table with its protocol under it."""
    protocol = Protocol.from_dict(results[0]["protocol"])
    if protocol.hash != results[0]["protocol"]["hash"]:
        raise ValueError(f"{caption}: the hash {results[0]['protocol']['hash']} is not that of its protocol")
    head = ["system", *(f"{bits} bits" for bits in table["bits"]), "bytes/item", "fit s"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for system in table["systems"]:
        lines.append(row_text(system, table, [r for r in results if r["cell"]["system"] == system]))
    lines += published_rows(table, title, protocol)
    counts = [r for r in results if "mean" in r]
    notes = [f"{table['measure']}, mean ± sd over {table['seeds']} seeds. {queries_text(counts)}"]
    notes.append(f"Protocol `{protocol.hash}`: {protocol.words}. Data {results[0]['data']['checksum'][:12]}.")
    refused = {(r["cell"]["system"], r["cell"]["n_bits"]): r["refused"] for r in results if "refused" in r}
    notes += [f"— {system} at {bits} bits: {reason}." for (system, bits), reason in sorted(refused.items())]
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
    """One system: a cell a length, the bytes of the lengths, the seconds of the longest fit."""
    cells = []
    for bits in table["bits"]:
        cells.append(cell_text([r for r in results if r["cell"]["n_bits"] == bits], table))
    done = [r for r in results if "mean" in r]
    sizes = sorted({r["bytes_per_item"] for r in done})
    seconds = [r["seconds"]["fit"] for r in done]
    bytes_ = "–".join(f"{size:g}" for size in (sizes[:1] + sizes[-1:] if len(sizes) > 1 else sizes)) or "—"
    return "| " + " | ".join([system, *cells, bytes_, f"{max(seconds):.2f}" if seconds else "—"]) + " |"


def cell_text(results: Results, table: dict[str, Any]) -> str:
    """Mean ± sd over seeds; — where the system refuses; … where nothing was run."""
    if any("refused" in result for result in results):
        return "—"
    values = [result["mean"][table["measure"]] for result in results]
    if not values:
        return "…"
    mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    some = f" ({len(values)} of {table['seeds']})" if len(values) < table["seeds"] else ""
    return f"{mean:.4f} ± {sd:.4f}{some}"


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
