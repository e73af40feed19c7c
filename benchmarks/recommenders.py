"""Contenders of benchmarks/recommend.py: MDCF and its variants, and peers by codes and by real values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.recommend.mdcf import MDCF, VARIANTS
from modalhash.recommend.peers import als_factors, common_rotation, item_neighbours, popularity, sign_codes
from modalhash.recommend.view_maps import fit_view_map

F64 = NDArray[np.float64]
# chosen on ratings that a split keeps for training, split again
BASE: dict[str, Any] = {"alpha_users": 0.1, "alpha_items": 0.1, "weights": "joint"}


@dataclass
class Setting:
    """What a system learns from: ratings and views, and from how many ratings on somebody is no stranger."""

    train: Any
    user_views: dict[str, Any]
    item_views: dict[str, Any]
    n_bits: int
    min_ratings: int
    seed: int

    @property
    def warm(self) -> tuple[Any, Any]:
        """Users and items of whom there are ratings enough, bool."""
        counts = np.diff(self.train.indptr), popularity(self.train)
        return counts[0] >= self.min_ratings, counts[1] >= self.min_ratings


@dataclass
class Contender:
    """Distances of any users to any items; `kind`: "codes" (a hashing peer), "real", "ours" or "variant"."""

    kind: str
    distances: Callable[[Any, Any], Any]  # users, items (positions) -> (users, items), small = near
    seconds: float = 0.0


def by_codes(kind: str, users: BinaryCodes, items: BinaryCodes, seconds: float) -> Contender:
    return Contender(kind, lambda u, i: users[u].hamming(items[i]), seconds)


def by_factors(kind: str, users: Any, items: Any, seconds: float) -> Contender:
    return Contender(kind, lambda u, i: -(users[u] @ items[i].T).astype(np.float32), seconds)


def plain(s: Setting, neighbours: bool = True) -> dict[str, Contender]:
    """Popularity and neighbours of items, which know no length of codes."""
    counts = popularity(s.train)
    found = {"popularity": by_factors("real", np.ones((s.train.shape[0], 1)), counts[:, None], 0.0)}
    if neighbours:
        started = process_time()
        scores = s.train @ item_neighbours(s.train)
        spent = process_time() - started
        found["item-kNN"] = Contender("real", lambda u, i: -scores[u][:, i].toarray().astype(np.float32), spent)
    return found


def with_views(s: Setting, factors: tuple[F64, F64]) -> list[F64]:
    """Factors of everybody: those of warm users and items as they are, of the others by a ridge map from views."""
    whole = []
    for Y, views, warm in zip(factors, (s.user_views, s.item_views), s.warm, strict=True):
        given = np.zeros((len(warm), Y.shape[1]))
        if not warm.all():
            known = {name: matrix[warm] for name, matrix in views.items()}
            given = fit_view_map(known, Y, np.random.default_rng(s.seed)).predict(views)
        given[warm] = Y
        whole.append(given)
    return whole


def peers(s: Setting) -> dict[str, Contender]:
    """ALS factors and their codes, and codes of ratings alone; who is cold gets them through ridge maps."""
    users, items = s.warm
    inner = s.train[np.flatnonzero(users)][:, np.flatnonzero(items)]
    started = process_time()
    U, V = with_views(s, als_factors(inner, s.n_bits, seed=s.seed))
    found = {"ridge → ALS": by_factors("real", U, V, process_time() - started)}
    found["ALS, signs"] = by_codes("codes", *sign_codes(U, V), process_time() - started)
    R = common_rotation(U[users], V[items], s.seed)
    found["ALS, ITQ"] = by_codes("codes", *sign_codes(U @ R, V @ R), process_time() - started)
    centred = V - V[items].mean(axis=0)  # for every user the order of the items stays as it is
    R = common_rotation(U[users], centred[items], s.seed)
    found["ALS, ITQ of centred items"] = by_codes("codes", *sign_codes(U @ R, centred @ R), process_time() - started)
    started = process_time()
    alone = MDCF(n_bits=s.n_bits, random_state=s.seed, **BASE).fit(inner)
    U, V = with_views(s, (alone.user_factors_, alone.item_factors_))
    found["MDCF without views"] = by_codes("codes", *sign_codes(U, V), process_time() - started)
    return found


def fitted(s: Setting, user_views: Any = None, item_views: Any = None, **changed: Any) -> tuple[MDCF, float]:
    """A system and the CPU seconds of its fit."""
    started = process_time()
    model = MDCF(n_bits=s.n_bits, random_state=s.seed, **{"min_ratings": s.min_ratings, **BASE, **changed})
    model.fit(s.train, user_views or s.user_views, item_views or s.item_views)
    return model, process_time() - started


def ours(s: Setting) -> tuple[dict[str, Contender], MDCF]:
    """MDCF, and the product of its own factors, which two stages rank by."""
    model, seconds = fitted(s)
    return {
        "MDCF": by_codes("ours", model.user_codes_, model.item_codes_, seconds),
        "MDCF, its factors": by_factors("real", model.user_factors_, model.item_factors_, seconds),
    }, model


def variants(s: Setting, model: MDCF) -> dict[str, Contender]:
    """Every variant of MDCF; `model` is MDCF itself, fitted on the same."""
    found = {}
    for name, changed in {
        "MDCF, defaults": {name: getattr(MDCF, name) for name in BASE},
        "MDCF-adaptive": {"weights": "adaptive"},
    }.items():
        other, seconds = fitted(s, **changed)
        found[name] = by_codes("variant", other.user_codes_, other.item_codes_, seconds)
    for at in (1, 2):
        own = [dict([list(views.items())[at - 1]]) for views in (s.user_views, s.item_views)]
        less, seconds = fitted(s, *own)
        found[f"MDCF-{at}"] = by_codes("variant", less.user_codes_, less.item_codes_, seconds)
    found["MDCF-miss"] = encoded(s, model, *(halved(v, s.seed) for v in (s.user_views, s.item_views)))
    for name in ("MDCF-fixed", "MDCF-equal", "MDCF-cold", "MDCF-zero"):
        other, seconds = fitted(s, **VARIANTS[name])
        found[name] = by_codes("variant", other.user_codes_, other.item_codes_, seconds)
    real, seconds = fitted(s, **VARIANTS["MDCF-real"])
    found["MDCF-real"] = by_factors("real", real.user_factors_, real.item_factors_, seconds)
    return found


def encoded(s: Setting, model: MDCF, user_views: dict[str, Any], item_views: dict[str, Any]) -> Contender:
    """The codes of a fitted system, where those who are cold are encoded again, from other views or otherwise."""
    codes = []
    given = (model.user_codes_, user_views, model.encode_users), (model.item_codes_, item_views, model.encode_items)
    for (learned, views, encode), warm in zip(given, s.warm, strict=True):
        packed, cold = learned.packed.copy(), np.flatnonzero(~warm)
        if len(cold):
            packed[cold] = encode({name: matrix[cold] for name, matrix in views.items()}).packed
        codes.append(BinaryCodes(packed, s.n_bits))
    return by_codes("variant", codes[0], codes[1], 0.0)


def halved(views: dict[str, Any], seed: int) -> dict[str, Any]:
    """Half of the views of every row taken away, drawn for each row; one is left at least."""
    from modalhash.hasher import present_rows
    from modalhash.views import remove_rows

    has = np.stack(list(present_rows(views).values()))
    keys = np.where(has, np.random.default_rng(seed).random(has.shape), np.inf)
    rank = np.argsort(np.argsort(keys, axis=0), axis=0)
    keep = np.maximum(1, (has.sum(axis=0) + 1) // 2)
    return {name: remove_rows(matrix, (rank[at] >= keep) | ~has[at]) for at, (name, matrix) in enumerate(views.items())}
