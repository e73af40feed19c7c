"""The page of the demo: one HTML file with the table and the result grids, pictures inside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from modalhash.datasets.dataset import Dataset
from modalhash.grids import STYLE, card, grid


@dataclass(frozen=True)
class Answer:
    """One search of the demo: what was asked, and the found items as (position in the data, distance)."""

    caption: str
    words: str
    query: int | None
    found_view: str
    found: tuple[tuple[int, int], ...]


def write_page(
    path: Path, data: Dataset, rows: Sequence[dict[str, Any]], answers: Sequence[Answer], n_bits: int, seeds: int
) -> Path:
    """Write the page, whole or not at all, and return its path."""
    template = Template(files("modalhash.demo").joinpath("page.html").read_text(encoding="utf8"))
    html = template.substitute(
        style=files("modalhash.demo").joinpath("page.css").read_text(encoding="utf8") + STYLE,
        items=f"{len(data):,}",
        database=f"{len(data.split['database']):,}",
        queries=f"{len(data.split['query']):,}",
        bits=n_bits,
        bytes=-(-n_bits // 8),
        seeds=seeds_text(seeds),
        table=_table(rows),
        searches="\n".join(_search(answer, data, n_bits) for answer in answers),
    )
    return write_whole(path, html)


def write_whole(path: Path, html: str) -> Path:
    """Write a file, whole or not at all, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(html, encoding="utf8")
    os.replace(draft, path)
    return path


def seeds_text(seeds: int) -> str:
    """How many seeds, as text."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    best = max(max(row["image_to_text"], row["text_to_image"]) for row in rows)
    lines = []
    for row in rows:
        cells = "".join(_bar(row[key], row[f"{key}_sd"], best) for key in ("image_to_text", "text_to_image"))
        facts = (
            f"<td class=n>{row['bits']}</td><td class=n>{row['bytes']}</td>{cells}<td class=n>{row['seconds']:.2f}</td>"
        )
        mark = " class=learned" if row["system"] == "A2LH" else ""
        lines.append(f"<tr{mark}><th scope=row>{escape(row['system'])}</th>{facts}</tr>")
    return "\n".join(lines)


def _bar(value: float, spread: float, best: float) -> str:
    width = 100 * value / best
    return f'<td class=n><span class=bar style="--w:{width:.0f}%">{value:.3f}<small> ± {spread:.3f}</small></span></td>'


def _search(answer: Answer, data: Dataset, n_bits: int) -> str:
    titles = data.titles or [str(id_) for id_ in np.asarray(data.ids)]
    pictures = data.pictures or [b""] * len(data)
    asked = f"<p class=words>{escape(answer.words)}</p>"
    if answer.query is not None:
        asked = card(titles[answer.query], pictures[answer.query], "the query, not in the database")
    cards, hits = [], 0
    for i, distance in answer.found:
        hit = answer.query is not None and _related(data, answer.query, i)
        hits += hit
        note = f"{distance} of {n_bits} bits differ"
        cards.append(card(titles[i], pictures[i] if answer.found_view == "image" else b"", note, hit=hit))
    caption = escape(answer.caption)
    if answer.query is not None:
        caption += f" <small>({hits} of {len(answer.found)} share a label with it)</small>"
    shown = "pictures" if answer.found_view == "image" else "words"
    return (
        f"<section><h3>{caption}</h3><div class=pair><div class=asked>{asked}</div>"
        f'<div class="found {shown}">{grid(cards)}</div></div></section>'
    )


def _related(data: Dataset, a: int, b: int) -> bool:
    labels = np.asarray(data.labels)
    return bool((labels[a] * labels[b]).sum() > 0)
