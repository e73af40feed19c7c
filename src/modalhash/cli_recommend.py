"""Recommenders on the command line: fit on ratings, recommend, explain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modalhash.cli_options import Json, say

if TYPE_CHECKING:
    from modalhash.datasets.reviews import Reviews
    from modalhash.recommend.quotes import Quotes
    from modalhash.recommend.recommender import Recommender
    from modalhash.views import Array

TITLES = "titles.json"  # beside the model: what to show of the items, in their order
REVIEWS = "reviews.npz"  # and what to quote
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a fitted recommender.")]
User = Annotated[str, typer.Option("--user", metavar="ID", help="A user of the ratings.")]


def fit_recommender(system: str, data: str, out: Path, params: dict[str, Any]) -> None:
    """Learn from ratings and save the model with the titles of the items; prints what was done."""
    import time

    from modalhash.catalog import make_recommender
    from modalhash.datasets.ratings import load_ratings

    model = make_recommender(system).set_params(**params)
    source = load_ratings(data)
    if model.needs_reviews and source.reviews is None:
        raise ValueError(f"{system}: needs reviews, and {data} holds none (a CSV has them in a column named review)")
    started = time.perf_counter()
    ids = {"user_ids": source.user_ids, "item_ids": source.item_ids}
    read = source.written if model.needs_reviews else None
    model.fit(source.ratings, source.user_views, source.item_views, reviews=read, **ids)
    seconds = round(time.perf_counter() - started, 3)
    save_with_titles(model.set_params(verbose=False), out, source.titles, source.reviews)
    facts = {
        "model": str(out),
        "system": system,
        "bits": model.n_bits,
        "users": source.ratings.shape[0],
        "items": source.ratings.shape[1],
        "ratings": int(source.ratings.nnz),
        "reviews": len(source.reviews or ()),
        "seconds": seconds,
    }
    reviews = f" and {facts['reviews']:,} reviews" if read else ""
    told = (
        f"{system}, {model.n_bits} bits: learned from {facts['ratings']:,} ratings{reviews} of {facts['items']:,} "
        f"items by {facts['users']:,} users in {seconds:.1f} s, written to {out}"
    )
    say(facts, not params["verbose"], lambda: told)


def save_with_titles(
    model: Recommender, folder: Path, titles: Sequence[str] | None, reviews: Reviews | None = None
) -> None:
    """Save a model with the titles of its items and the reviews to quote from, in one folder, whole or not at all."""
    import numpy as np

    from modalhash.folders import write_json, written_whole
    from modalhash.model import MODEL

    with written_whole(folder, marker=MODEL) as temporary:
        model.write(temporary)
        if titles is not None:
            write_json(temporary / TITLES, {"format": 1, "titles": list(titles)})
        if reviews is not None and not model.needs_reviews:  # one that needs them keeps them itself
            arrays: dict[str, Any] = reviews.arrays()
            np.savez(temporary / REVIEWS, **arrays)


def quotes_of(folder: Path, model: Recommender) -> Quotes | None:
    """The reviews in a model or beside it, to quote from; None where there are none.

    ValueError names a damaged file.
    """
    from modalhash.datasets.reviews import read_reviews
    from modalhash.recommend.edcf import EDCF
    from modalhash.recommend.quotes import Quotes

    if isinstance(model, EDCF):
        return model.quotes
    path = folder / REVIEWS
    if not path.exists():
        return None
    reviews = read_reviews(path)
    try:
        return Quotes(reviews.triple, len(model.user_ids_), len(model.item_ids_), model.user_ids_)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def open_recommender(folder: Path) -> tuple[Recommender, list[str] | None]:
    """The model of a folder and the titles of its items where known; ValueError for another kind of model."""
    from modalhash.catalog import load
    from modalhash.folders import read_json
    from modalhash.recommend.recommender import Recommender

    model = load(folder)
    if not isinstance(model, Recommender):
        raise ValueError(f"{folder}: holds a {model.name} model, which does not recommend; fit MDCF on ratings")
    path = folder / TITLES
    if not path.exists():
        return model, None
    titles = read_json(path).get("titles")
    if not isinstance(titles, list) or len(titles) != len(model.item_ids_):
        raise ValueError(f"{path}: expected {len(model.item_ids_)} titles, one an item")
    return model, [str(title) for title in titles]


def _id(option: str, ids: Array, text: str) -> int | str:
    """The id that a word of the command line stands for; ValueError if it is unknown."""
    from modalhash.recommend.ratings import find_ids

    if ids.dtype.kind == "U":
        return str(ids[find_ids(option, ids, text)[0]])
    try:
        wanted = int(text)
    except ValueError:
        raise ValueError(f"{option}: ids are integers, got {text!r}") from None
    return int(ids[find_ids(option, ids, wanted)[0]])


def recommend(
    folder: ModelFolder,
    user: User,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items to recommend.")] = 10,
    seen: Annotated[bool, typer.Option("--seen", help="Also recommend what the user has rated.")] = False,
    as_json: Json = False,
) -> None:
    """Recommend items to a user of the ratings, nearest codes first.

    Example: modalhash recommend recommender --user 17 -k 10
    """
    from modalhash.cli_text import recommended_text

    model, titles = open_recommender(folder)
    who = _id("--user", model.user_ids_, user)
    hits = model.recommend(who, k, exclude_seen=not seen)
    shown = dict(zip(model.item_ids_.tolist(), titles, strict=True)) if titles else {}
    found = zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True)
    rows = [{"id": id_, "title": shown.get(id_), "distance": distance} for id_, distance in found]
    bits = model.n_bits if hits.distances.dtype.kind == "i" else None
    say({"user": who, "hits": rows}, as_json, lambda: recommended_text(rows, bits))


def explain(
    folder: ModelFolder,
    user: User,
    item: Annotated[str, typer.Option("--item", metavar="ID", help="An item of the ratings.")],
    quotes: Annotated[int, typer.Option("--quotes", min=0, help="How many sentences of reviews to quote at most.")] = 3,
    as_json: Json = False,
) -> None:
    """Say why an item suits a user: the bits that agree, the views and ratings that they come from, and reviews.

    A sentence that the model wrote and sentences that it quotes from others' reviews are marked as such.
    Example: modalhash explain recommender --user 17 --item 260
    """
    from dataclasses import asdict

    from modalhash.cli_text import explanation_text
    from modalhash.recommend.explanation import in_words
    from modalhash.recommend.quotes import explain_with_quotes

    model, titles = open_recommender(folder)
    who, what = _id("--user", model.user_ids_, user), _id("--item", model.item_ids_, item)
    source = quotes_of(folder, model)
    found = model.explain(who, what) if source is None else explain_with_quotes(model, source, who, what, quotes)
    said = [ground for ground in found.grounded if ground.quoted][:quotes]
    reasons = [ground for ground in found.grounded if not ground.quoted]
    shown = dict(zip(model.item_ids_.tolist(), titles, strict=True)) if titles else {}
    rated = {f"rated item {id_}": title for id_, title in shown.items()}
    facts = {
        "user": who,
        "item": what,
        "title": shown.get(what),
        "score": found.score,
        "bits": found.bits.tolist(),
        "n_bits": model.n_bits,
        "in_words": in_words(found, model.n_bits),
        "generated": found.generated,
        "grounded": [asdict(ground) | {"title": rated.get(ground.source)} for ground in [*reasons, *said]],
    }
    say(facts, as_json, lambda: explanation_text(facts))
