"""A2LH: every update is the exact minimiser, the objective never rises, and the codes solve what labels can solve."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.crossmodal.a2lh import A2LH, VARIANTS, Problem
from modalhash.crossmodal.a2lh_rows import function_sums
from modalhash.datasets import Dataset, planted
from modalhash.hasher import ConvergenceWarning
from modalhash.parts import InOrder
from modalhash.solvers import ridge, signs

F64 = NDArray[np.float64]


def rows_of(problem: Problem) -> Any:
    """The one part of a fit on one machine."""
    assert isinstance(problem.parts, InOrder)
    (rows,) = problem.parts.parts
    return rows


class Twin:
    """The objective by its printed definition, every n x n matrix written out; columns are items as in the text."""

    def __init__(self, problem: Problem) -> None:
        self.p, self.a, rows = problem, problem.system, rows_of(problem)
        self.L = np.asarray(rows.labels).T
        self.phi = {m: x.astype(np.float64).T for m, x in rows.phi.items()}
        self.n = problem.n
        self.S = 2 * self.L.T @ self.L - np.ones((self.n, self.n))
        Z = rows.data(slice(0, self.n)).T
        self.values: dict[str, Any] = {
            "U": problem.U @ Z,
            "B": rows.B.T.copy(),
            "R": problem.R.copy(),
            "C": problem.C.copy(),
            "mu": problem.mu.copy(),
            **{f"V {m}": V.copy() for m, V in problem.V.items()},
        }

    def objective(self, **changed: Any) -> float:
        v = {**self.values, **changed}
        a, K, L = self.a, self.p.K, self.L
        U, B, R, C, mu = v["U"], v["B"], v["R"], v["C"], v["mu"]
        E = R @ L if a.multi_semantic else B
        EE = E @ E.T + (a.ridge * R @ R.T if a.multi_semantic else 0)
        UU = U @ U.T + a.ridge * np.eye(len(U))
        total = np.sum(((C @ U).T @ E - K * self.S) ** 2)
        total += np.sum((C @ UU @ C.T) * EE) - np.sum((C @ U @ U.T @ C.T) * (E @ E.T))  # the ridges of UUᵀ and LLᵀ
        total += a.alpha * (np.sum((B - C @ U) ** 2) + a.ridge * np.sum(C**2))
        total += a.eta * np.sum(U**2)
        if a.multi_semantic:
            total += a.beta * np.sum((E - B) ** 2) + a.eta * np.sum(E**2) + (a.beta + a.eta) * a.ridge * np.sum(R**2)
        for weight, m in zip(mu, self.phi, strict=True):
            total += weight**a.zeta * np.sum((self.phi[m] - v[f"V {m}"] @ U) ** 2)
        return float(total)


def small(variant: str = "A2LH", *, gaps: bool = False, **params: Any) -> Problem:
    data = planted("multilabel", 36, 1)
    views = {name: np.asarray(matrix, dtype=np.float64).copy() for name, matrix in data.views.items()}
    if gaps:
        views["image"][:5] = np.nan
        views["text"][30:] = np.nan
    weights = {"ridge": 1e-3, "alpha": 0.7, "beta": 2.0, "eta": 0.9}  # large enough that a dropped term shows
    system = A2LH(n_bits=4, n_anchors=7, random_state=3, **{**weights, **VARIANTS[variant], **params})
    rng = np.random.default_rng(3)
    system.widths_ = {name: matrix.shape[1] for name, matrix in views.items()}
    parts = InOrder([system._rows(views, np.asarray(data.labels, dtype=np.float64))])
    system._fit_features(parts, parts.who_has(), rng)
    return Problem(system, parts, rng)


def sweep(problem: Problem) -> None:
    problem.update_view_weights()
    if problem.system.multi_semantic:
        problem.update_label_map()
    problem.update_code_map()
    problem.update_codes()
    problem.update_common()
    problem.update_view_maps()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("gaps", [False, True])
def test_objective_equals_its_definition(variant: str, gaps: bool) -> None:
    problem = small(variant, gaps=gaps)
    for _ in range(3):
        assert problem.objective() == pytest.approx(Twin(problem).objective(), rel=1e-8)
        sweep(problem)


UPDATES = {"R": "update_label_map", "C": "update_code_map", "U": "update_common"}
CASES = [case for case in itertools.product(VARIANTS, UPDATES) if case != ("A2LH-M", "R")]  # -M has no label map


@pytest.mark.parametrize(("variant", "variable"), CASES)
def test_closed_form_updates_have_zero_gradient(variant: str, variable: str) -> None:
    problem = small(variant)
    sweep(problem)
    problem.update_view_weights()
    if variable == "U":
        problem.update_codes()
    getattr(problem, UPDATES[variable])()
    twin = Twin(problem)
    value = twin.values[variable]
    rng = np.random.default_rng(0)
    best = twin.objective()
    for _ in range(8):
        step = rng.standard_normal(value.shape) * 1e-3 * np.abs(value).mean()
        up, down = twin.objective(**{variable: value + step}), twin.objective(**{variable: value - step})
        curvature = up + down - 2 * best
        assert curvature > 0
        assert abs(up - down) < 1e-4 * curvature + 1e-9 * best


@pytest.mark.parametrize("variant", VARIANTS)
def test_view_maps_are_the_best_orthonormal_ones(variant: str) -> None:
    problem = small(variant)
    sweep(problem)
    twin = Twin(problem)
    rng = np.random.default_rng(0)
    for m, V in problem.V.items():
        np.testing.assert_allclose(V.T @ V, np.eye(V.shape[1]), atol=1e-10)
        for scale in (1e-3, 1e-1, 10.0):
            other, _ = np.linalg.qr(V + scale * rng.standard_normal(V.shape))
            other *= signs(np.sum(other * V, axis=0))
            assert twin.objective(**{f"V {m}": other}) >= twin.objective()


def test_view_weights_are_the_best_on_the_simplex() -> None:
    problem = small()
    sweep(problem)
    problem.update_view_weights()
    twin = Twin(problem)
    assert problem.mu.sum() == pytest.approx(1)
    for share in np.linspace(0.01, 0.99, 33):
        assert twin.objective(mu=np.array([share, 1 - share])) >= twin.objective() * (1 - 1e-12)


def test_codes_are_the_best_signs_of_all() -> None:
    problem = small()
    sweep(problem)
    fixed = Twin(problem).values["U"]  # the step leaves U alone
    problem.update_codes()
    twin = Twin(problem)
    best = twin.objective(U=fixed)
    B = twin.values["B"]
    for i, bits in enumerate(itertools.product([-1.0, 1.0], repeat=4)):
        other = B.copy()
        other[:, i] = bits
        assert twin.objective(U=fixed, B=other) >= best


def test_bits_without_label_map_never_raise_the_objective() -> None:
    problem = small("A2LH-M")
    sweep(problem)
    before = Twin(problem)
    problem.update_codes()
    assert before.objective(B=rows_of(problem).B.T) <= before.objective()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_no_update_raises_the_objective(variant: str, ridge: float) -> None:
    problem = small(variant, gaps=True, ridge=ridge)
    for _ in range(6):
        twin = Twin(problem)
        value = twin.objective()
        for update in ("update_view_weights", "update_label_map", "update_code_map"):
            if update != "update_label_map" or problem.system.multi_semantic:
                getattr(problem, update)()
                assert Twin(problem).objective() <= value * (1 + 1e-9)
                value = Twin(problem).objective()
        common = Twin(problem).values["U"]
        problem.update_codes()
        after = Twin(problem).objective(U=common)
        assert after <= value * (1 + 1e-9)
        for update in ("update_common", "update_view_maps"):
            getattr(problem, update)()
            assert Twin(problem).objective() <= after * (1 + 1e-9)
            after = Twin(problem).objective()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_objective_never_rises_over_a_fit(variant: str) -> None:
    data = planted("nuisance", 200, 0)
    hasher = A2LH(n_bits=16, random_state=0, tolerance=0.0, max_iter=8, **VARIANTS[variant])
    hasher.fit(data.part("train"), data.part_labels("train"))
    falls = np.diff(hasher.objective_)
    assert (falls <= 1e-9 * hasher.objective_[0]).all()
    assert hasher.objective_[-1] < 0.5 * hasher.objective_[0]


def test_hash_functions_minimise_the_ridge_regression() -> None:
    rng = np.random.default_rng(0)
    phi, B = rng.standard_normal((50, 6)).astype(np.float32), signs(rng.standard_normal((50, 3)))
    present = rng.random(50) < 0.8
    W = ridge(*function_sums(phi, B, present), 0.5)
    gradient = phi[present].T @ (phi[present] @ W - B[present]) + 0.5 * W
    assert np.abs(gradient).max() < 1e-5


def score(hasher: mh.A2LH, data: Dataset, query: str = "image", found: str = "text") -> float:
    index = mh.Index.build(hasher.encode({found: data.part("database")[found]}))
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    codes = hasher.encode_queries({query: data.part("query")[query]})
    return mh.metrics.retrieval(index, codes, relevant).mean["AP"]


SOLVED = {"nuisance": 0.75, "multilabel": 0.75, "three_views": 0.65, "clusters": 0.95, "rings": 0.95}


SOLVERS = [case for case in itertools.product(SOLVED, VARIANTS) if case != ("rings", "A2LH-K")]  # rings need the kernel


@pytest.mark.parametrize(("kind", "variant"), SOLVERS)
@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_planted_problems_are_solved(kind: str, variant: str) -> None:
    data = planted(kind, 400, 0)
    hasher = A2LH(n_bits=16, random_state=0, **VARIANTS[variant])
    hasher.fit(data.part("train"), data.part_labels("train"))
    assert min(score(hasher, data), score(hasher, data, "text", "image")) > SOLVED[kind]


def test_training_with_missing_views_still_solves() -> None:
    data = planted("nuisance", 400, 0)
    views = {name: np.array(matrix) for name, matrix in data.part("train").items()}
    rng = np.random.default_rng(0)
    gone = rng.choice(len(views["image"]), 120, replace=False)
    views["image"][gone[:60]] = np.nan
    views["text"][gone[60:]] = np.nan
    hasher = A2LH(n_bits=16, random_state=0).fit(views, data.part_labels("train"))
    assert len(hasher.codes_) == len(gone) + len(views["image"]) - 120
    assert score(hasher, data) > 0.65


def test_three_views_get_three_weights_that_sum_to_one() -> None:
    data = planted("three_views", 200, 0)
    hasher = A2LH(n_bits=8, random_state=0).fit(data.views, data.labels)
    assert list(hasher.view_weights_) == ["image", "text", "tags"]
    assert sum(hasher.view_weights_.values()) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_sparse_labels_give_the_same_codes() -> None:
    data = planted("multilabel", 120, 0)
    plain = A2LH(n_bits=12, random_state=0).fit(data.views, data.labels)
    sparse = A2LH(n_bits=12, random_state=0).fit(data.views, sp.csr_array(data.labels))
    np.testing.assert_array_equal(plain.codes_.packed, sparse.codes_.packed)


def test_warns_when_not_converged_and_only_then() -> None:
    data = planted("nuisance", 100, 0)
    with pytest.warns(ConvergenceWarning, match="after 1 iterations"):
        A2LH(n_bits=8, max_iter=1, tolerance=0.0, random_state=0).fit(data.views, data.labels)
    A2LH(n_bits=8, max_iter=50, tolerance=0.5, random_state=0).fit(data.views, data.labels)


def test_too_many_anchors_are_refused_and_the_default_follows_n() -> None:
    data = planted("nuisance", 60, 0)
    with pytest.raises(ValueError, match="n_anchors: 61 anchors"):
        A2LH(n_bits=8, n_anchors=61).fit(data.views, data.labels)
    assert len(A2LH(n_bits=8, random_state=0).fit(data.views, data.labels).anchors_["image"]) == 30


@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_memory_grows_with_n_not_with_n_squared() -> None:
    rng = np.random.default_rng(0)
    n = 20_000  # an n x n matrix of bytes alone would hold 400 MB
    labels = np.eye(5, dtype=np.float32)[rng.integers(0, 5, n)]
    views = {name: rng.standard_normal((n, 10)).astype(np.float32) for name in ("image", "text")}
    tracemalloc.start()
    A2LH(n_bits=16, n_anchors=50, max_iter=2, random_state=0).fit(views, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("alpha", 0.0, ValueError),
        ("beta", -1.0, ValueError),
        ("eta", 0, ValueError),
        ("zeta", 1.0, ValueError),
        ("omega", 0.0, ValueError),
        ("ridge", -1.0, ValueError),
        ("max_iter", 0, ValueError),
        ("max_iter", 2.5, TypeError),
        ("n_anchors", 0, ValueError),
        ("tolerance", float("nan"), ValueError),
        ("alpha", "much", TypeError),
    ],
)
def test_hyper_parameters_are_checked(name: str, value: Any, error: type[Exception]) -> None:
    data = planted("nuisance", 40, 0)
    with pytest.raises(error, match=name):
        A2LH(n_bits=8).set_params(**{name: value}).fit(data.views, data.labels)
