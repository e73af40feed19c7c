"""Result grids: found items as cards with picture, title and distance."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from modalhash.datasets.dataset import Dataset
from modalhash.index.hits import Hits

KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}

STYLE = """
.mh-grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.5rem,1fr));gap:.75rem;margin:0;padding:0}
.mh-card{margin:0;padding:.6rem;border:1px solid color-mix(in srgb,currentColor 15%,transparent);
border-radius:.8rem;text-align:center}
.mh-card img{width:100%;max-width:6rem;height:auto;display:block;margin:0 auto .35rem;background:#fff;
border-radius:.6rem}
.mh-card figcaption{font-size:.82rem;line-height:1.25;overflow-wrap:anywhere}
.mh-card small{display:block;opacity:.7;font-variant-numeric:tabular-nums}
.mh-card.mh-hit{border-color:#2e9e6b;box-shadow:inset 0 0 0 1px #2e9e6b}
"""


@dataclass(frozen=True, eq=False)
class Grid:
    """HTML of one or more result grids; shows itself in a notebook, `save(path)` writes a page."""

    html: str

    def _repr_html_(self) -> str:
        return f"<style>{STYLE}</style>{self.html}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a page of its own, with the pictures inside."""
        head = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        )
        Path(path).write_text(f"{head}<title>Results</title>{self._repr_html_()}</html>\n", encoding="utf8")


def show(data: Dataset, hits: Hits) -> Grid:
    """The found items of every query as a grid of cards.

    hits: ids of `data`'s items; ValueError names an id that the data does not have.
    """
    position = {id_: i for i, id_ in enumerate(np.asarray(data.ids).tolist())}
    rows = []
    for ids, distances in zip(hits.ids.tolist(), hits.distances.tolist(), strict=True):
        cards = []
        for id_, distance in zip(ids, distances, strict=True):
            if id_ not in position:
                raise ValueError(f"{data.name}: has no item {id_!r}")
            i = position[id_]
            title = str(data.titles[i]) if data.titles is not None else str(id_)
            cards.append(card(title, data.pictures[i] if data.pictures is not None else b"", f"distance {distance:g}"))
        rows.append(grid(cards))
    return Grid("".join(rows))


def grid(cards: Sequence[str]) -> str:
    """Cards side by side."""
    return f'<div class="mh-grid">{"".join(cards)}</div>'


def card(title: str, picture: bytes, note: str = "", *, hit: bool = False) -> str:
    """One item: picture (encoded, empty for none), title and a note; `hit` marks a relevant one."""
    image = f'<img src="{data_uri(picture)}" alt="" loading="lazy">' if picture else ""
    small = f"<small>{escape(note)}</small>" if note else ""
    mark = " mh-hit" if hit else ""
    return f'<figure class="mh-card{mark}">{image}<figcaption>{escape(title)}{small}</figcaption></figure>'


def data_uri(picture: bytes) -> str:
    """An encoded picture as text for `src`; ValueError for an unknown format."""
    for head, kind in KINDS.items():
        if picture.startswith(head) and (kind != "webp" or picture[8:12] == b"WEBP"):
            return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    raise ValueError(f"picture: unknown format (starts with {picture[:4]!r})")
