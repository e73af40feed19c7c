"""The report's figures of quality: curves of one length, and quality for bytes and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modalhash.evaluation.cards import Card
from modalhash.evaluation.report_blocks import Figure, Series
from modalhash.evaluation.report_words import mean_name, measured, shown

CURVES = {  # key -> title, label and curve of x, label and curve of y
    "pr": ("Precision and recall", "recall", "recall_rank", "precision", "precision_rank"),
    "pn": ("Precision of the first N", "N", "rank", "precision", "precision_rank"),
    "pr-radius": ("Precision within a radius", "bits that may differ", "radius", "precision", "precision_macro"),
    "rr-radius": ("Recall within a radius", "bits that may differ", "radius", "recall", "recall_macro"),
}
COSTS: dict[str, tuple[str, str, Callable[[Card], float | None]]] = {  # key -> title, label of x, what is paid
    "bytes": ("Quality for bytes", "bytes an item", lambda card: card.bytes_per_item),
    "fit": ("Quality for time to learn", "seconds to learn", lambda card: card.took("fit_cpu", "fit")),
    "encode": ("Quality for time to encode", "seconds for queries and items", lambda card: card.took("encode")),
    "search": ("Quality for time to search", "seconds for a thousand queries", lambda card: card.took("search")),
}
LEAST = 1e-3  # what costs less stands here, for logarithms have no 0
MOST = 33  # points of a line


def curve_figures(cards: Sequence[Card], styles: dict[str, int], name: str) -> list[Figure]:
    """Precision against recall by rank, precision@N, precision and recall by radius, of cards of one length."""
    figures = []
    for key, (title, x_label, x, y_label, y) in CURVES.items():
        series = [
            thinned(Series(shown(card.system), xs.tolist(), ys.tolist(), styles[card.system]))
            for card in cards
            if (xs := card.curve(x)) is not None and (ys := card.curve(y)) is not None
        ]
        if series:
            figures.append(Figure(f"{name}-{key}", title, x_label, y_label, series, log_x=key == "pn"))
    return figures


def thinned(series: Series) -> Series:
    """The series with about MOST points, the ends kept."""
    step = -(-len(series.x) // MOST)
    kept = sorted({*range(0, len(series.x), step), len(series.x) - 1})
    return Series(series.label, [series.x[i] for i in kept], [series.y[i] for i in kept], series.style)


def trade_figures(members: Sequence[Card], styles: dict[str, int], measure: str, name: str) -> list[Figure]:
    """Quality against bytes an item, seconds to learn, and seconds to encode, where cards differ in them."""
    figures = []
    for key, (title, label, cost) in COSTS.items():
        points = [(max(x, LEAST), card) for card in measured(members, measure) if (x := cost(card)) is not None]
        if len({x for x, _ in points}) < 2:
            continue
        lines: dict[str, list[tuple[float, float]]] = {}
        for x, card in points:
            lines.setdefault(card.system, []).append((x, card.mean(measure)))
        series = [Series(shown(s), [x for x, _ in line], [y for _, y in line], styles[s]) for s, line in lines.items()]
        frontier = edge([x for x, _ in points], [card.mean(measure) for _, card in points])
        own = f"{name}-{key}", title, label, mean_name(measure), series
        figures.append(Figure(*own, kind="points", log_x=True, frontier=frontier))
    return figures


def edge(costs: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The frontier as x, y of a step line: at each cost the best value that no more than it buys."""
    xs, ys = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    kept: list[int] = []
    for i in np.lexsort((-ys, xs)).tolist():
        if not kept or ys[i] > ys[kept[-1]]:
            kept.append(i)
    return [*xs[kept].tolist(), float(xs.max())], [*ys[kept].tolist(), float(ys[kept[-1]])]
