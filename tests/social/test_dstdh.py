"""DSTDH: every closed-form step optimal, graphs against n × n twins, convergence, planted problems, variants."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.catalog import make
from modalhash.datasets import planted
from modalhash.graphs import AnchorGraph, anchor_graph
from modalhash.hasher import ConvergenceWarning
from modalhash.social.dstdh import DSTDH, VARIANTS
from modalhash.social.functions import linear_layer, tanh_layer, tanh_loss
from modalhash.social.transfer import Hypergraph, Transfer, Weights, incidence, shrink_rows

F64 = NDArray[np.float64]
N, C, K = 12, 5, 3


def weights(**changed: float) -> Weights:
    return Weights(**({"alpha": 0.2, "beta": 0.3, "nu": 0.15, "eta": 0.1, "mu": 0.4, "rho": 1.1} | changed))


def graphs(n: int = N, seed: int = 0) -> tuple[AnchorGraph, Hypergraph, F64]:
    """An anchor graph, a hypergraph and the incidence H of the latter."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    H = incidence([X], n, X[:4] + 0.1)
    return anchor_graph(X, np.zeros(4), X[:5] + 0.05, 2, 0), Hypergraph(H.copy()), H.astype(np.float64)


def problem(**options: Any) -> Transfer:
    """A transfer after two iterations, so that no variable and no multiplier is zero."""
    rng = np.random.default_rng(1)
    S, G, _ = graphs()
    Y = sp.csr_array((rng.random((N, C)) < 0.4).astype(np.float32))
    Z = np.where(rng.standard_normal((N, K)) >= 0, 1.0, -1.0)
    w = options.pop("weights", weights())
    found = Transfer(w, Z, Y, S, G, np.tanh(rng.standard_normal((N, K))), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.run(2, 0.0)
    return found


def gradient(transfer: Transfer, name: str) -> F64:
    """Central differences of the Lagrangian in one variable (what hangs on P follows it)."""
    value = getattr(transfer, name)
    found = np.zeros_like(value)
    for at in np.ndindex(value.shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = value.copy()
            moved[at] += step
            ends.append(lagrangian(transfer, name, moved))
        found[at] = (ends[0] - ends[1]) / 2e-5
    return np.asarray(found)


def lagrangian(transfer: Transfer, name: str, value: F64) -> float:
    """The Lagrangian with another value of one variable."""
    kept = {key: getattr(transfer, key) for key in (name, "YP", "pulled")}
    setattr(transfer, name, value)
    if name == "P":
        transfer.YP = transfer.Y_f @ value
    transfer.pulled = transfer.pull(transfer.Z)
    result = transfer.lagrangian()
    for key, old in kept.items():
        setattr(transfer, key, old)
    return result


@pytest.mark.parametrize("squared", [False, True])
def test_the_transfer_and_the_copy_have_no_gradient_left(squared: bool) -> None:
    transfer = problem(squared=squared)
    for name, update in (("P", transfer.update_transfer), ("B", transfer.update_copy)):
        assert np.abs(gradient(transfer, name)).max() > 1e-3, name
        update()
        np.testing.assert_allclose(gradient(transfer, name), 0.0, atol=1e-6, err_msg=name)


def test_no_random_residual_is_better() -> None:
    transfer, rng = problem(), np.random.default_rng(2)
    transfer.update_residual()
    best = transfer.lagrangian()
    assert (np.linalg.norm(transfer.A, axis=1) > 0).any()
    for scale in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(50):
            other = transfer.A + scale * rng.standard_normal(transfer.A.shape)
            assert lagrangian(transfer, "A", other) >= best - 1e-12


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("relaxed", [False, True])
def test_no_other_codes_are_better(squared: bool, relaxed: bool) -> None:
    transfer, rng = problem(squared=squared, relaxed=relaxed), np.random.default_rng(3)
    transfer.E_B = transfer.E_B + 0.3 * rng.standard_normal((N, K))  # away from a fixed point
    transfer.update_codes()
    best = transfer.lagrangian()
    for at in np.ndindex(N, K):  # the Lagrangian has no products of two values of Z: one at a time is enough
        for value in (-1.0, 1.0, *(rng.uniform(-1, 1, 3) if relaxed else ())):
            other = transfer.Z.copy()
            other[at] = value
            assert lagrangian(transfer, "Z", other) >= best - 1e-9
    assert np.abs(transfer.Z).max() <= 1.0 and (relaxed or (np.abs(transfer.Z) == 1.0).all())


def test_rows_are_shortened_item_by_item() -> None:
    T = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-6.0, 8.0]])
    np.testing.assert_allclose(shrink_rows(T, 1.0), [[2.4, 3.2], [0.0, 0.0], [0.0, 0.0], [-5.4, 7.2]])


