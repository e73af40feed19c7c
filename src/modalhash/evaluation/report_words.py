"""Names, numbers and explanations of the report in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from modalhash.evaluation.cards import Card
from modalhash.evaluation.report_blocks import Block, Folded, Grid

USUAL = 64  # bits that are shown first where several lengths were measured equally often


def mean_name(measure: str) -> str:
    """What the mean of a measure over queries is called."""
    return "mAP" if measure == "AP" else measure


def name_of(card: Card, members: Sequence[Card]) -> str:
    """The system, and the parameters by which it differs from others of its name and length in the table."""
    twins = [other for other in members if (other.system, other.n_bits) == (card.system, card.n_bits)]
    told = sorted(
        name
        for name, value in card.parameters.items()
        if any(name in twin.parameters and twin.parameters[name] != value for twin in twins)
    )
    system = shown(card.system)
    return f"{system} ({', '.join(f'{name}={card.parameters[name]}' for name in told)})" if told else system


def shown(system: str) -> str:
    """A system as tables call it: `ITQ:fac` is ITQ (fac), `ITQ@128` ITQ, first of 128, `LAGNH{k=1.0}` LAGNH, k=1.0."""
    system, _, settings = system.partition("{")
    if settings:
        return ", ".join([shown(system), *settings.rstrip("}").split(";")])
    if "@" in system:
        return "{}, first of {}".format(*system.split("@"))
    return system if ":" not in system else "{} ({})".format(*system.split(":"))


def styles_of(cards: Sequence[Card]) -> dict[str, int]:
    """A style for every system, the same in all figures."""
    return {system: i for i, system in enumerate(dict.fromkeys(card.system for card in cards))}


def usual_length(members: Sequence[Card]) -> int:
    """The length that most cards have; of several the nearest to 64 bits."""
    counts = Counter(card.n_bits for card in members if not card.refused)
    return min(counts, key=lambda n: (-counts[n], abs(n - USUAL), n), default=0)


def measured(members: Sequence[Card], measure: str) -> list[Card]:
    """The cards that have a measure."""
    return [card for card in members if len(card.values(measure))]


def frontier(members: Sequence[Card], measure: str) -> list[Card]:
    """Cards that are better than every card of fewer or as many bytes, by bytes."""
    found = [card for card in measured(members, measure) if card.bytes_per_item is not None]
    kept: list[Card] = []
    for card in sorted(found, key=lambda card: (card.bytes_per_item or 0, -card.mean(measure))):
        if not kept or card.mean(measure) > kept[-1].mean(measure):
            kept.append(card)
    return kept


def spread_text(card: Card, measure: str) -> str:
    """Mean ± sd, or the one value."""
    return f"{card.mean(measure):.3f}" + (f" ± {card.sd(measure):.3f}" if len(card.seeds) > 1 else "")


def amount(size: float | None) -> str:
    """Bytes in words."""
    return "an unknown size" if size is None else "1 byte" if size == 1 else f"{size:g} bytes"


def plural(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def contender(card: Card) -> str:
    """The system without what a comparison does after it: rescoring."""
    return str(card.facts.get("contender", card.system))


def length_text(n_bits: int) -> str:
    """A length in words; 0 is that of a contender which has a length of its own."""
    return f"{n_bits} bits" if n_bits else "own length"


def seconds_text(seconds: float | None) -> str:
    """Seconds with as many digits as say something."""
    if seconds is None:
        return "—"
    return f"{seconds:.0f}" if seconds >= 100 else f"{seconds:.2g}" if seconds < 10 else f"{seconds:.1f}"


def share_text(value: float | None) -> str:
    """A share as a percentage, a dash where it is not known."""
    return "—" if value is None else f"{100 * value:.1f} %"


def provenance(tables: dict[tuple[str, str], list[Card]]) -> list[Block]:
    """Data, machines and versions, and the parameters of every card."""
    cards = [card for members in tables.values() for card in members]
    sets = {card.title: card.data for card in cards}
    rows = []
    for title, data in sets.items():
        split = data.get("split", {})
        sizes = [f"{split[part]:,}" if part in split else "—" for part in ("train", "validation", "query", "database")]
        rows.append([title, data["name"], *sizes, data["checksum"][:12]])
    blocks: list[Block] = [
        Grid(
            ["data", "name", "train", "validation", "queries", "database", "checksum"],
            rows,
            "Data",
            findings(sets),
            left=2,
        )
    ]
    machines = Counter(
        (machine_text(machine), versions_text(versions))
        for card in cards
        for machine, versions in zip(card.machines or [{}], card.versions or [{}], strict=False)
    )
    runs = [[machine, versions, f"{number:,}"] for (machine, versions), number in machines.items()]
    blocks.append(Grid(["machine", "versions", "runs"], runs, "Machines and versions", left=2))
    settings = {(card.system, parameters_text(card)): None for card in cards if card.parameters}
    shown = [[system, text] for system, text in settings]
    blocks.append(Folded("Parameters", [Grid(["system", "parameters"], shown, "", left=2)]))
    return blocks


def findings(sets: dict[str, dict[str, object]]) -> list[str]:
    """What the leak check says of each data set."""
    said = []
    for title, data in sets.items():
        found = data.get("findings")
        if isinstance(found, list) and found:
            said.append(f"{title}: {'; '.join(map(str, found))}.")
    return said


def machine_text(machine: dict[str, object]) -> str:
    """A machine in words."""
    return f"{machine.get('cpu', 'unknown')}, {machine.get('cores', '?')} cores" if machine else "not told"


def versions_text(versions: dict[str, str]) -> str:
    """Versions in words."""
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not told"


def parameters_text(card: Card) -> str:
    """The parameters of a card but for its length."""
    return ", ".join(f"{name}={value}" for name, value in card.parameters.items() if name not in ("n_bits", "verbose"))
