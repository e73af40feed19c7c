"""MovieLens-1M for benchmarks/recommend.py: ratings, views of films and of users, and what is tested on a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.outside import data_file, read_outside
from modalhash.datasets.pack import pictures
from modalhash.evaluation.rating_splits import RatingSplit, candidates, cold, leave_one_out
from modalhash.features import GradientColour, Tfidf
from modalhash.features.cache import fitted
from modalhash.recommend.preferences import preferences

RATINGS = ("user", "item", "rating", "user_id", "gender", "age", "occupation")
KEYS = (*RATINGS, "genre_multihot", "plot", "cast", "poster_webp", "poster_offset", "has_poster")
LIKED = 4  # a held-out rating from which on a film is relevant
FEWEST = 3  # films of an actor who counts
Positions = NDArray[np.int64]


@dataclass
class Films:
    """Ratings (users, films), the films that anybody rated, and the raw columns of both sides."""

    ratings: Any
    columns: dict[str, Any]
    rated: Positions

    def user_views(self, train: Any, item_views: dict[str, Any], most: int | None, seed: int) -> dict[str, Any]:
        """Gender, age and occupation; the mean genres of what a user rated in training.

        most: of whom more is known, that many ratings count, drawn at random, so that users who gave many ratings
        look as new ones will; None: all.
        """
        facts = [self.columns[key][:, None] == np.unique(self.columns[key]) for key in ("gender", "age", "occupation")]
        known = train if most is None else some(train, most, seed)
        return {"demographics": np.hstack(facts).astype(np.float32)} | preferences(
            known, {"genres": item_views["genres"]}
        )

    def item_views(self, train: Positions) -> dict[str, Any]:
        """Genres, plots, cast and posters; what is fitted is fitted on the films `train`."""
        raw = self.columns
        posters = pictures(raw["poster_webp"], raw["poster_offset"])
        posters = [posters[i] if raw["has_poster"][i] else b"" for i in self.rated]
        plots = [raw["plot"][i] for i in self.rated]
        with_plot = [i for i in train.tolist() if plots[i].strip()]
        with_poster = [i for i in train.tolist() if posters[i]]
        return {
            "genres": raw["genre_multihot"][self.rated].astype(np.float32),
            "plot": fitted(Tfidf(ngrams=None), plots, with_plot)[1],
            "cast": cast([raw["cast"][i] for i in self.rated], train),
            "poster": fitted(GradientColour(), posters, with_poster)[1],
        }


def load_films() -> tuple[Films, str]:
    """The data and the checksum of its file; FileNotFoundError says what to set if it is not there."""
    import hashlib

    import scipy.sparse as sp

    columns = read_outside("ml1m", KEYS)
    users = np.searchsorted(columns["user_id"], columns["user"])
    shape = len(columns["user_id"]), len(columns["plot"])
    ratings = sp.csr_array((columns["rating"].astype(np.float64), (users, columns["item"])), shape=shape)
    rated = np.flatnonzero(np.bincount(ratings.indices, minlength=shape[1]))
    checksum = hashlib.sha256(data_file("ml1m.npz").read_bytes()).hexdigest()
    return Films(sp.csr_array(ratings[:, rated]), columns, rated), checksum


def few(films: Films, users: int, items: int) -> Films:
    """The first users and films only, for a quick run."""
    import scipy.sparse as sp

    kept = sp.csr_array(films.ratings[:users, :items])
    columns = {key: films.columns[key][:users] for key in ("gender", "age", "occupation")}
    return Films(kept, {**films.columns, **columns}, films.rated[:items])


def cast(names: list[str], train: Positions) -> Any:
    """Who plays, one column an actor with at least three training films; a missing row where nobody is known."""
    played = [[name.strip() for name in text.split(",") if name.strip()] for text in names]
    actors, counts = np.unique([name for i in train for name in set(played[i])], return_counts=True)
    column = {actor: j for j, actor in enumerate(actors[counts >= FEWEST])}
    found = np.zeros((len(names), len(column)), dtype=np.float32)
    for row, own in zip(found, played, strict=True):
        row[[column[name] for name in own if name in column]] = 1.0
    found[~found.any(axis=1)] = np.nan
    return found


def some(train: Any, most: int, seed: int) -> Any:
    """At most `most` ratings of every user, drawn at random."""
    import scipy.sparse as sp

    entries = train.tocoo()
    order = np.random.default_rng(seed).permutation(entries.nnz)
    order = order[np.argsort(entries.row[order], kind="stable")]
    _, starts, counts = np.unique(entries.row[order], return_index=True, return_counts=True)
    kept = order[np.arange(entries.nnz) - np.repeat(starts, counts) < most]
    return sp.csr_array((entries.data[kept], (entries.row[kept], entries.col[kept])), shape=entries.shape)


@dataclass
class Task:
    """Rankings to measure: sampled ones (held-out pairs among 1 + 99), and whole ones (users against a catalogue).

    `drawn` (pairs, 100) with the held-out film first; `relevant` and `allowed` (users, catalogue).  `owner` of a pair
    or a user is what is drawn again in the bootstrap: the cold film, else the user.
    """

    name: str
    users: Positions  # of the pairs
    drawn: Positions
    owner: Positions
    rows: Positions  # users of the whole rankings
    catalogue: Positions
    relevant: NDArray[np.bool_]
    allowed: NDArray[np.bool_]


def cold_tasks(films: Films, split: RatingSplit, sizes: tuple[int, int], seed: int) -> list[Task]:
    """Cold films for warm users, and warm films for cold users; sizes: users and pairs at most."""
    n, m = films.ratings.shape
    warm_users = np.setdiff1d(np.arange(n), split.cold_users)
    warm_items = np.setdiff1d(np.arange(m), split.cold_items)
    return [
        task(films, split, ("cold items", warm_users, split.cold_items), sizes, seed),
        task(films, split, ("cold users", split.cold_users, warm_items), sizes, seed),
    ]


def warm_task(films: Films, split: RatingSplit, sizes: tuple[int, int], seed: int) -> Task:
    """The film that was left out of every user."""
    n, m = films.ratings.shape
    return task(films, split, ("one left out", np.arange(n), np.arange(m)), sizes, seed)


def task(
    films: Films, split: RatingSplit, who: tuple[str, Positions, Positions], sizes: tuple[int, int], seed: int
) -> Task:
    """The rankings of some users over some films."""
    (name, users, items), rng = who, np.random.default_rng(seed)
    held = split.test.tocoo()
    fit = np.flatnonzero((held.data >= LIKED) & np.isin(held.row, users) & np.isin(held.col, items))
    rows = np.sort(rng.permutation(np.unique(held.row[fit]))[: sizes[0]])
    fit = fit[np.isin(held.row[fit], rows)]
    chosen = np.sort(rng.permutation(fit)[: sizes[1]])
    drawn = candidates(films.ratings, held.row[chosen], held.col[chosen], seed=seed, among=items)
    liked = split.test[rows][:, items].toarray() >= LIKED
    free = split.train[rows][:, items].toarray() == 0
    owner = held.col[chosen] if name == "cold items" else held.row[chosen]
    return Task(name, held.row[chosen], drawn, owner, rows, items, liked, free)


def cold_split(films: Films, kept: int, seed: int) -> RatingSplit:
    """20 % of the users and 20 % of the films keep `kept` ratings."""
    return cold(films.ratings, 0.2, 0.2, kept=kept, seed=seed)


def left_out(films: Films, seed: int) -> RatingSplit:
    """One liked film of every user left out."""
    return leave_one_out(films.ratings, seed, at_least=LIKED)
