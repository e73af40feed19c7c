"""The demo of recommenders: MDCF learns from ratings and views, and recommends also what is new, to whom is new."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modalhash.catalog import make_recommender
from modalhash.cli_recommend import save_with_titles
from modalhash.datasets import Dataset
from modalhash.datasets.ratings import Ratings, load_ratings
from modalhash.datasets.reviews import Reviews
from modalhash.demo.hit_rates import Split, measure, split_ratings
from modalhash.demo.page import seeds_text
from modalhash.demo.recommend_page import Pick, Reader, others_text, write_recommend_page
from modalhash.demo.simulated import Taste, simulate
from modalhash.folders import check_target
from modalhash.model import MODEL
from modalhash.recommend.explanation import Explanation, in_words
from modalhash.recommend.quotes import Quotes
from modalhash.recommend.recommender import Recommender

KNOWN, NEW = 4, 2  # users that the page shows
RATED = (6, 3)  # what they liked most and least
K = (10, 5)  # what is recommended of all items, and of the new ones
QUOTED, SHORT = 8, 140  # of so many sentences the first of so few signs stands on a card


def run_recommend(
    out: Path, n_bits: int, seeds: int, *, data: str | None = None, quiet: bool = False, pictures: Dataset | None = None
) -> dict[str, Any]:
    """Run the demo into the folder `out` and return its table, cards and files; prints unless `quiet`.

    data: real ratings, by name or path; without it simulated users of the shipped pictures, or of `pictures`.
    """
    console = Console(quiet=quiet)
    folder = out / "recommender"
    check_target(folder, MODEL)
    started = time.perf_counter()
    given = None if data is None else load_ratings(data)
    measured, shown = [], None
    for seed in range(seeds):
        with console.status(f"MDCF, {n_bits} bits, seed {seed}"):
            source, taste = simulate(seed, data=pictures) if given is None else (given, None)
            split = split_ratings(source, seed)
            model = learn(source, split, n_bits, seed)
            measured.append(measure(source, split, model, taste, seed))
        shown = shown or (source, split, model, taste)
    assert shown is not None
    source, split, model, taste = shown
    rows = over_seeds(measured)
    console.print(table_of(rows, seeds, simulated=taste is not None))
    readers = [read(source, split, model, taste, user) for user in chosen(split)]
    for reader in readers:
        names = ", ".join(pick.title for pick in reader.picks[:5])
        console.print(f"[bold]{escape(reader.caption)}[/bold]: {escape(names)}", highlight=False)
    save_with_titles(model, folder, source.titles, training_reviews(source, split))
    page = write_recommend_page(out / "recommend.html", source, readers, rows, model.n_bits, seeds)
    seconds = time.perf_counter() - started
    console.print(f"\nDone in {seconds:.0f} s. The page: {page}", markup=False, highlight=False, soft_wrap=True)
    user = shlex.quote(str(readers[0].user))
    command = f"  {shlex.quote(sys.argv[0])} recommend {shlex.quote(str(folder))} --user {user}"
    console.print(f"To ask yourself:\n{command}", markup=False, highlight=False, soft_wrap=True)
    return {
        "simulated": taste is not None,
        "rows": rows,
        "users": [_plain(reader) for reader in readers],
        "page": str(page),
        "seconds": seconds,
    }


def learn(source: Ratings, split: Split, n_bits: int, seed: int) -> Recommender:
    """MDCF, fitted on the training ratings and all views."""
    model = make_recommender("MDCF", n_bits=n_bits, random_state=seed)
    ids = {"user_ids": source.user_ids, "item_ids": source.item_ids}
    return model.fit(split.train, source.user_views, source.item_views, **ids)


def over_seeds(measured: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Rows of one seed each, as their mean with the standard deviation beside it."""
    rows = []
    for same in zip(*measured, strict=True):
        row = dict(same[0])
        for key in (key for key, value in same[0].items() if isinstance(value, float)):
            values = [found[key] for found in same]
            row |= {key: float(np.mean(values)), f"{key}_sd": float(np.std(values))}
        rows.append(row)
    return rows


