"""Figures of the report as SVG for both colour schemes, and as PDF, by matplotlib."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from modalhash.evaluation.report_blocks import Figure, Figures

SIZE = (2.9, 2.3)  # inches; small, so that words stay readable at the width of a phone
INK, FAINT = "#010203", "#040506"  # stand for the colour of the text, and for that of lines behind it
MIDDLE = ("#3b82c4", "#d9663a", "#2f9e7a", "#b7679f", "#a88a1f", "#4aa3c7", "#8a6fd1", "#808080")  # on white and black
FEW = 6  # values of x that are all written at their axis
NARROW = 30  # an axis of logarithms that reaches less far has ticks at 2 and 5, too
MARKS = "os^DvPX*"
LINES = ("-", "--", ":")
REFERENCE = re.compile(r'(?:url\(#|href="#)([\w.-]+)')


def mark(style: int) -> int:
    """Which mark stands for a style; colours come round after eight styles, pairs of colour and mark after 64."""
    return (style + style // len(MARKS)) % len(MARKS)


def colour(style: int) -> str:
    """The colour that stands for a style in what matplotlib draws."""
    return MIDDLE[style % len(MIDDLE)]


def pyplot_free() -> Any:
    """matplotlib's Figure, without its global state; ImportError names the extra."""
    try:
        import matplotlib
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise ImportError("the report draws with matplotlib: pip install 'modalhash[plots]'") from error
    return matplotlib, Canvas


@contextmanager
def quiet() -> Iterator[None]:
    """Without what matplotlib says of fonts without a weight or a letter: readers have fonts of their own."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")
            yield
    finally:
        logger.setLevel(level)


def draw(figure: Figure, ink: str, faint: str, legend: bool) -> Any:
    """The figure as matplotlib has it."""
    _, Canvas = pyplot_free()
    below = 0.18 * -(-len(figure.series) // 3) if legend else 0.0
    height = SIZE[1] + below
    canvas = Canvas(figsize=(SIZE[0], height))
    canvas.subplots_adjust(left=0.175, right=0.97, top=1 - 0.27 / height, bottom=(0.46 + below) / height)
    canvas.patch.set_alpha(0)
    axes = canvas.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_title(figure.title, fontsize=9, color=ink)
    axes.set_xlabel(figure.x_label, fontsize=8, color=ink)
    axes.set_ylabel(figure.y_label, fontsize=8, color=ink)
    axes.tick_params(labelsize=7.5, colors=ink, which="both", width=0.6)
    axes.grid(color=faint, linewidth=0.5)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(color=ink, linewidth=0.6, visible=side in ("left", "bottom"))
    DRAW[figure.kind](axes, figure, ink)
    if figure.log_x:
        axes.set_xscale("log")
        plain_ticks(axes, sorted({x for series in figure.series for x in series.x}))
    if legend:
        canvas.legend(loc="lower center", ncols=3, fontsize=7, frameon=False, labelcolor=ink, borderaxespad=0)
    return canvas


def plain_ticks(axes: Any, values: Sequence[float]) -> None:
    """Numbers as they are instead of powers of ten: the values themselves where there are few, else 1, 10, 100 …"""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    few, narrow = len(values) <= FEW, values[-1] < NARROW * values[0]
    axes.xaxis.set_major_locator(FixedLocator(values) if few else LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if few:
        axes.xaxis.set_minor_locator(NullLocator())


def draw_lines(axes: Any, figure: Figure, ink: str) -> None:
    """Lines with marks, bars of the spread where it is known."""
    for series in figure.series:
        look = {"color": colour(series.style), "linestyle": LINES[series.style // len(MIDDLE) % len(LINES)]}
        marks = {"marker": MARKS[mark(series.style)], "markersize": 3.2, "linewidth": 1.3}
        errors = {"yerr": series.spread, "elinewidth": 0.8, "capsize": 2} if len(series.spread) else {}
        axes.errorbar(series.x, series.y, label=series.label, **look, **marks, **errors)


def draw_points(axes: Any, figure: Figure, ink: str) -> None:
    """Points, and the line that no point is beyond."""
    axes.step(*figure.frontier, where="post", color=ink, linewidth=0.8, linestyle=":")
    for series in figure.series:
        look = {"color": colour(series.style), "marker": MARKS[mark(series.style)], "label": series.label}
        axes.scatter(series.x, series.y, s=22, linewidth=0, **look)


def draw_steps(axes: Any, figure: Figure, ink: str) -> None:
    """Histograms with light areas."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for series in figure.series:
        axes.fill_between(series.x, series.y, step="mid", color=colour(series.style), alpha=0.22, linewidth=0)
        axes.step(series.x, series.y, where="mid", color=colour(series.style), linewidth=1.2, label=series.label)


