"""What EDCF is trained on: pairs with two drawn beside each, and the documents of a pair without its own review."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.documents import Reviews, Words, pairs_of
from modalhash.recommend.interaction_features import InteractionFeatures, scale_of
from modalhash.recommend.ratings import Positions
from modalhash.views import Matrix

Seen = NDArray[np.bool_]
MOST = 64  # ratings of one user in a batch; more are drawn anew each time
ROUNDS = 20  # tries to find an item that the user has not rated


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some pairs: positions, rating over the largest (0 for drawn ones), and the sentence to learn or -1."""

    users: Positions
    items: Positions
    wanted: NDArray[np.float32]
    sentences: Positions

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Sources:
    """All that was given, by position.

    rows: (N, words) of the reviews; documents: (n, md) and (m, md) positions of reviews or -1; ratings are divided by
    the largest; sentences: (all, width) rows that the reviews hold, those of review i are first[i] … first[i + 1].
    """

    ratings: Matrix
    reviews: Reviews
    rows: Words
    documents: tuple[NDArray[np.int32], NDArray[np.int32]]
    features: InteractionFeatures
    sentences: Words
    first: Positions


class Problem:
    """Batches of pairs, and what either side of a pair may read."""

    def __init__(self, given: Sources, negatives: int, cold: float, rng: np.random.Generator) -> None:
        self.given, self.negatives, self.cold, self.rng = given, negatives, cold, rng
        self.rated = pairs_of(given.ratings)
        self.scales = scale_of(given.features.P), scale_of(given.features.Q)
        reviews = given.reviews
        self.owners = reviews.users, reviews.items
        self.others = reviews.items, reviews.users
        self.shares = tuple(
            (slots >= 0).sum(axis=1) / np.maximum(np.bincount(own, minlength=len(slots)), 1)
            for slots, own in zip(given.documents, self.owners, strict=True)
        )
        m = given.ratings.shape[1]
        keys = reviews.users * m + reviews.items
        self.by_pair = np.argsort(keys, kind="stable")
        self.keys = keys[self.by_pair]

    def pairs(self, users: Positions) -> Pairs:
        """The ratings of some users, and for each `negatives` items that the user has not rated."""
        u, v, r = self._rated_by(users)
        sentences = self._sentences(u, v)
        drawn_u, drawn_v = self._unrated(np.repeat(u, self.negatives))
        nothing = np.zeros(len(drawn_u))
        return Pairs(
            np.concatenate([u, drawn_u]),
            np.concatenate([v, drawn_v]),
            np.concatenate([r, nothing]).astype(np.float32),
            np.concatenate([sentences, np.full(len(drawn_u), -1)]),
        )

    def _rated_by(self, users: Positions) -> tuple[Positions, Positions, NDArray[np.float64]]:
        R, found = self.given.ratings, []
        for user in users.tolist():
            own = np.arange(R.indptr[user], R.indptr[user + 1])
            found.append(own if len(own) <= MOST else np.sort(self.rng.permutation(own)[:MOST]))
        at = np.concatenate(found)
        return np.repeat(users, [len(own) for own in found]), R.indices[at].astype(np.int64), R.data[at]

    def _sentences(self, users: Positions, items: Positions) -> Positions:
        """A sentence of the pair's review, drawn at random, or -1."""
        keys, first = users * self.given.ratings.shape[1] + items, self.given.first
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        if not len(self.keys):
            return np.full(len(keys), -1)
        review = self.by_pair[at]
        count = np.where(self.keys[at] == keys, first[review + 1] - first[review], 0)
        drawn = first[review] + np.floor(self.rng.random(len(keys)) * count).astype(np.int64)
        return np.where(count > 0, drawn, -1)

    def _unrated(self, users: Positions) -> tuple[Positions, Positions]:
        """An item for each user that the user has not rated; users who rated nearly everything may lose some."""
        m = self.given.ratings.shape[1]
        items = self.rng.integers(m, size=len(users))
        for _ in range(ROUNDS):
            known = self._is_rated(users, items)
            if not known.any():
                break
            items[known] = self.rng.integers(m, size=int(known.sum()))
        free = ~self._is_rated(users, items)
        return users[free], items[free]

    def _is_rated(self, users: Positions, items: Positions) -> Seen:
        keys = users * self.given.ratings.shape[1] + items
        at = np.minimum(np.searchsorted(self.rated, keys), len(self.rated) - 1)
        return np.asarray(self.rated[at] == keys)

    def reads(self, side: int, pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Reviews (pairs, md) that one side reads, -1 for none, and who or what each is about, 1 + position.

        Never the pair's own review.  So that the number of reviews does not tell which pairs are real, a drawn pair
        loses one at random, as often as a rated one does.
        """
        owners, others = (pairs.users, pairs.items) if side == 0 else (pairs.items, pairs.users)
        slots = self.given.documents[side][owners].astype(np.int64)
        who = self.others[side][slots] if len(self.others[side]) else np.full(slots.shape, -1)
        seen = (slots >= 0) & (who != others[:, None])
        drawn = (pairs.wanted == 0) & (self.rng.random(len(pairs)) < self.shares[side][owners])
        lost = np.argmax(np.where(seen, self.rng.random(seen.shape), -1.0), axis=1)
        seen[drawn, lost[drawn]] = False
        return np.where(seen, slots, -1), np.where(seen, who + 1, 0)

    def interactions(self, pairs: Pairs) -> list[NDArray[np.float32]]:
        """p and q of the pairs, scaled, without what their own ratings put into them."""
        found = self.given.features.without(pairs.users, pairs.items, pairs.wanted.astype(np.float64))
        return [(own / scale).astype(np.float32) for own, scale in zip(found, self.scales, strict=True)]

    def is_cold(self, n: int) -> Seen:
        """Rows that are to be read as if only the texts of their reviews were known, a share `cold` of them."""
        return np.asarray(self.rng.random(n) < self.cold)
