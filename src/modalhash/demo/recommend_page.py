"""The page of recommendations: users with what they rated, what is recommended to them, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from modalhash.datasets.ratings import Ratings
from modalhash.demo.page import seeds_text, write_whole
from modalhash.grids import STYLE, card, grid

HEADS = ("HR@10 MDCF", "popularity", "chance")


@dataclass(frozen=True)
class Pick:
    """A recommended item: position and title, whether nobody has rated it, whether it suits a stated taste, and why.

    quote: a sentence of a review of it, sign by sign, empty for none; source: whose.
    """

    item: int
    title: str
    is_new: bool
    suits: bool
    why: str
    quote: str = ""
    source: str = ""


@dataclass(frozen=True)
class Reader:
    """A user with stated tastes, if any, rated items (position, note), and what is recommended, new items apart."""

    user: int | str
    is_new: bool
    likes: str
    rated: tuple[tuple[int, str], ...]
    picks: tuple[Pick, ...]
    new_picks: tuple[Pick, ...]

    @property
    def caption(self) -> str:
        """Who it is, in a line."""
        who = f"New user {self.user}" if self.is_new else f"User {self.user}"
        return f"{who}, likes {self.likes}" if self.likes else who


def write_recommend_page(
    path: Path,
    data: Ratings,
    readers: Sequence[Reader],
    rows: Sequence[dict[str, Any]],
    n_bits: int,
    seeds: int,
) -> Path:
    """Write the page, whole or not at all, and return its path."""
    here = files("modalhash.demo")
    simulated = any("taste" in row for row in rows)
    css = "".join(here.joinpath(name).read_text(encoding="utf8") for name in ("page.css", "recommend.css"))
    html = Template(here.joinpath("recommend.html").read_text(encoding="utf8")).substitute(
        style=css + STYLE,
        title="Pictures for simulated users" if simulated else f"Recommended from {escape(data.name)}",
        intro=_intro(data, n_bits, simulated),
        bits=n_bits,
        others=others_text(rows),
        seeds=seeds_text(seeds),
        heads="".join(f"<th scope=col class=n>{head}</th>" for head in _heads(simulated)),
        table="\n".join(_row(row, simulated) for row in rows),
        readers="\n".join(_section(reader, data) for reader in readers),
        quotes=QUOTES if any(pick.quote for reader in readers for pick in (*reader.picks, *reader.new_picks)) else "",
        taste=TASTE if simulated else "",
        credit=CREDIT if simulated else "",
    )
    return write_whole(path, html)


TASTE = """Among the others are some of the groups that the user likes, so that no ranking could be right each time.
“Of the taste” is the share of the first ten that are of a liked group."""
QUOTES = "In quotation marks: a sentence that another user wrote of the item, word for word, with its source."
CREDIT = "Green frame: of a group that the user likes. Pictures: Fluent emoji by Microsoft (MIT)."


def others_text(rows: Sequence[dict[str, Any]]) -> str:
    """Among how many others a withheld item was ranked, as text."""
    counts = sorted({row["others"] for row in rows})
    return " or ".join(map(str, counts))


def _intro(data: Ratings, n_bits: int, simulated: bool) -> str:
    n, m = data.ratings.shape
    views = " and from views" if data.user_views or data.item_views else ""
    learned = f"MDCF learned a code of {n_bits} bits for each of {n:,} users and {m:,} items, from ratings{views}"
    if not simulated:
        kept = _kept(data)
        return f"{learned}. What is near a user by the count of differing bits is recommended.{kept}"
    return (
        f"<strong class=simulated>Simulated users</strong> These {n:,} users do not exist: each was given two groups "
        f"of emoji to like and rated {data.ratings.nnz // n} pictures accordingly, with noise. {learned}: pictures, "
        "their words, and what users say they like. One picture in five was kept from all ratings, and one user in ten "
        "rated nothing."
    )


def _kept(data: Ratings) -> str:
    """Who was treated as new, as text."""
    shares = {"one user in ten": data.user_views, "one item in five": data.item_views}
    named = " and ".join(share for share, views in shares.items() if views)
    return f" All ratings of {named} were kept from it, as if these were new." if named else ""


def _heads(simulated: bool) -> tuple[str, ...]:
    return (*HEADS, "of the taste", "by chance") if simulated else HEADS


def _row(row: dict[str, Any], simulated: bool) -> str:
    keys = ("mdcf", "popularity")
    best = max(row[key] for key in (*keys, "chance")) or 1.0
    cells = "".join(_bar(row[key], row[f"{key}_sd"], best) for key in keys)
    cells += f"<td class=n>{row['chance']:.3f}</td>"
    if simulated:
        cells += f"<td class=n>{row['taste']:.0%}</td><td class=n>{row['taste_chance']:.0%}</td>"
    return f"<tr><th scope=row>{escape(row['task'])}</th>{cells}</tr>"


def _bar(value: float, spread: float, best: float) -> str:
    width = 100 * value / best
    return f'<td class=n><span class=bar style="--w:{width:.0f}%">{value:.3f}<small> ± {spread:.3f}</small></span></td>'


def _section(reader: Reader, data: Ratings) -> str:
    m = data.ratings.shape[1]
    ids = range(m) if data.item_ids is None else data.item_ids.tolist()
    titles, pictures = data.titles or [str(id_) for id_ in ids], data.pictures or [b""] * m
    rated = grid([card(titles[i], pictures[i], note) for i, note in reader.rated])
    if reader.is_new:
        rated = "<p class=nothing>nothing yet</p>"
    picks = grid([_pick(pick, pictures[pick.item]) for pick in reader.picks])
    if reader.new_picks:
        fresh = grid([_pick(pick, pictures[pick.item]) for pick in reader.new_picks])
        picks += f"<h4>of what is new</h4>{fresh}"
    likes = f" <small>likes {escape(reader.likes)}</small>" if reader.likes else ""
    who = f"New user {reader.user}" if reader.is_new else f"User {reader.user}"
    return (
        f"<section><h3>{escape(who)}{likes}</h3><div class=halves><div><h4>has rated</h4>{rated}</div>"
        f"<div><h4>is recommended</h4>{picks}</div></div></section>"
    )


def _pick(pick: Pick, picture: bytes) -> str:
    made = card(pick.title, picture, pick.why, hit=pick.suits)
    if pick.quote:
        said = f"“{escape(pick.quote)}”<cite>{escape(pick.source)}</cite>"
        made = f"<div class=said>{made}<blockquote>{said}</blockquote></div>"
    return f"<div class=new><span>new</span>{made}</div>" if pick.is_new else made
