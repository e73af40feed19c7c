"""Is a learned code better?  Learned systems against training-free codes and floats, on anyone's data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import PARTS, Dataset
from modalhash.datasets.embeddings import centred
from modalhash.evaluation.comparing import Comparer
from modalhash.evaluation.comparison_rows import Row, rows_of
from modalhash.evaluation.contenders import (
    FREE,
    Direction,
    Plan,
    check_systems,
    cut_words,
    default_directions,
    learned_by_default,
    protocols_of,
)
from modalhash.evaluation.leaks import leaks
from modalhash.evaluation.results import COMPARISON_FILE, machine, versions, write_result
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import Source
from modalhash.evaluation.verdict import MARGIN, Contest, contests, sentence
from modalhash.folders import FORMAT, read_json
from modalhash.hasher import check_integer, check_real
from modalhash.views import missing

MOST = 1000  # queries; more are drawn from
VALIDATE = 500  # validation queries
HELD = 0.1  # of the training items that validate where the data names none


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    verdict: a sentence that follows from the rows; rows: one a contender, length, direction, with and without
    rescoring; contests: who met whom at which budget; facts: data, split, leaks, spaces, protocols, versions, what
    was cut.
    """

    verdict: str
    rows: list[Row]
    contests: list[Contest]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "rows": [row.as_dict() for row in self.rows],
            "contests": [contest.as_dict() for contest in self.contests],
            "facts": self.facts,
        }


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a comparison measures.

    directions: pairs (query views, database views), () for all views at once; by default both ways across two views,
    one view with itself, and all views at once where there are more.  measure: what the verdict is about: `AP`
    (label mAP over the full ranking), `AP@k`, `nDCG`, `nDCG@k`, `P@k`, or `neighbours@k`, the share of the k nearest
    by floats that are found, with the number k in place of the letter; AP by default, without labels neighbours@k.
    shared: views that share one float space; centre: subtract each view's training mean first, which closes the gap
    between views; k: rank of the measures with a cut; shortlist: items that are rescored; queries: at most so many
    are drawn; margin: a gain that is worth a training.
    """

    directions: Sequence[Direction] | None = None
    measure: str | None = None
    shared: Sequence[str] = ()
    centre: bool = False
    k: int = 10
    shortlist: int = 100
    queries: int = MOST
    margin: float = MARGIN

    def checked(self) -> Setting:
        """The setting itself; ValueError for numbers out of range."""
        for name in ("k", "shortlist", "queries"):
            check_integer(name, getattr(self, name), low=1)
        check_real("margin", self.margin, low=0)
        if self.shortlist < self.k:
            raise ValueError(f"shortlist: expected at least k={self.k}, got {self.shortlist}")
        return self


def compare(
    data: Dataset | str | os.PathLike[str],
    bits: Sequence[int] = (32, 64),
    systems: Sequence[str] | None = None,
    *,
    seeds: int = 3,
    budget: float | None = 540.0,
    out: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda text: None,
    setting: Setting | None = None,
) -> Comparison:
    """Learned systems against training-free codes and floats, at equal bytes and at equal total memory.

    data: a Dataset, a name or a path; bits: lengths of the codes; systems: learned systems (default: quick ones that
    fit the data) and training-free ones (default: all), by name; seeds: how many for whatever hangs on chance;
    budget: seconds after which what is left is cut, and told (None: never); out: a folder that keeps every cell, so
    that a comparison which was stopped goes on, and the comparison, whose rows are result cards; say: where progress
    goes; setting: how it is measured.
    The systems that the verdict names are chosen on validation queries, never on the queries it quotes.
    Raises ValueError for unknown systems, lengths, directions or measures, and for data without queries.
    """
    how = (setting or Setting()).checked()
    given = data if isinstance(data, Dataset) else load_dataset(data)
    found, notes = prepared(given, how)
    plan = plan_of(found, bits, systems, seeds, how)
    measure = measure_of(found, how)
    with tempfile.TemporaryDirectory(prefix="modalhash-compare-") as temporary:
        folder = Path(temporary if out is None else out)
        runner = Comparer(folder, lambda *_, **__: found, shared=tuple(how.shared), k=how.k, shortlist=how.shortlist)
        table = run_table(plan, folder, budget_seconds=budget, runner=runner, say=say)
        cells = [read_json(runner.path(cell)) for cell in plan.cells() if runner.path(cell).exists()]
        compared = judged(rows_of(cells), measure, bits, how, facts_of(found, plan, table, cells, notes))
        if out is not None:
            write_result(folder / COMPARISON_FILE, compared.as_dict())
    return compared


def judged(rows: list[Row], measure: str, bits: Sequence[int], how: Setting, facts: dict[str, Any]) -> Comparison:
    """The comparison with its verdict."""
    found = contests(rows, measure, bits, how.margin)
    facts = facts | {"measure": measure, "margin": how.margin, "k": how.k, "shortlist": how.shortlist}
    return Comparison(sentence(found, facts["leaks"]), rows, found, facts)


def prepared(data: Dataset, how: Setting) -> tuple[Dataset, list[str]]:
    """The data with at most so many queries and with validation items, and what was done to it."""
    notes = []
    if not len(data.split["query"]):
        counts = ", ".join(f"{name} {len(data.split[name])}" for name in PARTS)
        raise ValueError(f"{data.name}: has no query items; its split is {counts}")
    split = dict(data.split)
    rng = np.random.default_rng(0)
    if not len(split["validation"]):
        held = rng.permutation(split["train"])[: max(1, round(HELD * len(split["train"])))]
        split["validation"], split["train"] = np.sort(held), np.setdiff1d(split["train"], held)
        notes.append(f"the data names no validation items: {len(held)} training items validate and do not train")
    for part, most in (("query", how.queries), ("validation", min(how.queries, VALIDATE))):
        if len(split[part]) > most:
            notes.append(f"{most} of {len(split[part])} {part} items are drawn to query")
            split[part] = np.sort(rng.permutation(split[part])[:most])
    changed = replace(data, split=split) if notes else data
    if how.centre:
        notes.append("each view's training mean is subtracted")
        changed = centred(changed)
    return changed, notes


def plan_of(data: Dataset, bits: Sequence[int], systems: Sequence[str] | None, seeds: int, how: Setting) -> Plan:
    """The cells to run."""
    check_integer("seeds", seeds, low=1)
    if not len(bits):
        raise ValueError("bits: expected at least one length, got none")
    for n_bits in bits:
        check_integer("bits", n_bits, low=1)
    directions = default_directions(data) if how.directions is None else list(how.directions)
    for name in (name for sides in directions for side in sides for name in side):
        if name not in data.views:
            raise ValueError(f"{data.name}: has no view {name!r}; its views: {', '.join(map(repr, data.views))}")
    chosen = check_systems([*FREE, *learned_by_default(data, directions)] if systems is None else systems)
    # floats first: all else is measured against them; then learned systems, which a cut must not lose
    chosen.sort(key=lambda name: 0 if name == "float32" else 1 if name not in FREE else 2)
    options = {"checksum": data.checksum[:12], "k": how.k, "shortlist": how.shortlist, "shared": ",".join(how.shared)}
    return Plan(
        title=f"Learned codes against training-free codes and floats on {data.name}",
        sources=(Source(name=data.name, options=options, label=data.name),),
        systems=tuple(dict.fromkeys(("float32", *chosen))),
        bits=tuple(sorted(set(bits))),
        seeds=seeds,
        protocols=protocols_of(data, directions, how.k),
    )


def measure_of(data: Dataset, how: Setting) -> str:
    """The measure that the verdict is about; ValueError for one that is not measured."""
    known = [f"neighbours@{how.k}"]
    if data.labels is not None:
        known = ["AP", f"AP@{how.k}", "nDCG", f"nDCG@{how.k}", f"P@{how.k}", *known]
    if how.measure is not None and how.measure not in known:
        raise ValueError(f"measure: expected {', '.join(known)}, got {how.measure!r}")
    return how.measure or known[0]


def facts_of(
    data: Dataset, plan: Plan, table: dict[str, Any], cells: Sequence[dict[str, Any]], notes: list[str]
) -> dict[str, Any]:
    """What a reader needs to read the rows right."""
    spaces = {protocol.direction: "" for protocol in plan.protocols}
    left_out: dict[str, list[int]] = {}
    cut = list(table["cut"]["cells"])
    for cell in cells:
        direction = next(p.direction for p in plan.protocols if p.hash == cell["protocol"]["hash"])
        if "space" in cell:
            spaces[direction] = cell["space"]
            if cell["protocol"]["queries"] == "query":
                left_out[direction] = [cell["queries_left_out"], cell["items_left_out"]]
    return {
        "data": data.name,
        "checksum": data.checksum,
        "items": len(data),
        "split": {part: len(rows) for part, rows in data.split.items()},
        "views": {name: [int(m.shape[1]), int(missing(m).sum())] for name, m in data.views.items()},
        "leaks": [asdict(finding) for finding in leaks(data) if finding.severity == "leak"],
        "spaces": spaces,
        "left_out": left_out,
        "protocols": {
            f"{p.direction}, {p.queries}": {"hash": p.hash, "words": p.words, "fields": p.as_dict()}
            for p in plan.protocols
        },
        "bits": list(plan.bits),
        "seeds": plan.seeds,
        "systems": list(plan.systems),
        "notes": notes,
        "cut": {"order": plan.cut_order, "cells": cut, "words": cut_words(plan, cut)},
        "versions": versions(),
        "machine": machine(),
    }
