"""UMH-OQA against a slow twin on whole matrices, with ν(B) written out."""

from __future__ import annotations

import tracemalloc
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.composite.umh_oqa import UMHOQA, VARIANTS
from modalhash.composite.umh_oqa_training import Modality, Problem, View
from modalhash.fusion import FusedHasher
from modalhash.hasher import ConvergenceWarning
from modalhash.quantized import QuantizedCodes
from modalhash.quantizers import decode

F64 = NDArray[np.float64]


def small(n: int = 50, gaps: bool = False, seed: int = 0) -> dict[str, F64]:
    """Two views of shared hidden values."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, 4)) + 2.0 * np.eye(4)[np.arange(n) % 4]
    views = {
        name: hidden @ rng.standard_normal((4, d)) + 0.3 * rng.standard_normal((n, d)) + 1.0
        for name, d in (("image", 7), ("text", 5))
    }
    if gaps:
        views["image"][[2, 9]] = np.nan
        views["text"][[5, 6, 7]] = np.nan
    return views


def fitted(views: dict[str, Any] | None = None, **params: Any) -> tuple[UMHOQA, dict[str, Any]]:
    given = small() if views is None else views
    options: dict[str, Any] = {"n_bits": 8, "latent_dim": 4, "random_state": 0, "max_iter": 5} | params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return UMHOQA(**options).fit(given), given


def vectors(hasher: UMHOQA, views: dict[str, Any]) -> NDArray[np.float32]:
    queries = hasher.encode_queries(views)
    assert isinstance(queries, np.ndarray)
    return queries


def indices(hasher: UMHOQA, views: dict[str, Any]) -> NDArray[np.uint8]:
    codes = hasher.encode(views)
    assert isinstance(codes, QuantizedCodes)
    return codes.indices


def start(gaps: bool = False, **params: Any) -> tuple[Problem, Twin]:
    """A problem in the middle of a fit, and its slow twin."""
    views = small(gaps=gaps)
    system = UMHOQA(**({"n_bits": 8, "latent_dim": 4, "random_state": 0, "alpha": 2.0} | params))
    problem = Problem(system, system._modalities(views), system._rng())
    for step in (problem.update_bases, problem.update_latent, problem.update_codebooks, problem.update_weights):
        step()
    return problem, Twin(problem, views)


class Twin:
    """Eq. 4.34 as printed: columns are items, ν(B) is one-hot."""

    def __init__(self, problem: Problem, views: dict[str, F64]) -> None:
        self.problem = problem
        self.has = [~np.isnan(x[:, 0]) for x in views.values()]
        self.X = []
        for x, has in zip(views.values(), self.has, strict=True):
            centred = (x - x[has].mean(axis=0))[has].T
            self.X.append(centred / np.sqrt((centred**2).sum(axis=0).mean()))
        self.n = len(self.has[0])

    def nu(self) -> F64:
        return np.vstack([np.eye(16)[column].T for column in self.problem.A.T])

    def C(self) -> F64:
        return np.asarray(self.problem.C.reshape(-1, self.problem.D).T)

    def objective(self, **change: Any) -> float:
        p = self.problem
        given: dict[str, Any] = {
            "R": p.R,
            "H": [H.T for H in p.H],
            "C": self.C(),
            "nu": self.nu(),
            "mu": p.mu,
        } | change
        total = p.ridge * np.sum(given["C"] ** 2)
        for X, has, R, H, mu in zip(self.X, self.has, given["R"], given["H"], given["mu"], strict=True):
            share = self.n / has.sum()
            total += p.alpha * share * np.linalg.norm(X - R @ H) ** 2
            total += share / mu * np.linalg.norm(H - given["C"] @ given["nu"][:, has]) ** 2
        return float(total)


def gradient(function: Any, values: F64, step: float = 1e-5) -> F64:
    found = np.zeros(values.shape)
    for place in np.ndindex(values.shape):
        move = np.zeros(values.shape)
        move[place] = step
        found[place] = (function(values + move) - function(values - move)) / (2 * step)
    return found


# the objective and every step of it
@pytest.mark.parametrize("gaps", [False, True])
def test_the_objective_is_that_of_the_whole_matrices(gaps: bool) -> None:
    problem, twin = start(gaps)
    np.testing.assert_allclose(problem.objective(), twin.objective())
    for modality, X, R in zip(problem.modalities, twin.X, problem.R, strict=True):
        np.testing.assert_allclose(modality.project(R), X.T @ R, atol=1e-12)
        H = np.random.default_rng(0).standard_normal((X.shape[1], 4))
        np.testing.assert_allclose(modality.cross(H), X @ H, atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_every_update_lowers_the_objective(gaps: bool) -> None:
    problem, twin = start(gaps)
    values = [problem.objective()]
    for _ in range(4):
        for step in ("words", "bases", "latent", "codebooks", "weights"):
            getattr(problem, f"update_{step}")()
            if step == "bases":  # the objective uses the projections of the new bases
                np.testing.assert_allclose(problem.objective(), twin.objective())
            values.append(problem.objective())
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.98 * values[0]


def test_a_basis_is_better_than_other_orthonormal_ones() -> None:
    problem, twin = start()
    problem.update_latent()
    problem.update_bases()
    best = twin.objective()
    rng = np.random.default_rng(0)
    for v, R in enumerate(problem.R):
        np.testing.assert_allclose(R.T @ R, np.eye(4), atol=1e-12)
        for size in (1e-3, 1e-2, 1.0, 10.0):
            for _ in range(25):
                other, _ = np.linalg.qr(R + size * rng.standard_normal(R.shape))
                other = other * np.sign((other * R).sum(axis=0))
                assert twin.objective(R=[*problem.R[:v], other, *problem.R[v + 1 :]]) >= best - 1e-9


@pytest.mark.parametrize("gaps", [False, True])
def test_latent_rows_have_no_gradient(gaps: bool) -> None:
    problem, twin = start(gaps)
    problem.update_latent()
    H = [values.T for values in problem.H]
    for v in range(2):
        slope = gradient(lambda h, v=v: twin.objective(H=[*H[:v], h, *H[v + 1 :]]), H[v])
        assert np.abs(slope).max() < 1e-4


def test_the_printed_latent_step_is_far_from_the_best() -> None:
    """Eq. 4.41 without I/μ in the inverse."""
    problem, twin = start(alpha=0.1)
    problem.update_latent()
    right = twin.objective()
    Q = twin.C() @ twin.nu()
    parts = zip(problem.R, twin.X, problem.mu, strict=True)
    printed = [np.linalg.inv(0.1 * R.T @ R) @ (0.1 * R.T @ X + Q / mu) for R, X, mu in parts]
    assert twin.objective(H=printed) > 10 * right


@pytest.mark.parametrize("gaps", [False, True])
def test_codebooks_have_no_gradient(gaps: bool) -> None:
    problem, twin = start(gaps)
    problem.update_codebooks()
    assert np.linalg.matrix_rank(twin.nu() @ twin.nu().T) < 32  # νν' is singular, hence the ridge
    assert np.abs(gradient(lambda C: twin.objective(C=C), twin.C())).max() < 1e-5


@pytest.mark.parametrize("gaps", [False, True])
def test_words_are_the_best_of_all_given_the_others(gaps: bool) -> None:
    problem, twin = start(gaps)
    problem.system.sweeps = 20
    problem.update_words()
    best, A = twin.objective(), problem.A.copy()
    for i in (0, 5, 9):  # 5 and 9 lack a view
        for j in range(2):
            for word in range(16):
                problem.A = A.copy()
                problem.A[i, j] = word
                assert twin.objective() >= best - 1e-9


def test_view_weights_of_the_training_are_the_best_of_the_simplex() -> None:
    problem, twin = start()
    problem.update_weights()
    best = twin.objective()
    assert problem.mu.sum() == pytest.approx(1)
    for first in np.linspace(0.01, 0.99, 99):
        assert twin.objective(mu=np.array([first, 1 - first])) >= best - 1e-9
    # the theorem: the quantisation term is the square of the sum of the norms
    norms = [np.linalg.norm(H.T - twin.C() @ twin.nu()) for H in problem.H]
    assert np.sum(np.square(norms) / problem.mu) == pytest.approx(np.sum(norms) ** 2)


def test_new_numbers_leave_the_objective_and_bring_bits_nearer_to_distances() -> None:
    problem, twin = start()
    before, decoded = problem.objective(), decode(problem.C, problem.A)

    def agreement() -> float:
        bits = np.bitwise_count(np.arange(16)[:, None] ^ np.arange(16))
        return float(np.mean([np.sum(bits * ((c[:, None] - c) ** 2).sum(axis=2)) for c in problem.C]))

    plain = agreement()
    problem.renumber()
    assert agreement() > 1.03 * plain
    np.testing.assert_allclose(decode(problem.C, problem.A), decoded, atol=1e-12)
    np.testing.assert_allclose([problem.objective(), twin.objective()], before)


@pytest.mark.parametrize("params", [{}, {"alpha": 0.5}, {"concatenate": True}, {"weights": "equal"}])
def test_the_objective_never_rises(params: dict[str, Any]) -> None:
    for gaps in (False, True):
        hasher, _ = fitted(small(120, gaps), max_iter=15, tolerance=0.0, **params)
        values = hasher.objective_
        assert len(values) > 3
        assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))


def test_a_fit_that_has_not_converged_says_so() -> None:
    with pytest.warns(ConvergenceWarning, match="UMHOQA.*2 iterations"):
        UMHOQA(n_bits=8, latent_dim=4, random_state=0, max_iter=2, tolerance=0.0).fit(small())


# planted problems
def average_precision(hasher: Any, data: mh.datasets.Dataset, queries: dict[str, Any] | None = None) -> float:
    index = mh.Index.build(hasher.encode(data.part("database")))
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    given = data.part("query") if queries is None else queries
    return float(mh.metrics.retrieval(index, hasher.encode_queries(given), relevant, ()).mean["AP"])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_finds_planted_clusters(name: str) -> None:
    data = mh.datasets.planted("clusters", 400, 0)
    hasher = UMHOQA(n_bits=16, random_state=0, tolerance=1e-2, **VARIANTS[name]).fit(data.part("train"))
    itq = mh.ITQ(n_bits=16, random_state=0).fit(data.part("train"))
    assert average_precision(hasher, data) > max(0.99, average_precision(itq, data) - 0.01)


def test_index_bits_find_planted_clusters_too() -> None:
    data = mh.datasets.planted("clusters", 400, 0)
    hasher, _ = fitted(data.part("train"), n_bits=32, latent_dim=64, metric="hamming")
    assert isinstance(hasher.encode(data.part("query")), mh.BinaryCodes)
    assert average_precision(hasher, data) > 0.9


def test_inner_products_need_no_norms() -> None:
    data = mh.datasets.planted("clusters", 400, 0)
    hasher, _ = fitted(data.part("train"), n_bits=16, latent_dim=64, metric="dot")
    assert average_precision(hasher, data) > 0.95
    assert hasher.codes_.bytes_per_item == 2 and fitted()[0].codes_.bytes_per_item == 1 + 4


def test_a_noisy_view_of_a_query_loses_weight_and_costs_little() -> None:
    data = mh.datasets.planted("clusters", 400, 0)
    query = data.part("query")
    rng = np.random.default_rng(0)
    text = np.asarray(query["text"])
    noisy = {
        "image": query["image"],
        "text": rng.permutation(text) + 5.0 * text.std() * rng.standard_normal(text.shape),
    }
    own, _ = fitted(data.part("train"), n_bits=16, latent_dim=64, max_iter=10)
    equal, _ = fitted(data.part("train"), n_bits=16, latent_dim=64, max_iter=10, weights="equal")
    assert own.view_weights(noisy)[:, 1].mean() < own.view_weights(query)[:, 1].mean() - 0.2
    assert average_precision(own, data, noisy) > average_precision(equal, data, noisy) + 0.05


# views, weights, codes
def test_views_that_are_in_rotated_spaces_are_brought_together() -> None:
    """Without a common start the latent rows of two views of one item have nothing to do with each other."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((200, 6))
    views = {name: hidden @ np.linalg.qr(rng.standard_normal((9, 6)))[0].T for name in ("image", "text")}
    hasher, _ = fitted(views, latent_dim=6, max_iter=1)
    image, text = (vectors(hasher, {name: x}) for name, x in views.items())
    assert np.linalg.norm(image - text) < 0.05 * np.linalg.norm(image)


