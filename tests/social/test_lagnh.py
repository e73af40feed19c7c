"""LAGNH: graphs, every loss term and the encoded row against loops, variants, a planted problem."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

import modalhash as mh
from modalhash import layers
from modalhash.catalog import make
from modalhash.social.lagnh import EPSILON, LAGNH, VARIANTS, GraphNetwork, kernel, mean_distance, squares
from modalhash.training import Adversary

F64 = NDArray[np.float64]
TINY: dict[str, Any] = {
    "n_bits": 6, "width": 8, "hidden": 10, "discriminator": (5,), "epochs": 3, "batch_size": 16, "random_state": 0
}  # fmt: skip
ROWS = np.arange(11)


def small(n: int = 40) -> dict[str, Any]:
    """Images, and sparse 0/1 tags that a third of the items lack."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n, 4))
    tags = (hidden @ rng.standard_normal((4, 7)) > 1.5).astype(float)
    tags[::3] = 0
    image = hidden @ rng.standard_normal((4, 6)) + 0.3 * rng.standard_normal((n, 6))
    return {"image": image, "tags": sp.csr_matrix(tags)}


def stage(**params: Any) -> GraphNetwork:
    hasher = LAGNH(**(TINY | {"hide": 0.0} | params))
    hasher.mean_, hasher.scale_ = layers.standards(small()["image"])
    torch.manual_seed(0)
    return GraphNetwork(hasher, small())


def weight(net: GraphNetwork, name: str) -> F64:
    return np.asarray(net.network.state_dict()[name].double().numpy())


def cosine(a: F64, b: F64) -> float:
    return float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)


def inputs(net: GraphNetwork, rows: Any = ROWS) -> tuple[F64, F64]:
    views, a = small(), net.system
    Y = views["tags"].toarray()[rows] if a.use_tags else np.zeros((len(rows), 7))
    return np.asarray((views["image"][rows] - a.mean_) / a.scale_), np.asarray(Y)


def attended_by_loops(net: GraphNetwork, X: F64, Y: F64) -> F64:
    """Eq. 2.25 and 2.26, item by item."""
    x, y = X @ weight(net, "image.weight").T, Y @ weight(net, "tags.weight").T
    found = x.copy()
    for i in range(len(x)):
        alpha = np.array([max(cosine(x[i], y_j), 0.0) for y_j in y])
        if net.system.attention and net.system.use_tags:
            found[i] += sum((a * y_j for a, y_j in zip(alpha, y, strict=True)), np.zeros(8)) / (alpha.sum() + EPSILON)
    return np.asarray(found)


def graphs_by_loops(net: GraphNetwork, A: F64, Y: F64) -> dict[str, F64]:
    """Eq. 2.27-2.29, entry by entry."""
    a, b = net.system, len(A)
    apart = [np.linalg.norm(A[i] - A[j]) for i in range(b) for j in range(b) if i != j]
    sigma = a.bandwidth * np.mean(apart)
    S_v, S_a = np.empty((b, b)), np.empty((b, b))
    for i in range(b):
        for j in range(b):
            S_v[i, j] = a.mu * np.exp(-(np.linalg.norm(A[i] - A[j]) ** 2) / (2 * sigma**2))
            S_a[i, j] = 1.0 if i == j else cosine(Y[i], Y[j])
    return {"image": S_v, "tags": S_a, "both": S_v + S_a if a.use_tags else S_v}


def outputs_by_loops(net: GraphNetwork, A: F64, S: F64) -> tuple[F64, F64]:
    """Eq. 2.30 and 2.31 with D^-½ S D^-½ written out."""
    D = np.diag(1 / np.sqrt(S.sum(axis=1)))
    P = D @ S @ D
    first = np.maximum(P @ A @ weight(net, "first.linear.weight").T, 0)
    return first, P @ first @ weight(net, "second.linear.weight").T


