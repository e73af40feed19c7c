"""The contract of every recommender: fit on ratings and views, recommend, find similar items, say why."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.index.hits import Hits
from modalhash.model import Model
from modalhash.recommend.explanation import Explanation
from modalhash.recommend.nearest import nearest_codes
from modalhash.recommend.ratings import Positions, check_ids, check_ratings, find_ids
from modalhash.views import Array, Matrix, Views, check_views

SIDES = ("learned", "encoded")


@dataclass(frozen=True, eq=False)
class Codes:
    """What a fit learns of everyone in the ratings: codes of users and items, learned and from views alone."""

    users: BinaryCodes
    items: BinaryCodes
    encoded_users: BinaryCodes
    encoded_items: BinaryCodes


@dataclass(kw_only=True, eq=False)
class Recommender(Model, ABC):
    """A system that learns codes of users and items, such that users are near what they like.

    A subclass writes `_fit`, `encode_users`, `encode_items` and `explain`.  Fitting leaves `user_codes_` and
    `item_codes_`, rows in the order of the ratings, and `encoded_user_codes_` and `encoded_item_codes_`, which come
    from views alone wherever there are any.
    """

    needs_reviews: ClassVar[bool] = False
    summary: ClassVar[str] = ""

    def fit(
        self,
        ratings: Matrix,
        user_views: Views | None = None,
        item_views: Views | None = None,
        *,
        reviews: Any = None,
        user_ids: Any = None,
        item_ids: Any = None,
    ) -> Self:
        """Learn from ratings, sparse (users, items); what is not stored is not rated, explicit zeros are dropped.

        user_views, item_views: name -> (users, d) and (items, d), a row of NaN for a view that one lacks; either may
        be None.  reviews: sequences of users, items and texts, for systems that read them.  Ids: unique int64 or str,
        positions if None.  Returns self.  Raises ValueError or TypeError on bad input.
        """
        self._check_parameters()
        checked = check_ratings(ratings)
        n, m = checked.shape
        views = (_check_side("user_views", user_views, n), _check_side("item_views", item_views, m))
        ids = (check_ids("user_ids", user_ids, n), check_ids("item_ids", item_ids, m))
        if self.needs_reviews and reviews is None:
            raise ValueError(f"{self.name}: needs reviews, got None")
        self._forget()
        self.user_ids_, self.item_ids_ = ids
        self.user_widths_, self.item_widths_ = (
            {name: int(matrix.shape[1]) for name, matrix in side.items()} for side in views
        )
        self.seen_: dict[str, Array] = {
            "starts": checked.indptr.astype(np.int64),
            "items": checked.indices.astype(np.int32),
        }
        try:
            codes = self._fit(checked, *views, reviews)
            self.user_codes_, self.item_codes_ = codes.users, codes.items
            self.encoded_user_codes_, self.encoded_item_codes_ = codes.encoded_users, codes.encoded_items
        except BaseException:  # Ctrl-C, too: half a model must not pass for a fitted one
            self._forget()
            raise
        return self

    @abstractmethod
    def _fit(
        self, ratings: Matrix, user_views: dict[str, Matrix], item_views: dict[str, Matrix], reviews: Any
    ) -> Codes:
        """Learn from checked ratings and views; attributes that end in "_" are saved."""

    @abstractmethod
    def encode_users(self, views: Views) -> BinaryCodes:
        """Codes of users from their views alone."""

    @abstractmethod
    def encode_items(self, views: Views) -> BinaryCodes:
        """Codes of items from their views alone."""

    @abstractmethod
    def explain(self, user: Any, item: Any) -> Explanation:
        """Why an item suits a user of the ratings, both by id."""

    # search; every result in the order (distance, position)
    def recommend(self, users: Any, k: int = 10, exclude_seen: bool = True) -> Hits:
        """The k nearest items of users that were in the ratings.

        users: one id or several; exclude_seen: leave out what the user has rated.  Hits: ids of items and distances,
        (users, min(k, fewest allowed items of these users)).  ValueError names unknown ids, TypeError another kind.
        """
        self._check_fitted()
        at = find_ids("users", self.user_ids_, users)
        seen = [self._seen_by(user) for user in at] if exclude_seen else None
        return self._hits(at, k, seen)

    def recommend_for(self, user_views: Views, k: int = 10, items: str = "learned") -> Hits:
        """The k nearest items of new users, who are known by their views alone.

        items: "learned" searches the codes that ratings shaped, "encoded" those of the items' views.
        """
        codes = self.encode_users(user_views)
        return self._search(codes, self._side(items, self.item_codes_, self.encoded_item_codes_), self.item_ids_, k)

    def users_for(self, item_views: Views, k: int = 10, users: str = "learned") -> Hits:
        """The k nearest users of new items, which are known by their views alone; `users` as `items` above."""
        codes = self.encode_items(item_views)
        return self._search(codes, self._side(users, self.user_codes_, self.encoded_user_codes_), self.user_ids_, k)

    def similar_items(self, items: Any, k: int = 10) -> Hits:
        """The k items with the nearest codes, the item itself left out; items: one id or several."""
        self._check_fitted()
        at = find_ids("items", self.item_ids_, items)
        codes = self.item_codes_
        return _as_hits(self.item_ids_, nearest_codes(codes[at], codes, k, [np.array([i]) for i in at]))

    def rated_by(self, user: Any) -> Array:
        """Ids of the items that a user, by id, has rated, in the order of the items."""
        self._check_fitted()
        (at,) = find_ids("users", self.user_ids_, user)
        return np.asarray(self.item_ids_[self._seen_by(at)])

    def _hits(self, users: Positions, k: int, seen: list[Array] | None) -> Hits:
        """Nearest items of users by position, without those in `seen`."""
        return _as_hits(self.item_ids_, nearest_codes(self.user_codes_[users], self.item_codes_, k, seen))

    def _search(self, queries: BinaryCodes, codes: BinaryCodes, ids: Array, k: int) -> Hits:
        return _as_hits(ids, nearest_codes(queries, codes, k))

    def _side(self, name: str, learned: BinaryCodes, encoded: BinaryCodes) -> BinaryCodes:
        if name not in SIDES:
            raise ValueError(f"expected codes that are {' or '.join(map(repr, SIDES))}, got {name!r}")
        return learned if name == "learned" else encoded

    def _seen_by(self, user: int) -> Array:
        starts = self.seen_["starts"]
        return self.seen_["items"][starts[user] : starts[user + 1]]

    def _check_fitted(self) -> None:
        if not hasattr(self, "item_codes_"):
            raise ValueError(f"{self.name}: is not fitted; call fit(ratings) first")


def _as_hits(ids: Array, found: tuple[Array, Array]) -> Hits:
    positions, distances = found
    return Hits(ids[positions], distances)


def _check_side(name: str, views: Views | None, n: int) -> dict[str, Matrix]:
    if views is None or (isinstance(views, Mapping) and not views):
        return {}
    try:
        checked = check_views(views)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error
    rows = next(iter(checked.values())).shape[0]
    if rows != n:
        raise ValueError(f"{name}: expected {n} rows as in the ratings, got {rows}")
    return checked
