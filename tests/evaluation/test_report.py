"""The report says what the cards say, is one file that loads nothing, and stands as Markdown and LaTeX, too."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import modalhash as mh
from modalhash.evaluation.cards import Card, make_cards, read_cards
from modalhash.evaluation.protocol import Protocol
from modalhash.evaluation.report import shown_figures, write_report
from modalhash.evaluation.report_blocks import Cell, Figure, Grid, Series, plain
from modalhash.evaluation.report_figures import edge, thinned
from modalhash.evaluation.report_sections import lead, quality_grid, report
from modalhash.evaluation.report_text import md, tex
from modalhash.evaluation.report_words import frontier, name_of, shown, usual_length
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import Source, Table, both_ways
from pages import Page

pytest.importorskip("matplotlib")

TABLE = Table(
    title="Small",
    sources=(Source(name="clusters", label="Clusters <&_$>"),),
    systems=("PCASign", "LSH", "CCAITQ", "A2LH", "A2LH-K", "ACQH"),
    bits=(8, 36),
    seeds=2,
    protocols=both_ways(cuts=(5,)),
)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> list[Card]:
    folder = tmp_path_factory.mktemp("cells")
    run_table(TABLE, folder, load=lambda name: mh.datasets.planted(name, 80, 0))
    data = mh.datasets.planted("clusters", 80, 0)
    for seed in (0, 1):
        make_cards(mh.ITQ(n_bits=8, random_state=seed).fit(data.part("train")), data, folder, [Protocol()])
    return read_cards([folder])


@pytest.fixture(scope="module")
def written(cards: list[Card], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert [path.name for path in write_report(cards, folder)] == ["report.html", "report.md", "report.tex"]
    return folder


def test_html_is_one_file_with_everything_in_it(written: Path, cards: list[Card]) -> None:
    html = (written / "report.html").read_text(encoding="utf8")
    page = Page(re.sub(r"<(path|use|circle|rect)\b([^>]*)/>", r"<\1\2></\1>", html))
    links = [value or "" for attributes in page.all("a") for name, value in attributes.items() if name == "href"]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) and {f"#{name}" for name in ids} >= set(links)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "img", "base"), tag
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name.endswith("href") or name == "src":
                assert (value or "").startswith("#"), value
    for url in re.findall(r"url\(([^)]+)\)", html):
        assert url.startswith("#") and url[1:] in ids
    assert "prefers-color-scheme:dark" in html and "width=device-width" in html
    best = max((c for c in cards if c.protocol.direction == "image → text"), key=lambda c: c.mean("AP"))
    assert f"{best.mean('AP'):.3f} ± {best.sd('AP'):.3f}" in page.text
    for words in ("In short", "Ablations", "Code health", "Missing views", "What the words mean", "Where the figures"):
        assert words in page.text


def test_figures_take_the_colours_of_the_page(written: Path) -> None:
    html = (written / "report.html").read_text(encoding="utf8")
    drawings = re.findall(r"<svg role.*?</svg>", html, flags=re.S)
    assert len(drawings) > 20
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert 'aria-label="' in drawing and "currentColor" in drawing and "var(--s" in drawing
        assert not set(re.findall(r"#[0-9a-f]{6}\b", drawing)) & {"#000000", "#ffffff", "#010203", "#040506"}


def test_markdown_and_latex_hold_the_same_tables(written: Path, cards: list[Card]) -> None:
    text, paper = ((written / f"report.{kind}").read_text(encoding="utf8") for kind in ("md", "tex"))
    grid = quality_grid([card for card in cards if card.protocol.direction == "image → text"], "AP")
    for row in grid.rows:
        for cell in row:
            assert md(plain(cell)) in text and tex(plain(cell)) in paper
            if isinstance(cell, Cell) and cell.best:
                assert f"**{cell.text}**" in text and rf"\textbf{{{tex(cell.text)}}}" in paper
    for name in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (written / name).read_text(encoding="utf8").startswith("<svg")
    for name in re.findall(r"\{(figures/[^}]+)\}", paper):
        assert (written / name).read_bytes().startswith(b"%PDF")
    assert r"Clusters \textless{}\&\_\$\textgreater{}" in paper and r"Clusters \<&\_$\>" in text
    assert paper.count(r"\begin{tabular}") == paper.count(r"\end{tabular}") == text.count("\n|---")


def test_the_same_cards_give_the_same_files(written: Path, cards: list[Card], tmp_path: Path) -> None:
    write_report(cards, tmp_path)
    for path in written.rglob("*.*"):
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


def test_the_best_of_each_column_is_marked_once(cards: list[Card]) -> None:
    members = [card for card in cards if card.protocol.direction == "text → image"]
    grid = quality_grid(members, "AP")
    assert list(grid.head) == ["system", "8 bits", "36 bits", "bytes an item", "seconds to learn"]
    for column, bits in ((1, 8), (2, 36)):
        marked = [row[0] for row in grid.rows if isinstance(cell := row[column], Cell) and cell.best]
        best = max((c for c in members if c.n_bits == bits and c.measures), key=lambda c: c.mean("AP"))
        assert marked == [best.system]
    refused = next(row for row in grid.rows if row[0] == "CCAITQ")
    assert plain(refused[2]) == "—" and any(note.startswith("— CCAITQ at 36 bits") for note in grid.notes)


def test_figures_have_names_of_their_own(cards: list[Card]) -> None:
    names = [figure.name for figure in shown_figures(report(cards, "x"))]
    assert len(names) == len(set(names))


def test_another_measure_may_be_shown_and_an_unknown_one_not(cards: list[Card], tmp_path: Path) -> None:
    grids = [b for s in report(cards, "x", "P@5").sections for b in s.blocks if isinstance(b, Grid)]
    assert grids[0].caption.startswith("P@5")
    with pytest.raises(ValueError, match=r"measure: no card has 'no'; they have AP, nDCG"):
        write_report(cards, tmp_path / "out", measure="no")
    assert not (tmp_path / "out").exists()


def test_two_cards_in_one_place_are_refused(cards: list[Card]) -> None:
    twin = dataclasses.replace(cards[0], seeds=(7, 8))
    with pytest.raises(ValueError, match=f"two cards of {cards[0].system}, {cards[0].n_bits} bits"):
        report([*cards, twin], "x")


def test_systems_that_differ_in_a_parameter_are_told_apart(cards: list[Card]) -> None:
    first = next(card for card in cards if card.system == "A2LH")
    second = dataclasses.replace(first, parameters={**first.parameters, "alpha": 3.0})
    assert name_of(second, [first, second]) == "A2LH (alpha=3.0)"
    assert name_of(first, [first, second]) == f"A2LH (alpha={first.parameters['alpha']})"
    assert shown("ITQ:fac") == "ITQ (fac)" and shown("ITQ@128") == "ITQ, first of 128"
    assert shown("LAGNH{k=1.0;graph='tags'}") == "LAGNH, k=1.0, graph='tags'"


def made(card: Card, system: str, size: float, *values: float) -> Card:
    return dataclasses.replace(
        card, system=system, bytes_per_item=size, measures={"AP": list(values)}, seeds=tuple(range(len(values)))
    )


def test_the_frontier_is_what_nothing_as_small_beats(cards: list[Card]) -> None:
    some = [made(cards[0], *facts) for facts in (("A", 4, 0.5), ("B", 2, 0.6), ("C", 8, 0.7), ("D", 8, 0.4))]
    assert [card.system for card in frontier(some, "AP")] == ["B", "C"]
    assert edge([4, 2, 8, 8], [0.5, 0.6, 0.7, 0.4]) == ([2, 8, 8], [0.6, 0.7, 0.7])


def test_a_lead_is_told_with_its_noise(cards: list[Card]) -> None:
    first, second = made(cards[0], "A", 4, 0.70, 0.72), made(cards[0], "B", 4, 0.60, 0.62)
    assert "A leads B (0.610 ± 0.014) by 0.100, more than both spreads" in lead(first, [first, second], "AP")
    near = made(cards[0], "B", 4, 0.69, 0.71)
    assert "by 0.010, no more than both spreads" in lead(first, [first, near], "AP")
    assert "one seed" in lead(first, [first, made(cards[0], "B", 4, 0.5)], "AP")
    assert lead(first, [first, made(cards[0], "B", 8, 0.5)], "AP") == "No other system stands beside it."


def test_the_usual_length_is_the_most_measured_and_then_the_nearest_to_64(cards: list[Card]) -> None:
    some = [dataclasses.replace(cards[0], n_bits=n) for n in (16, 16, 32, 128)]
    assert usual_length(some) == 16 and usual_length(some[1:]) == 32


def test_thinned_lines_keep_their_ends() -> None:
    line = thinned(Series("x", list(range(129)), list(range(129)), 0))
    assert line.x[0] == 0 and line.x[-1] == 128 and len(line.x) <= 35 and list(line.x) == list(line.y)


def test_old_cards_without_curves_make_a_report(cards: list[Card], tmp_path: Path) -> None:
    old = [dataclasses.replace(card, curves=[], health=[], machines=[], versions=[]) for card in cards]
    write_report(old, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf8")
    assert "hold no curves" in text and "Code health" not in text


def test_a_figure_may_have_letters_that_no_font_here_has(cards: list[Card], tmp_path: Path) -> None:
    from modalhash.evaluation.report_plots import inline_svg, write_figures

    figure = Figure("x", "絵 → 文字", "N", "precision", [Series("検索", [1, 2], [0.1, 0.2], 0)], log_x=True)
    assert "絵 → 文字" in inline_svg(figure, 1)
    write_figures(tmp_path, [figure])
    assert (tmp_path / "x.pdf").is_file() and "絵" in (tmp_path / "x.svg").read_text(encoding="utf8")
