"""The report: HTML, Markdown and LaTeX made from result cards and from nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from modalhash.evaluation.cards import Card
from modalhash.evaluation.report_blocks import Figure, Figures, Report
from modalhash.evaluation.report_html import Page
from modalhash.evaluation.report_plots import pyplot_free, write_figures
from modalhash.evaluation.report_sections import report
from modalhash.evaluation.report_text import FIGURES, latex, markdown

TITLE = "How good the codes are"


def write_report(cards: Sequence[Card], folder: Path, *, title: str = TITLE, measure: str = "AP") -> list[Path]:
    """Write report.html (one file, everything inside), report.md and report.tex, and the figures of the latter two.

    Returns the paths of the three.  Raises ValueError for cards that do not belong in one table (another protocol,
    other data) and for a measure that no card has, ImportError without matplotlib.
    """
    pyplot_free()
    made = report(cards, title, measure)
    texts = {"report.html": Page().report(made), "report.md": markdown(made), "report.tex": latex(made)}
    folder.mkdir(parents=True, exist_ok=True)
    write_figures(folder / FIGURES, shown_figures(made))
    for name, text in texts.items():
        draft = folder / f".{name}.part"
        draft.write_text(text, encoding="utf8")
        os.replace(draft, folder / name)
    return [folder / name for name in texts]


def shown_figures(made: Report) -> list[Figure]:
    """The figures that are not folded away."""
    blocks = [block for section in made.sections for block in section.blocks if isinstance(block, Figures)]
    return [figure for block in blocks for figure in block.figures]
