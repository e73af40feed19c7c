"""BSTH: every loss term against a loop, numpy against torch, missing views, variants, planted problems."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import modalhash as mh
from modalhash.catalog import make
from modalhash.composite.bsth import BSTH, VARIANTS
from modalhash.composite.concepts import Concepts, LabelNetwork, Prototypes, code_loss, label_loss
from modalhash.datasets import planted
from modalhash.fusion import fuse

F64 = NDArray[np.float64]
TINY: dict[str, Any] = {
    "n_bits": 8,
    "width": 6,
    "hidden": 12,
    "words_hidden": 10,
    "label_epochs": 5,
    "epochs": 3,
    "random_state": 0,
}
FORMS: dict[str, dict[str, Any]] = {
    "separate": {},
    "shared": {"encoder": "shared"},
    "none": {"encoder": "none"},
    "one hash layer": {"bitwise": False},
    "no positions": {"positions": ()},
}


def small(n: int = 30) -> tuple[dict[str, F64], F64]:
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < 0.4).astype(float)
    labels[3] = 0.0
    noise = {name: rng.standard_normal((n, d)) for name, d in (("image", 6), ("text", 5), ("sound", 7))}
    return {name: labels @ rng.standard_normal((4, e.shape[1])) + e for name, e in noise.items()}, labels


def tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def numbers(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term) for name, term in terms.items()}


def cosine(a: F64, b: F64) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def sign(x: Any) -> F64:
    return np.where(x >= 0, 1.0, -1.0)


def test_the_terms_of_the_codes_equal_loops() -> None:
    rng = np.random.default_rng(1)
    n, k, c = 7, 5, 3
    h, scores, L = rng.uniform(-1, 1, (n, k)), rng.standard_normal((n, c)), (rng.random((n, c)) < 0.5).astype(float)
    L[2] = 0.0
    B = np.where(L.any(axis=1, keepdims=True), sign(rng.standard_normal((n, k))), 0.0)
    found = numbers(code_loss(tensor(h), tensor(scores), tensor(L), tensor(B), (2.0, 0.3, 5.0)))
    classes = sum((sigmoid(scores[i, j]) - L[i, j]) ** 2 for i in range(n) for j in range(c)) / (n * c)
    codes = sum((h[i, j] - B[i, j]) ** 2 for i in range(n) if L[i].any() for j in range(k)) / (n * k)
    pairs = [(cosine(h[i], h[j]) - (2 * sigmoid(L[i] @ L[j]) - 1)) ** 2 for i in range(n) for j in range(n)]
    assert found == pytest.approx(
        {"classification": 2 * classes, "quantization": 0.3 * codes, "similarity": 5 * np.mean(pairs)}, rel=1e-4
    )


def test_the_terms_of_the_labels_equal_loops() -> None:
    rng = np.random.default_rng(2)
    n, k, c = 6, 4, 3
    P, L = rng.standard_normal((c, k)), (rng.random((n, c)) < 0.5).astype(float)
    h, scores = L @ P, rng.standard_normal((n, c))
    R = np.array([[1.0 if i == j else sum(L[:, i] * L[:, j]) / n for j in range(c)] for i in range(c)])
    found = numbers(label_loss(tensor(h), tensor(scores), tensor(L), tensor(P), tensor(R), (2.0, 3.0, 5.0, 7.0)))
    assert found["classification"] == pytest.approx(2 * np.mean((sigmoid(scores) - L) ** 2), rel=1e-4)
    assert found["quantization"] == pytest.approx(3 * np.mean((h - sign(h)) ** 2), rel=1e-4)
    pairs = [(cosine(P[i], P[j]) - R[i, j]) ** 2 for i in range(c) for j in range(c)]
    assert found["co-occurrence"] == pytest.approx(5 * np.mean(pairs), rel=1e-4)
    squares = [sum(h[i, j] for j in range(k)) ** 2 for i in range(n)]  # not the signed sum, which codes of -1 minimise
    assert found["balance"] == pytest.approx(7 * np.mean(squares), rel=1e-4)
    assert "co-occurrence" not in label_loss(tensor(h), tensor(scores), tensor(L), None, tensor(R), (1.0,) * 4)
    opposite = label_loss(tensor(-h), tensor(scores), tensor(L), tensor(P), tensor(R), (2.0, 3.0, 5.0, 7.0))
    assert float(opposite["balance"]) == pytest.approx(found["balance"], rel=1e-5)


def test_co_occurrence_is_the_share_of_items() -> None:
    _, labels = small()
    seen: list[Any] = []
    import modalhash.composite.concepts as concepts

    kept = concepts.label_loss

    def spy(*given: Any) -> Any:
        seen.append(given[4])
        return kept(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concepts, "label_loss", spy)
        BSTH(**TINY).fit(small()[0], labels)
    expected = np.array([[1.0 if i == j else np.mean(labels[:, i] * labels[:, j]) for j in range(4)] for i in range(4)])
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-6)


def test_codes_of_labels_are_sums_of_prototypes() -> None:
    torch.manual_seed(0)
    L = tensor(small()[1])
    network = Prototypes(4, 8).eval()
    h, P = network(L)
    assert P.shape == (4, 8)
    np.testing.assert_allclose(h.detach().numpy(), L.numpy() @ P.detach().numpy(), atol=1e-5)
    assert LabelNetwork(4, 8)(L)[1] is None


@pytest.mark.parametrize("form", FORMS)
def test_numpy_computes_what_torch_trained(form: str) -> None:
    views, labels = small(150)  # more than one block
    views["image"][::5], views["sound"][1::3] = np.nan, np.nan
    nets: list[Any] = []
    kept = Concepts.arrays

    def spy(network: Concepts) -> Any:
        nets.append(network)
        return kept(network)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Concepts, "arrays", spy)
        hasher = BSTH(**TINY | FORMS[form]).fit(views, labels)
    from modalhash.training import Features

    has = {name: ~np.isnan(x[:, 0]) for name, x in views.items()}
    X = {
        name: torch.where(torch.from_numpy(has[name])[:, None], x, 0.0)
        for name, x in Features(views, hasher.means_, hasher.scales_)(np.arange(150)).items()
    }
    with torch.no_grad():
        h = nets[0].eval()(X, torch.from_numpy(np.stack(list(has.values())))).numpy()
    values = hasher._fused(views, has, slice(0, 150))[0]
    np.testing.assert_allclose(np.tanh(values), h, atol=1e-5)
    clear = np.abs(values) > 1e-5
    np.testing.assert_array_equal((hasher.encode(views).signs() > 0)[clear], (h >= 0)[clear])
    assert clear.mean() > 0.99


def test_the_mean_of_all_views_trains_as_their_sum_does() -> None:
    """Batch normalisation takes the scale of the fused concepts out again, so that gaps cost no scale."""
    torch.manual_seed(0)
    from modalhash.networks import BitHeads

    heads, concepts = BitHeads(8, 6).train(), torch.randn(40, 8, 6)
    np.testing.assert_allclose(heads(concepts).detach(), heads(3 * concepts).detach(), atol=1e-3)


@pytest.mark.parametrize("form", ["separate", "shared", "none"])
def test_a_missing_view_is_an_absent_one(form: str) -> None:
    views, labels = small()
    hasher = BSTH(**TINY | {"encoder": form}).fit(views, labels)
    gaps = {name: x.copy() for name, x in views.items()}
    gaps["image"][4], gaps["text"][4], gaps["sound"][9] = np.nan, np.nan, np.nan
    packed = hasher.encode(gaps).packed
    np.testing.assert_array_equal(packed[4], hasher.encode({"sound": views["sound"][4:5]}).packed[0])
    own = {name: views[name][9:10] for name in ("text", "image")}
    np.testing.assert_array_equal(packed[9], hasher.encode(own).packed[0])
    others = np.delete(np.arange(30), [4, 9])
    np.testing.assert_array_equal(packed[others], hasher.encode(views).packed[others])


def test_training_does_not_look_at_what_is_missing() -> None:
    import scipy.sparse as sp

    views, labels = small()
    gone = np.arange(0, 30, 4)
    dense, sparse = views["text"].copy(), sp.lil_matrix(views["text"])
    dense[gone] = np.nan
    sparse[gone] = 0.0
    sparse[gone, 0] = np.nan
    first = BSTH(**TINY).fit({**views, "text": dense}, labels)
    second = BSTH(**TINY).fit({**views, "text": sparse.tocsr()}, labels)
    np.testing.assert_array_equal(first.encode(views).packed, second.encode(views).packed)
    np.testing.assert_allclose(first.means_["text"], views["text"][np.setdiff1d(np.arange(30), gone)].mean(axis=0))
    assert np.isfinite(first.objective_).all()


def test_weights_of_views_are_those_of_the_code() -> None:
    views, labels = small()
    given = {**views, "flat": np.ones((30, 3))}
    hasher = BSTH(**TINY | {"epochs": 20, "adaptive": True}).fit(given, labels)
    given["text"] = given["text"].copy()
    given["text"][::3] = np.nan
    weights = hasher.view_weights(given)
    assert list(hasher.widths_) == list(given) and weights.shape == (30, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[::3, 1] == 0).all() and (weights[:, 3] == 0).all() and (weights[1::3, :3] > 0).all()
    alone = {name: ~np.isnan(x[:, 0]) for name, x in given.items()}
    outputs = np.stack(
        [
            np.tanh(hasher._fused({name: np.nan_to_num(given[name])}, {name: np.ones(30, bool)}, slice(0, 30))[0])
            for name in views
        ]
    )
    has = np.stack([alone[name] for name in views])
    expected = fuse(np.where(has[:, :, None], outputs, 0.0), has)[1]
    np.testing.assert_allclose(weights[:, :3], expected.T, atol=1e-9)
    assert np.ptp(weights[1::3, 0]) > 1e-3
    codes = hasher.encode(given).packed
    hasher.adaptive = False
    assert (hasher.encode(given).packed != codes).any()
    np.testing.assert_allclose(hasher.view_weights(views), np.tile([1 / 3, 1 / 3, 1 / 3, 0], (30, 1)))
    np.testing.assert_array_equal(hasher.view_weights({"sound": views["sound"]})[:, 2], 1)
    assert hasher.view_weights({"flat": given["flat"]}).sum() == 0


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_fitted_saved_and_fused(name: str, tmp_path: Path) -> None:
    views, labels = small()
    hasher = make(name, **TINY).fit(views, labels)
    hasher.save(tmp_path / "model")
    codes = hasher.encode(views)
    np.testing.assert_array_equal(mh.load(tmp_path / "model").encode(views).packed, codes.packed)
    np.testing.assert_array_equal(hasher.encode({n: x[7:8] for n, x in views.items()}).packed[0], codes.packed[7])
    assert len(vars(hasher)["objective_"]) == 3 and np.isfinite(vars(hasher)["objective_"]).all()
    only = VARIANTS[name].get("only")
    if only:
        np.testing.assert_array_equal(hasher.encode({only: views[only]}).packed, codes.packed)
        with pytest.raises(ValueError, match=f"BSTH: codes come from the view '{only}', and it is absent"):
            hasher.encode({"sound": views["sound"]})
    assert ("co-occurrence" in vars(hasher)["label_losses_"]) is (name not in ("BSTH-NC", "BSTH-PMLP"))


def test_positions_are_added_to_the_views_that_are_named() -> None:
    views, labels = small()
    fitted = {
        p: BSTH(**TINY | {"positions": p, "learning_rate": 1e-12}).fit(views, labels) for p in (None, (), ("text",))
    }
    bias = {p: hasher.decouple_ for p, hasher in fitted.items()}
    np.testing.assert_allclose(bias[("text",)]["image/bias"], bias[()]["image/bias"], atol=1e-8)
    added = bias[("text",)]["text/bias"] - bias[()]["text/bias"]
    expected = [
        [np.sin(i / 10_000 ** (j / 6)) if j % 2 == 0 else np.cos(i / 10_000 ** ((j - 1) / 6)) for j in range(6)]
        for i in range(8)
    ]
    np.testing.assert_allclose(added.reshape(8, 6), expected, atol=1e-6)
    np.testing.assert_allclose(bias[None]["text/bias"], bias[("text",)]["text/bias"], atol=1e-8)


def test_dropped_views_leave_every_item_one() -> None:
    hasher = BSTH(view_dropout=0.9)
    has = torch.from_numpy(np.random.default_rng(0).random((3, 500)) < 0.6)
    has[0, ~has.any(dim=0)] = True
    torch.manual_seed(0)
    left = hasher._some_views(has)
    assert bool((left & ~has).sum() == 0) and bool(left.any(dim=0).all())
    assert left.sum() < 0.7 * has.sum()
    assert bool((hasher.set_params(view_dropout=0.0)._some_views(has) == has).all())
    views, labels = small()
    plain, dropped = (BSTH(**TINY | {"view_dropout": p}).fit(views, labels) for p in (0.0, 0.5))
    assert plain.objective_ != dropped.objective_


@pytest.mark.parametrize("form", ["separate", "shared"])
def test_a_batch_is_seen_whole_and_with_views_left_out(form: str) -> None:
    torch.manual_seed(0)
    network = Concepts(BSTH(**TINY | {"encoder": form}), {"image": 6, "text": 5}, 4).eval()
    X = {"image": torch.randn(9, 6), "text": torch.randn(9, 5)}
    whole, some = torch.ones(2, 9, dtype=torch.bool), torch.ones(2, 9, dtype=torch.bool)
    some[0, :4], some[1, 6:] = False, False
    both = network(X, whole, some)
    np.testing.assert_allclose(both.detach(), torch.cat([network(X, whole), network(X, some)]).detach(), atol=1e-6)
    changed = {**X, "image": torch.where(some[0][:, None], X["image"], 5.0)}
    np.testing.assert_allclose(network(changed, some).detach(), both[9:].detach(), atol=1e-6)


def test_items_without_labels_follow_no_code() -> None:
    views, labels = small()
    h, B = torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 1.0]])
    terms = code_loss(h, torch.zeros(2, 2), torch.tensor([[0.0, 0.0], [0.0, 1.0]]), B, (1.0, 1.0, 1.0))
    assert float(terms["quantization"]) == pytest.approx(0.5)
    assert (BSTH(**TINY).fit(views, labels).codes_.signs()[3] == 1).all()  # sign(0) = +1


def test_wrong_parameters_are_refused() -> None:
    views, labels = small()
    wrong: list[dict[str, Any]] = [
        {"width": 0}, {"epochs": 0}, {"batch_size": 1}, {"beta": (1.0, 1.0)}, {"beta": [1.0, 1.0, 1.0]},
        {"gamma": (1.0, -1.0, 1.0, 1.0)}, {"dropout": 1.0}, {"view_dropout": -0.1}, {"encoder": "x"},
        {"supervision": "x"},
    ]  # fmt: skip
    for case in wrong:
        with pytest.raises(ValueError, match=next(iter(case))):
            BSTH(**TINY | case).fit(views, labels)
    for case, message in (
        ({"only": "tags"}, "BSTH: only='tags' is none of the views 'image', 'text', 'sound'"),
        ({"positions": ("tags",)}, "positions: view 'tags' is unknown"),
    ):
        with pytest.raises(ValueError, match=message):
            BSTH(**TINY | case).fit(views, labels)
    for case in ({"positions": "text"}, {"positions": ["text"]}):  # a list could not be saved
        with pytest.raises(TypeError, match="positions: expected a tuple of view names"):
            BSTH(**TINY | case).fit(views, labels)
    with pytest.raises(ValueError, match="BSTH: needs at least 2 items, got 1"):
        BSTH(**TINY).fit({name: x[:1] for name, x in views.items()}, labels[:1])


def test_torch_is_not_needed_to_encode(tmp_path: Path) -> None:
    views, labels = small()
    BSTH(**TINY).fit(views, labels).save(tmp_path / "model")
    np.savez(tmp_path / "views.npz", allow_pickle=False, **views)
    program = (
        "import sys, numpy as np, modalhash as mh\n"
        f"mh.load({str(tmp_path / 'model')!r}).encode(dict(np.load({str(tmp_path / 'views.npz')!r})))\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


QUICK: dict[str, Any] = {"width": 16, "hidden": 64, "words_hidden": 64, "batch_size": 128, "dropout": 0.2, "epochs": 40}


def planted_map(name: str, kind: str, **params: Any) -> float:
    """mAP of queries with all views against codes of all views."""
    data = planted(kind, 400, 0)
    train, query, labels = data.split["train"], data.split["query"], np.asarray(data.labels)
    hasher = make(name, n_bits=16, random_state=0, **params)
    hasher.fit({m: x[train] for m, x in data.views.items()}, labels[train])
    index = mh.Index.build(hasher.encode({m: x[train] for m, x in data.views.items()}))
    relevant = (labels[query] @ labels[train].T) > 0
    return mh.metrics.retrieval(index, hasher.encode({m: x[query] for m, x in data.views.items()}), relevant).mean["AP"]


@pytest.mark.parametrize("kind", ["nuisance", "multilabel", "three_views"])
def test_planted_problems_are_solved_far_above_training_free_codes(kind: str) -> None:
    free = max(planted_map("ITQ", kind), planted_map("CCAITQ", kind) if kind != "three_views" else 0.0)
    assert planted_map("BSTH", kind, **QUICK) > free + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_beats_itq_on_a_planted_problem(name: str) -> None:
    assert planted_map(name, "nuisance", **QUICK) > planted_map("ITQ", "nuisance") + 0.15
