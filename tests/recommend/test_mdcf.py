"""MDCF: every step is the minimiser of (5.15), the objective never rises, codes find what was withheld."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from modalhash.evaluation.rating_splits import cold
from modalhash.recommend.functions import HashFunctions
from modalhash.recommend.mdcf import MDCF, VARIANTS
from modalhash.recommend.mdcf_problem import (
    Side,
    Weights,
    auxiliary_target,
    iterate,
    rotation_cost,
    rotation_target,
)
from modalhash.recommend.preferences import preferences
from modalhash.recommend.ratings import Products, scale_ratings
from modalhash.solvers import procrustes, signs
from recommender_contract import Problem, planted

F64 = NDArray[np.float64]
R = 6


def small(binary: bool = True, unrated: float = -0.5) -> tuple[F64, Products, list[Side]]:
    """Dense S, its products and two sides in the middle of a fit; view "b" of the users is missing for some."""
    rng = np.random.default_rng(1)
    n, m = 14, 11
    mask = rng.random((n, m)) < 0.4
    stored = sp.csr_array(np.where(mask, rng.uniform(-R, R, (n, m)), 0.0))
    sides = []
    for rows, alpha in ((n, 3.0), (m, 2.0)):
        present = {"a": np.ones(rows, dtype=bool), "b": np.arange(rows) % 3 != 1}
        phi = {name: np.float32(rng.standard_normal((rows, 4))) * has[:, None] for name, has in present.items()}
        weights = Weights(alpha=alpha, beta=1.5, gamma=0.7, penalty=1.0, ridge=0.1, d=2)
        start = procrustes(rng.standard_normal((R, R)))
        sides.append(Side(rng.standard_normal((rows, R)), start, phi, present, weights))
    products = Products(stored, unrated, None, rng)
    for side in sides:
        side.binary = binary
        side.update_codes()
    for _ in range(2):
        iterate(products, sides)
    return np.where(mask, stored.toarray(), unrated), products, sides


def twin(S: F64, sides: list[Side], **changed: Any) -> float:
    """(5.15) as the text prints it, columns are users and items, every matrix written out."""
    users, items = sides
    H = [changed.get("Hx", users.H).T, changed.get("Hy", items.H).T]
    Rx, Ry = changed.get("Rx", users.R), changed.get("Ry", items.R)
    total = ((S - H[0].T @ Rx.T @ Ry @ H[1]) ** 2).sum()
    for side, h, rotation, own in zip(sides, H, (Rx, Ry), "xy", strict=True):
        w = side.weights
        total += w.alpha * ((changed.get(f"B{own}", side.B).T - rotation @ h) ** 2).sum()
        for name, view in side.views.items():
            W = changed.get(f"W{own}{name}", view.W).T
            mu = changed.get(f"mu{own}", {k: v.mu for k, v in side.views.items()})[name]
            phi = view.phi.astype(float).T
            loss = sum(((h[:, j] - W @ phi[:, j]) ** 2).sum() for j in range(h.shape[1]) if view.has[j])
            V = view.V[:, : R - w.d]
            total += w.beta / mu * (loss + view.ridge * (W**2).sum()) + w.gamma * np.trace(V.T @ W @ W.T @ V)
    return float(total)


def slope(S: F64, sides: list[Side], name: str, value: F64) -> float:
    """The largest central difference of the objective over the entries of one variable, against its curvature."""
    step, steepest = 1e-5, 0.0
    for place in np.ndindex(*value.shape):
        move = np.zeros_like(value)
        move[place] = step
        up, down = (twin(S, sides, **{name: value + sign * move}) for sign in (1, -1))
        steepest = max(steepest, abs(up - down) / (2 * step))
    return steepest


@pytest.mark.parametrize("binary", [True, False])
def test_the_objective_is_the_twins(binary: bool) -> None:
    S, products, sides = small(binary)
    assert iterate(products, sides) == pytest.approx(twin(S, sides), rel=1e-9)


def test_factors_have_zero_gradient() -> None:
    S, products, sides = small()
    for (side, other), product, name in (
        (sides, products.times, "Hx"),
        (sides[::-1], products.transposed_times, "Hy"),
    ):
        before = slope(S, sides, name, side.H)
        F = other.F
        side.H = side.H + 0.3
        side.update_factors(product(F), F.T @ F)
        assert slope(S, sides, name, side.H) < 1e-4 * max(1.0, before)


def test_maps_have_zero_gradient() -> None:
    S, _, sides = small()
    for side, own in zip(sides, "xy", strict=True):
        for name, view in side.views.items():
            view.mu, view.W = 0.3, view.W + 1.0
            assert slope(S, sides, f"W{own}{name}", view.W) > 1
            view.update_map()
            assert slope(S, sides, f"W{own}{name}", view.W) < 1e-4


def test_view_weights_codes_and_directions_are_the_best() -> None:
    S, _, sides = small()
    rng = np.random.default_rng(0)
    for side, own in zip(sides, "xy", strict=True):
        side.update_view_weights()
        side.update_codes()
        assert sum(view.mu for view in side.views.values()) == pytest.approx(1)
        best = twin(S, sides)
        for share in rng.uniform(0.01, 0.99, 40):
            assert best <= twin(S, sides, **{f"mu{own}": {"a": share, "b": 1 - share}}) + 1e-9
        for _ in range(20):
            assert best <= twin(S, sides, **{f"B{own}": signs(rng.standard_normal(side.B.shape))})
        for view in side.views.values():
            view.update_directions()
            values = np.linalg.svd(view.W, compute_uv=False)
            padded = np.zeros(R)
            padded[: len(values)] = values**2
            assert view.low_rank() == pytest.approx(np.sort(padded)[: R - side.weights.d].sum(), abs=1e-9)


def lagrangian(side: Side, ratings: F64, F: F64, rotation: F64, Z: F64, G: F64, lam: float) -> float:
    """(5.17) in R and Z, where one R of the quartic term is Z; `ratings` and F as the side sees them."""
    h, M = side.H.T, F.T @ F
    fit = np.trace(rotation.T @ M @ Z @ h @ h.T) - 2 * np.trace(ratings.T @ h.T @ rotation.T @ F.T)
    codes = 2 * side.weights.alpha * np.trace(side.B @ rotation @ h)
    return float(fit - codes + lam / 2 * ((rotation - Z + G / lam) ** 2).sum())


def test_rotations_beat_random_ones() -> None:
    rng = np.random.default_rng(3)
    S, _, sides = small()
    users, items = sides
    turns: list[tuple[Side, Side, F64, str]] = [(users, items, S, "Rx"), (items, users, S.T, "Ry")]
    for side, other, ratings, name in turns:
        F, N, lam = other.F, side.H.T @ side.H, 5.0
        M, Z, G = F.T @ F, procrustes(rng.standard_normal((R, R))), 50 * rng.standard_normal((R, R))
        linear = side.weights.alpha * side.B.T @ side.H + (ratings @ F).T @ side.H
        rotation = procrustes(rotation_target(Z, G, M, N, linear, lam))
        auxiliary = procrustes(auxiliary_target(rotation, G, M, N, lam))
        for i in range(200):
            near = 0.01 if i % 2 else 100.0  # neighbours of the best one, and any
            random = procrustes(rotation + near * rng.standard_normal((R, R)))
            assert lagrangian(side, ratings, F, rotation, Z, G, lam) <= lagrangian(side, ratings, F, random, Z, G, lam)
            best = lagrangian(side, ratings, F, rotation, auxiliary, G, lam)
            other_one = procrustes(auxiliary + near * rng.standard_normal((R, R)))
            assert best <= lagrangian(side, ratings, F, rotation, other_one, G, lam)
            difference = rotation_cost(rotation, M, N, linear) - rotation_cost(random, M, N, linear)
            exact = twin(S, sides, **{name: rotation}) - twin(S, sides, **{name: random})
            assert difference == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_rotations_move_and_duals_add_up() -> None:
    _, products, sides = small()
    side, F = sides[0], sides[1].F
    before, dual, auxiliary = side.R.copy(), side.G.copy(), side.Z.copy()
    R0 = procrustes(
        rotation_target(
            auxiliary,
            dual,
            F.T @ F,
            side.H.T @ side.H,
            side.weights.alpha * side.B.T @ side.H + products.times(F).T @ side.H,
            float(np.linalg.norm(F.T @ F, 2) * np.linalg.norm(side.H.T @ side.H, 2)),
        )
    )
    side.update_rotation(products.times(F), F.T @ F)
    assert np.array_equal(side.R, R0) or np.array_equal(side.R, before)
    np.testing.assert_allclose(side.G - dual, side.penalty * (R0 - side.Z), atol=1e-9)
    np.testing.assert_allclose(side.Z @ side.Z.T, np.eye(R), atol=1e-9)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in ("MDCF-1", "MDCF-2", "MDCF-miss")])
def test_the_objective_never_rises(variant: str) -> None:
    p = planted(n=80, m=50, groups=5)
    for extra in ({}, {"alpha_users": 1.0, "alpha_items": 1.0, "beta": 1.0}):
        r = MDCF(n_bits=8, random_state=0, **{**VARIANTS[variant], **extra})
        r.fit(p.ratings, p.user_views, p.item_views)
        assert len(r.objective_) == (0 if variant == "MDCF-real" else 10)
        assert len(r.relaxed_objective_) == (0 if variant == "MDCF-cold" else 10)
        for values in (r.objective_, r.relaxed_objective_):
            assert all(b <= a * (1 + 1e-9) + 1e-6 for a, b in itertools.pairwise(values))


def in_group(ids: Any, users: Any, p: Problem) -> float:
    return float(np.mean(p.item_groups[ids] == p.user_groups[users][:, None]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_withheld_pairs_of_the_checkerboard_are_found(variant: str) -> None:
    p = planted(n=120, m=80, groups=4, kept=0.6)
    r = MDCF(n_bits=32, random_state=0, beta=0.1, **VARIANTS[variant]).fit(p.ratings, p.user_views, p.item_views)
    users = np.arange(120)
    assert in_group(r.recommend(users, k=3).ids, users, p) > 0.95
    assert in_group(r.recommend_for(p.user_views, k=5).ids, users, p) > 0.9
    assert in_group(r.recommend_for(p.user_views, k=5, items="encoded").ids, users, p) > 0.9
    assert np.mean(p.item_groups[r.similar_items(0, k=10).ids[0]] == p.item_groups[0]) > 0.9


def test_low_ratings_keep_items_away() -> None:
    """Whoever rated everything: the disliked come last."""
    p = planted(n=60, m=40, kept=1.0)
    r = MDCF(n_bits=16, random_state=0).fit(p.ratings)
    users = np.arange(60)
    assert in_group(r.recommend(users, k=10, exclude_seen=False).ids, users, p) == 1.0


def graded(n: int = 250, m: int = 150, seed: int = 0) -> tuple[F64, Any, dict[str, F64], dict[str, F64]]:
    """True preferences in 0..1 from hidden tastes, a quarter of them rated, and views that show the tastes."""
    rng = np.random.default_rng(seed)
    users, items = rng.standard_normal((n, 5)), rng.standard_normal((m, 5))
    truth = 1 / (1 + np.exp(-(users @ items.T)))
    mask = rng.random((n, m)) < 0.25

    def views(hidden: F64) -> dict[str, F64]:
        return {
            name: hidden @ rng.standard_normal((5, 9)) + 0.3 * rng.standard_normal((len(hidden), 9))
            for name in ("one", "two")
        }

    return truth, sp.csr_array(np.round(1 + 4 * truth) * mask), views(users), views(items)


def correlation(codes: Any, items: Any, truth: F64) -> float:
    return float(np.corrcoef(-codes.hamming(items).ravel(), truth.ravel())[0, 1])


@pytest.mark.parametrize("seed", range(3))
def test_cold_codes_must_be_rotated(seed: int) -> None:
    """(5.37)-(5.39) print sgn(W φ); codes of users who never rated need R before the sign."""
    truth, ratings, user_views, item_views = graded(seed=seed)
    warm, cold = slice(0, 200), slice(200, 250)
    r = MDCF(n_bits=32, random_state=seed, relaxed_start=False, low=1.0, high=5.0)
    kept: list[Side] = []
    original = r._train

    def watch(products: Products, sides: list[Side]) -> None:
        original(products, sides)
        kept.extend(sides)

    vars(r)["_train"] = watch
    r.fit(ratings[warm], {name: x[warm] for name, x in user_views.items()}, item_views)
    new = {name: x[cold] for name, x in user_views.items()}
    assert correlation(r.encode_users(new), r.item_codes_, truth[cold]) > 0.5
    printed = HashFunctions.of(r.user_functions_)
    printed.maps = {name: printed.maps[name] @ kept[0].R for name in printed.maps}
    vars(r)["user_functions_"] = printed.state()
    assert abs(correlation(r.encode_users(new), r.item_codes_, truth[cold])) < 0.3


def test_the_scale_of_the_ratings() -> None:
    ratings = sp.csr_array(np.array([[1.0, 0, 5], [3, 0, 0]]))
    scaled = scale_ratings(ratings, 1, 5, 8).toarray()
    np.testing.assert_allclose(scaled, [[-8, 0, 8], [0, 0, 0]])
    for recommender in (MDCF(low=2.0), MDCF(high=4.0)):
        with pytest.raises(ValueError, match="outside the range"):
            recommender.fit(ratings)
    with pytest.raises(ValueError, match="low, high"):
        MDCF(low=5.0, high=5.0).fit(ratings)


def test_what_stands_for_pairs_without_a_rating() -> None:
    ones = sp.csr_array(np.array([[1.0, 0], [0, 1.0]]))
    S = scale_ratings(ones, 0, 1, 8)
    assert MDCF(n_bits=8, unrated=0.0)._value_of_unrated(S) == 0
    assert MDCF(n_bits=8, unrated=0.5)._value_of_unrated(S) == -2
    assert MDCF(n_bits=8, unrated=99.0)._value_of_unrated(S) == -8
    assert MDCF(n_bits=8)._value_of_unrated(-S) == 0


@pytest.mark.parametrize("unrated", [0.0, -1.5])
def test_products_are_those_of_the_dense_matrix(unrated: float) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((9, 7)) < 0.5
    stored = sp.csr_array(np.where(mask, rng.uniform(1, 2, (9, 7)), 0))
    S = np.where(mask, stored.toarray(), unrated)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((9, 3))
    exact, most = Products(stored, unrated, None, rng), Products(stored, unrated, 3, rng)
    P, values, Qt = np.linalg.svd(S, full_matrices=False)
    low = (P[:, :3] * values[:3]) @ Qt[:3]
    for products, matrix in ((exact, S), (most, low), (Products(stored, unrated, 7, rng), S)):
        np.testing.assert_allclose(products.times(x), matrix @ x, atol=1e-9)
        np.testing.assert_allclose(products.transposed_times(y), matrix.T @ y, atol=1e-9)
        assert products.square == pytest.approx((matrix**2).sum())


def test_a_truncated_s_finds_the_checkerboard_too() -> None:
    p = planted(n=120, m=80, kept=0.6)
    r = MDCF(n_bits=32, random_state=0, rank=5).fit(p.ratings, p.user_views, p.item_views)
    assert in_group(r.recommend(np.arange(120), k=3).ids, np.arange(120), p) > 0.95


def test_half_of_the_views_may_be_missing() -> None:
    p = planted(n=120, m=80, kept=0.6)
    rng = np.random.default_rng(0)
    gaps = {
        side: {name: np.where((rng.random(len(x)) < 0.5)[:, None], np.nan, x) for name, x in getattr(p, side).items()}
        for side in ("user_views", "item_views")
    }
    r = MDCF(n_bits=16, random_state=0).fit(p.ratings, **gaps)
    whole = r.recommend_for(p.user_views, k=5)
    assert in_group(whole.ids, np.arange(120), p) > 0.9
    one = r.recommend_for({"age": p.user_views["age"]}, k=5)
    assert in_group(one.ids, np.arange(120), p) > 0.8


def test_a_view_of_noise_gets_less_weight() -> None:
    p = planted(n=200, m=80, kept=0.6)
    noise = np.random.default_rng(0).standard_normal((200, 8))
    r = MDCF(n_bits=16, random_state=0, n_anchors=20).fit(p.ratings, {"noise": noise, "age": p.user_views["age"]})
    weights = HashFunctions.of(r.user_functions_).weights
    assert weights["age"] > weights["noise"] and sum(weights.values()) == pytest.approx(1)


def test_few_ratings_count_as_none() -> None:
    p = planted(n=60, m=40)
    lil = p.ratings.tolil()
    lil[3, :] = 0
    lil[3, 1] = 5
    few = replace(p, ratings=sp.csr_array(lil))
    few.ratings.eliminate_zeros()
    r = MDCF(n_bits=16, random_state=0, min_ratings=2).fit(few.ratings, p.user_views, p.item_views)
    assert r.user_codes_[3].packed.tolist() == r.encoded_user_codes_[3].packed.tolist()
    assert 1 not in r.recommend(3, k=39).ids
    alone = MDCF(n_bits=16, random_state=0).fit(few.ratings, None, p.item_views)
    lil[3, 1] = 0
    none = sp.csr_array(lil)
    none.eliminate_zeros()
    mean = MDCF(n_bits=16, random_state=0).fit(none, None, p.item_views)
    known, unknown = (r.user_codes_[3].packed.tolist() for r in (alone, mean))
    assert known != unknown  # where there are no views, one rating is all there is to learn from
    apart = sp.csr_array(np.array([[1.0, 0, 1], [0, 1, 0], [0, 1, 0]]))
    with pytest.raises(ValueError, match="min_ratings"):
        MDCF(n_bits=4).fit(apart, {"x": np.eye(3)}, {"x": np.eye(3)})


def test_nobody_needs_more_ratings_than_the_best_known_has() -> None:
    p = planted(n=60, m=40)
    given = p.ratings, p.user_views, p.item_views
    most = int(max(np.diff(p.ratings.indptr).max(), np.bincount(p.ratings.indices).max()))
    r = MDCF(n_bits=4, random_state=0, min_ratings=10 * most).fit(*given)
    assert len(r.user_codes_) == 60


def test_the_real_valued_twin_ranks_by_products() -> None:
    p = planted(n=60, m=40)
    r = MDCF(n_bits=8, random_state=0, real_valued=True).fit(p.ratings, p.user_views, p.item_views)
    hits = r.recommend([4, 5], k=7, exclude_seen=False)
    scores = -(r.user_factors_[[4, 5]].astype(float) @ r.item_factors_.astype(float).T).astype(np.float32)
    np.testing.assert_array_equal(hits.ids, np.argsort(scores, axis=1, kind="stable")[:, :7])
    assert hits.distances.dtype == np.float32
    np.testing.assert_array_equal(r.recommend(5, k=7, exclude_seen=False).distances[0], hits.distances[1])


def test_explanations_name_views_ratings_and_what_was_rated() -> None:
    p = planted(n=60, m=40)
    r = MDCF(n_bits=16, random_state=0).fit(p.ratings, p.user_views, p.item_views)
    why = r.explain(0, 4)
    assert why.generated is None
    assert [ground.source for ground in why.grounded[:3]] == ["view 'image'", "view 'text'", "ratings"]
    shown = list(why.grounded[3:])
    assert len(shown) == 3 and all(ground.share == 0 and ground.source.startswith("rated item") for ground in shown)
    seen = set(p.ratings[[0]].indices.tolist()) - {4}
    assert {int(ground.source.split()[-1]) for ground in shown} <= seen


def test_preferences_read_only_the_ratings_that_are_kept() -> None:
    p = planted(n=60, m=40)
    kept = p.ratings.copy()
    withheld = np.random.default_rng(0).random(kept.nnz) < 0.3
    truth = kept.copy()
    truth.data[withheld] = 1.0 + (truth.data[withheld] == 1.0) * 4.0  # other opinions, where nobody may look
    for ratings in (kept, truth):
        ratings.data[withheld] = 0
        ratings.eliminate_zeros()
    views = {**p.item_views, "sparse": sp.csr_array(np.eye(40)), "gaps": np.full((40, 2), np.nan)}
    views["gaps"][:3] = 1.0
    found = preferences(kept, views)
    for name, matrix in preferences(truth, views).items():
        np.testing.assert_array_equal(matrix, found[name])
    user, items = 5, kept[[5]].indices
    weights = kept[[5]].data
    expected = (weights[:, None] * p.item_views["text"][items]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(found["likes text"][user], expected, rtol=1e-5)
    np.testing.assert_allclose(found["likes sparse"][user][items], weights / weights.sum(), rtol=1e-5)
    without = np.flatnonzero(~(kept.toarray()[:, :3] > 0).any(axis=1))
    assert np.isnan(found["likes gaps"][without]).all() and len(without)
    MDCF(n_bits=8, random_state=0).fit(kept, found, p.item_views)
    with pytest.raises(ValueError, match="positive"):
        preferences(-kept, p.item_views)
    with pytest.raises(ValueError, match="expected 40 rows"):
        preferences(kept, {"text": p.item_views["text"][1:]})


def test_withheld_ratings_reach_no_code() -> None:
    """Whatever the test ratings of a cold split say, the same codes are learned from what is kept."""
    p = planted(n=60, m=40)
    withheld = cold(p.ratings, kept=1, seed=0).test
    others = sp.csr_array(
        p.ratings + sp.csr_array((6 - 2 * withheld.data, withheld.indices, withheld.indptr), (60, 40))
    )
    codes = []
    for ratings in (p.ratings, others):
        kept = cold(ratings, kept=1, seed=0).train
        r = MDCF(n_bits=8, random_state=0, high=5.0).fit(kept, preferences(kept, p.item_views), p.item_views)
        codes.append(np.vstack([r.user_codes_.packed, r.encoded_user_codes_.packed]))
    assert (p.ratings != others).nnz > 0
    np.testing.assert_array_equal(codes[0], codes[1])


def test_no_users_by_items_matrix_is_ever_made() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    ratings = sp.csr_array((np.ones(20_000), (rng.integers(0, n, 20_000), rng.integers(0, n, 20_000))), shape=(n, n))
    ratings.data[:] = 1.0
    views = {"x": rng.standard_normal((n, 5))}
    tracemalloc.start()
    r = MDCF(n_bits=8, random_state=0, n_anchors=20, max_iter=2).fit(ratings, views, views)
    r.recommend(range(50), k=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *[("alpha_users", 0), ("beta", -1.0), ("gamma", -1), ("unrated", -0.1), ("max_iter", 0), ("min_ratings", 0)],
        *[
            ("low", "x"),
            ("high", np.nan),
            ("rank", 0),
            ("n_anchors", 0),
            ("d", 9),
            ("weights", "other"),
            ("ridge", 0),
            ("penalty", "x"),
        ],
    ],
)
def test_wrong_parameters_are_refused(name: str, wrong: Any) -> None:
    p = planted()
    with pytest.raises((TypeError, ValueError), match=name):
        MDCF(**{"n_bits": 8, name: wrong}).fit(p.ratings, p.user_views, p.item_views)
    with pytest.raises(ValueError, match="n_anchors: 99"):
        MDCF(n_anchors=99).fit(p.ratings, p.user_views)
    gone = {"age": np.where(np.arange(60)[:, None] < 1, p.user_views["age"], np.nan)}
    lil = p.ratings.tolil()
    lil[0, :] = 0
    ratings = sp.csr_array(lil)
    ratings.eliminate_zeros()
    with pytest.raises(ValueError, match=r"'age'.*missing"):
        MDCF().fit(ratings, gone)


@pytest.mark.parametrize("value", [1.0, 5.0, -2.0])
def test_ratings_that_are_all_alike(value: float) -> None:
    """Implicit feedback, on a matrix of rank one: everybody likes everything."""
    whole = sp.csr_array(np.full((20, 12), value))
    r = MDCF(n_bits=8, random_state=0, low=-5.0).fit(whole)
    hits = r.recommend(range(20), k=12, exclude_seen=False)
    assert (hits.distances == 0).all()
    half = sp.csr_array(np.eye(12))
    assert MDCF(n_bits=8, random_state=0).fit(half).recommend(3, k=1, exclude_seen=False).ids.tolist() == [[3]]


def test_joint_weights_fit_the_last_maps_side_by_side() -> None:
    rng = np.random.default_rng(0)
    ratings = sp.csr_array(np.where(rng.random((50, 40)) < 0.3, rng.integers(1, 6, (50, 40)), 0).astype(float))
    views = {"a": rng.standard_normal((40, 3)), "b": rng.standard_normal((40, 2))}
    views["b"][::5] = np.nan
    apart, joint = (MDCF(n_bits=8, random_state=0, weights=w).fit(ratings, None, views) for w in ("adaptive", "joint"))
    np.testing.assert_array_equal(apart.user_codes_.packed, joint.user_codes_.packed)  # training is the same
    np.testing.assert_array_equal(apart.item_codes_.packed, joint.item_codes_.packed)
    outputs = joint._encode("items", views)
    functions = HashFunctions.of(joint.item_functions_)
    phi = functions.all_features(views, {name: ~np.isnan(view[:, 0]) for name, view in views.items()})
    side_by_side = np.hstack([phi["a"], phi["b"]]).astype(np.float64)
    W = np.vstack([functions.maps["a"], functions.maps["b"]])
    np.testing.assert_allclose(outputs, side_by_side @ W, atol=1e-4)
    gradient = side_by_side.T @ (side_by_side @ W - joint.item_factors_)
    ratio = -gradient / W  # (ΦᵀΦ + ρ) W = ΦᵀF with one ρ for all
    assert np.median(ratio) > 0 and np.percentile(np.abs(ratio / np.median(ratio) - 1), 80) < 0.05
