"""The report as one HTML file: no script, nothing loaded, light and dark, readable on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import count
from string import Template

from modalhash.evaluation.report_blocks import (
    Block,
    Cell,
    Figures,
    Grid,
    Paragraph,
    Report,
    Section,
    Terms,
    plain,
)
from modalhash.evaluation.report_plots import inline_svg, legend_html


class Page:
    """Turns blocks into HTML; figures are numbered so that the ids inside them differ."""

    def __init__(self) -> None:
        self.numbers = count(1)

    def report(self, report: Report) -> str:
        """The whole page."""
        folder = files("modalhash.evaluation")
        return Template(folder.joinpath("report.html").read_text(encoding="utf8")).substitute(
            style=folder.joinpath("report.css").read_text(encoding="utf8"),
            title=escape(report.title),
            about=escape(report.about),
            contents=contents(report.sections),
            sections="\n".join(self.section(section, i) for i, section in enumerate(report.sections)),
        )

    def section(self, section: Section, number: int) -> str:
        """A heading and its blocks."""
        head = f'<h{section.level} id="s{number}">{escape(section.title)}</h{section.level}>'
        return "\n".join([head, *(self.block(block) for block in section.blocks)])

    def block(self, block: Block) -> str:
        """One block."""
        if isinstance(block, Paragraph):
            return f"<p>{escape(block.text)}</p>"
        if isinstance(block, Terms):
            return (
                f"<dl>{''.join(f'<dt>{escape(word)}</dt><dd>{escape(text)}.</dd>' for word, text in block.items)}</dl>"
            )
        if isinstance(block, Grid):
            return grid(block)
        if isinstance(block, Figures):
            return self.figures(block)
        inside = "\n".join(self.block(inner) for inner in block.blocks)
        return f"<details><summary>{escape(block.title)}</summary>{inside}</details>"

    def figures(self, figures: Figures) -> str:
        """Figures side by side with the legend above them, where it says more than the titles."""
        drawn = "".join(f"<figure>{inline_svg(figure, next(self.numbers))}</figure>" for figure in figures.figures)
        legend = legend_html(figures) if len(figures.legend()) > 1 else ""
        return f"<div class=plots>{legend}<div class=row>{drawn}</div></div>"


def contents(sections: Sequence[Section]) -> str:
    """Links to the sections of the first level."""
    links = [f'<li><a href="#s{i}">{escape(s.title)}</a></li>' for i, s in enumerate(sections) if s.level == 2]
    return f"<ul>{''.join(links)}</ul>"


def grid(block: Grid) -> str:
    """A table that scrolls by itself where it is wider than the page."""
    kinds = ["" if i < block.left else " class=n" for i in range(len(block.head))]
    head = "".join(f"<th scope=col{kind}>{escape(text)}</th>" for kind, text in zip(kinds, block.head, strict=True))
    rows = "".join(
        f"<tr>{''.join(cell_html(cell, i, kinds[i]) for i, cell in enumerate(row))}</tr>\n" for row in block.rows
    )
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in block.notes)
    told = f"<ul class=notes>{notes}</ul>" if notes else ""
    body = f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>"
    return (
        f'<div class=scroll tabindex=0 role=region aria-label="{escape(block.caption or "table")}">{body}</div>{told}'
    )


def cell_html(cell: Cell | str, column: int, kind: str) -> str:
    """One cell; the first of a row is its head."""
    text = escape(plain(cell))
    if column == 0:
        return f"<th scope=row>{text}</th>"
    return f"<td{kind}><b>{text}</b></td>" if isinstance(cell, Cell) and cell.best else f"<td{kind}>{text}</td>"
