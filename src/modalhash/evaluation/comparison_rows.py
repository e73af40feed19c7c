"""Rows of a comparison: cells of one contender and length, put together over seeds and parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modalhash.evaluation.contenders import OWN, Family, family_of
from modalhash.evaluation.protocol import Protocol
from modalhash.views import F64

RESCORED = "rescored"
DIGITS = 6  # of values in files


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One contender at one length in one direction, by its codes alone or rescored by kept floats.

    bits: the budget, None for a length of its own; bytes: of a code; total_bytes: with the floats that rescoring
    keeps; seeds: how many were run; mean, sd: over seeds, of the queries; per_seed: measure -> a value a seed;
    validation: means over seeds, of validation queries; seconds: CPU time to fit, to encode all items, to search a
    thousand queries; refused: why there are no figures (the row is then a dash); queries: values of every query, mean
    over seeds.
    """

    direction: str
    system: str
    family: Family
    bits: int | None
    rescored: bool
    bytes: float | None = None
    total_bytes: float | None = None
    seeds: int = 0
    mean: Mapping[str, float] = field(default_factory=dict)
    sd: Mapping[str, float] = field(default_factory=dict)
    per_seed: Mapping[str, list[float]] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    refused: str = ""
    protocol: str = ""
    queries: Mapping[str, F64] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The contender in words."""
        return f"{self.system} + rescoring" if self.rescored else self.system

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON values, without the values of single queries."""
        names = (*("direction", "system", "family", "bits", "rescored", "bytes", "total_bytes", "seeds"),)
        plain = {name: getattr(self, name) for name in names}
        told = {name: rounded(getattr(self, name)) for name in ("mean", "sd", "validation", "seconds")}
        every = {name: [round(value, DIGITS) for value in values] for name, values in self.per_seed.items()}
        return plain | told | {"per_seed": every, "refused": self.refused, "protocol": self.protocol}


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Values with the decimals of a file."""
    return {name: round(value, DIGITS) for name, value in values.items()}


def rows_of(cells: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows from the records of cells, in the order of the first cell of each."""
    groups: dict[tuple[str, str, int], dict[str, list[Mapping[str, Any]]]] = {}
    for cell in cells:
        protocol = Protocol.from_dict(cell["protocol"])
        key = protocol.direction, cell["cell"]["system"], cell["cell"]["n_bits"]
        groups.setdefault(key, {}).setdefault(protocol.queries, []).append(cell)
    return [row for key, parts in groups.items() for row in rows_of_group(key, parts)]


def rows_of_group(key: tuple[str, str, int], parts: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """The row by codes, and the one with rescoring where there is one; one row with the reason where all refuse."""
    direction, system, bits = key
    about: dict[str, Any] = {"direction": direction, "system": system, "family": family_of(system)}
    about["bits"] = None if bits == OWN else bits
    every = [cell for cells in parts.values() for cell in cells]
    refused = next((cell["refused"] for cell in every if "refused" in cell), "")
    if refused:
        return [Row(**about, rescored=False, refused=refused)]
    queries, validation = parts.get("query", []), parts.get("validation", [])
    if not queries:
        return []
    kinds = ["codes"] if queries[0][RESCORED] is None else ["codes", RESCORED]
    return [row_of(about, kind, queries, validation) for kind in kinds]


def row_of(
    about: Mapping[str, Any], kind: str, cells: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]
) -> Row:
    """One row: means and spread over the seeds."""
    again = kind == RESCORED
    first = cells[0]
    names = list(first[kind]["mean"])
    means = {name: np.array([nan_for_none(cell[kind]["mean"][name]) for cell in cells]) for name in names}
    ahead = {
        name: float(np.mean([nan_for_none(cell[kind]["mean"][name]) for cell in validation]))
        for name in (names if validation else ())
    }
    seconds = {name: float(np.mean([cell["seconds"][name] for cell in cells])) for name in first["seconds"]}
    searched = [cell["rescore_seconds"] if again else cell["seconds"]["search"] for cell in cells]
    seconds["search"] = float(np.mean(searched)) * 1000 / first["n_queries"]
    return Row(
        **about,
        rescored=again,
        bytes=first["bytes_per_item"],
        total_bytes=first["bytes_per_item"] + (first["float_bytes"] if again else 0.0),
        seeds=len(cells),
        mean={name: float(values.mean()) for name, values in means.items()},
        sd={name: float(values.std(ddof=1)) if len(values) > 1 else 0.0 for name, values in means.items()},
        per_seed={name: values.tolist() for name, values in means.items()},
        validation=ahead,
        seconds=seconds,
        protocol=first["protocol"]["hash"],
        queries={name: over_seeds(cells, kind, name) for name in first[kind]["queries"]},
    )


def over_seeds(cells: Sequence[Mapping[str, Any]], kind: str, name: str) -> F64:
    """The values of every query, mean over seeds; NaN where nothing is relevant."""
    values = [[nan_for_none(value) for value in cell[kind]["queries"][name]] for cell in cells]
    return np.asarray(np.mean(np.array(values, dtype=np.float64), axis=0))


def nan_for_none(value: float | None) -> float:
    """JSON's null as NaN."""
    return float("nan") if value is None else value