def draw_bars(axes: Any, figure: Figure, ink: str) -> None:
    """Thin bars around the line at one half."""
    for series in figure.series:
        heights = [value - 0.5 for value in series.y]
        axes.bar(series.x, heights, bottom=0.5, width=0.8, color=colour(series.style), label=series.label)
    axes.axhline(0.5, color=ink, linewidth=0.6)
    axes.set_ylim(0, 1)


DRAW = {"line": draw_lines, "points": draw_points, "steps": draw_steps, "bars": draw_bars}


def svg_text(figure: Figure, ink: str, faint: str, legend: bool) -> str:
    """The figure as matplotlib's SVG, the same for the same figure, without the XML head and metadata."""
    matplotlib, _ = pyplot_free()
    stream = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": figure.name}), quiet():
        draw(figure, ink, faint, legend).savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"\s*<metadata>.*?</metadata>|\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, flags=re.S)


def inline_svg(figure: Figure, number: int) -> str:
    """SVG to stand in a page: colours follow the page's, ids are its own, the width is that of its place."""
    text = svg_text(figure, INK, FAINT, legend=False)
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--grid)")
    for i, middle in enumerate(MIDDLE):
        text = text.replace(middle, f"var(--s{i})")
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)  # the family is the page's
    used = {name: f"f{number}-{i}" for i, name in enumerate(dict.fromkeys(REFERENCE.findall(text)))}
    text = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{used[m[1]]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)([\w.-]+)', lambda m: m[1] + used[m[2]], text)
    label = escape(f"{figure.title}: {figure.y_label} by {figure.x_label}", quote=True)
    box = re.search(r'viewBox="[^"]+"', text)
    assert box is not None
    head = f'<svg role="img" aria-label="{label}" {box[0]} xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: head, text, count=1).strip()


def legend_html(figures: Figures) -> str:
    """The legend that figures share."""
    entries = [
        f'<li><svg viewBox="0 0 24 10" aria-hidden="true">{key_svg(style)}</svg>{escape(label)}</li>'
        for style, label in figures.legend()
    ]
    return f"<ul class=legend>{''.join(entries)}</ul>"


def key_svg(style: int) -> str:
    """A line of a style with its mark."""
    dash = ("", ' stroke-dasharray="4 2"', ' stroke-dasharray="1.5 2"')[style // len(MIDDLE) % 3]
    paint = f"var(--s{style % len(MIDDLE)})"
    shapes = (
        '<circle cx="12" cy="5" r="3"/>',
        '<rect x="9" y="2" width="6" height="6"/>',
        '<path d="M12 1.5l3.5 6.5h-7z"/>',
        '<path d="M12 1l4 4-4 4-4-4z"/>',
        '<path d="M12 8.500l3.5-6.500h-7z"/>',
        '<path d="M10.500 1.500h3v2h2v3h-2v2h-3v-2h-2v-3h2z"/>',
        '<path d="M9 2l3 1.500 3-1.500-1 3 1 3-3-1.500-3 1.500 1-3z"/>',
        '<path d="M12 .8l1.200 2.900 3.100.2-2.400 2 .8 3-2.700-1.700-2.700 1.700.8-3-2.400-2 3.100-.2z"/>',
    )
    line = f'<path d="M1 5h22" style="stroke: {paint}"{dash}/>'
    return line + f'<g style="fill: {paint}">{shapes[mark(style)]}</g>'


def write_figures(folder: Path, figures: list[Figure]) -> None:
    """Files beside the Markdown (SVG with middle tones, for light and dark pages) and for LaTeX (PDF), with legends."""
    matplotlib, _ = pyplot_free()
    folder.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(svg_text(figure, "#808080", "#8080804d", True), encoding="utf8")
        stream = BytesIO()
        with matplotlib.rc_context({"pdf.use14corefonts": True}), quiet():  # no fonts inside: quick, Western text only
            facts = {"CreationDate": None, "Creator": None, "Producer": None}
            draw(western(figure), "black", "#d0d0d0", legend=True).savefig(stream, format="pdf", metadata=facts)
        (folder / f"{figure.name}.pdf").write_bytes(stream.getvalue())


def western(figure: Figure) -> Figure:
    """The figure with a question mark for every letter that the fonts of a PDF reader lack."""

    def known(text: str) -> str:
        return text.replace("→", "to").encode("cp1252", "replace").decode("cp1252")

    series = [replace(line, label=known(line.label)) for line in figure.series]
    return replace(figure, title=known(figure.title), series=series)
