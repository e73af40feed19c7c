"""CIRH: the graph and every loss term against loops, variants, planted problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import modalhash as mh
from modalhash import layers
from modalhash.catalog import make
from modalhash.crossmodal.cirh import CIRH, VARIANTS, CodeStage, FunctionStage
from modalhash.datasets import planted

F64 = NDArray[np.float64]
TINY: dict[str, Any] = {"n_bits": 6, "width": 12, "hidden": 10, "epochs": 3, "function_epochs": 3, "random_state": 0}
TINY["cut"] = 0.6  # the default would leave each of nine rows to itself
ROWS = np.arange(9)


def small(n: int = 40) -> dict[str, F64]:
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n, 4))
    return {
        name: hidden @ rng.standard_normal((4, d)) + 0.3 * rng.standard_normal((n, d))
        for name, d in (("image", 6), ("text", 5))
    }


def system(**params: Any) -> CIRH:
    hasher = CIRH(**(TINY | params))
    hasher.means_, hasher.scales_ = layers.standards_of(small(), "CIRH")
    return hasher


def cosine(A: Any, B: Any, i: int, j: int) -> float:
    a, b = np.asarray(A, dtype=float)[i], np.asarray(B, dtype=float)[j]
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def graph_loss(A: Any, B: Any, C: F64) -> float:
    return float(np.mean([(cosine(A, B, i, j) - C[i, j]) ** 2 for i in range(len(C)) for j in range(len(C))]))


def square(A: Any, B: Any) -> float:
    return float(np.mean([(float(a) - float(b)) ** 2 for a, b in zip(np.ravel(A), np.ravel(B), strict=True)]))


def graph(X: list[Any], alpha1: float, alpha2: float, cut: float, sigmoid: bool, refine: bool) -> F64:
    """Eq. 3.23-3.27 entry by entry, with 0 for -1 and the result made symmetric."""
    n = len(X[0])
    S1 = np.array(
        [
            [alpha1 * cosine(X[0], X[0], i, j) + (1 - alpha1) * cosine(X[1], X[1], i, j) for j in range(n)]
            for i in range(n)
        ]
    )
    if not refine:
        return S1
    for i in range(n):
        for j in sorted(range(n), key=lambda j: S1[i, j])[: int(cut * n)]:
            S1[i, j] = 0.0
    S1 = (S1 + S1.T) / 2
    S2 = (2 / (1 + np.exp(-S1)) - 1 if sigmoid else S1) + np.eye(n)
    return np.asarray(alpha2 * S1 + (1 - alpha2) * S2)


def arrays(tensors: Any) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


OPTIONS: list[dict[str, Any]] = [
    {}, {"sigmoid": False}, {"refine_graph": False}, {"cut": 0.0}, {"alpha1": 0.1, "alpha2": 0.3}
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_the_graph_equals_a_loop(options: dict[str, Any]) -> None:
    hasher = system(**options)
    stage = CodeStage(hasher, small())
    X = stage.features(ROWS)
    expected = graph(arrays(X.values()), hasher.alpha1, hasher.alpha2, hasher.cut, hasher.sigmoid, hasher.refine_graph)
    found = stage.graph(X).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found * (1 - np.eye(len(ROWS))) > 0).any()  # some rows are neighbours, or the test shows nothing
    if hasher.refine_graph and hasher.cut:
        assert (found.sum(axis=1) > 0).all()  # the degrees that -1 in place of 0 would make negative


@pytest.mark.parametrize("options", [{}, {"aggregate": False}, {"convolve": False}])
def test_the_terms_of_the_codes_equal_loops(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    stage = CodeStage(system(lambda1=3.0, lambda2=2.0, **options), small())
    net: Any = stage.network.eval()
    X = stage.features(ROWS)
    S = stage.graph(X)
    H, H_J = stage.relaxed(X, S)
    rebuilt = arrays(net[f"decoder {i}"](h) for i, h in enumerate(H))
    h, j, x, s = arrays(H), H_J.detach().numpy(), arrays(X.values()), S.numpy()
    found = {name: float(term.detach()) for name, term in stage.loss(ROWS).items()}
    assert found["CCR"] == pytest.approx(3.0 * sum(square(r, v) for r, v in zip(rebuilt, x, strict=True)), rel=1e-4)
    assert found["ACR"] == pytest.approx(2.0 * sum(graph_loss(v, v, s) for v in (*h, j)), rel=1e-4)
    assert found["DIS"] == pytest.approx(square(np.where(j >= 0, 1.0, -1.0), j), rel=1e-4)


@pytest.mark.parametrize("convolve", [True, False])
def test_relaxed_codes_equal_the_formulas(convolve: bool) -> None:
    torch.manual_seed(0)
    stage = CodeStage(system(convolve=convolve), small())
    net: Any = stage.network.eval()
    X, n = stage.features(ROWS), len(ROWS)
    S = stage.graph(X).numpy().astype(float)
    V = arrays(net[f"encoder {i}"](x) for i, x in enumerate(X.values()))

    def spread(A: F64, values: F64, layer: Any) -> Any:
        P = A / np.sqrt(np.outer(A.sum(axis=1), A.sum(axis=1))) if convolve else np.eye(len(A))
        return P @ values @ layer.linear.weight.detach().numpy().T

    def full(layer: Any, values: F64) -> Any:
        return layer(torch.from_numpy(values).float()).detach().numpy()

    S_c = np.block([[S, np.eye(n)], [np.eye(n), S]])
    both = spread(S_c, np.vstack(V), net["joint"])
    V_J = np.maximum(both[:n] + both[n:], 0)
    V_G = [np.maximum(spread(S, v, net[f"convolution {i}"]), 0) for i, v in enumerate(V)]
    H = [full(net[f"head {i}"], np.hstack([v, V_J])) for i, v in enumerate(V_G)]
    H_J = full(net["hash"], np.hstack([*H, full(net["head of the joint"], V_J)]))
    found, joint = stage.relaxed(X, stage.graph(X))
    for mine, theirs in zip((*H, H_J), (*arrays(found), joint.detach().numpy()), strict=True):
        np.testing.assert_allclose(theirs, mine, atol=1e-5)


@pytest.mark.parametrize("consistent", [True, False])
def test_the_terms_of_the_functions_equal_loops(consistent: bool) -> None:
    torch.manual_seed(0)
    B = np.where(np.random.default_rng(0).random((40, 6)) > 0.5, 1.0, -1.0)
    stage = FunctionStage(system(consistent_functions=consistent, beta=0.7), small(), B)
    X = stage.features(ROWS)
    net: Any = stage.network
    f, g = arrays(net[f"function {i}"](x) for i, x in enumerate(X.values()))
    s = stage.graph(X).numpy()
    found = {name: float(term.detach()) for name, term in stage.loss(ROWS).items()}
    assert found["codes"] == pytest.approx(square(B[ROWS], f) + square(B[ROWS], g), rel=1e-4)
    if not consistent:
        assert list(found) == ["codes"]
        return
    assert found["agreement"] == pytest.approx(square(f, g), rel=1e-4)
    graphs = graph_loss(f, f, s) + graph_loss(g, g, s) + graph_loss(f, g, s)
    assert found["graph"] == pytest.approx(0.7 * graphs, rel=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_fitted_and_saved(name: str, tmp_path: Path) -> None:
    views = small()
    hasher = make(name, **TINY).fit(views)
    hasher.save(tmp_path / "model")
    np.testing.assert_array_equal(mh.load(tmp_path / "model").encode(views).packed, hasher.encode(views).packed)
    history = vars(hasher)["losses_"]
    assert ("codes: CCR" in history) is (name != "CIRH-ISR") and ("codes: ACR" in history) is (name != "CIRH-ACR")
    assert ("functions: graph" in history) is (name != "CIRH-FUN")
    assert len(vars(hasher)["objective_"]) == 3 and np.isfinite(vars(hasher)["objective_"]).all()


def test_several_views_are_summed_before_the_sign() -> None:
    views = small()
    hasher = CIRH(**TINY).fit(views)
    total = hasher._project("image", views["image"]) + hasher._project("text", views["text"])
    np.testing.assert_array_equal(hasher.encode(views).signs(), np.where(total >= 0, 1, -1))
    three = views | {"sound": views["text"] ** 2}
    assert len(CIRH(**TINY).fit(three).encode(three)) == 40


def test_wrong_parameters_are_refused() -> None:
    views = small()
    for wrong in ({"alpha1": 1.5}, {"cut": 2.0}, {"width": 0}, {"hidden": 0}, {"batch_size": 1}, {"beta": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CIRH(**TINY | wrong).fit(views)
    with pytest.raises(ValueError, match="CIRH: needs two views that vary"):
        CIRH(**TINY).fit({"image": views["image"], "flat": np.ones((40, 3))})


def test_training_can_stop_early() -> None:
    hasher = CIRH(**TINY | {"validation": 0.2, "patience": 2, "epochs": 300, "learning_rate": 0.05}).fit(small())
    assert len(hasher.losses_["codes: held out"]) == len(hasher.objective_) < 300


def planted_map(name: str, kind: str, **params: Any) -> float:
    """mAP of text queries against image codes."""
    data = planted(kind, 400, 0)
    train, query, labels = data.split["train"], data.split["query"], np.asarray(data.labels)
    hasher = make(name, n_bits=16, random_state=0, **params).fit({m: x[train] for m, x in data.views.items()})
    index = mh.Index.build(hasher.encode({"image": data.views["image"][train]}))
    relevant = (labels[query] @ labels[train].T) > 0
    queries = hasher.encode_queries({"text": data.views["text"][query]})
    return mh.metrics.retrieval(index, queries, relevant).mean["AP"]


QUICK: dict[str, Any] = {"width": 64, "hidden": 64, "epochs": 30, "function_epochs": 60, "function_learning_rate": 1e-3}


def test_clusters_are_found_as_well_as_by_cca_itq() -> None:
    assert planted_map("CIRH", "clusters", **QUICK) > planted_map("CCAITQ", "clusters") - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_finds_clusters(name: str) -> None:
    least = {"CIRH-ACR": 0.35, "CIRH-MCGC": 0.75}.get(name, 0.9)  # without the graph term, or with a noisy graph: less
    assert planted_map(name, "clusters", **QUICK) > least