def test_the_objective_is_that_of_the_written_out_graphs() -> None:
    transfer = problem()
    S, _, H = graphs()
    affinity = S.affinity(np.eye(N))
    d, delta = H.sum(axis=1), H.sum(axis=0)
    G = np.zeros((N, N))
    for i in range(N):
        for j in range(N):
            G[i, j] = sum(H[i, e] * H[j, e] / delta[e] for e in range(4)) / np.sqrt(d[i] * d[j])
    w, Z, F = transfer.weights, transfer.Z, transfer.F
    assert F is not None and transfer.Y is not None
    transfer.pulled, transfer.YP = transfer.pull(Z), transfer.Y_f @ transfer.P
    expected = sum(np.linalg.norm(z - transfer.P.T @ y) for z, y in zip(Z, transfer.Y.toarray(), strict=True))
    expected += w.nu * np.sum((F - Z) ** 2) + w.eta * np.sum(transfer.P**2)
    expected -= w.alpha * np.trace(Z.T @ affinity @ Z) + w.beta * np.trace(Z.T @ G @ Z)
    assert transfer.value() == pytest.approx(expected / N, rel=1e-5)
    assert min(transfer.objective) == pytest.approx(expected / N, rel=1e-5)  # the best iterate is what is kept


def test_the_hypergraphs_sum_over_pairs_needs_roots_of_the_degrees() -> None:
    _, graph, H = graphs()
    Z = np.random.default_rng(4).standard_normal((N, K))
    d, delta = H.sum(axis=1), H.sum(axis=0)

    def pairs(degree: F64) -> float:  # Eq. 2.7
        return 0.5 * sum(
            float(H[i, e] * H[j, e] / delta[e]) * float(np.sum((Z[i] / degree[i] - Z[j] / degree[j]) ** 2))
            for e in range(H.shape[1])
            for i in range(N)
            for j in range(N)
        )

    laplacian = float(np.sum(Z * (Z - graph.affinity(Z))))  # Eq. 2.8
    assert pairs(np.sqrt(d)) == pytest.approx(laplacian, rel=1e-5)
    assert pairs(d) != pytest.approx(laplacian, rel=0.05)
    roots = np.sqrt(d)[:, None]
    np.testing.assert_allclose(graph.affinity(roots), roots, rtol=1e-5)  # its eigenvector of value 1


def test_far_items_and_empty_concepts_stay_alone() -> None:
    H = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]], dtype=np.float32)
    found = Hypergraph(H).affinity(np.eye(3))
    assert np.isfinite(found).all() and not found[2].any()


def test_incidences_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(5)
    X, E = rng.standard_normal((7, 3)), rng.standard_normal((4, 3))
    distances = np.array([[np.linalg.norm(x - e) for e in E] for x in X])
    sigma = 0.5 * distances.min(axis=1).mean()
    found = incidence([X[:3], X[3:]], 7, E, 0.5)
    np.testing.assert_allclose(found, np.exp(-(distances**2) / (2 * sigma**2)), rtol=1e-4, atol=1e-7)


def social(n: int = 400) -> tuple[Any, dict[str, Any]]:
    data = planted("social", n, 0)
    return data, data.part("train")


