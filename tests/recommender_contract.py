"""What every recommender promises, as functions `(recommender class, problem)` that a contributor can call.

`CHECKS` lists them; `recommend/test_recommenders.py` runs them over all recommenders of the catalog.
"""

from __future__ import annotations

import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from contract import assert_refused, assert_same, part
from modalhash.recommend.recommender import Recommender

BITS = 8
SETTINGS: dict[str, dict[str, Any]] = {  # parameters with which a slow recommender stays quick here
    "EDCF": {
        **{"epochs": 2, "rank": 4, "word_width": 6, "n_filters": 4, "id_width": 3, "attention_width": 4},
        **{"hidden": (8,), "lstm_width": 6, "reviews_each": 4, "review_words": 6, "sentence_words": 5},
    }
}
CHECKS: list[Check] = []
VIEW_CHECKS: list[Check] = []  # of recommenders that take views of users and items


@dataclass(frozen=True)
class Problem:
    """Users and items in groups: the same group rates 5, others 1; `kept` of the pairs are in `ratings`."""

    ratings: Any
    truth: NDArray[np.float64]
    user_views: dict[str, Any]
    item_views: dict[str, Any]
    user_groups: NDArray[np.int64]
    item_groups: NDArray[np.int64]


Check = Callable[[type[Recommender], Problem], None]


def problem_of(kind: type[Recommender]) -> Problem:
    """The planted ratings with what this recommender knows users and items by: views, or reviews."""
    p = planted()
    if not kind.needs_reviews:
        return p
    users, items = ({"reviews": np.array([text(g) for g in of])} for of in (p.user_groups, p.item_groups))
    return replace(p, user_views=users, item_views=items)


def text(group: int) -> str:
    return f"word{group} says it . a fine word{group} !"


def reviews_of(p: Problem, ids: dict[str, Any]) -> Any:
    """A review of every rated pair that names the item's group, by ids."""
    if not sp.issparse(p.ratings):
        return [], [], []
    entries = sp.csr_array(p.ratings).tocoo()
    rated = entries.data != 0
    at = entries.row[rated], entries.col[rated]
    texts = [text(p.item_groups[i % len(p.item_groups)]) for i in at[1]]
    named = (ids.get(side, np.arange(n)) for side, n in zip(("user_ids", "item_ids"), p.ratings.shape, strict=True))
    return *(np.take(np.asarray(of), own, mode="clip") for of, own in zip(named, at, strict=True)), texts


def planted(n: int = 60, m: int = 40, groups: int = 4, kept: float = 0.5, noise: float = 0.3, seed: int = 0) -> Problem:
    """A checkerboard of ratings with two views on either side that know the groups."""
    rng = np.random.default_rng(seed)
    users, items = np.arange(n) % groups, np.arange(m) % groups
    truth = np.where(users[:, None] == items, 5.0, 1.0)
    mask = rng.random((n, m)) < kept

    def views(of: NDArray[np.int64], names: tuple[str, str]) -> dict[str, Any]:
        known = np.eye(groups)[of]
        return {
            name: np.asarray(
                known @ rng.standard_normal((groups, 7 + i)) + noise * rng.standard_normal((len(of), 7 + i)),
                dtype=np.float32,
            )
            for i, name in enumerate(names)
        }

    user_views, item_views = views(users, ("age", "place")), views(items, ("image", "text"))
    return Problem(sp.csr_array(truth * mask), truth, user_views, item_views, users, items)


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def view_check(function: Check) -> Check:
    VIEW_CHECKS.append(function)
    return function


def checks_of(kind: type[Recommender]) -> list[Check]:
    return CHECKS if kind.needs_reviews else [*CHECKS, *VIEW_CHECKS]


def make(kind: type[Recommender], **params: Any) -> Recommender:
    return kind(**{"n_bits": BITS, "random_state": 0, **SETTINGS.get(kind.__name__, {}), **params})


def fitted(kind: type[Recommender], p: Problem, ids: dict[str, Any] | None = None, **params: Any) -> Recommender:
    return fit(make(kind, **params), p, ids)


