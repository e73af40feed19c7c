"""Who is compared: floats, training-free codes and learned systems, and in which order they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from modalhash.advice import advise
from modalhash.catalog import SYSTEMS, make
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.protocol import NEIGHBOURS, SHARED, Protocol
from modalhash.evaluation.tables import Cell, Table

Family = Literal["float", "training-free", "learned"]
Direction = tuple[tuple[str, ...], tuple[str, ...]]
OWN = 0  # bits of a cell whose contender has a length of its own
CANDIDATES = ("A2LH", "ACQH", "SMHOQA", "UMHOQA")  # closed-form learned systems, quick enough to be tried by default
ON_VIEWS = {"rotation": "LSH", "ITQ": "ITQ", "CCA-ITQ": "CCAITQ"}  # training-free codes of several views at once
RULES = ("validation", "query")  # parts that query, in the order in which they are measured


@dataclass(frozen=True)
class Contender:
    """A training-free contender: its family; whether it has a length of its own, takes a budget, hangs on chance."""

    name: str
    family: Family
    own: bool
    budget: bool
    chance: bool


FREE = {
    found.name: found
    for found in (
        Contender("float32", "float", own=True, budget=False, chance=False),
        Contender("int8", "training-free", own=True, budget=True, chance=False),
        Contender("sign", "training-free", own=True, budget=True, chance=False),
        Contender("mean-sign", "training-free", own=True, budget=True, chance=False),
        Contender("rotation", "training-free", own=True, budget=True, chance=True),
        Contender("RaBitQ", "training-free", own=True, budget=True, chance=True),
        Contender("ITQ", "training-free", own=False, budget=True, chance=True),
        Contender("CCA-ITQ", "training-free", own=False, budget=True, chance=True),
        Contender("PQ", "training-free", own=False, budget=True, chance=True),
        Contender("OPQ", "training-free", own=False, budget=True, chance=True),
        Contender("cut", "training-free", own=False, budget=True, chance=False),
    )
}


def family_of(name: str) -> Family:
    """float, training-free or learned."""
    return FREE[name].family if name in FREE else "learned"


def learned_by_default(data: Dataset, directions: Sequence[Direction]) -> list[str]:
    """Learned systems that fit the data and are quick; fused ones where several views are searched at once.

    UMHOQA also where there is nothing else to learn with.
    """
    advice = advise(data)
    able = {row["name"] for row in advice["systems"] if row["fits"] == "yes"}
    fused = len(data.views) > 1 and any(not sides[0] or not sides[1] for sides in directions)
    wanted = [name for name in CANDIDATES if name in able and (fused or name not in ("SMHOQA", "UMHOQA"))]
    if not wanted and "UMHOQA" in able and len(data.views) == 1:
        return ["UMHOQA"]
    recommended = advice["recommended"]
    if not wanted and recommended is not None and not SYSTEMS[recommended].startswith("baselines."):
        wanted = [recommended]
    return wanted


def check_systems(names: Sequence[str]) -> list[str]:
    """Names of contenders, each once; ValueError lists what is known."""
    for name in names:
        if name not in FREE:
            try:
                make(name)
            except ValueError as error:
                raise ValueError(f"{error}; training-free: {', '.join(FREE)}") from None
    if not names:
        raise ValueError("systems: expected at least one name, got none")
    return list(dict.fromkeys(names))


def default_directions(data: Dataset) -> list[Direction]:
    """One view: itself; two: across, both ways; more: all views at once."""
    names = list(data.views)
    if len(names) == 1:
        return [((names[0],), (names[0],))]
    if len(names) == 2:
        return [((a,), (b,)) for a, b in (names, names[::-1])]
    return [((), ())]


def protocols_of(data: Dataset, directions: Sequence[Direction], k: int) -> tuple[Protocol, ...]:
    """For every direction a protocol for validation and one for queries."""
    relevance = NEIGHBOURS if data.labels is None else SHARED
    return tuple(
        Protocol(query_views=asked, database_views=found, queries=part, relevance=relevance, cuts=(k,))
        for asked, found in directions
        for part in RULES
    )


@dataclass(frozen=True, kw_only=True)
class Plan(Table):
    """The cells of a comparison: all contenders with the first seed, then those that hang on chance with the others.

    A budget therefore cuts seeds first, and what it cuts is told.
    """

    cut_order: ClassVar[str] = "seeds first, then contenders from the last on"

    def cells(self) -> Iterator[Cell]:
        """Cells seed by seed, contender by contender, then by length, then by protocol."""
        (source,) = self.sources
        for seed in range(self.seeds):
            for system in self.systems:
                if seed and system in FREE and not FREE[system].chance:
                    continue
                for n_bits in lengths_of(system, self.bits):
                    for protocol in self.protocols:
                        yield Cell(system=system, source=source, n_bits=n_bits, seed=seed, protocol=protocol)


def cut_words(plan: Plan, names: Sequence[str]) -> list[str]:
    """Cells by their names in words, a line a seed: which contenders at which lengths."""
    lines: dict[int, dict[str, dict[str, None]]] = {}
    wanted = set(names)
    for cell in (cell for cell in plan.cells() if cell.name in wanted):
        length = "own length" if cell.n_bits == OWN else f"{cell.n_bits} bits"
        lines.setdefault(cell.seed, {}).setdefault(cell.system, {})[length] = None
    told = {seed: [f"{system} at {', '.join(at)}" for system, at in found.items()] for seed, found in lines.items()}
    return [f"seed {seed}: {'; '.join(found)}" for seed, found in told.items()]


def lengths_of(system: str, bits: Sequence[int]) -> list[int]:
    """Lengths at which a contender runs, OWN among them where it has one."""
    if system not in FREE:
        return list(bits)
    contender = FREE[system]
    return [OWN] * contender.own + list(bits) * contender.budget
