"""What a report is made of, without a format: sections of paragraphs, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Cell:
    """One cell of a table; `best` marks the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Terms:
    """A list of terms and what they mean."""

    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Grid:
    """A table: the first `left` columns hold words, the others figures; notes stand below."""

    head: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    notes: Sequence[str] = ()
    left: int = 1


@dataclass(frozen=True)
class Series:
    """One line, or set of points or bars, of a figure; `style` chooses its colour and mark in all figures alike."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Figure:
    """A figure with two axes.

    kind: `line`, `points` (joined only along the frontier: `frontier` as x, y), `steps` (histograms) or `bars`.
    `name` is unique in the report and names its files.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    kind: str = "line"
    log_x: bool = False
    frontier: tuple[Sequence[float], Sequence[float]] = ((), ())


@dataclass(frozen=True)
class Figures:
    """Figures side by side that share a legend."""

    figures: Sequence[Figure]

    def legend(self) -> list[tuple[int, str]]:
        """Style and label of every series, each once."""
        return list(dict.fromkeys((series.style, series.label) for figure in self.figures for series in figure.series))


@dataclass(frozen=True)
class Folded:
    """Blocks that are not shown at first; only HTML folds, the other formats leave them out."""

    title: str
    blocks: Sequence[Block]


Block: TypeAlias = "Paragraph | Terms | Grid | Figures | Folded"


@dataclass(frozen=True)
class Section:
    """A heading and its blocks; level 2 or 3."""

    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    level: int = 2


@dataclass(frozen=True)
class Report:
    """A title, a line of what the report is made of, and sections."""

    title: str
    about: str
    sections: Sequence[Section]


def plain(cell: Cell | str) -> str:
    """The text of a cell."""
    return cell.text if isinstance(cell, Cell) else cell