def terms_by_loops(net: GraphNetwork, X: F64, Y: F64) -> dict[str, float]:
    """Eq. 2.32-2.35, as means."""
    a, b = net.system, len(X)
    A = attended_by_loops(net, X, Y)
    graphs = graphs_by_loops(net, A, Y)
    _, Z = outputs_by_loops(net, A, graphs[a.graph])
    said = net.adversary.network(torch.from_numpy(Z).float()).detach().double().numpy()
    terms = {"adversary": float(np.mean([-np.log(1 / (1 + np.exp(-v))) for v in said.ravel()]))}
    terms["quantization"] = a.lambda2 * float(np.mean([(v - (1.0 if v >= 0 else -1.0)) ** 2 for v in Z.ravel()]))
    if a.target == "features":
        rebuilt = net.network["decoder"](torch.from_numpy(Z).float()).detach().double().numpy()
        terms["reconstruction"] = a.lambda1 * float(np.mean((rebuilt - X) ** 2))
    elif a.use_tags or a.target != "tags":
        most = {"tags": 1.0, "image": a.mu, "both": a.mu + a.use_tags}[a.target]
        errors = []
        for i in range(b):
            for j in range(b):
                found = max(cosine(Z[i], Z[j]), 0.0) if a.normalise else float(Z[i] @ Z[j])
                if a.target != "tags" or not a.only_tagged or (Y[i].any() and Y[j].any()):
                    errors.append((a.k * graphs[a.target][i, j] / most - found) ** 2)
        terms["reconstruction"] = a.lambda1 * float(np.mean(errors))
    if a.use_tags:
        p = 1 / (1 + np.exp(-(Z @ weight(net, "classifier.weight").T + weight(net, "classifier.bias"))))
        log = [
            -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))
            for y, q in zip(Y, p, strict=True)
            if y.any() or not a.only_tagged
        ]
        terms["tags"] = a.lambda3 * float(np.mean(log))
    return terms