def table_of(rows: Sequence[dict[str, Any]], seeds: int, *, simulated: bool) -> Table:
    """Hit rates as a table for the terminal."""
    asked = f"a withheld liked item among the first ten of 1 + {others_text(rows)}"
    caption = f"HR@10: {asked}, ties expected; {seeds_text(seeds)} (± sd)"
    title = "Simulated users of the shipped pictures" if simulated else "Withheld ratings"
    table = Table(title=title, caption=caption)
    for column in ("", "MDCF", "popularity", "chance", *(["of taste", "by chance"] if simulated else [])):
        table.add_column(column, justify="right" if column else "left")
    for row in rows:
        own = [f"{row['taste']:.0%}", f"{row['taste_chance']:.0%}"] if simulated else []
        learned = f"{row['mdcf']:.3f} ± {row['mdcf_sd']:.3f}"
        table.add_row(row["task"], learned, f"{row['popularity']:.3f}", f"{row['chance']:.3f}", *own)
    return table


def chosen(split: Split) -> list[int]:
    """Users to show: some who have rated enough, some who are new."""
    counts = np.diff(split.train.indptr)
    known = np.flatnonzero(counts >= min(sum(RATED), counts.max()))[:KNOWN].tolist()
    return [*known, *split.new_users[:NEW].tolist()]


def read(source: Ratings, split: Split, model: Recommender, taste: Taste | None, user: int) -> Reader:
    """What a user has rated, and what is recommended and why."""
    titles = source.titles or [str(id_) for id_ in model.item_ids_.tolist()]
    id_ = model.user_ids_[user].item()
    place = {item: i for i, item in enumerate(model.item_ids_.tolist())}
    hits = model.recommend(id_, K[0])
    first = [place[item] for item in hits.ids[0].tolist()]
    suits = np.zeros(len(titles), dtype=bool) if taste is None else taste.suits()[user]
    reviews = training_reviews(source, split)
    n, m = source.ratings.shape
    quotes = None if reviews is None else Quotes(reviews.triple, n, m, model.user_ids_)

    def pick(at: int) -> Pick:
        found = model.explain(id_, model.item_ids_[at].item())
        why = in_words(found, model.n_bits) + nearest_rated(found, titles, place)
        return Pick(at, titles[at], at in split.new_item_set, bool(suits[at]), why, *quoted(quotes, user, at))

    return Reader(
        id_,
        user in split.new_users,
        "" if taste is None else taste.of(user),
        rated_by(split, user),
        tuple(map(pick, first)),
        tuple(map(pick, nearest_new(split, model, user))),
    )


def training_reviews(source: Ratings, split: Split) -> Reviews | None:
    """Reviews of pairs that train, None where nothing is written."""
    return None if source.reviews is None else source.reviews.of(split.train)


def nearest_rated(found: Explanation, titles: Sequence[str], place: Mapping[Any, int]) -> str:
    """What the user has rated whose code is nearest, as the end of a reason; nothing for who has rated nothing."""
    rated = {f"rated item {id_}": at for id_, at in place.items()}
    near = [rated[ground.source] for ground in found.grounded if ground.source in rated]
    return f"; nearest of what was rated: {titles[near[0]]}" if near else ""


def quoted(quotes: Quotes | None, user: int, item: int) -> tuple[str, str]:
    """A sentence of others about an item and its source: the best that is short, else the best; empty for none."""
    found = [] if quotes is None else quotes.grounds(user, item, QUOTED)
    short = [ground for ground in found if len(ground.text) <= SHORT] or found
    return (short[0].text, short[0].source) if short else ("", "")


def rated_by(split: Split, user: int) -> tuple[tuple[int, str], ...]:
    """What a user liked most and, after it, least, as (position, note)."""
    row = split.train[[user]].tocoo()
    order = np.lexsort((row.col, -row.data))
    shown = order if len(order) <= sum(RATED) else np.concatenate([order[: RATED[0]], order[-RATED[1] :]])
    return tuple((int(row.col[i]), f"rated {row.data[i]:g}") for i in shown)


def nearest_new(split: Split, model: Recommender, user: int) -> list[int]:
    """Positions of the nearest items that nobody has rated."""
    distances = model.user_codes_[[user]].hamming(model.item_codes_[split.new_items])[0]
    found: list[int] = split.new_items[np.argsort(distances, kind="stable")[: K[1]]].tolist()
    return found


def _plain(reader: Reader) -> dict[str, Any]:
    return {
        "user": reader.user,
        "new": reader.is_new,
        "likes": reader.likes or None,
        "recommended": [asdict(pick) for pick in reader.picks],
        "new_items": [asdict(pick) for pick in reader.new_picks],
    }
