"""DCSH: codes are balanced and independent, no step raises the objective, each loss term is its definition."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

import modalhash as mh
from modalhash.crossmodal import dcsh
from modalhash.crossmodal.dcsh import DCSH, VARIANTS
from modalhash.datasets import Dataset, planted
from modalhash.graphs import AnchorGraph, anchor_graph
from modalhash.hasher import ConvergenceWarning
from modalhash.solvers import procrustes, signs

F64 = NDArray[np.float64]
QUICK: dict[str, Any] = {"hidden": (8,), "epochs": 1, "random_state": 0}


def embeddings(n: int = 200, k: int = 6, views: int = 2) -> tuple[dict[str, AnchorGraph], dict[str, F64]]:
    rng = np.random.default_rng(0)
    hidden = rng.random((n, 3))
    graphs = {}
    for m in range(views):
        rows = np.hstack([hidden, 0.05 * rng.random((n, 2))])
        graphs[f"view {m}"] = anchor_graph(rows, rows.mean(axis=0), rows[:50] - rows.mean(axis=0), 3, 2)
    return graphs, {m: np.sqrt(n) * graph.embedding(k) for m, graph in graphs.items()}


@pytest.mark.parametrize("views", [1, 2, 3])
def test_rotations_reach_the_sum_of_singular_values(views: int) -> None:
    _, Y = embeddings(views=views)
    R = dcsh.aligned(Y)
    for m in Y:
        np.testing.assert_allclose(R[m].T @ R[m], np.eye(6), atol=1e-10)
        others = sum((Y[t] @ R[t] for t in Y if t != m), np.zeros((200, 6)))
        reached = float(np.trace(others.T @ Y[m] @ R[m]))
        assert reached == pytest.approx(np.linalg.svd(others.T @ Y[m], compute_uv=False).sum(), rel=1e-4, abs=1e-9)


def test_rotations_align_what_was_rotated() -> None:
    _, Y = embeddings(views=1)
    first = Y["view 0"]
    turned = first @ procrustes(np.random.default_rng(3).standard_normal((6, 6)))
    R = dcsh.aligned({"a": first, "b": turned})
    np.testing.assert_allclose(turned @ R["b"], first @ R["a"], atol=1e-8)


def test_code_loss_is_its_definition_and_its_gradient() -> None:
    rng = np.random.default_rng(0)
    B, T, n, K = rng.uniform(-1, 1, (12, 4)), rng.standard_normal((12, 4)), 12, 4
    value = -sum(B[i, j] * T[i, j] for i in range(n) for j in range(K))
    for a, b in itertools.product(range(K), range(K)):
        value += 0.7 / (4 * n) * (sum(B[i, a] * B[i, b] for i in range(n)) - n * (a == b)) ** 2
    for a in range(K):
        value += 0.3 / (2 * n) * sum(B[i, a] for i in range(n)) ** 2
    assert dcsh.code_loss(B, T, 0.7, 0.3) == pytest.approx(value / n)
    gradient = dcsh.code_gradient(B, T, 0.7, 0.3)
    for i, j in itertools.product(range(n), range(K)):
        step = np.zeros_like(B)
        step[i, j] = 1e-5
        slope = (dcsh.code_loss(B + step, T, 0.7, 0.3) - dcsh.code_loss(B - step, T, 0.7, 0.3)) / 2e-5
        assert n * slope == pytest.approx(gradient[i, j], abs=1e-6)


def test_exact_penalty_comes_near_the_best_of_all_codes() -> None:
    rng = np.random.default_rng(1)
    everything = np.array(list(itertools.product([-1.0, 1.0], repeat=12))).reshape(-1, 6, 2)
    lucky = 0
    for _ in range(6):
        T = 0.3 * rng.standard_normal((6, 2))
        losses = np.array([dcsh.code_loss(B, T, 1.0, 1.0) for B in everything])
        found = dcsh.exact_penalty(np.zeros((6, 2)), T, 1.0, 1.0)
        assert set(np.unique(found)) <= {-1.0, 1.0}
        value = dcsh.code_loss(found, T, 1.0, 1.0)
        assert value <= np.quantile(losses, 0.02)
        lucky += value <= losses.min() + 1e-9
    assert lucky >= 3


def test_exact_penalty_without_constraints_is_the_sign() -> None:
    T = np.random.default_rng(0).standard_normal((40, 5))
    np.testing.assert_array_equal(dcsh.exact_penalty(np.zeros_like(T), T, 0.0, 0.0), signs(T))


def embedding_loss(graph: AnchorGraph, Y: F64, B: F64, alpha: float) -> float:
    L = np.eye(len(Y)) - (graph.H @ graph.H.T).toarray()
    return float(np.trace(Y.T @ L @ Y) - alpha * np.trace(B.T @ Y))


def augmented_lagrangian(graph: AnchorGraph, Y: F64, B: F64, alpha: float) -> F64:
    """The printed Alg. 5 with Γ0 = sym[YᵀLY - (α/2) YᵀB] / n and L-BFGS inside: a slow twin."""
    n, k = Y.shape
    gamma = Y.T @ (Y - graph.affinity(Y) - alpha / 2 * B) / n
    gamma, mu = (gamma + gamma.T) / 2, 0.01

    def value(flat: F64) -> tuple[float, F64]:
        Z = flat.reshape(n, k)
        phi, LZ = Z.T @ Z - n * np.eye(k), Z - graph.affinity(Z)
        loss = np.sum(Z * LZ) - alpha * np.sum(B * Z) - np.sum(gamma * phi) + mu / 2 * np.sum(phi**2)
        return float(loss), (2 * LZ - alpha * B - Z @ (gamma + gamma.T) + 2 * mu * Z @ phi).ravel()

    for _ in range(12):
        Y = minimize(value, Y.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(n, k)
        gamma, mu = gamma - mu * (Y.T @ Y - n * np.eye(k)), mu * 2
    return np.asarray(np.sqrt(n) * procrustes(Y))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_embedding_step_is_feasible_falls_and_matches_the_augmented_lagrangian(alpha: float) -> None:
    graphs, Ys = embeddings(n=80, k=4)
    graph, start = graphs["view 0"], Ys["view 0"]
    B = signs(start + np.random.default_rng(0).standard_normal(start.shape))
    before = embedding_loss(graph, start, B, alpha)
    for steps in range(1, 5):
        Y = dcsh.closest_embedding(graph, start, B, alpha, max_iter=steps)
        np.testing.assert_allclose(Y.T @ Y, 80 * np.eye(4), atol=1e-8)
        assert embedding_loss(graph, Y, B, alpha) <= before + 1e-9
        before = embedding_loss(graph, Y, B, alpha)
    Y = dcsh.closest_embedding(graph, start, B, alpha)
    slow = embedding_loss(graph, augmented_lagrangian(graph, start, B, alpha), B, alpha)
    assert embedding_loss(graph, Y, B, alpha) <= slow + 1e-3 * Y.size


def test_function_loss_is_its_definition() -> None:
    import torch

    rng = np.random.default_rng(0)
    B = signs(rng.standard_normal((7, 3)))
    F = [rng.standard_normal((7, 3)) for _ in range(3)]
    terms = dcsh.function_loss([torch.from_numpy(x).float() for x in F], torch.from_numpy(B).float(), 0.7, 0.3)
    fit = sum((x[i, j] - B[i, j]) ** 2 for x in F for i in range(7) for j in range(3)) / (2 * 7)
    agreement = independence = 0.0
    for m, t in itertools.product(range(3), range(3)):
        for a, b in itertools.product(range(3), range(3)):
            product = sum(F[m][i, a] * F[t][i, b] for i in range(7)) / 7
            independence += (product - (a == b)) ** 2
            agreement += product * (a == b) * (m != t)
    assert float(terms["fit"]) == pytest.approx(fit, rel=1e-5)
    assert float(terms["agreement"]) == pytest.approx(-0.7 * agreement, rel=1e-5)
    assert float(terms["independence"]) == pytest.approx(0.3 * independence, rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_objective_never_rises(variant: str) -> None:
    data = planted("multilabel", 300, 0)
    hasher = DCSH(n_bits=16, **{**VARIANTS[variant], **QUICK}, tolerance=0.0, max_iter=4).fit(data.views)
    assert len(hasher.objective_) >= 2
    assert (np.diff(hasher.objective_) <= 1e-9).all()


def test_objective_is_its_definition() -> None:
    graphs, Y = embeddings(n=80, k=4)
    B = signs(np.random.default_rng(0).standard_normal((80, 4)))
    expected = sum(embedding_loss(graph, Y[m], B, 2.0) for m, graph in graphs.items()) / 80
    expected += 0.5 / (4 * 80**2) * np.sum((B.T @ B - 80 * np.eye(4)) ** 2) + 0.2 / (2 * 80**2) * np.sum(B.sum(0) ** 2)
    assert DCSH(n_bits=4, alpha=2.0, independence=0.5, balance=0.2)._objective(graphs, Y, B) == pytest.approx(expected)


def test_codes_are_balanced_and_independent() -> None:
    data = planted("multilabel", 1000, 0)
    shared, means = [], []
    for weight in (0.0, 1.0, 10.0):
        hasher = DCSH(n_bits=16, **QUICK, independence=weight, balance=weight).fit(data.views)
        B = hasher.codes_.signs().astype(float)
        shared.append(np.abs(B.T @ B / len(B) - np.eye(16)).max())
        means.append(np.abs(B.mean(axis=0)).max())
    for gaps in (shared, means):
        assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.05


def score(hasher: mh.DCSH | mh.CCAITQ, data: Dataset, query: str, found: str) -> float:
    index = mh.Index.build(hasher.encode({found: data.part("database")[found]}))
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    return mh.metrics.retrieval(index, hasher.encode({query: data.part("query")[query]}), relevant).mean["AP"]


SOLVERS = ["DCSH", "DCSH-L", "DCSH-independent", "DCSH-k_a=0", "DCSH-unscaled"]  # without rotation the views disagree


@pytest.mark.parametrize("variant", SOLVERS)
def test_clusters_are_found_as_well_as_by_correlation(variant: str) -> None:
    data = planted("clusters", 400, 0)
    hasher = DCSH(n_bits=8, random_state=0, **{"hidden": (64,), "epochs": 60, **VARIANTS[variant]})
    hasher.fit(data.part("train"))
    other = mh.CCAITQ(n_bits=8, random_state=0).fit(data.part("train"))
    for query, found in (("image", "text"), ("text", "image")):
        assert score(hasher, data, query, found) > score(other, data, query, found) - 0.05


def test_dropping_what_tells_the_parts_apart_loses_the_clusters() -> None:
    data = planted("clusters", 400, 0)
    scores = []
    for keep in (True, False):
        codes = DCSH(n_bits=8, **QUICK, keep_parts=keep).fit(data.views).codes_
        found = mh.metrics.retrieval(mh.Index.build(codes), codes, mh.metrics.SharedLabels(data.labels, data.labels))
        scores.append(found.mean["AP"])
    assert scores[0] > scores[1] + 0.2


def test_three_views_work() -> None:
    data = planted("three_views", 200, 0)
    hasher = DCSH(n_bits=8, **QUICK).fit(data.views)
    assert len(hasher.encode({"tags": data.views["tags"]})) == 200


def test_more_bits_than_eigenvectors_are_refused() -> None:
    data = planted("clusters", 40, 0)
    with pytest.raises(ValueError, match=r"n_bits=20 needs .* view 'image' has 19"):
        DCSH(n_bits=20, **QUICK).fit(data.views)
    with pytest.raises(ValueError, match="every view is constant"):
        DCSH(n_bits=4, **QUICK).fit({"image": np.ones((30, 4))})


def test_warns_when_not_converged() -> None:
    data = planted("multilabel", 100, 0)
    with pytest.warns(ConvergenceWarning, match="after 1 iterations"):
        DCSH(n_bits=8, **QUICK, max_iter=1, tolerance=0.0).fit(data.views)


@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
def test_memory_grows_with_n_not_with_n_squared() -> None:
    rng = np.random.default_rng(0)
    n = 50_000  # a matrix of n x n bytes would hold 2,500 MB
    hidden = rng.standard_normal((n, 6))
    views = {name: (hidden + 0.1 * rng.standard_normal((n, 6))).astype(np.float32) for name in ("image", "text")}
    tracemalloc.start()
    DCSH(n_bits=4, n_anchors=40, max_iter=1, batch_size=5000, **QUICK).fit(views)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 120e6


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_anchors", 41, ValueError),
        ("n_anchors", 0, ValueError),
        ("n_neighbours", 0, ValueError),
        ("n_anchor_neighbours", -1, ValueError),
        ("max_iter", 0, ValueError),
        ("epochs", 1.5, TypeError),
        ("batch_size", 0, ValueError),
        ("learning_rate", 0.0, ValueError),
        ("alpha", -1.0, ValueError),
        ("gamma1", float("nan"), ValueError),
        ("hidden", (0,), ValueError),
        ("dropout", 1.0, ValueError),
    ],
)
def test_hyper_parameters_are_checked(name: str, value: Any, error: type[Exception]) -> None:
    data = planted("nuisance", 40, 0)
    with pytest.raises(error, match=name):
        DCSH(n_bits=8, **{**QUICK, name: value}).fit(data.views)