@pytest.mark.parametrize("weights", ["query", "absolute"])
def test_rounds_never_raise_the_sum_of_distances(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher, views = fitted(small(200, gaps=True), n_bits=8, weights=weights)
    views["text"] = views["text"] + 2.0 * np.random.default_rng(1).standard_normal((200, 5))
    C = hasher.codebooks_.astype(np.float64)

    def distances(rounds: int) -> F64:
        monkeypatch.setattr("modalhash.composite.umh_oqa.ROUNDS", rounds)
        ((outputs, weights, _, A),) = hasher._coded(views)
        parts = np.linalg.norm(outputs - decode(C, A), axis=2) * (weights > 0)
        return np.asarray((parts * hasher.usual_[:, None]).sum(axis=0))

    values = [distances(rounds) for rounds in range(6)]
    assert all((after <= before + 1e-9).all() for before, after in pairwise(values))
    assert values[-1].sum() < values[0].sum()


def test_weights_solve_the_online_problem_with_the_latent_rows() -> None:
    """For given words no H and μ give less than w_l in proportion to 1 / ‖R_lᵀx_l - Cν(b)‖ (Eq. 4.50)."""
    rng = np.random.default_rng(0)
    rho, alpha = rng.uniform(0.5, 1.5, 3), 50.0

    def value(mu: F64) -> float:  # the best H put in: α/(αμ + 1) ‖z - q‖² a view
        return float(np.sum(alpha / (alpha * mu + 1.0) * rho**2))

    w = 1.0 / rho
    mu = (alpha + 3) * rho / rho.sum() / alpha - 1 / alpha  # then α/(αμ + 1) goes with w
    np.testing.assert_allclose(alpha / (alpha * mu + 1.0) / w, alpha / (alpha + 3) * rho.sum())
    assert mu.min() > 0 and mu.sum() == pytest.approx(1)
    for _ in range(200):
        assert value(rng.dirichlet(np.ones(3))) >= value(mu) - 1e-9


def test_a_view_weighs_by_its_distance_beside_its_usual_one() -> None:
    """The text's weights reward the view that is always near; ours those of an item that are nearer than usual."""
    rng = np.random.default_rng(0)
    clear = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 9))
    views = {"image": clear, "text": clear[:, ::-1].copy(), "tags": rng.standard_normal((200, 9))}
    usual, absolute = (fitted(views, weights=weights)[0] for weights in ("query", "absolute"))
    ((outputs, _, _, _),) = usual._coded(views)
    C = usual.codebooks_.astype(np.float64)
    words = usual._words(C, outputs.mean(axis=0))
    np.testing.assert_allclose(usual.usual_, np.linalg.norm(outputs - decode(C, words), axis=2).mean(axis=1))
    assert usual.view_weights(views).mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.05)
    assert absolute.view_weights(views)[:, 2].mean() < 0.28 and (absolute.usual_ == 1).all()