OPTIONS: list[dict[str, Any]] = [
    *VARIANTS.values(),
    {"lambda1": 3.0, "lambda2": 0.5, "lambda3": 2.0, "mu": 0.7, "k": 0.8, "bandwidth": 1.0},
    {"only_tagged": False},
    {"target": "both", "mu": 0.5},
    {"target": "image", "mu": 0.5},
    {"use_tags": False, "target": "both"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_graphs_and_outputs_equal_loops(options: dict[str, Any]) -> None:
    net = stage(**options)
    X, Y = inputs(net)
    A = attended_by_loops(net, X, Y)
    attended = net.attended(*net.batch(ROWS))
    np.testing.assert_allclose(attended.detach().numpy(), A, atol=1e-5)
    expected = graphs_by_loops(net, A, Y)
    found = net.graphs(attended, net.batch(ROWS)[1])
    for name, S in expected.items():
        np.testing.assert_allclose(found[name].detach().numpy(), S, atol=1e-5)
    graph = net.system.graph
    for mine, theirs in zip(
        outputs_by_loops(net, A, expected[graph]), net.outputs(attended, found[graph]), strict=True
    ):
        np.testing.assert_allclose(theirs.detach().numpy(), mine, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_terms_of_the_loss_equal_loops(options: dict[str, Any]) -> None:
    net = stage(**options)
    expected = terms_by_loops(net, *inputs(net))
    found = {name: float(term.detach()) for name, term in net.loss(ROWS).items()}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name


def test_nothing_to_learn_from_tags_is_no_loss() -> None:
    net = stage()
    untagged = np.flatnonzero(np.diff(small()["tags"].indptr) == 0)
    terms = net.loss(untagged)
    assert float(terms["reconstruction"].detach()) == float(terms["tags"].detach()) == 0.0


def test_the_graph_that_is_rebuilt_does_not_move_towards_the_codes() -> None:
    net = stage(target="image")
    Z = torch.randn(11, 6)
    attended = net.attended(*net.batch(ROWS)).detach().requires_grad_()
    terms = net.reconstruction(Z.requires_grad_(), attended, net.batch(ROWS)[1])
    terms.backward()  # type: ignore[no-untyped-call]
    assert attended.grad is None and Z.grad is not None and Z.grad.abs().sum() > 0


@pytest.mark.parametrize("hide", [0.0, 1.0, 0.5])
def test_hidden_tags_are_not_in_the_graph_but_in_the_losses(hide: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net = stage(hide=hide)
    seen: list[torch.Tensor] = []
    attend = net.attended

    def watched(X: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        seen.append(Y)
        return attend(X, Y)

    monkeypatch.setattr(net, "attended", watched)
    many = np.repeat(np.arange(40), 20)
    assert float(net.loss(many)["tags"].detach()) > 0
    Y = net.batch(many)[1]
    share = 1 - float(seen[0].sum() / Y.sum())
    assert share == pytest.approx(hide, abs=0.1 if hide == 0.5 else 0.0)
    rows = (seen[0] == Y).all(dim=1) | (seen[0] == 0).all(dim=1)
    assert rows.all()  # an item hides all of its tags or none


# the width of the kernel
@pytest.mark.parametrize("bandwidth", [1.0, 0.3])
def test_the_kernel_is_as_wide_as_the_batch(bandwidth: float) -> None:
    """With a fixed σ = 1 on raw distances S is the identity, and items hear nobody."""
    net = stage(bandwidth=bandwidth)
    X, Y = net.batch(ROWS)
    attended = net.attended(X, Y).detach()
    expected = net.graphs(attended, Y)["image"].numpy()
    for scale in (1e-3, 1e3):
        np.testing.assert_allclose(net.graphs(scale * attended, Y)["image"].numpy(), expected, atol=1e-5)
    off = expected[~np.eye(11, dtype=bool)]
    assert off.mean() > (0.5 if bandwidth == 1.0 else 0.005) and off.mean() < 0.8
    assert kernel(1e3 * attended, 1.0).sum() == pytest.approx(11, abs=1e-6)


def test_distances_equal_loops_and_items_that_are_alike_are_no_trouble() -> None:
    values = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    expected = [[float(((a - b) ** 2).sum()) for b in values] for a in values]
    np.testing.assert_allclose(squares(values).numpy(), expected, atol=1e-5)
    assert mean_distance(values) == pytest.approx(np.sqrt(expected).sum() / 42, rel=1e-5)
    assert mean_distance(values[:1]) == mean_distance(torch.ones(4, 2)) == 0.0
    same = {"image": np.ones((20, 3)), "tags": np.eye(4)[np.arange(20) % 4]}
    codes = LAGNH(**TINY).fit(same).encode(same)
    assert (codes.packed == codes.packed[0]).all()


def test_the_adversary_is_the_likelihood_without_saturation() -> None:
    torch.manual_seed(0)
    player = Adversary([4, 5, 1], 0.1, every=2, logistic=True)
    Z = torch.randn(9, 4, requires_grad=True)
    D = torch.sigmoid(player.network(Z))
    assert float(player.loss(Z).detach()) == pytest.approx(float(-D.log().mean().detach()), rel=1e-5)
    before = [p.detach().clone() for p in player.network.parameters()]
    player.step(Z)
    assert all((p == q).all() for p, q in zip(before, player.network.parameters(), strict=True))
    for _ in range(200):
        player.step(Z.detach() + 5)
    assert Z.grad is None
    with torch.no_grad():
        assert torch.sigmoid(player.network(Z + 5)).mean() < 0.05 < 0.9 < torch.sigmoid(player.network(Z)).mean()


# encoding
@pytest.mark.parametrize("name", VARIANTS)
def test_an_item_is_a_row_of_the_graph_of_itself_and_the_anchors(name: str) -> None:
    net = stage(**VARIANTS[name])
    a, anchors = net.system, np.arange(3, 20)
    a.functions_ = net.frozen(anchors)
    a.thresholds_ = np.arange(6) / 10
    X, Y = inputs(net, anchors)
    A = attended_by_loops(net, X, Y)
    S = graphs_by_loops(net, A, Y)[a.graph]
    first, _ = outputs_by_loops(net, A, S)
    sigma = a.bandwidth * np.mean([np.linalg.norm(p - q) for i, p in enumerate(A) for q in np.delete(A, i, axis=0)])
    items = small()["image"][25:30]
    for item, found in zip((items - a.mean_) / a.scale_, a._project("image", items), strict=True):
        x = item @ weight(net, "image.weight").T
        own = x.copy()
        if a.attention and a.use_tags:
            y = Y @ weight(net, "tags.weight").T
            alpha = np.array([max(cosine(x, y_j), 0.0) for y_j in y])
            own += alpha @ y / (alpha.sum() + EPSILON)
        looks = np.array([np.exp(-(np.linalg.norm(own - other) ** 2) / (2 * sigma**2)) for other in A])
        row = {"both": looks, "image": looks, "tags": np.zeros(len(A))}[a.graph] * a.mu
        self_weight = {"both": a.mu + a.use_tags, "image": a.mu, "tags": 1.0}[a.graph]
        degree = row.sum() + self_weight
        P, loop = row / np.sqrt(degree * S.sum(axis=1)), self_weight / degree
        heard = np.maximum((P @ A + loop * own) @ weight(net, "first.linear.weight").T, 0)
        Z = (P @ first + loop * heard) @ weight(net, "second.linear.weight").T
        np.testing.assert_allclose(found, Z - np.arange(6) / 10, atol=1e-5)


def test_one_item_gets_the_values_it_gets_among_many() -> None:
    views = small()
    hasher = LAGNH(**TINY).fit(views)
    image = np.tile(views["image"], (60, 1))  # more than one block of rows
    many = hasher._project("image", image)
    for i in (0, 1, 63, 64, 65, 100, len(image) - 1):
        np.testing.assert_array_equal(hasher._project("image", image[i : i + 1])[0], many[i])
    assert hasher._project("image", image).dtype == np.float64


def test_bits_are_in_balance() -> None:
    """A bit that is the same for all items says nothing; graph convolution tends to make such bits."""
    data = planted_social()
    hasher = LAGNH(n_bits=32, random_state=0, **QUICK).fit({m: x[:300] for m, x in data[0].items()})
    np.testing.assert_allclose(hasher._project("image", data[0]["image"][:300]).mean(axis=0), 0, atol=1e-9)
    for codes in (hasher.codes_, hasher.encode({"image": data[0]["image"][300:]})):
        bits = codes.signs()
        assert np.abs(bits.mean(axis=0)).max() < 0.7
        assert len(np.unique(bits, axis=0)) > 0.1 * len(bits)  # the classes are only five
        assert len(np.unique(bits, axis=1).T) > 24


def test_encoding_needs_no_torch(tmp_path: Path) -> None:
    views = small()
    LAGNH(**TINY).fit(views).save(tmp_path / "model")
    np.save(tmp_path / "image.npy", views["image"])
    program = (
        "import sys, numpy as np, modalhash as mh; h = mh.load(sys.argv[1] + '/model');"
        "print(len(h.encode({'image': np.load(sys.argv[1] + '/image.npy')})), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["40", "False"]


# input
def test_sparse_tags_are_dense_tags_and_only_their_presence_counts() -> None:
    views = small()
    expected = LAGNH(**TINY).fit(views)
    dense = views["tags"].toarray()
    for tags in (dense, dense.astype(bool), sp.csc_array(dense), sp.coo_matrix(3.5 * dense), np.where(dense, 2, -1)):
        found = LAGNH(**TINY).fit({"image": views["image"], "tags": tags})
        np.testing.assert_array_equal(found.codes_.packed, expected.codes_.packed)
        assert found.objective_ == expected.objective_


def test_the_same_seed_gives_the_same_model() -> None:
    first, second, other = (LAGNH(**TINY | {"random_state": seed}).fit(small()) for seed in (1, 1, 2))
    assert first.losses_ == second.losses_ != other.losses_
    for name, array in first.functions_.items():
        np.testing.assert_array_equal(array, second.functions_[name])


def test_tags_are_needed_unless_they_are_switched_off() -> None:
    views = small()
    bare = {"image": views["image"], "tags": sp.csr_matrix((40, 7))}
    with pytest.raises(ValueError, match="LAGNH: no item has a tag"):
        LAGNH(**TINY).fit(bare)
    first, second = (LAGNH(**TINY | {"use_tags": False}).fit(given) for given in (bare, views))
    np.testing.assert_array_equal(first.codes_.packed, second.codes_.packed)  # no trace of the tags
    one = sp.lil_matrix((40, 7))
    one[5, 2] = 1
    assert len(LAGNH(**TINY).fit({**views, "tags": one.tocsr()}).codes_) == 40


def test_wrong_parameters_are_refused() -> None:
    wrong: list[dict[str, Any]] = [
        {"graph": "x"}, {"target": "x"}, {"mu": 0.0}, {"bandwidth": 0.0}, {"hide": 1.1}, {"hide": -0.1}, {"k": -1.0},
        {"width": 0}, {"hidden": 0}, {"batch_size": 1}, {"epochs": 0}, {"n_anchors": 0}, {"n_anchors": 41},
        {"discriminator": (0,)}, {"learning_rate": 0.0}, {"generator_steps": 0},
        {"use_tags": False, "graph": "tags"}, {"discriminator": 5}, {"attention": "no"}, {"device": "nowhere"},
    ]  # fmt: skip
    for params in wrong:
        with pytest.raises((TypeError, ValueError), match=f"^{next(iter(params))}"):
            LAGNH(**TINY | params).fit(small())


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_fitted_and_saved(name: str, tmp_path: Path) -> None:
    views = small()
    hasher = make(name, **TINY).fit(views)
    assert isinstance(hasher, LAGNH) and len(hasher.objective_) == 3 and np.isfinite(hasher.objective_).all()
    assert ("tags" in hasher.losses_) is ("reconstruction" in hasher.losses_) is (name != "LAGNH-no-aux")
    hasher.save(tmp_path / "model")
    found = mh.load(tmp_path / "model").encode({"image": views["image"]})
    np.testing.assert_array_equal(found.packed, hasher.codes_.packed)


# what it is for
QUICK: dict[str, Any] = {"width": 64, "hidden": 64, "batch_size": 64, "learning_rate": 3e-3}


def planted_social(n: int = 400, seed: int = 0) -> tuple[dict[str, Any], F64]:
    """Images that show five classes beside stronger directions that say nothing, and noisy tags that tell the class."""
    rng = np.random.default_rng(seed)
    labels = np.eye(5)[rng.permutation(np.arange(n) % 5)]
    hidden = np.hstack([2.0 * labels @ rng.standard_normal((5, 5)), 2.0 * rng.standard_normal((n, 12))])
    image = (hidden @ rng.standard_normal((17, 40)) / 4 + 0.1 * rng.standard_normal((n, 40))).astype(np.float32)
    telling = (np.repeat(labels, 4, axis=1) > 0) & (rng.random((n, 20)) < 0.4)
    tags = np.hstack([telling, rng.random((n, 20)) < 0.03])
    tags[rng.random(n) < 0.2] = False  # a fifth of the items have none
    return {"image": image, "tags": sp.csr_matrix(tags.astype(np.float32))}, labels


def planted_map(name: str, seed: int = 0, **params: Any) -> float:
    """mAP of 100 images that were not in the fit against 300 that were."""
    views, labels = planted_social(seed=seed)
    train = {"image": views["image"][:300]} if name == "ITQ" else {m: x[:300] for m, x in views.items()}
    hasher = make(name, n_bits=16, random_state=seed, **params).fit(train)
    index = mh.Index.build(hasher.encode({"image": views["image"][:300]}))
    queries = hasher.encode_queries({"image": views["image"][300:]})
    return mh.metrics.retrieval(index, queries, (labels[300:] @ labels[:300].T) > 0).mean["AP"]


def test_tags_teach_what_to_look_at() -> None:
    """The classes are weaker in the image than directions that say nothing; the wide kernel hears too many."""
    assert planted_map("LAGNH", **QUICK) > planted_map("ITQ") + 0.3
    assert planted_map("LAGNH", **QUICK | {"bandwidth": 1.0}) < planted_map("LAGNH", **QUICK) - 0.3


@pytest.mark.slow
@pytest.mark.parametrize("bits", [16, 64])
def test_real_tags_do_no_harm(bits: int) -> None:
    """Validation queries of the shipped pictures with real tags, against codes of the same image features by ITQ."""
    from modalhash.evaluation import crossview

    data = mh.load_dataset("clipart", fair=True, views=("image", "tags"))
    train = data.part("train")
    found = {}
    for name, given in (("LAGNH", train), ("ITQ", {"image": train["image"]})):
        hasher = make(name, n_bits=bits, random_state=0).fit(given)
        results = crossview.evaluate(hasher, data, queries="validation", same=True)
        found[name] = results["image", "image"].mean["AP"]
    assert found["LAGNH"] > found["ITQ"] - 0.01