def test_pictures_share_their_two_nearest_anchors() -> None:
    _, views = social()
    hasher = DSTDH(n_bits=8, random_state=0).fit(views)
    graph = hasher._visual_graph(views["image"], np.random.default_rng(0))
    assert (np.diff(graph.H.indptr) == 2).all() and graph.H.shape[1] <= 100
    np.testing.assert_allclose(graph.affinity(np.ones((len(views["image"]), 1))), 1.0, rtol=1e-9)


def test_the_alternation_settles() -> None:
    _, views = social()
    hasher = DSTDH(n_bits=16, random_state=0, tolerance=1e-3, rounds=1).fit(views)
    assert hasher.residuals_[-1] <= 1e-3 < 0.3 < hasher.residuals_[0]
    assert min(hasher.objective_) < hasher.objective_[0] < 4.0  # √16 without any tags
    smooth = np.convolve(hasher.residuals_, np.ones(4) / 4, "valid")[::4]
    assert (np.diff(smooth) < 0).all()
    with pytest.warns(ConvergenceWarning, match="after 2 iterations the constraints are off by"):
        DSTDH(n_bits=16, random_state=0, max_iter=2).fit(views)


def lone(mu: float, iterations: int) -> tuple[list[float], list[float]]:
    """An item without tags beside one with tags: the length of its row of A, and how much of its code is as it was."""
    Z = np.ones((2, 16))
    transfer = Transfer(weights(mu=mu / 4.0), Z, np.array([[0.0], [1.0]]))
    lengths, kept = [], []
    for _ in range(iterations):
        transfer.update_residual()
        transfer.update_transfer()
        transfer.update_copy()
        transfer.update_codes()
        transfer.update_multipliers()
        lengths.append(float(np.linalg.norm(transfer.A[0])))
        kept.append(float(np.mean(transfer.Z[0] == 1.0)))
    return lengths, kept


def test_a_small_mu_holds_the_residual_at_zero_and_flips_items_without_tags() -> None:
    lengths, kept = lone(0.04, 12)  # 0.01 at 16 bits: the text's
    assert not any(lengths[:6]) and 0.0 in kept and 1.0 in kept[4:]
    for mu in (0.5, 1.0):
        lengths, kept = lone(mu, 12)
        assert lengths[1] > 0 and set(kept) == {1.0}


def test_the_layers_are_where_no_gradient_is_left() -> None:
    rng = np.random.default_rng(6)
    X, Z = rng.standard_normal((30, 4)), np.where(rng.standard_normal((30, 2)) >= 0, 1.0, -1.0)
    W = linear_layer(X, Z, 0.1)["0.weight"]
    np.testing.assert_allclose(X.T @ (X @ W - Z) / 30 + 0.1 * W, 0.0, atol=1e-12)
    at = rng.standard_normal((5, 2))
    _, slope = tanh_loss(at, X, Z, 0.1)
    for i in np.ndindex(5, 2):
        step = np.zeros((5, 2))
        step[i] = 1e-5
        ends = [tanh_loss(at + sign * step, X, Z, 0.1)[0] for sign in (1, -1)]
        assert slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)
    layer, loss = tanh_layer(X, Z, 0.1, 200)
    found = np.vstack([layer["0.weight"], layer["0.bias"]])
    assert tanh_loss(found, X, Z, 0.1)[0] == pytest.approx(loss)
    assert np.abs(tanh_loss(found, X, Z, 0.1)[1]).max() < 1e-3


def score(name: str, data: Any, views: dict[str, Any], **params: Any) -> float:
    """mAP of picture queries against the training pictures."""
    given = {"image": views["image"]} if name == "ITQ" else views
    hasher = make(name, **({"n_bits": 16, "random_state": 0} | params)).fit(given)
    index = mh.Index.build(hasher.encode({"image": views["image"]}))
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("train"))
    queries = hasher.encode_queries({"image": data.part("query")["image"]})
    return mh.metrics.retrieval(index, queries, relevant).mean["AP"]