def test_weights_can_be_read() -> None:
    hasher, views = fitted(small(60, gaps=True))
    assert isinstance(hasher, FusedHasher)
    weights = hasher.view_weights(views)
    assert weights.shape == (60, 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[[2, 9]] == [0, 1]).all() and (weights[[5, 6, 7]] == [1, 0]).all()
    assert weights[10:, 0].std() > 0.01
    np.testing.assert_array_equal(hasher.view_weights(dict(reversed(views.items()))), weights)
    np.testing.assert_array_equal(hasher.view_weights({"text": views["text"][10:]}), np.tile([0.0, 1.0], (50, 1)))
    parts = [vectors(hasher, {name: x[10:]}) for name, x in views.items()]
    fused = weights[10:, [0]] * parts[0] + weights[10:, [1]] * parts[1]
    np.testing.assert_allclose(vectors(hasher, views)[10:], fused, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="unknown"):
        hasher.view_weights({"audio": views["text"]})


def test_weights_of_the_variants() -> None:
    views = small(60)
    learned, _ = fitted(views, weights="learned")
    expected = learned.alpha / (learned.alpha * learned.mu_ + 1)
    np.testing.assert_allclose(learned.view_weights(views), np.tile(expected / expected.sum(), (60, 1)))
    equal, _ = fitted(views, weights="equal")
    assert (equal.view_weights(views) == 0.5).all() and (equal.mu_ == 0.5).all()
    only, _ = fitted(views, only="text")
    assert (only.view_weights(views) == [0, 1]).all()


