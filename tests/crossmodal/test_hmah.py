"""HMAH: every loss term against a loop, fused codes, variants, planted problems."""

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
from modalhash.crossmodal.hmah import HMAH, VARIANTS, Students, Teacher
from modalhash.datasets import planted

F64 = NDArray[np.float64]
TINY: dict[str, Any] = {
    "n_bits": 8,
    "encoder": (16, 12),
    "student": (16,),
    "discriminator": (6,),
    "epochs": 3,
    "student_epochs": 3,
    "random_state": 0,
}
ROWS = np.arange(9)


def small(n: int = 30) -> tuple[dict[str, F64], F64]:
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < 0.4).astype(float)
    labels[3] = 0.0
    noise = {name: rng.standard_normal((n, d)) for name, d in (("image", 6), ("text", 5))}
    return {name: labels @ rng.standard_normal((4, e.shape[1])) + e for name, e in noise.items()}, labels


def system(**params: Any) -> HMAH:
    hasher = HMAH(**(TINY | params))
    hasher.means_, hasher.scales_ = layers.standards_of(small()[0], "HMAH")
    return hasher


def cosine(A: Any, B: Any, i: int, j: int) -> float:
    a, b = np.asarray(A, dtype=float)[i], np.asarray(B, dtype=float)[j]
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))


def graph_loss(A: Any, B: Any, C: F64) -> float:
    """The mean of (cos(a_i, b_j) - C_ij)², item by item."""
    return float(np.mean([(cosine(A, B, i, j) - C[i, j]) ** 2 for i in range(len(C)) for j in range(len(C))]))


def square(A: Any, B: Any) -> float:
    A, B = np.asarray(A, dtype=float), np.asarray(B, dtype=float)
    return float(np.mean([(A[i, k] - B[i, k]) ** 2 for i in range(len(A)) for k in range(A.shape[1])]))


def sign(A: Any) -> F64:
    return np.where(np.asarray(A) >= 0, 1.0, -1.0)


def similarity(labels: F64) -> F64:
    """Eq. 3.3."""
    n = len(labels)
    return np.array([[2 / (1 + np.exp(-sum(labels[i] * labels[j]))) - 1 for j in range(n)] for i in range(n)])


