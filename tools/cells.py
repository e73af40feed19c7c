"""Cells of result files for the tables of the docs: means over seeds, refusals, checks that they belong together."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from modalhash.evaluation.cards import check_one, checked_protocol
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.report_words import shown as shown

OWN = ("query_views", "database_views", "database", "database_codes", "hash")  # what protocols of a page differ in
NOT_RUN = "Not run yet."
Results = list[dict[str, Any]]


def check_protocols(name: str, results: Results) -> None:
    """ValueError unless the protocols differ only in the views, and in whose codes are searched."""
    shared = {str({k: v for k, v in result["protocol"].items() if k not in OWN}) for result in results}
    if len(shared) > 1:
        raise ValueError(f"{name}: cells of {len(shared)} protocols in one table: {' | '.join(sorted(shared))}")


def check_group(name: str, results: Results) -> None:
    """ValueError unless all cells of a table have one protocol and one checksum of the data."""
    for what, key, words in (("protocol", "hash", "protocol hash"), ("data", "checksum", "data checksum")):
        check_one(name, words, [result[what][key] for result in results])


def protocol_of(name: str, results: Results) -> Protocol:
    """The one protocol of checked cells; ValueError if the hash in the files is not its hash."""
    try:
        return checked_protocol(results[0]["protocol"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def of_protocol(name: str, content: dict[str, Any]) -> str:
    """The protocol of a result file by its hash, which must be that of its fields."""
    return f"Protocol `{protocol_of(name, [{'protocol': content}]).hash}`."


def refusals(results: Results) -> list[str]:
    """A line a system that refuses: at which lengths, and why."""
    lengths: dict[str, set[int]] = defaultdict(set)
    reasons: dict[str, str] = {}
    for result in sorted(results, key=lambda r: r["cell"]["n_bits"]):
        if "refused" in result:
            system = result["cell"]["system"]
            lengths[system].add(result["cell"]["n_bits"])
            name, _, reason = result["refused"].partition(": ")
            own = system.startswith(name)  # of the system itself, without its variant or view: said already
            reasons.setdefault(system, reason if own else result["refused"])
    return [f"— {s} at {', '.join(map(str, sorted(lengths[s])))} bits: {reasons[s]}." for s in lengths]


def seeds_text(table: dict[str, Any]) -> str:
    """How many seeds a figure is the mean of."""
    return "one seed" if table["seeds"] == 1 else f"mean ± sd over {table['seeds']} seeds"


def cell_text(results: Results, table: dict[str, Any]) -> str:
    """Mean ± sd over seeds; — where the system refuses; … where nothing was run."""
    if any("refused" in result for result in results):
        return "—"
    values = [result["mean"][table["measure"]] for result in results]
    if not values:
        return "…"
    mean, sd = np.mean(values), np.std(values, ddof=1) if len(values) > 1 else 0.0
    some = f" ({len(values)} of {table['seeds']})" if len(values) < table["seeds"] else ""
    return (f"{mean:.4f}" if len(values) == 1 else f"{mean:.4f} ± {sd:.4f}") + some