def test_one_view_alone_is_all_that_is_read() -> None:
    views = small(60)
    hasher, _ = fitted(views, only="image")
    codes = indices(hasher, views)
    for given in ({"image": views["image"]}, {"image": views["image"], "text": np.full((60, 5), np.nan)}):
        np.testing.assert_array_equal(indices(hasher, given), codes)
    with pytest.raises(ValueError, match="UMHOQA: codes come from the view 'image', and it is absent"):
        hasher.encode({"text": views["text"]})
    views["image"][3] = np.nan
    with pytest.raises(ValueError, match="codes come from the view 'image', and row 3 lacks it"):
        hasher.encode(views)
    with pytest.raises(ValueError, match="UMHOQA: row 3 lacks the view 'image'"):
        fitted(views, only="image")
    with pytest.raises(ValueError, match="only='audio' is none of the views 'image', 'text'"):
        fitted(views, only="audio")


def test_views_side_by_side_are_one_view() -> None:
    views = small(60)
    scaled = []
    for x in views.values():
        centred = x - x.mean(axis=0)
        scaled.append(centred / np.sqrt((centred**2).sum(axis=1).mean()))
    hasher, _ = fitted(views, concatenate=True)
    together, _ = fitted({"both": np.hstack(scaled)})
    np.testing.assert_allclose(
        vectors(hasher, views), np.sqrt(2) * vectors(together, {"both": np.hstack(scaled)}), atol=1e-4
    )