def test_the_planted_problem_is_solved_far_above_itq() -> None:
    data, views = social()
    itq = score("ITQ", data, views)
    assert itq < 0.3
    for name, margin in (("DSTDH", 0.35), ("DSTDH-L", 0.35), ("DSTDH-I", 0.35), ("DSTDH-R", 0.35), ("DSTDH-T", 0.25)):
        assert score(name, data, views) > itq + margin, name
    for name in ("DSTDH-NT", "DSTDH-D"):
        assert score(name, data, views) < itq + 0.1, name


def test_what_the_tags_say_moves_the_codes() -> None:
    data, views = social()
    shuffled = views | {"tags": views["tags"][np.random.default_rng(0).permutation(len(views["tags"]))]}
    assert score("DSTDH", data, shuffled) < 0.3 < score("DSTDH", data, views)
    for name in ("DSTDH-NT",):
        assert score(name, data, shuffled) == score(name, data, views)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_fitted_and_saved(name: str, tmp_path: Path) -> None:
    _, views = social(80)
    hasher = make(name, n_bits=8, random_state=0).fit(views)
    hasher.save(tmp_path / "model")
    codes = hasher.encode({"image": views["image"]})
    np.testing.assert_array_equal(mh.load(tmp_path / "model").encode({"image": views["image"]}).packed, codes.packed)
    balance = np.abs(codes.signs().mean(axis=0))
    assert np.isfinite(vars(hasher)["objective_"]).all() and (balance < 1).any()


def test_relaxed_codes_are_cut_at_their_mean() -> None:
    _, views = social(80)
    hasher = DSTDH(n_bits=8, random_state=0, discrete=False)
    seen: list[F64] = []
    learn = hasher._learn_codes

    def shifted(transfer: Transfer) -> F64:
        seen.append(np.clip(0.3 * learn(transfer) + 0.6, -1.0, 1.0))
        return seen[-1]

    vars(hasher)["_learn_codes"] = shifted
    hasher.fit(views)
    np.testing.assert_array_equal(hasher.codes_.signs(), np.where(seen[-1] >= seen[-1].mean(axis=0), 1, -1))
    assert np.abs(hasher.encode(views).signs().mean(axis=0)).max() < 0.7  # at 0 all bits would be +1


def test_the_best_iterate_is_kept() -> None:
    transfer = problem()
    values = [1.0, -2.0, 3.0]
    seen: list[F64] = []

    def value() -> float:
        seen.append(transfer.Z.copy())
        return values[len(seen) - 1]

    vars(transfer)["value"] = value
    transfer.update_codes = lambda: vars(transfer).update(Z=-transfer.Z)  # type: ignore[method-assign]
    transfer.run(3, 0.0)
    np.testing.assert_array_equal(transfer.Z, seen[1])


def test_sparse_tags_are_dense_tags() -> None:
    _, views = social(120)
    dense = DSTDH(n_bits=8, random_state=0).fit(views)
    sparse = DSTDH(n_bits=8, random_state=0).fit(views | {"tags": sp.csr_matrix(views["tags"])})
    np.testing.assert_array_equal(sparse.encode(views).packed, dense.encode(views).packed)
    np.testing.assert_array_equal(sparse.codes_.packed, dense.codes_.packed)


def test_items_without_tags_are_learned_and_found() -> None:
    data, views = social()
    tags = views["tags"].copy()
    tags[::2] = 0.0
    before = tags.copy()
    assert score("DSTDH", data, views | {"tags": tags}) > score("ITQ", data, views) + 0.05
    np.testing.assert_array_equal(tags, before)
    none = DSTDH(n_bits=8, random_state=0).fit(views | {"tags": sp.csr_array(tags.shape, dtype=np.float32)})
    assert len(none.encode(views)) == len(tags)


def test_a_second_round_hears_the_functions() -> None:
    _, views = social(120)
    found = [DSTDH(n_bits=8, random_state=0, rounds=2, nu=nu).fit(views) for nu in (1e-3, 5.0)]
    once = DSTDH(n_bits=8, random_state=0, rounds=1).fit(views)
    agreement = [np.mean(h.codes_.signs() == once.encode(views).signs()) for h in found]
    assert agreement[1] > 0.99 > agreement[0]
    assert len(found[0].function_loss_) == 2 and len(found[0].objective_) > len(once.objective_)


