"""Simulated users of stated tastes, who rate the shipped pictures.  Nobody's real ratings are in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets import Dataset, load_dataset
from modalhash.datasets.ratings import Ratings
from modalhash.views import F64, Array

USERS, RATED = 400, 80
SMALLEST = 0.04  # share of the pictures in a group that can be liked: of the eight flags nobody could rate many
LIKED = 0.7  # share of what a user rates that is of a liked group
MEAN, SPREAD = (4.4, 2.2), 0.9  # of ratings in a liked group and elsewhere, before they are rounded to 1 … 5
POPULARITY = 0.7  # spread of the logarithm of how often a picture is met


@dataclass(frozen=True, eq=False)
class Taste:
    """Groups by name, the group of every item, (items,), and which groups each user likes, (users, groups) bool."""

    groups: list[str]
    of_items: NDArray[np.int64]
    likes: NDArray[np.bool_]

    def of(self, user: int) -> str:
        """What a user likes, in words."""
        return " and ".join(
            name.replace("-", " & ") for name, likes in zip(self.groups, self.likes[user], strict=True) if likes
        )

    def suits(self) -> NDArray[np.bool_]:
        """Which items are of a liked group of which user, (users, items)."""
        return self.likes[:, self.of_items]


def simulate(seed: int, n_users: int = USERS, data: Dataset | None = None) -> tuple[Ratings, Taste]:
    """The shipped emoji, rated by users who each like two of the groups and say so (user view `taste`).

    Every user rates 80 pictures (at most a quarter of them), 7 in 10 of a liked group, popular ones more often;
    ratings of liked groups are about 4.4, others about 2.2, with noise, rounded to 1 … 5.
    data: other pictures, whose first labels are groups, one of them for every picture.
    """
    import scipy.sparse as sp

    data = load_dataset("emoji") if data is None else data
    labels, names = np.asarray(data.labels), list(data.label_names or [])
    groups = labels[:, : _levels(labels)]
    rng = np.random.default_rng(seed)
    of_items = groups.argmax(axis=1)
    keys = rng.random((n_users, groups.shape[1]))
    keys[:, groups.mean(axis=0) < SMALLEST] = np.inf
    likes = np.argsort(np.argsort(keys, axis=1), axis=1) < 2
    taste = Taste(names[: groups.shape[1]], of_items, likes)
    chance = _chance(taste, rng)
    keys = rng.exponential(size=chance.shape) / chance  # the smallest are a draw without replacement
    rated = min(RATED, len(data) // 4)
    items = np.argpartition(keys, rated, axis=1)[:, :rated]
    liked = np.take_along_axis(taste.suits(), items, axis=1)
    values = np.where(liked, *MEAN) + SPREAD * rng.standard_normal(items.shape)
    entries = (np.clip(np.rint(values), 1, 5).ravel(), (np.repeat(np.arange(n_users), rated), items.ravel()))
    found = Ratings(
        name="simulated",
        ratings=sp.csr_array(entries, shape=(n_users, len(data))),
        user_views={"taste": likes.astype(np.float32)},
        item_views=data.views,
        item_ids=data.ids,
        titles=[without_picture(str(title)) for title in data.titles or []] or None,
        pictures=data.pictures,
        features=data.features,
    )
    return found, taste


def without_picture(title: str) -> str:
    """A title without the emoji, as a character, that stands before it."""
    first, space, rest = title.partition(" ")
    return rest if space and not first.isascii() else title


def _chance(taste: Taste, rng: np.random.Generator) -> F64:
    """How likely each user is to meet each item, (users, items), up to a factor a user."""
    popularity = np.exp(POPULARITY * rng.standard_normal(len(taste.of_items)))
    suits = taste.suits()
    liked = (suits * popularity).sum(axis=1, keepdims=True)
    other = (~suits * popularity).sum(axis=1, keepdims=True)
    return np.asarray(popularity * np.where(suits, LIKED / liked, (1 - LIKED) / other))


def _levels(labels: Array) -> int:
    """The number of groups: labels are groups first, then subgroups, and every item has one of either."""
    first = np.cumsum(labels.sum(axis=0))
    return int(np.searchsorted(first, len(labels))) + 1