def test_a_view_narrower_than_the_latent_space_takes_part() -> None:
    views = small(80) | {"audio": small(80)["image"][:, :2]}
    hasher, _ = fitted(views, latent_dim=5)
    R = hasher.functions_["audio"]
    assert R.shape == (2, 5)
    np.testing.assert_allclose(R @ R.T, np.eye(2) * (R @ R.T)[0, 0], atol=1e-9)


def test_one_item_is_encoded_as_among_many() -> None:
    hasher, views = fitted(small(40, gaps=True))
    codes, queries = hasher.encode(views), vectors(hasher, views)
    assert isinstance(codes, QuantizedCodes) and codes.score == "l2"
    assert isinstance(queries, np.ndarray) and queries.dtype == np.float32 and queries.shape == (40, 4)
    for i in range(40):
        one = {name: x[i : i + 1] for name, x in views.items() if not np.isnan(x[i, 0])}
        assert np.array_equal(indices(hasher, one), codes.indices[i : i + 1])
        assert vectors(hasher, one).tobytes() == queries[i].tobytes()


@pytest.mark.parametrize("weights", ["query", "learned", "equal"])
def test_the_views_of_other_items_change_nothing(weights: str) -> None:
    hasher, views = fitted(small(40), weights=weights)
    views["text"] = np.random.default_rng(0).permutation(views["text"])  # now the views of an item disagree
    codes, shown = indices(hasher, views), hasher.view_weights(views)
    gaps = {"image": views["image"], "text": np.where(np.arange(40)[:, None] < 5, views["text"], np.nan)}
    np.testing.assert_array_equal(indices(hasher, gaps)[:5], codes[:5])
    np.testing.assert_allclose(hasher.view_weights(gaps)[:5], shown[:5])


def test_queries_are_rounded_alike_in_any_batch() -> None:
    rng = np.random.default_rng(0)
    views = {"image": rng.standard_normal((67, 300)), "text": rng.standard_normal((67, 201))}
    hasher, _ = fitted(views, latent_dim=33)
    ((_, _, many, _),) = hasher._coded(views, alike=True)
    for i in (0, 1, 5, 66):
        ((_, _, one, _),) = hasher._coded({name: x[i : i + 1] for name, x in views.items()}, alike=True)
        assert one.tobytes() == many[i].tobytes()


def test_index_bits_are_the_indices() -> None:
    views = small()
    words, bits = fitted(views)[0], fitted(views, metric="hamming")[0]
    bits.codebooks_, bits.functions_ = words.codebooks_, words.functions_
    codes, A = bits.encode(views), indices(words, views)
    assert isinstance(codes, mh.BinaryCodes) and codes.n_bits == 8
    np.testing.assert_array_equal(codes.packed[:, 0], 16 * A[:, 0] + A[:, 1])


