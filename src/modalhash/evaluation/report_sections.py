"""What a report says, from result cards and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from modalhash.evaluation.cards import Card, tables_of
from modalhash.evaluation.report_blocks import (
    Block,
    Cell,
    Figures,
    Folded,
    Grid,
    Paragraph,
    Report,
    Section,
)
from modalhash.evaluation.report_figures import curve_figures, trade_figures
from modalhash.evaluation.report_glossary import INTRODUCTION, glossary
from modalhash.evaluation.report_health import ablation_section, health_section, missing_views_section
from modalhash.evaluation.report_words import (
    amount,
    contender,
    frontier,
    length_text,
    mean_name,
    measured,
    name_of,
    plural,
    provenance,
    seconds_text,
    spread_text,
    styles_of,
    usual_length,
)


def report(cards: Sequence[Card], title: str, measure: str = "AP") -> Report:
    """The whole report; ValueError for a measure that no card has, and where a table would mix protocols or data."""
    tables = tables_of(cards)
    if not any(len(card.values(measure)) for card in cards):
        known = ", ".join(dict.fromkeys(name for card in cards for name in card.measures)) or "none"
        raise ValueError(f"measure: no card has {measure!r}; they have {known}")
    for members in tables.values():
        check_places(members)
    styles = styles_of(cards)
    found = [Section("In short", [Paragraph(text) for text in (INTRODUCTION, *in_short(tables, measure))])]
    for number, ((source, way), members) in enumerate(tables.items()):
        found.append(Section(f"{source}: {way}", table_blocks(members, styles, measure, f"t{number}")))
    found += missing_views_section(tables, styles)
    found += ablation_section(tables, measure)
    found += health_section(tables, styles)
    found += [
        Section("What the words mean", [glossary(cards, measure)]),
        Section("Where the figures come from", provenance(tables)),
    ]
    about = f"{plural(len(cards), 'result card')}, {plural(len(tables), 'table')}, "
    about += f"{plural(len({card.system for card in cards}), 'system')}."
    return Report(title, about, found)


def check_places(members: Sequence[Card]) -> None:
    """ValueError where two cards of a table would stand in one place."""
    places: set[tuple[str, int]] = set()
    for card in members:
        place = name_of(card, members), card.n_bits
        if place in places:
            raise ValueError(f"two cards of {place[0]}, {card.n_bits} bits, on {card.title} in one table")
        places.add(place)


def in_short(tables: dict[tuple[str, str], list[Card]], measure: str) -> list[str]:
    """A sentence a table: the best for their bytes, and how sure the lead of the best is."""
    said = []
    for (source, way), members in tables.items():
        best = frontier(members, measure)
        if not best:
            said.append(f"{source}, {way}: no figures.")
            continue
        steps = [
            f"{name_of(card, members)} with {amount(card.bytes_per_item)} ({value_text(card, measure)})"
            for card in best
        ]
        said.append(
            f"{source}, {way}. Best for their bytes: {', then '.join(steps)}. {lead(best[-1], members, measure)}"
        )
    return said


def value_text(card: Card, measure: str) -> str:
    """A figure with the name of what it is."""
    return f"{mean_name(measure)} {spread_text(card, measure)}"


def lead(first: Card, members: Sequence[Card], measure: str) -> str:
    """How far the best system is before the best other one at no more bytes."""
    size = first.bytes_per_item or 0
    others = [
        card
        for card in measured(members, measure)
        if contender(card) != contender(first) and (card.bytes_per_item or 0) <= size
    ]
    if not others:
        return "No other system stands beside it."
    second = max(others, key=lambda card: card.mean(measure))
    gap, noise = first.mean(measure) - second.mean(measure), first.sd(measure) + second.sd(measure)
    told = f"{name_of(first, members)} leads {name_of(second, members)} ({spread_text(second, measure)}) by {gap:.3f}"
    if min(len(first.seeds), len(second.seeds)) < 2:
        return f"{told}; with one seed nothing is said of how sure that is."
    return f"{told}, {'more' if gap > noise else 'no more'} than both spreads over seeds together ({noise:.3f})."


def table_blocks(members: Sequence[Card], styles: dict[str, int], measure: str, name: str) -> list[Block]:
    """Everything on one table: the figures, curves at the usual length, quality for bytes and seconds."""
    blocks: list[Block] = [quality_grid(members, measure)]
    lengths = sorted({card.n_bits for card in members if card.curves and any(card.curves)})
    compared = any("contender" in card.facts for card in members)
    if not lengths and not compared:
        blocks.append(Paragraph("These cards hold no curves: they were written before cards did."))
    usual = usual_length(members)
    others: list[Block] = []
    for length in lengths:
        figures = curve_figures([card for card in members if card.n_bits == length], styles, f"{name}-{length}")
        if figures and length == usual:
            blocks += [Paragraph(f"Curves of {length} bits, mean over queries and seeds."), Figures(figures)]
        elif figures:
            others += [Paragraph(f"{length} bits"), Figures(figures)]
    if others:
        blocks.append(Folded("Curves of the other lengths", others))
    figures = trade_figures(members, styles, measure, name)
    if figures:
        told = "Quality for bytes and for time (a thousandth of a second at least); the dotted line joins what nothing "
        told += "else beats at that size or time."
        blocks += [Paragraph(told), Figures(figures)]
    if compared:
        blocks.append(Folded("All measures, with bytes, memory and time", [memory_grid(members)]))
    return blocks


def memory_grid(members: Sequence[Card]) -> Grid:
    """A row a card of a comparison: bytes of the code, all bytes that are kept, every measure, times."""
    names = list(dict.fromkeys(name for card in members for name in card.measures))
    rows = [
        [
            name_of(card, members),
            length_text(card.n_bits),
            *(f"{size:g}" for size in (card.facts["bytes_of_code"], card.bytes_per_item)),
            *(spread_text(card, name) for name in names),
            *(seconds_text(card.took(name)) for name in ("fit", "search")),
        ]
        for card in members
        if card.measures
    ]
    head = ["system", "length", "bytes of the code", "with floats", *map(mean_name, names)]
    return Grid([*head, "seconds to learn", "seconds for 1,000 queries"], rows, seeds_text(members), left=2)


def quality_grid(members: Sequence[Card], measure: str) -> Grid:
    """A row a system, a column a length; the best of each column is marked."""
    lengths = sorted({card.n_bits for card in members})
    names = list(dict.fromkeys(name_of(card, members) for card in members))
    by_place = {(name_of(card, members), card.n_bits): card for card in members}
    means = {place: card.mean(measure) for place, card in by_place.items() if len(card.values(measure))}
    best = {length: max((v for (_, n), v in means.items() if n == length), default=None) for length in lengths}
    rows = []
    for name in names:
        cells: list[Cell | str] = [name]
        for length in lengths:
            card = by_place.get((name, length))
            cells.append(quality_cell(card, measure, means.get((name, length)), best[length]))
        own = [card for (known, _), card in by_place.items() if known == name]
        sizes = sorted({card.bytes_per_item for card in own if card.bytes_per_item is not None})
        cells.append("–".join(f"{size:g}" for size in sizes[:1] + sizes[1:][-1:]) or "—")
        longest = max(own, key=lambda card: card.n_bits)
        cells.append(seconds_text(longest.took("fit_cpu", "fit")))
        rows.append(cells)
    head = ["system", *map(length_text, lengths), "bytes an item", "seconds to learn"]
    caption = f"{mean_name(measure)}, {seeds_text(members)}"
    return Grid(head, rows, caption, notes_of(members))


def quality_cell(card: Card | None, measure: str, value: float | None, best: float | None) -> Cell:
    """Mean ± sd; — where the system refuses; empty where nothing was run."""
    if card is None:
        return Cell("")
    return Cell("—") if value is None else Cell(spread_text(card, measure), value == best)


def seeds_text(members: Sequence[Card]) -> str:
    """Over how many seeds figures are taken."""
    counts = sorted({len(card.seeds) for card in members if card.measures})
    if counts in ([], [1]):
        return "one seed"
    return f"mean ± standard deviation over {' or '.join(map(str, counts))} seeds"


def notes_of(members: Sequence[Card]) -> list[str]:
    """The protocol in words, the queries, and why a system refuses."""
    first = next((card for card in members if card.measures), members[0])
    facts, protocol = first.facts, first.protocol
    left = facts.get("queries_left_out", 0)
    notes = [f"Protocol {protocol.hash}: {protocol.words}."]
    if "n_queries" in facts:
        told = f"{facts['n_queries']:,} queries" + (f" ({left:,} more lack the view)" if left else "")
        if "n_without_relevant" in facts:
            told += f", {facts['n_without_relevant']:,} of them without anything relevant"
        notes.append(f"{told}.")
    if "floats" in facts:
        notes.append(f"Floats: {facts['floats'] or 'none'}.")
    reasons: dict[str, list[Card]] = {}
    for card in members:
        if card.refused:
            reasons.setdefault(name_of(card, members), []).append(card)
    for name, cards in reasons.items():
        cards.sort(key=lambda card: card.n_bits)
        notes.append(f"— {name} at {', '.join(length_text(card.n_bits) for card in cards)}: {cards[0].refused}.")
    return notes
