"""Tables of `modalhash compare` for tools/make_tables.py: the rows of a stored comparison and its verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from speed_tables import markdown, read

SHOWN = ("emoji", "emoji-neighbours", "clipart", "texts", "texts-neighbours")
SIZES = ("bytes", "total_bytes")


def compare_text(name: str, results: Path) -> str:
    """The tables of one comparison, a direction each, with the verdict first."""
    found = read(results / "compare" / f"{name}.json")
    facts, rows = found["facts"], found["rows"]
    parts = [f"> {found['verdict']}"]
    for way in dict.fromkeys(row["direction"] for row in rows):
        own = [row for row in rows if row["direction"] == way]
        parts.append(f"*{facts['data']}, {way}; floats: {facts['spaces'][way]}*\n\n{rows_text(own, facts)}")
    return "\n\n".join([*parts, notes_text(facts, rows)])


def rows_text(rows: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Rows that were measured, in columns."""
    k = facts["k"]
    names = [name for name in ("AP", f"nDCG@{k}", f"neighbours@{k}") if any(name in row["mean"] for row in rows)]
    cells = []
    for row in (row for row in rows if not row["refused"]):
        title = f"{row['system']} + rescoring" if row["rescored"] else row["system"]
        figures = [figure(row, name) for name in names]
        sizes = [f"{row[size]:g}" for size in SIZES]
        seconds = [f"{row['seconds']['fit']:.2f}", f"{row['seconds']['search']:.2f}"]
        cells.append([title, str(row["bits"] or "own"), *sizes, *figures, *seconds])
    return markdown(["contender", "bits", "bytes", "with floats", *names, "fit CPU s", "CPU ms a query"], cells)


def figure(row: dict[str, Any], name: str) -> str:
    """Mean, and sd where there are several seeds."""
    spread = f" ± {row['sd'][name]:.3f}" if row["seeds"] > 1 else ""
    return f"{row['mean'][name]:.3f}{spread}"


def notes_text(facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """What a reader needs to read the figures right."""
    split = ", ".join(f"{part} {count:,}" for part, count in facts["split"].items())
    lines = [f"{facts['items']:,} items ({split}); data {facts['checksum'][:12]}; seeds: {facts['seeds']}."]
    lines += [f"{note[0].upper()}{note[1:]}." for note in facts["notes"]]
    lines += [f"Leak: {leak['message']}." for leak in facts["leaks"]]
    reasons = dict.fromkeys((row["system"], row["bits"] or "own", row["refused"]) for row in rows if row["refused"])
    lines += [f"— {name} at {bits}: {reason}." for name, bits, reason in reasons]
    if facts["cut"]["cells"]:
        lines.append(f"Cut to keep the time: {len(facts['cut']['cells'])} cells ({facts['cut']['order']}).")
    used = [text for text in facts["protocols"].values() if "queries: query" in text["words"]]
    return "  \n".join([*lines, *(f"Protocol `{text['hash']}`: {text['words']}." for text in used)])


COMPARE: dict[str, Callable[[Path], str]] = {f"compare/{name}": partial(compare_text, name) for name in SHOWN}