def test_rounds_are_shown_as_progress_and_share_what_hangs_on_the_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    _, views = social(80)
    shown, solved = [], []
    iterations, eigh = DSTDH._iterations, np.linalg.eigh
    monkeypatch.setattr(DSTDH, "_iterations", lambda self, count: shown.append(count) or iterations(self, count))  # type: ignore[func-returns-value]
    monkeypatch.setattr(np.linalg, "eigh", lambda gram: solved.append(gram.shape) or eigh(gram))  # type: ignore[func-returns-value]
    quiet, told = (DSTDH(n_bits=8, random_state=0, rounds=2, verbose=verbose).fit(views) for verbose in (False, True))
    assert shown == [2, 2] and solved == [(views["tags"].shape[1],) * 2] * 2  # one eigenproblem a fit: O(c³)
    np.testing.assert_array_equal(quiet.codes_.packed, told.codes_.packed)


def test_beginning_anew_is_a_new_transfer() -> None:
    used, Z, F = problem(), -problem().Z, np.zeros((N, K))
    used.begin(Z, F)
    fresh = Transfer(used.weights, Z, used.Y, used.S, used.G, F)
    for transfer in (used, fresh):
        transfer.run(5, 0.0)
    np.testing.assert_array_equal(used.Z, fresh.Z)
    assert used.objective[-5:] == fresh.objective and used.residual[-5:] == fresh.residual


@pytest.mark.parametrize("name", ["DSTDH", "LAGNH"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.coo_matrix])
def test_one_tag_and_tags_that_nobody_has(name: str, form: Any) -> None:
    _, views = social(60)
    small = {"width": 8, "hidden": 8, "epochs": 1} if name == "LAGNH" else {}
    one = (np.asarray(views["tags"])[:, :1] > 0).astype(np.int8)
    one[0] = 1
    for tags in (one, np.hstack([one, np.zeros((len(one), 3), dtype=np.int8)])):
        given = {**views, "tags": form(tags)}
        codes = make(name, n_bits=8, random_state=0, **small).fit(given).encode(given)
        assert len(np.unique(codes.packed)) > 4


def test_starts_and_more_bits_than_columns() -> None:
    _, views = social(80)
    codes = [
        DSTDH(n_bits=8, random_state=0, start=start).fit(views).encode(views).packed for start in ("itq", "random")
    ]
    assert (codes[0] != codes[1]).any()
    wide = DSTDH(n_bits=100, random_state=0).fit(views).encode(views).signs()
    assert len(np.unique(wide, axis=1).T) > 40


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": "x"}, "start: expected itq or random"),
        ({"function": "x"}, "function"),
        ({"rho": 1.0}, "rho"),
        ({"mu": 0.0}, "mu"),
        ({"rounds": 0}, "rounds"),
        ({"alpha": -1.0}, "alpha"),
        ({"n_anchors": 81}, "n_anchors"),
        ({"n_concepts": 0}, "n_concepts"),
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSTDH(n_bits=8, **params).fit(social(80)[1])


def test_other_views_are_refused() -> None:
    _, views = social(80)
    with pytest.raises(ValueError, match=r"DSTDH: learns from the views 'image' and 'tags', got 'image'"):
        DSTDH().fit({"image": views["image"]})
    with pytest.raises(ValueError, match="view 'image' is constant"):
        DSTDH(n_bits=4).fit(views | {"image": np.ones((len(views["image"]), 3))})


def test_nothing_of_n_by_n_is_formed() -> None:
    rng = np.random.default_rng(0)
    n = 6000
    views = {"image": rng.standard_normal((n, 8)).astype(np.float32), "tags": sp.random_array((n, 20), density=0.1)}
    hasher = DSTDH(n_bits=8, random_state=0, n_anchors=20, n_concepts=20, function_iter=3)
    tracemalloc.start()
    try:
        hasher.fit(views)
        assert tracemalloc.get_traced_memory()[1] < n * n  # bytes: an eighth of a float64 matrix
    finally:
        tracemalloc.stop()
