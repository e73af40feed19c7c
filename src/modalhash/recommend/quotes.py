"""Grounded explanations: sentences that others wrote about an item, ranked for a user, with their source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log, sqrt
from typing import Any

import numpy as np

from modalhash.model import check_integer
from modalhash.recommend.explanation import Explanation, Ground
from modalhash.recommend.ratings import check_ids, find_ids
from modalhash.recommend.recommender import Recommender
from modalhash.recommend.sentences import split_sentences
from modalhash.views import F64, Array
from modalhash.words import content_words

PRIOR = 8  # words that every sentence counts as longer: a hit in two words is no better than two hits in eight


@dataclass(frozen=True)
class Sentence:
    """A sentence of a review: its text, the position of the review, which sentence of how many, counted from 1."""

    text: str
    review: int
    place: int
    of: int


class Quotes:
    """Reviews to quote from: users and items (r,) by position, and texts.

    What is quoted for a user and an item is never from a review of that user about that item, nor is it ranked by
    words of such a review.  Sentences are cut when they are asked for, and kept.
    """

    def __init__(
        self, reviews: tuple[Array, Array, Sequence[str]], n_users: int, n_items: int, user_ids: Any = None
    ) -> None:
        self.users, self.items = (np.asarray(column, dtype=np.int64) for column in reviews[:2])
        self.texts = list(reviews[2])
        self.shape = n_users, n_items
        self.user_ids = check_ids("user_ids", user_ids, n_users)
        for name, column, n in (("users", self.users, n_users), ("items", self.items, n_items)):
            if column.shape != (len(self.texts),):
                raise ValueError(f"reviews: expected as many {name} as texts, {len(self.texts)}, got {column.shape}")
            if len(column) and (column.min() < 0 or column.max() >= n):
                raise ValueError(f"reviews: {name} must lie in 0…{n - 1}, got {column.min()}…{column.max()}")
        self._by_user, self._by_item = _groups(self.users, n_users), _groups(self.items, n_items)
        self._cut: dict[int, list[Sentence]] = {}

    def sentences(self, review: int) -> list[Sentence]:
        """The sentences of a review, by its position."""
        if review not in self._cut:
            cut = split_sentences(self.texts[review])
            self._cut[review] = [Sentence(text, review, i + 1, len(cut)) for i, text in enumerate(cut)]
        return self._cut[review]

    def candidates(self, user: int, item: int) -> list[Sentence]:
        """All sentences that others wrote about an item, by position, in the order of the reviews."""
        return [sentence for review in self.others(user, item) for sentence in self.sentences(review)]

    def others(self, user: int, item: int) -> list[int]:
        """Positions of the reviews of an item that the user did not write."""
        about = _members(self._by_item, item)
        return [int(review) for review in about if self.users[review] != user]

    def words_of(self, user: int, item: int) -> Counter[str]:
        """The content words that a user wrote about other items, and how often."""
        own = _members(self._by_user, user)
        texts = (self.texts[review] for review in own if self.items[review] != item)
        return Counter(word for text in texts for word in content_words(text))

    @cached_property
    def idf(self) -> Mapping[str, float]:
        """How rare every content word is over the reviews, ln((1 + reviews) / (1 + those that hold it)) + 1."""
        held = Counter(word for text in self.texts for word in set(content_words(text)))
        return {word: log((1 + len(self.texts)) / (1 + count)) + 1 for word, count in held.items()}

    def overlaps(self, sentences: Sequence[Sentence], user: int, item: int) -> F64:
        """How much each sentence shares with what the user writes, and with the other sentences, (sentences, 2).

        Σ idf (1 + ln count) over the words it shares, divided by √(its content words + 8).
        """
        found = [content_words(sentence.text) for sentence in sentences]
        usual = Counter(word for own in found for word in set(own))
        usual = Counter({word: count - 1 for word, count in usual.items() if count > 1})
        sides = self.words_of(user, item), usual
        return np.array([[self._overlap(own, side) for side in sides] for own in found]).reshape(-1, 2)

    def _overlap(self, own: list[str], known: Counter[str]) -> float:
        shared = (word for word in dict.fromkeys(own) if word in known)
        return sum(self.idf.get(word, 1.0) * (1 + log(known[word])) for word in shared) / sqrt(len(own) + PRIOR)

    def rank(self, user: int, item: int) -> list[Sentence]:
        """The candidates, best first; equal ones stay in the order of the reviews.

        What shares most with the user's own words comes first, and among equals (of a user who wrote nothing: all)
        what shares most with the other sentences.
        """
        sentences = self.candidates(user, item)
        scores = self.overlaps(sentences, user, item)
        return [sentences[i] for i in np.lexsort((-scores[:, 1], -scores[:, 0])).tolist()]

    def grounds(self, user: int, item: int, k: int = 3) -> list[Ground]:
        """The k best sentences as reasons, none twice; fewer where others wrote fewer."""
        check_integer("k", k, low=0)
        known, found, said = self.words_of(user, item), [], set()
        for sentence in self.rank(user, item) if k else []:
            own = " ".join(content_words(sentence.text)) or sentence.text
            if own not in said:
                said.add(own)
                found.append(self._ground(sentence, known))
            if len(found) == k:
                break
        return found

    def _ground(self, sentence: Sentence, known: Mapping[str, int]) -> Ground:
        words = tuple(word for word in dict.fromkeys(content_words(sentence.text)) if word in known)
        author = self.user_ids[self.users[sentence.review]]
        source = f"review by user {author}, sentence {sentence.place} of {sentence.of}"
        return Ground(source, sentence.text, 0.0, True, words)


def explain_with_quotes(model: Recommender, quotes: Quotes, user: Any, item: Any, k: int = 3) -> Explanation:
    """What `model.explain(user, item)` says, ids, and k sentences of the item's reviews; any the model quotes stay.

    Raises ValueError or TypeError for unknown ids, and for reviews of other users or items than the model's.
    """
    found = model.explain(user, item)
    if quotes.shape != (len(model.user_ids_), len(model.item_ids_)):
        raise ValueError(
            f"reviews: expected those of {len(model.user_ids_)} users and {len(model.item_ids_)} items, "
            f"got {quotes.shape[0]} and {quotes.shape[1]}"
        )
    u, i = find_ids("user", model.user_ids_, user)[0], find_ids("item", model.item_ids_, item)[0]
    said = {ground.text for ground in found.grounded if ground.quoted}
    more = [ground for ground in quotes.grounds(int(u), int(i), k) if ground.text not in said]
    return replace(found, grounded=[*found.grounded, *more[: max(0, k - len(said))]])


def _groups(keys: Array, n: int) -> tuple[Array, Array]:
    """Positions in the order of their keys, and where each key starts."""
    return np.argsort(keys, kind="stable"), np.searchsorted(np.sort(keys), np.arange(n + 1))


def _members(groups: tuple[Array, Array], key: int) -> Array:
    order, starts = groups
    return np.asarray(order[starts[key] : starts[key + 1]])
