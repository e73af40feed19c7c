"""The report's sections on code health, missing views and ablations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modalhash.evaluation.cards import Card
from modalhash.evaluation.report_blocks import Block, Cell, Figure, Figures, Folded, Grid, Paragraph, Section, Series
from modalhash.evaluation.report_words import measured, name_of, share_text, shown, spread_text, usual_length

Tables = dict[tuple[str, str], list[Card]]
HEALTH = ["system", "bits", "balance", "correlation", "highest", "effective bits", "entropy", "collisions",
          "empty r=0", "empty r=1", "empty r=2", "overlap"]  # fmt: skip


def health_section(tables: Tables, styles: dict[str, int]) -> list[Section]:
    """A table and histograms for every table whose cards hold the health of their codes."""
    sections = []
    for number, ((source, way), members) in enumerate(tables.items()):
        cards = [card for card in members if any(card.health)]
        if cards:
            sections.append(Section(f"{source}: {way}", health_blocks(cards, members, styles, f"h{number}"), level=3))
    if not sections:
        return []
    told = "Whether the bits of the database codes work: each should halve the items and say what no other says."
    return [Section("Code health", [Paragraph(told)]), *sections]


def health_blocks(cards: Sequence[Card], members: Sequence[Card], styles: dict[str, int], name: str) -> list[Block]:
    """The table, and at the usual length the distances of pairs and the balance of the bits."""
    rows = [health_row(card, members) for card in sorted(cards, key=lambda card: (styles[card.system], card.n_bits))]
    told = "Empty r=N: queries without an item within N bits. — : not known of these codes."
    blocks: list[Block] = [Grid(HEALTH, rows, "", [told])]
    usual = usual_length(cards)
    shown = [card for card in cards if card.n_bits == usual]
    figures = [figure for card in shown for figure in distance_figures(card, f"{name}-{styles[card.system]}")]
    if figures:
        blocks += [
            Paragraph(f"Distances of pairs of a query and an item, {usual} bits, as shares of each kind."),
            Figures(figures),
        ]
    bars = [figure for card in shown for figure in balance_figures(card, styles, f"{name}-{styles[card.system]}")]
    if bars:
        blocks.append(Folded(f"Share of items that have each bit set, {usual} bits", [Figures(bars)]))
    return blocks


def health_row(card: Card, members: Sequence[Card]) -> list[Cell | str]:
    """One system of one length."""
    sides = [np.abs(np.array(facts["balance"]) - 0.5).mean() for facts in card.health if "balance" in facts]
    numbers = [("correlation_mean",), ("correlation_max",), ("effective_bits",), ("entropy",)]
    found = [card.health_of(*path) for path in numbers]
    digits = (2, 2, 1, 1)
    shares = [card.health_of("collisions"), *(card.health_of("empty_balls", f"r={r}") for r in range(3))]
    shares.append(card.health_of("distances", "overlap"))
    return [
        name_of(card, members),
        str(card.n_bits),
        share_text(float(np.mean(sides)) if sides else None),
        *("—" if value is None else f"{value:.{n}f}" for value, n in zip(found, digits, strict=True)),
        *(share_text(value) for value in shares),
    ]


def distance_figures(card: Card, name: str) -> list[Figure]:
    """Histograms of the distances of relevant and irrelevant pairs."""
    series = []
    for style, (label, key) in enumerate((("relevant", "relevant_pairs"), ("irrelevant", "irrelevant_pairs"))):
        counts, radius = card.curve(key), card.curve("radius")
        if counts is None or radius is None or not counts.sum():
            return []
        series.append(Series(label, radius.tolist(), (counts / counts.sum()).tolist(), 2 - style))
    return [Figure(f"{name}-distances", shown(card.system), "bits that differ", "share of pairs", series, "steps")]


def balance_figures(card: Card, styles: dict[str, int], name: str) -> list[Figure]:
    """The balance of every bit, of the first seed."""
    balance = next((facts["balance"] for facts in card.health if "balance" in facts), None)
    if balance is None:
        return []
    series = [Series(shown(card.system), list(range(len(balance))), balance, styles[card.system])]
    return [Figure(f"{name}-balance", shown(card.system), "bit", "share of items", series, "bars")]


def missing_views_section(tables: Tables, styles: dict[str, int]) -> list[Section]:
    """Quality as queries lose views, where cards hold that curve."""
    figures, rows = [], []
    for number, ((source, way), members) in enumerate(tables.items()):
        series = []
        for card in members:
            curves = [curve for curve in card.missing_views if curve]
            if not curves:
                continue
            lost = [point["lost"] for point in curves[0]]
            means = np.mean([[point["mean"] for point in curve] for curve in curves], axis=0)
            sds = np.mean([[point["sd"] for point in curve] for curve in curves], axis=0)
            label = f"{name_of(card, members)}, {card.n_bits} bits"
            series.append(Series(label, lost, means.tolist(), styles[card.system], sds.tolist()))
            falls = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(means, sds, strict=True)]
            rows.append([source, label, *falls])
        if series:
            figures.append(Figure(f"lost-{number}", f"{source}: {way}", "views that a query has lost", "mAP", series))
    if not rows:
        return []
    most = max(len(row) for row in rows)
    head = ["data", "system", *(f"{n} lost" for n in range(most - 2))]
    caption = "mAP, mean ± standard deviation over draws of the lost views"
    grid = Grid(head, [row + [""] * (most - len(row)) for row in rows], caption, left=2)
    told = "Every query loses some of its views, drawn anew for each; the database keeps all of its views."
    return [Section("Missing views", [Paragraph(told), grid, Figures(figures)])]


def ablation_section(tables: Tables, measure: str) -> list[Section]:
    """Variants beside the whole system, where cards of variants are there."""
    sections = []
    for (source, way), members in tables.items():
        found = {card.system for card in members}
        pairs = [(base, card) for card in measured(members, measure) if (base := base_of(card.system, found))]
        whole = {(card.system, card.n_bits): card for card in measured(members, measure)}
        rows: list[list[Cell | str]] = []
        for base, card in pairs:
            system = whole.get((base, card.n_bits))
            if system is not None:
                change = card.mean(measure) - system.mean(measure)
                told = spread_text(system, measure)
                rows.append([card.system, str(card.n_bits), spread_text(card, measure), base, told, f"{change:+.3f}"])
        if rows:
            head = ["variant", "bits", measure, "whole system", measure, "difference"]
            sections.append(Section(f"{source}: {way}", [Grid(head, rows)], level=3))
    return (
        [Section("Ablations", [Paragraph("Each variant leaves one part out, or does it another way.")]), *sections]
        if sections
        else []
    )


def base_of(system: str, found: set[str]) -> str:
    """The system that A2LH-K, ITQ:image or LAGNH{k=1.0} is a variant of, among those that are there; empty for none."""
    bases = [name for name in found if system != name and system.startswith((f"{name}-", f"{name}:", f"{name}{{"))]
    return max(bases, key=len, default="")
