"""Hit rates of a recommender beside popularity and chance, for known and new items and users."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.ratings import Ratings
from modalhash.demo.simulated import Taste
from modalhash.evaluation.rating_splits import candidates, cold, random_ratings
from modalhash.metrics.recommendation import recommendation
from modalhash.recommend.recommender import Recommender
from modalhash.views import Array, Matrix

OTHERS, PAIRS, K = 99, 1000, 10


@dataclass(frozen=True, eq=False)
class Split:
    """Training ratings, withheld ones, and positions of users and items of whom no rating trains."""

    train: Matrix
    test: Matrix
    new_users: NDArray[np.int64]
    new_items: NDArray[np.int64]

    @cached_property
    def new_item_set(self) -> frozenset[int]:
        """New items, to look up."""
        return frozenset(self.new_items.tolist())


def split_ratings(source: Ratings, seed: int) -> Split:
    """A tenth of the users and a fifth of the items become new where views tell of them; a tenth of the rest is held.

    Only withheld ratings of at least the mean are tested.
    """
    shares = (0.1 if source.user_views else 0.0, 0.2 if source.item_views else 0.0)
    first = cold(source.ratings, *shares, kept=0, seed=seed)
    second = random_ratings(first.train, 0.1, seed)
    test = (first.test + second.test).tocoo()
    liked = test.data >= second.train.data.mean()
    test = type(test)((test.data[liked], (test.row[liked], test.col[liked])), shape=test.shape)
    return Split(second.train, test, first.cold_users, first.cold_items)


def measure(source: Ratings, split: Split, model: Recommender, taste: Taste | None, seed: int) -> list[dict[str, Any]]:
    """One row a task: HR@10 over 1 + 99 of MDCF, popularity and chance; with tastes, the share of lists that suits."""
    n, m = source.ratings.shape
    new_user, new_item = np.isin(np.arange(n), split.new_users), np.isin(np.arange(m), split.new_items)
    rows = []
    for task, user_is_new, item_is_new in (
        ("known items", False, False),
        ("new items", False, True),
        ("new users", True, False),
    ):
        kept = (new_user[split.test.row] == user_is_new) & (new_item[split.test.col] == item_is_new)
        among = np.flatnonzero(new_item == item_is_new)
        if not kept.any():
            continue
        row = _hit_rates(source.ratings, split, model, (split.test.row[kept], split.test.col[kept], among), seed)
        if taste is not None:
            row |= _of_the_taste(split, model, taste, np.flatnonzero(new_user == user_is_new), among)
        rows.append({"task": task, **row})
    return rows


def _hit_rates(
    ratings: Matrix, split: Split, model: Recommender, pairs: tuple[Array, Array, Array], seed: int
) -> dict[str, Any]:
    users, items, among = pairs
    drawn = np.sort(np.random.default_rng(seed).permutation(len(users))[:PAIRS])
    users, items = users[drawn], items[drawn]
    free = len(among) - np.diff(ratings[:, among].tocsr().indptr)[users].max()
    found = candidates(ratings, users, items, int(min(OTHERS, free)), seed, among)
    people, row = np.unique(users, return_inverse=True)
    near = model.user_codes_[people].hamming(model.item_codes_)[row[:, None], found]
    popularity = np.bincount(split.train.indices, minlength=ratings.shape[1])
    relevant = found == items[:, None]
    methods = {"mdcf": near, "popularity": -popularity[found].astype(np.float32), "chance": np.zeros_like(near)}
    rates = {key: recommendation(distances, relevant, (K,)).mean[f"HR@{K}"] for key, distances in methods.items()}
    return {"pairs": len(users), "others": found.shape[1] - 1, **rates}


def _of_the_taste(split: Split, model: Recommender, taste: Taste, users: Array, among: Array) -> dict[str, float]:
    """The share of the first ten that is of a liked group, and of all that is not rated."""
    distances = model.user_codes_[users].hamming(model.item_codes_).astype(np.float64)
    rated = split.train[users].toarray() != 0
    distances[rated] = np.inf
    first = among[np.argsort(distances[:, among], axis=1, kind="stable")[:, :K]]
    suits = taste.suits()[users]
    chance = (suits & ~rated)[:, among].sum(axis=1) / (~rated)[:, among].sum(axis=1)
    share = np.take_along_axis(suits, first, axis=1).mean()
    return {"taste": float(share), "taste_chance": float(chance.mean())}
