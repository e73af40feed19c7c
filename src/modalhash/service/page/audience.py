"""Whom the page recommends to: users with what they rated, cards with a reason and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

from modalhash.demo.hit_rates import split_ratings
from modalhash.demo.simulated import Taste, simulate
from modalhash.recommend.explanation import Explanation, Ground, in_words, source_name
from modalhash.recommend.recommender import Recommender
from modalhash.service.page.strips import Strip, strip
from modalhash.views import Matrix

FACES = 10  # users to choose from at a glance
LISTED = 500  # users in the list
RATED = 12  # rated items that are shown
RATED_ITEM = re.compile(r"rated item (.*)", re.DOTALL)
Id = int | str


@dataclass(frozen=True, eq=False)
class Told:
    """What is known beside the model: stated tastes of simulated users, ratings, pictures of ids, who is new."""

    simulated: bool = False
    taste: Taste | None = None
    ratings: Matrix | None = None
    picture: Callable[[Id], bytes] = lambda _: b""  # empty for none
    new_users: frozenset[int] = frozenset()
    new_items: frozenset[int] = frozenset()


@dataclass(frozen=True)
class User:
    """A user to choose: id, the code as a drawing, stated tastes, whether nothing of theirs was rated."""

    id: Id
    face: Strip
    likes: str = ""
    is_new: bool = False


@dataclass(frozen=True)
class Reason:
    """One part of an explanation: where it comes from, what it says, its share, and the rated item that it names."""

    source: str
    text: str
    share: float
    item: Id | None = None


@dataclass(frozen=True)
class Pick:
    """A recommended item: the reason in a line, what a system wrote, what it quotes, the parts with their sources."""

    id: Id
    why: str
    generated: str | None
    quoted: Sequence[Ground]
    reasons: Sequence[Reason]
    alike: Sequence[Reason]
    agree: Strip
    is_new: bool
    suits: bool


class Audience:
    """A recommender, and what to show of its users and items."""

    def __init__(self, model: Recommender, titles: Mapping[Id, str] | None, told: Told) -> None:
        self.model, self.titles, self.told = model, titles or {}, told
        self.users = {id_: i for i, id_ in enumerate(model.user_ids_.tolist())}
        self.items = {id_: i for i, id_ in enumerate(model.item_ids_.tolist())}
        self.named = {str(id_): id_ for id_ in self.items}

    def title(self, item: Id) -> str:
        """What an item is called, its id where it has no title."""
        return str(self.titles.get(item, item))

    def picture(self, item: Id | None) -> bytes:
        """The picture of an item by its id, or by the id as text; empty bytes for none."""
        id_ = self.named.get(str(item))
        return b"" if id_ is None else self.told.picture(id_)

    def faces(self) -> list[User]:
        """Some users, far apart, and one who is new if there is one."""
        n = len(self.users)
        chosen = [i * n // FACES for i in range(min(FACES, n))] if n > FACES else list(range(n))
        new = sorted(self.told.new_users)[:2]
        chosen = [i for i in chosen if i not in new][: FACES - len(new)] + new
        ids = list(self.users)
        return [self.user(ids[i]) for i in chosen]

    def listed(self) -> list[User]:
        """The first users, for a list to choose from."""
        return [self.user(id_) for id_ in list(self.users)[:LISTED]]

    def user(self, id_: Id) -> User:
        """One user as shown."""
        at = self.users[id_]
        bits = self.model.user_codes_[at].signs()[0] > 0
        likes = "" if self.told.taste is None else self.told.taste.of(at)
        return User(id_, strip(bits, ceil(sqrt(len(bits)))), likes, at in self.told.new_users)

    def find(self, text: str) -> Id | None:
        """The user id that a text stands for, None if there is none."""
        if self.model.user_ids_.dtype.kind == "U":
            return text if text in self.users else None
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) and int(text) in self.users else None

    def rated(self, user: Id) -> list[tuple[Id, str]]:
        """What a user has rated, best first where ratings are known: (item, note)."""
        if self.told.ratings is None:
            return [(item, "") for item in self.model.rated_by(user)[:RATED].tolist()]
        row, ids = self.told.ratings[[self.users[user]]].tocoo(), list(self.items)
        order = np.lexsort((row.col, -row.data))[:RATED]
        return [(ids[int(row.col[i])], f"rated {row.data[i]:g}") for i in order]

    def picks(self, user: Id, k: int) -> list[Pick]:
        """The k nearest items that the user has not rated, each with its reasons."""
        hits = self.model.recommend(user, k)
        return [self.pick(user, item) for item in hits.ids[0].tolist()]

    def pick(self, user: Id, item: Id) -> Pick:
        """One recommended item and why."""
        model, told = self.model, self.told
        found: Explanation = model.explain(user, item)
        at, who = self.items[item], self.users[user]
        agree = np.zeros(model.n_bits, dtype=bool)
        agree[found.bits] = True
        parts = [_reason(ground, self.named) for ground in found.grounded if not ground.quoted]
        suits = told.taste is not None and bool(told.taste.likes[who, told.taste.of_items[at]])
        return Pick(
            item,
            in_words(found, model.n_bits),
            found.generated,
            [ground for ground in found.grounded if ground.quoted],
            [part for part in parts if part.item is None],
            [part for part in parts if part.item is not None],
            strip(agree),
            at in told.new_items,
            suits,
        )


def _reason(ground: Ground, known: Mapping[str, Id]) -> Reason:
    named = RATED_ITEM.fullmatch(ground.source)
    item = known.get(named.group(1)) if named else None
    return Reason(source_name(ground), ground.text, ground.share, item)


def simulated_audience(model: Recommender, titles: Mapping[Id, str] | None) -> Audience | None:
    """The simulated users of the demo's recommender; None where the model is of other users."""
    source, taste = simulate(0)
    if source.ratings.shape != (len(model.user_ids_), len(model.item_ids_)):
        return None
    split = split_ratings(source, 0)
    pictures: dict[Id, bytes] = dict(zip(model.item_ids_.tolist(), source.pictures or [], strict=True))
    new_users = frozenset(split.new_users.tolist())
    return Audience(model, titles, Told(True, taste, split.train, pictures.__getitem__, new_users, split.new_item_set))


def audience_of(
    model: Recommender, titles: Mapping[Id, str] | None, demo: bool, picture: Callable[[Id], bytes]
) -> Audience:
    """The users of a recommender; picture: of an item of the collection, by its id."""
    simulated = simulated_audience(model, titles) if demo else None
    return simulated or Audience(model, titles, Told(picture=picture))