def test_training_with_gaps_uses_what_is_there(tmp_path: Path) -> None:
    views = small(200)
    views["image"][::3] = np.nan
    views["text"][1::3] = np.nan
    hasher, _ = fitted(views, max_iter=20)
    hasher.save(tmp_path / "model")
    back = UMHOQA.load(tmp_path / "model")
    whole = small(200)
    pairs = [vectors(back, {name: whole[name]}) for name in whole]
    other = pairs[1][np.random.default_rng(0).permutation(200)]
    assert np.linalg.norm(pairs[0] - pairs[1]) < 0.5 * np.linalg.norm(pairs[0] - other)
    never = {"image": views["image"].copy(), "text": whole["text"].copy()}
    never["text"][~np.isnan(never["image"][:, 0])] = np.nan
    assert len(fitted(never)[0].encode(whole)) == 200  # no item has both


@pytest.mark.parametrize(("n", "dimensions"), [(50, 7), (3, 3)])
def test_the_latent_space_has_no_more_dimensions_than_items_or_columns(n: int, dimensions: int) -> None:
    hasher, views = fitted(small(n), latent_dim=64)
    assert vectors(hasher, views).shape == (n, dimensions)
    assert hasher.codebooks_.shape == (2, 16, dimensions)


def test_memory_stays_far_below_a_matrix_of_all_pairs() -> None:
    views = small(4000)
    fitted(small(50))
    tracemalloc.start()
    fitted(views, max_iter=2)[0].encode(views)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000  # one byte a pair


def test_sparse_views_give_what_dense_ones_give() -> None:
    views = {name: np.where(x > 1.0, x, 0.0) for name, x in small(60).items()}
    plain, _ = fitted(views)
    thin, _ = fitted({name: sp.csr_array(x) for name, x in views.items()})
    np.testing.assert_allclose(thin.codebooks_, plain.codebooks_, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_bits": 10}, "n_bits: expected a multiple of 4"),
        ({"alpha": 0.0}, "alpha: expected a number > 0"),
        ({"latent_dim": 0}, "latent_dim: expected an integer of at least 1"),
        ({"sweeps": 0}, "sweeps: expected an integer of at least 1"),
        ({"only": "text", "concatenate": True}, "only: 'text' leaves nothing to concatenate"),
        ({"metric": "cosine"}, "metric: expected one of l2, dot, hamming, got 'cosine'"),
        ({"weights": "none"}, "weights: expected one of query, absolute, learned, equal"),
        ({"tolerance": -1.0}, "tolerance: expected a number >= 0"),
    ],
)
def test_hyper_parameters_that_cannot_work_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(**params)


def test_views_that_never_vary_are_refused_or_set_aside() -> None:
    with pytest.raises(ValueError, match="UMHOQA: no view varies over the 50 training items"):
        fitted({"image": np.full((50, 4), 0.1)})
    views = small()
    hasher, _ = fitted({**views, "flat": np.ones((50, 3))})
    assert (hasher.view_weights({**views, "flat": np.ones((50, 3))})[:, 2] == 0).all()
    assert (hasher.view_weights({"flat": np.ones((50, 3))}) == [0, 0, 1]).all()


@pytest.mark.parametrize("concatenate", [False, True])
def test_an_item_of_which_only_a_constant_view_is_known_stays_out_of_the_training(concatenate: bool) -> None:
    views = {**small(60), "flat": np.ones((60, 3))}
    views["image"][[4, 7]], views["text"][[4, 7]] = np.nan, np.nan
    hasher, _ = fitted(views, concatenate=concatenate)
    assert np.isfinite(hasher.objective_).all() and np.isfinite(hasher.codebooks_).all()
    assert (hasher.view_weights(views)[[4, 7]] == [0, 0, 1]).all()
    assert (vectors(hasher, views)[[4, 7]] == 0).all()
    assert isinstance(hasher.codes_, QuantizedCodes)
    np.testing.assert_array_equal(hasher.codes_.indices[4], indices(hasher, views)[7])


def test_a_modality_counts_every_row_once() -> None:
    x = small(30)["text"]
    modality = Modality({"text": View(x, np.ones(30, dtype=bool), x.mean(axis=0), 1.0)})
    assert modality.squares == 30 and modality.width == 5