def fit(r: Recommender, p: Problem, ids: dict[str, Any] | None = None) -> Recommender:
    if r.needs_reviews:
        return r.fit(p.ratings, reviews=reviews_of(p, ids or {}), **(ids or {}))
    return r.fit(p.ratings, p.user_views, p.item_views, **(ids or {}))


@check
def everyone_gets_a_code(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    n, m = p.ratings.shape
    assert len(r.user_codes_) == len(r.encoded_user_codes_) == len(r.encode_users(p.user_views)) == n
    assert len(r.item_codes_) == len(r.encoded_item_codes_) == len(r.encode_items(p.item_views)) == m
    assert r.user_codes_.n_bits == r.item_codes_.n_bits == BITS


@check
def hits_are_the_nearest_in_order(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    seen = p.ratings.toarray() != 0
    for exclude in (True, False):
        hits = r.recommend([7, 3, 7], k=6, exclude_seen=exclude)
        for row, user in enumerate((7, 3, 7)):
            distances = r.user_codes_[user].hamming(r.item_codes_)[0]
            order = sorted(
                range(len(distances)), key=list(zip(distances, range(len(distances)), strict=True)).__getitem__
            )
            wanted = [i for i in order if not (exclude and seen[user, i])][:6]
            assert hits.ids[row].tolist() == wanted and hits.distances[row].tolist() == distances[wanted].tolist()
    assert hits.distances.dtype == np.int32
    alone = r.recommend(3, k=6)
    np.testing.assert_array_equal(alone.ids, r.recommend([7, 3], k=6).ids[1:])


@check
def k_is_cut_to_what_is_there(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    m = p.ratings.shape[1]
    counts = np.diff(p.ratings.indptr)
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    assert r.recommend([most], k=1000).ids.shape == (1, m - counts[most])
    assert r.recommend([least, most], k=1000).ids.shape == (2, m - counts[most])
    assert r.recommend([least], k=1000, exclude_seen=False).ids.shape == (1, m)
    assert sorted(r.recommend(most, k=1000).ids[0]) == sorted(set(range(m)) - set(r.rated_by(most).tolist()))
    assert r.similar_items(0, k=1000).ids.shape == (1, m - 1)
    wrongs: list[Any] = [0, -1, 2.5, True]
    for wrong in wrongs:
        assert_refused(partial(r.recommend, [0], k=wrong), "k", (TypeError, ValueError))


@check
def similar_items_leave_out_the_item(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    hits = r.similar_items([4, 9], k=5)
    for row, item in enumerate((4, 9)):
        distances = r.item_codes_[item].hamming(r.item_codes_)[0]
        assert hits.ids[row].tolist() == [i for i in np.argsort(distances, kind="stable") if i != item][:5]


@check
def new_users_and_items_are_searched_by_views(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    for side, codes in (("learned", r.item_codes_), ("encoded", r.encoded_item_codes_)):
        hits = r.recommend_for(part(p.user_views, [5, 6]), k=4, items=side)
        distances = r.encode_users(part(p.user_views, [5, 6])).hamming(codes)
        np.testing.assert_array_equal(hits.ids, np.argsort(distances, axis=1, kind="stable")[:, :4])
    hits = r.users_for(part(p.item_views, [2]), k=3)
    distances = r.encode_items(part(p.item_views, [2])).hamming(r.user_codes_)
    np.testing.assert_array_equal(hits.ids, np.argsort(distances, axis=1, kind="stable")[:, :3])
    assert_refused(lambda: r.recommend_for(p.user_views, items="other"), "other")


@check
def ids_are_numbers_or_texts(kind: type[Recommender], p: Problem) -> None:
    n, m = p.ratings.shape
    plain = fitted(kind, p).recommend(range(n), k=3)
    numbers: dict[str, Any] = {"user_ids": 1000 - np.arange(n), "item_ids": (7 * np.arange(m)).tolist()}
    texts: dict[str, Any] = {
        "user_ids": [f"user {i}" for i in range(n)],
        "item_ids": np.array([f"é{i}" for i in range(m)]),
    }
    for ids in (numbers, texts):
        r = fitted(kind, p, ids)
        hits = r.recommend(ids["user_ids"], k=3)
        np.testing.assert_array_equal(hits.ids, np.asarray(ids["item_ids"])[plain.ids])
        assert hits.ids.dtype.kind == ("U" if ids is texts else "i")
        np.testing.assert_array_equal(r.recommend(ids["user_ids"][5], k=3).ids[0], hits.ids[5])
        with tempfile.TemporaryDirectory() as folder:
            r.save(Path(folder) / "model")
            np.testing.assert_array_equal(mh.load(Path(folder) / "model").recommend(ids["user_ids"], 3).ids, hits.ids)
    r = fitted(kind, p, texts)
    assert_refused(lambda: r.recommend(["user 1", "nobody"]), "users.*nobody")
    assert_refused(lambda: r.recommend([1]), "users.*texts", TypeError)
    assert_refused(lambda: r.similar_items(["nothing"]), "items.*nothing")
    assert_refused(lambda: r.explain("user 1", "nothing"), "item.*nothing")
    r = fitted(kind, p, numbers)
    assert_refused(lambda: r.recommend([1000, -5]), "users.*-5")
    assert_refused(lambda: r.recommend(["1000"]), "users.*integers", TypeError)
    assert_refused(lambda: fitted(kind, p, {"user_ids": [1] * n}), "user_ids.*unique")
    assert_refused(lambda: fitted(kind, p, {"item_ids": range(m - 1)}), f"item_ids.*{m}")
    assert_refused(lambda: fitted(kind, p, {"item_ids": np.ones(m)}), "item_ids", TypeError)


@check
def bad_ratings_are_refused(kind: type[Recommender], p: Problem) -> None:
    def refused(ratings: Any, pattern: str, kinds: Any = ValueError) -> None:
        assert_refused(lambda: fitted(kind, replace(p, ratings=ratings)), pattern, kinds)

    nan, infinite = (p.ratings.copy() for _ in range(2))
    nan.data[3], infinite.data[3] = np.nan, np.inf
    refused(p.ratings.toarray(), "sparse", TypeError)
    refused(nan, "ratings.*user 0.*nan")
    refused(infinite, "ratings.*inf")
    refused(sp.csr_array(p.ratings.shape), "no rating")
    refused(sp.csr_array((0, 4)), "at least one user")
    refused(p.ratings.astype(complex), "numbers", TypeError)
    twice = p.ratings.tocoo()
    rows, columns = (np.append(axis, axis[:1]) for axis in (twice.row, twice.col))
    refused(sp.coo_array((np.append(twice.data, 1.0), (rows, columns)), shape=twice.shape), "more than once")


@check
def explicit_zeros_are_dropped_with_a_warning(kind: type[Recommender], p: Problem) -> None:
    zeros = p.ratings.copy()
    zeros.data[:5] = 0.0
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        r = fitted(kind, replace(p, ratings=zeros))
    assert any("5 explicit zeros" in str(one.message) for one in found)
    clean = zeros.copy()
    clean.eliminate_zeros()
    again = fitted(kind, replace(p, ratings=clean))
    assert_same(r.user_codes_, again.user_codes_)
    np.testing.assert_array_equal(r.recommend(0, k=50).ids, again.recommend(0, k=50).ids)


@check
def ratings_come_in_every_sparse_form(kind: type[Recommender], p: Problem) -> None:
    expected = fitted(kind, p)
    for form in (sp.csc_matrix, sp.coo_array, sp.lil_array):
        found = fitted(kind, replace(p, ratings=form(p.ratings)))
        assert_same(found.user_codes_, expected.user_codes_)
        assert_same(found.item_codes_, expected.item_codes_)
    whole = fitted(kind, replace(p, ratings=p.ratings.astype(np.uint8)))
    assert_same(whole.item_codes_, expected.item_codes_)


@check
def inputs_stay_as_they_were(kind: type[Recommender], p: Problem) -> None:
    before = [array.tobytes() for array in (p.ratings.data, p.ratings.indices, *p.user_views.values())]
    for array in (p.ratings.data, p.ratings.indices, p.ratings.indptr, *p.user_views.values(), *p.item_views.values()):
        array.flags.writeable = False
    r = fitted(kind, p)
    r.encode_users(p.user_views)
    assert [array.tobytes() for array in (p.ratings.data, p.ratings.indices, *p.user_views.values())] == before


@view_check
def some_have_no_history_and_some_no_views(kind: type[Recommender], p: Problem) -> None:
    lil = p.ratings.tolil()
    lil[3, :] = 0
    lil[4, :] = 0
    lil[:, 6] = 0
    lil[9, 1:] = 0
    lil[9, 0] = 4
    ratings = sp.csr_array(lil)
    ratings.eliminate_zeros()
    views = {name: np.array(matrix) for name, matrix in p.user_views.items()}
    views["age"][::3] = np.nan
    views["place"][4] = np.nan
    views["age"][4] = np.nan  # nothing at all is known of user 4
    r = fitted(kind, replace(p, ratings=ratings, user_views=views))
    assert r.recommend([3, 4, 9], k=5).ids.shape == (3, 5)
    assert_same(r.user_codes_[3], r.encode_users({"place": views["place"][3:4]}))
    assert_same(r.item_codes_[6], r.encode_items(part(p.item_views, [6])))
    assert_refused(lambda: r.encode_users(part(views, [4])), "row 0 has no view")


@view_check
def a_side_may_have_no_views(kind: type[Recommender], p: Problem) -> None:
    for users, items in ((None, p.item_views), (p.user_views, None), (None, None), ({}, None)):
        r = make(kind).fit(p.ratings, users, items)
        assert r.recommend([0], k=3).ids.shape == (1, 3)
        assert 0 <= r.explain(0, 1).score <= 1
        if not users:
            assert_refused(partial(r.encode_users, p.user_views), "without views of users")
        if items is None:
            assert_refused(partial(r.encode_items, p.item_views), "without views of items")


@view_check
def one_gets_the_code_it_gets_among_many(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    many = {name: np.tile(matrix, (40, 1)) for name, matrix in p.user_views.items()}
    for chosen in (many, {"age": many["age"]}):
        codes = r.encode_users(chosen)
        for i in (0, 7, len(codes) - 1):
            assert_same(r.encode_users(part(chosen, [i])), codes[i])
    gaps = {name: np.array(matrix) for name, matrix in p.user_views.items()}
    gaps["age"][1] = np.nan
    assert_same(r.encode_users(gaps)[1], r.encode_users({"place": gaps["place"][1:2]}))


@view_check
def bad_views_are_refused(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    assert_refused(lambda: r.encode_users({"unknown": p.user_views["age"]}), "unknown")
    assert_refused(lambda: r.encode_users({"age": p.user_views["age"][:, 1:]}), "age.*columns")
    assert_refused(lambda: r.encode_items({}), "at least one view")
    assert_refused(lambda: fitted(kind, replace(p, ratings=p.ratings[1:])), "user_views.*expected 59 rows")
    assert_refused(lambda: fitted(kind, replace(p, ratings=p.ratings[:, 1:])), "item_views.*expected 39 rows")
    infinite = {**p.item_views, "text": np.full_like(p.item_views["text"], np.inf)}
    assert_refused(lambda: fitted(kind, replace(p, item_views=infinite)), "item_views.*text.*infinity")
    assert_refused(lambda: make(kind).fit(p.ratings, p.user_views["age"]), "user_views.*mapping", TypeError)


@check
def an_explanation_adds_up(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    for user, item in ((0, 0), (0, 1), (5, 9)):
        why = r.explain(user, item)
        agree = int((r.user_codes_[user].signs() == r.item_codes_[item].signs()).sum())
        assert why.score == agree / BITS and len(why.bits) == agree
        assert abs(sum(ground.share for ground in why.grounded) - why.score) < 1e-12
        assert all(ground.source and ground.text and ground.share >= 0 for ground in why.grounded)


@check
def same_seed_same_codes(kind: type[Recommender], p: Problem) -> None:
    first, second = (fitted(kind, p, random_state=3) for _ in range(2))
    for name in ("user_codes_", "item_codes_", "encoded_user_codes_"):
        assert_same(vars(first)[name], vars(second)[name])
    fit(first, p)
    assert_same(first.item_codes_, second.item_codes_)
    fitted(kind, p, random_state=None)


@check
def fit_leaves_the_random_state_of_the_caller(kind: type[Recommender], p: Problem) -> None:
    def state() -> tuple[Any, ...]:
        return repr(np.random.get_state(legacy=False)), random.getstate()  # noqa: NPY002 - it is what must not move

    before = state()
    fitted(kind, p, random_state=None).encode_users(p.user_views)
    assert state() == before


@check
def a_saved_recommender_comes_back(kind: type[Recommender], p: Problem) -> None:
    r = fitted(kind, p)
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first", Path(folder) / "second"
        r.save(first)
        for loaded in (mh.load(first), kind.load(str(first))):
            assert type(loaded) is kind and loaded.get_params() == r.get_params()
            assert {k for k in vars(loaded) if k.endswith("_")} == {k for k in vars(r) if k.endswith("_")}
            np.testing.assert_array_equal(loaded.recommend([0, 1], 5).ids, r.recommend([0, 1], 5).ids)
            assert_same(loaded.encode_users(p.user_views), r.encode_users(p.user_views))
            assert_same(loaded.encode_items(p.item_views), r.encode_items(p.item_views))
            why, again = r.explain(0, 1), loaded.explain(0, 1)
            assert (why.score, why.generated) == (again.score, again.generated)
            assert [ground.text for ground in why.grounded] == [ground.text for ground in again.grounded]
            loaded.save(second)
        assert {path.name for path in first.iterdir()} == {"model.json", "arrays.safetensors"}
        for path in first.iterdir():
            assert path.read_bytes() == (second / path.name).read_bytes()


@check
def parameters_work_as_in_scikit_learn(kind: type[Recommender], p: Problem) -> None:
    from sklearn.base import clone

    r = fitted(kind, p)
    copy = clone(r)
    assert copy is not r and copy.get_params() == r.get_params()
    assert not [key for key in vars(copy) if key.endswith("_")]
    assert_same(fit(copy, p).item_codes_, r.item_codes_)
    assert_refused(lambda: r.set_params(nothing=1), "nothing")


@check
def wrong_parameters_are_refused(kind: type[Recommender], p: Problem) -> None:
    cases: dict[str, list[Any]] = {"n_bits": [True, 8.0, "8", None, 0, -8], "random_state": [-1, 1.5, "x"]}
    for name, given in cases.items():
        for wrong in given:
            assert_refused(partial(fitted, kind, p, **{name: wrong}), name, (TypeError, ValueError))


@check
def nothing_works_before_fit(kind: type[Recommender], p: Problem) -> None:
    r = make(kind)
    for call in (
        lambda: r.recommend([0]),
        lambda: r.similar_items([0]),
        lambda: r.encode_users(p.user_views),
        lambda: r.encode_items(p.item_views),
        lambda: r.explain(0, 0),
        lambda: r.save("nowhere"),
    ):
        assert_refused(call, f"{kind.__name__}.*not fitted")


@check
def a_failed_fit_leaves_no_model(kind: type[Recommender], p: Problem) -> None:
    class Broken(kind):  # type: ignore[valid-type,misc]
        def _fit(self, *given: Any) -> Any:
            super()._fit(*given)
            raise KeyboardInterrupt

    r = Broken(**make(kind).get_params())
    assert_refused(lambda: fit(r, p), "", KeyboardInterrupt)
    assert not [key for key in vars(r) if key.endswith("_")]


@check
def small_fits_work(kind: type[Recommender], p: Problem) -> None:
    one = replace(p, ratings=sp.csr_array(np.array([[5.0]])), user_views={}, item_views={})
    assert fitted(kind, one).recommend(0, exclude_seen=False).ids.tolist() == [[0]]
    assert fitted(kind, one).recommend(0).ids.shape == (1, 0)
    row = replace(one, ratings=sp.csr_array(np.array([[5.0, 0.0, 1.0]])), item_views={"x": np.eye(3)})
    assert fitted(kind, row).recommend(0).ids.tolist() == [[1]]
    for n_bits in (1, 2, 7, 31, 64, 129):
        r = fitted(kind, p, n_bits=n_bits)
        assert r.user_codes_.n_bits == n_bits and r.recommend([0, 1], k=2).ids.shape == (2, 2)


@check
def a_recommender_says_what_it_is(kind: type[Recommender], p: Problem) -> None:
    assert kind.summary and kind.__doc__ and kind.__name__ in mh.__all__
    assert kind.__name__ in sys.modules[kind.__module__].VARIANTS