def arrays(tensors: Any) -> list[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


@pytest.mark.parametrize("kind", ["complementary", "intra", "separate"])
def test_the_teachers_terms_equal_loops(kind: str) -> None:
    views, labels = small()
    torch.manual_seed(0)
    teacher = Teacher(system(teacher=kind, alpha=3.0, beta=0.5), views, labels)
    teacher.network.eval()
    S = similarity(labels[ROWS])
    np.testing.assert_allclose(teacher.similarity(ROWS).numpy(), S, atol=1e-6)
    T = arrays(teacher.outputs(teacher.features(ROWS), teacher.similarity(ROWS)))
    spaces = T if kind == "separate" else [np.hstack(T)]
    found = {name: float(term.detach()) for name, term in teacher.loss(ROWS).items()}
    assert found["similarity"] == pytest.approx(3.0 * sum(graph_loss(t, t, S) for t in spaces), rel=1e-4)
    assert found["quantization"] == pytest.approx(0.5 * sum(square(t, sign(t)) for t in spaces), rel=1e-4)
    assert teacher.adversary is not None
    judged = [teacher.adversary.network(torch.from_numpy(t)).detach().numpy() for t in spaces]
    assert found["adversary"] == pytest.approx(sum(square(d, np.ones_like(d)) for d in judged), rel=1e-4)
    assert [t.shape[1] for t in T] == ([8, 8] if kind == "separate" else [4, 4])


@pytest.mark.parametrize("printed", [False, True])
def test_messages_equal_loops(printed: bool) -> None:
    views, labels = small()
    torch.manual_seed(0)
    teacher = Teacher(system(as_printed=printed), views, labels)
    net: Any = teacher.network.eval()
    X, S, n = teacher.features(ROWS), similarity(labels[ROWS]), len(ROWS)
    F = arrays(net[f"encoder {i}"](x) for i, x in enumerate(X.values()))
    S_c = np.block([[np.eye(n), S], [S, np.eye(n)]])

    def messages(part: Any, A: F64, values: F64) -> Any:
        d = A.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            P = np.nan_to_num(A / np.sqrt(np.outer(d, d)) if printed else A / d[:, None], posinf=0.0)
        out = P @ values @ part["first"].linear.weight.detach().numpy().T
        if not printed:
            return np.tanh(P @ out @ part["second"].linear.weight.detach().numpy().T)
        heads = [part[name] for name in part if name.startswith("head")]
        split = np.split(np.tanh(out), len(heads))
        return np.vstack(arrays(h(torch.from_numpy(s).float()) for h, s in zip(heads, split, strict=True)))

    across = np.split(messages(net["cross"], S_c, np.vstack(F)), 2)
    found = arrays(teacher.outputs(X, teacher.similarity(ROWS)))
    for i in range(2):
        np.testing.assert_allclose(found[i], np.hstack([messages(net[f"intra {i}"], S, F[i]), across[i]]), atol=1e-5)


@pytest.mark.parametrize("fusion", ["weights", "none", "concatenate"])
@pytest.mark.parametrize("kind", ["complementary", "separate", "none"])
def test_the_students_terms_equal_loops(kind: str, fusion: str) -> None:
    views, labels = small()
    rng = np.random.default_rng(1)
    T = {} if kind == "none" else {name: rng.standard_normal((30, 8 if kind == "separate" else 4)) for name in views}
    torch.manual_seed(0)
    students = Students(system(teacher=kind, fusion=fusion, mu=2.0), views, labels, T)
    students.network.eval()
    H, H_f = students.outputs(students.features(ROWS))
    x, y = arrays(H)
    f = None if H_f is None else H_f.detach().numpy()
    found = {name: float(term.detach()) for name, term in students.loss(ROWS).items()}
    t = [values[ROWS] for values in T.values()]
    if kind == "complementary":
        whole = np.hstack(t)
        C, *targets = (np.array([[cosine(o, o, i, j) for j in range(9)] for i in range(9)]) for o in (whole, *t))
        B = sign(whole)
    else:
        C = similarity(labels[ROWS])
        targets, B = [C, C], sign((x + y) / 2 if f is None else f)
    assert found["cross"] == pytest.approx(2.0 * graph_loss(x, y, C), rel=1e-4)
    assert found["intra"] == pytest.approx(
        2.0 * (graph_loss(x, x, targets[0]) + graph_loss(y, y, targets[1])), rel=1e-4
    )
    outputs = [x, y] if f is None else [x, y, f]
    assert found["codes"] == pytest.approx(sum(square(h, B) for h in outputs), rel=1e-4)
    assert ("fused" in found) is (f is not None) and ("teacher" in found) is (kind == "separate")
    if f is not None:
        assert found["fused"] == pytest.approx(2.0 * graph_loss(f, f, C), rel=1e-4)
    if fusion == "weights" and f is not None:
        np.testing.assert_allclose(f, (x + y) / 2, atol=1e-6)
    if kind == "separate":
        assert found["teacher"] == pytest.approx(square(x, t[0]) + square(y, t[1]), rel=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_fitted_saved_and_fused(name: str, tmp_path: Path) -> None:
    views, labels = small()
    hasher = make(name, **TINY).fit(views, labels)
    hasher.save(tmp_path / "model")
    codes = hasher.encode(views)
    np.testing.assert_array_equal(mh.load(tmp_path / "model").encode(views).packed, codes.packed)
    gaps = {"image": views["image"].copy(), "text": views["text"]}
    gaps["image"][4] = np.nan
    lacking = hasher.encode(gaps).packed
    np.testing.assert_array_equal(lacking[4], hasher.encode({"text": views["text"][4:5]}).packed[0])
    np.testing.assert_array_equal(np.delete(lacking, 4, axis=0), np.delete(codes.packed, 4, axis=0))
    assert len(vars(hasher)["objective_"]) == 3 and np.isfinite(vars(hasher)["objective_"]).all()


def test_the_fused_code_is_the_weighted_sum_of_the_students() -> None:
    views, labels = small()
    hasher = HMAH(**TINY | {"student_epochs": 30, "learning_rate": 0.02}).fit(views, labels)
    w = hasher.fusion_["image/weight"]
    assert np.ptp(w) > 1e-3 and (w > 0).all()
    np.testing.assert_allclose(w + hasher.fusion_["text/weight"], 1.0, rtol=1e-6)
    H = {name: hasher._student(name, views[name]) for name in views}
    expected = sign(w * H["image"] + (1 - w) * H["text"])
    np.testing.assert_array_equal(hasher.encode(views).signs(), expected)
    np.testing.assert_array_equal(hasher.encode_queries({"text": views["text"]}).signs(), sign(H["text"]))


def test_bits_that_views_cannot_share_are_refused() -> None:
    views, labels = small()
    with pytest.raises(ValueError, match="n_bits: HMAH with 2 views needs a multiple of 4, got 6"):
        HMAH(**TINY | {"n_bits": 6}).fit(views, labels)
    HMAH(**TINY | {"n_bits": 7, "teacher": "none"}).fit(views, labels)
    three = views | {"sound": views["text"] ** 2}
    with pytest.raises(ValueError, match="3 views needs a multiple of 6"):
        HMAH(**TINY).fit(three, labels)
    assert len(HMAH(**TINY | {"n_bits": 12}).fit(three, labels).encode(three)) == 30
    for wrong in ({"teacher": "x"}, {"fusion": "x"}, {"dropout": 1.0}, {"encoder": ()}, {"alpha": -1.0}, {"epochs": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HMAH(**TINY | wrong).fit(views, labels)


def test_training_can_stop_early() -> None:
    views, labels = small()
    hasher = HMAH(**TINY | {"validation": 0.2, "patience": 2, "epochs": 60, "learning_rate": 0.05}).fit(views, labels)
    assert len(hasher.losses_["teacher: held out"]) == len(hasher.objective_) < 60


def planted_map(name: str, kind: str, **params: Any) -> float:
    """mAP of text queries against image codes."""
    data = planted(kind, 400, 0)
    train, query, labels = data.split["train"], data.split["query"], np.asarray(data.labels)
    hasher = make(name, n_bits=16, random_state=0, **params)
    hasher.fit({m: x[train] for m, x in data.views.items()}, labels[train])
    index = mh.Index.build(hasher.encode({"image": data.views["image"][train]}))
    relevant = (labels[query] @ labels[train].T) > 0
    queries = hasher.encode_queries({"text": data.views["text"][query]})
    return mh.metrics.retrieval(index, queries, relevant).mean["AP"]


QUICK: dict[str, Any] = {"encoder": (128, 64), "student": (128,), "epochs": 60, "student_epochs": 60}


@pytest.mark.parametrize("kind", ["nuisance", "multilabel"])
def test_planted_problems_are_solved_far_above_cca_itq(kind: str) -> None:
    assert planted_map("HMAH", kind, **QUICK) > planted_map("CCAITQ", kind) + 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_beats_cca_itq_on_a_planted_problem(name: str) -> None:
    taught = VARIANTS[name].get("teacher") not in ("none", "separate")  # students of labels alone learn little here
    assert planted_map(name, "nuisance", **QUICK) > planted_map("CCAITQ", "nuisance") + (0.3 if taught else 0.04)
