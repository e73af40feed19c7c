"""Tables of one system for tools/make_tables.py: its cells beside those of its peers, and what its text prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import NOT_RUN, Results, cell_text, check_group, check_protocols, protocol_of, refusals, seeds_text, shown
from speed_tables import markdown

from modalhash.evaluation.cards import check_one
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.published import Published, published
from modalhash.evaluation.results import TABLE_FILE, read_results
from modalhash.evaluation.tables import kind_of
from modalhash.folders import read_json

PUBLISHED = "published"
PEERS = {  # which rows of a folder stand beside a system's own, as far as the folder has them
    "A2LH": ("HMAH", "CCAITQ"),
    "HMAH": ("A2LH", "CCAITQ"),
    "RDCMH": ("A2LH", "CCAITQ"),
    "CIRH": ("DCSH", "CCAITQ"),
    "DCSH": ("CIRH", "CCAITQ"),
    "SMHOQA": ("A2LH", "ITQ"),
    "UMHOQA": ("SMHOQA", "ITQ"),
    "BSTH": ("SMHOQA", "A2LH"),
    "DSTDH": ("LAGNH", "ITQ:image"),
    "LAGNH": ("DSTDH", "ITQ:image"),
}


def system_text(name: str, results: Path) -> str:
    """The Markdown of a marker `published/SYSTEM` or `FOLDER/SYSTEM`."""
    folder, _, system = name.rpartition("/")
    return published_text(system) if folder == PUBLISHED else results_text(results / folder, system)


def belongs(system: str, name: str) -> bool:
    """Whether a row is that of a system, of a variant of it, of it on one view or with other settings."""
    return system == name or system.startswith((f"{name}-", f"{name}:", f"{name}{{"))


def results_text(folder: Path, name: str) -> str:
    """A system and its variants in a folder of results, a row a direction, with its peers below."""
    table, results = read_json(folder / TABLE_FILE), read_results(folder)
    own = [system for system in table["systems"] if belongs(system, name)]
    if not own:
        raise ValueError(f"{folder.name}: no row of {name}; the table has {', '.join(table['systems'])}")
    systems = own + [peer for peer in PEERS.get(name, ()) if peer in table["systems"] and peer not in own]
    results = [result for result in results if result["cell"]["system"] in systems]
    if not any(result["cell"]["system"] in own for result in results):
        return NOT_RUN
    check_protocols(folder.name, results)
    groups: dict[tuple[int, int], Results] = defaultdict(list)
    for result in results:
        kind = kind_of(Protocol.from_dict(result["protocol"]))
        groups[table["sources"].index(result["cell"]["source"]), table["kinds"].index(list(kind))].append(result)
    rows = [row for _, members in sorted(groups.items()) for row in group_rows(folder.name, table, systems, members)]
    notes = [f"{table['measure']}, {seeds_text(table)}."]
    notes += [data_text(source, members) for source in table["sources"] if (members := of_source(results, source))]
    notes += refusals(results)
    head = ["data", "direction", "system", *(f"{bits} bits" for bits in table["bits"]), "protocol"]
    return "\n\n".join([f"**{table['title']}**", markdown(head, rows, left=3), "  \n".join(notes)])


def group_rows(folder: str, table: dict[str, Any], systems: Sequence[str], results: Results) -> list[list[str]]:
    """The rows of one data set and direction."""
    source = results[0]["cell"]["source"]
    check_group(f"{folder}, {source}", results)
    protocol = protocol_of(f"{folder}, {source}", results)
    rows = []
    for system in systems:
        mine = [result for result in results if result["cell"]["system"] == system]
        cells = [cell_text([r for r in mine if r["cell"]["n_bits"] == bits], table) for bits in table["bits"]]
        rows.append([source, direction_text(protocol), shown(system), *cells, f"`{protocol.hash}`"])
    return rows


def direction_text(protocol: Protocol) -> str:
    """Who queries whom, and whose codes are searched where they are the learned ones."""
    return protocol.direction + (", learned codes" if protocol.database_codes == "learned" else "")


def of_source(results: Results, source: str) -> Results:
    """The cells of one data set."""
    return [result for result in results if result["cell"]["source"] == source]


def data_text(source: str, results: Results) -> str:
    """A data set by its name, checksum and split."""
    check_one(source, "data checksum", [result["data"]["checksum"] for result in results])
    data = results[0]["data"]
    split = ", ".join(f"{size:,} {part}" for part, size in data["split"].items())
    return f"Data {source}, {data['checksum'][:12]}: {split}."


def published_text(name: str) -> str:
    """What the texts print for a system and its variants, and for the two strongest others of each table."""
    tables: dict[tuple[str, str, str], list[Published]] = defaultdict(list)
    for figure in published():
        tables[figure.source, figure.table, figure.data].append(figure)
    kept = [
        figure
        for figures in tables.values()
        if any(belongs(figure.method, name) for figure in figures)
        for figure in figures
        if belongs(figure.method, name) or figure.method in strongest(figures, name)
    ]
    if not kept:
        raise ValueError(f"published: no figures of {name}")
    bits = sorted({figure.bits for figure in kept})
    rows = [row_text(key, figures, bits) for key, figures in grouped(kept, name).items()]
    head = ["data", "direction", "system", *(f"{b} bits" for b in bits), "table"]
    sources = [f"Printed in {source}." for source in dict.fromkeys(figure.source for figure in kept)]
    return "\n\n".join([markdown(head, rows, left=3), "  \n".join([*sources, *protocols_text(kept)])])


def strongest(figures: Sequence[Published], name: str, count: int = 2) -> list[str]:
    """The others of a table with the highest mean."""
    values: dict[str, list[float]] = defaultdict(list)
    for figure in figures:
        if not belongs(figure.method, name):
            values[figure.method].append(figure.value)
    return sorted(values, key=lambda method: -float(np.mean(values[method])))[:count]


def grouped(figures: Sequence[Published], name: str) -> dict[tuple[str, ...], list[Published]]:
    """Figures by row: by data set, protocol and direction, the system, its variants, then the others.

    A row holds all tables that print it under the same protocol.
    """
    rows: dict[tuple[str, ...], list[Published]] = defaultdict(list)
    for figure in figures:
        rows[figure.data, figure.protocol, figure.direction, figure.method].append(figure)
    places = [list(dict.fromkeys(key[i] for key in rows)) for i in range(4)]

    def order(key: tuple[str, ...]) -> tuple[int, ...]:
        kind = 0 if key[3] == name else 1 if belongs(key[3], name) else 2
        return (*(places[i].index(key[i]) for i in range(3)), kind, places[3].index(key[3]))

    return {key: rows[key] for key in sorted(rows, key=order)}


def row_text(key: tuple[str, ...], figures: Sequence[Published], bits: Sequence[int]) -> list[str]:
    """One row; ValueError where two tables print different figures for the same."""
    data, _, direction, method = key
    found: dict[int, set[float]] = defaultdict(set)
    for figure in figures:
        found[figure.bits].add(figure.value)
    if any(len(values) > 1 for values in found.values()):
        raise ValueError(f"{method} on {data}, {direction}: tables differ")
    tables = ", ".join(dict.fromkeys(figure.table for figure in figures))
    digits = max(3, *(len(repr(figure.value)) - 2 for figure in figures))
    return [data, direction, method, *("".join(f"{v:.{digits}f}" for v in found.get(b, ())) for b in bits), tables]


def protocols_text(figures: Sequence[Published]) -> list[str]:
    """A line a protocol: for which data and tables it holds."""
    tables: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for figure in figures:
        tables[figure.data, figure.protocol][figure.table] = None
    return [f"{data}, {', '.join(found)}: {protocol}." for (data, protocol), found in tables.items()]
