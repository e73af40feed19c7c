"""RDCMH: similarities, triplets and losses are those of naive loops; codes rank well and do not collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import modalhash as mh
from modalhash.crossmodal import rdcmh
from modalhash.crossmodal.rdcmh import PAIRS, RDCMH, VARIANTS, Ranking
from modalhash.datasets import Dataset, planted

F64 = NDArray[np.float64]
QUICK: dict[str, Any] = {"hidden": (256,), "random_state": 0}


def cosine(a: F64, b: F64) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))) if a.any() and b.any() else 0.0


def some_items(n: int = 30) -> tuple[dict[str, F64], F64]:
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 4)) < 0.4).astype(float)
    labels[::3] = 0
    return {"a": rng.standard_normal((n, 5)), "b": rng.standard_normal((n, 3))}, labels


@pytest.mark.parametrize("kind", ["clipped", "shifted"])
def test_similarity_is_equation_1(kind: str) -> None:
    views, labels = some_items()
    ranking = Ranking(views, labels, kind)
    rows = np.arange(30)
    for view, x in views.items():
        s = ranking.similarity(view, rows[:, None], rows[None, :])
        assert s.min() >= 0 and s.max() <= 1 + 1e-12
        for i in range(30):
            for j in range(30):
                s1 = max(0.0, cosine(x[i], x[j])) if kind == "clipped" else (1 + cosine(x[i], x[j])) / 2
                both = labels[i].any() and labels[j].any()
                expected = s1 * np.exp(cosine(labels[i], labels[j]) - s1) if both else s1
                assert s[i, j] == pytest.approx(expected, abs=1e-9)
        pairs = ranking.similarity(view, rows[:, None], rows[::-1][:, None])
        np.testing.assert_allclose(pairs[:, 0], s[rows, rows[::-1]])


def test_shared_labels_are_counted() -> None:
    views, labels = some_items()
    s = Ranking(views, labels, "shared labels").similarity("a", np.arange(30)[:, None], np.arange(30)[None, :])
    np.testing.assert_allclose(s, labels @ labels.T / labels.sum(axis=1).max())


def test_triplets_come_from_three_bins_of_the_ranking_list() -> None:
    views, labels = some_items(31)
    labels[:, 0] = 1  # all labelled
    ranking = Ranking(views, labels, "shifted")
    rng, queries, everything = np.random.default_rng(0), np.arange(31), np.arange(31)
    own = {m: ranking.similarity(m, everything[:, None], everything[None, :]) for m in views}
    mean = (own["a"] + own["b"]) / 2
    seen = np.zeros((5, 5), dtype=bool)
    for _ in range(40):
        picks, order, weights = ranking.triplets(queries, 5, rng)
        for q in queries:
            ranks = [i for i in np.argsort(-mean[q], kind="stable") if i != q]
            bins = [ranks.index(i) // 6 for i in picks[q]]
            assert bins[0] < bins[1] < bins[2]  # most similar first
            seen[bins[0], bins[1]] = seen[bins[1], bins[2]] = True
            for p, (i, j) in enumerate(PAIRS):
                first, second = picks[q, i], picks[q, j]
                assert order[q, p] == (mean[q, first] > mean[q, second])
                for (a, b), weight in weights.items():
                    assert weight[q, p] == pytest.approx(1 - (own[a] + own[b])[first, second] / 2, abs=1e-6)
    assert seen[np.triu_indices(5, 1)].sum() >= 9  # all but the pair that leaves no third bin


def test_ties_make_no_triplets() -> None:
    views, labels = some_items()
    _, order, _ = Ranking(views, 0 * labels, "shared labels").triplets(np.arange(30), 5, np.random.default_rng(0))
    assert not order.any()


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_ranking_loss_is_its_definition(margin: float) -> None:
    import torch

    rng = np.random.default_rng(0)
    K, b = 8, 5
    F = {m: rng.uniform(-1, 1, (b, 4, K)) for m in ("x", "y")}
    weights = {(a, c): rng.random((b, 3)) for a in F for c in F}
    expected = 0.0
    for (a, c), weight in weights.items():
        for q in range(b):
            for p, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
                d = [(K - F[a][q, 0] @ F[c][q, 1 + t]) / 2 for t in (i, j)]
                expected += weight[q, p] * max(0.0, d[0] - d[1] + margin * K) / K / (3 * b)
    tensors = {m: torch.from_numpy(x) for m, x in F.items()}
    found = rdcmh.ranking_loss(tensors, {pair: torch.from_numpy(w) for pair, w in weights.items()}, margin)
    assert float(found) == pytest.approx(expected)


def test_without_margin_equal_codes_are_an_optimum_and_with_it_not() -> None:
    import torch

    F = {m: torch.ones(6, 4, 8) for m in ("x", "y")}
    weights = {(a, b): torch.ones(6, 3) for a in F for b in F}
    assert float(rdcmh.ranking_loss(F, weights, 0.0)) == 0.0
    assert float(rdcmh.ranking_loss(F, weights, 0.25)) == pytest.approx(4 * 0.25)


def test_quantisation_loss_is_its_definition() -> None:
    import torch

    rng = np.random.default_rng(0)
    F = {m: rng.uniform(-1, 1, (5, 4, 8)) for m in ("x", "y", "z")}
    B = np.where(sum(F.values()) >= 0, 1, -1)
    expected = 0.3 / 2 * sum(np.mean((B - x) ** 2) for x in F.values())
    tensors = {m: torch.from_numpy(x) for m, x in F.items()}
    assert float(rdcmh.quantisation_loss(tensors, 0.3)) == pytest.approx(expected)
    assert float(rdcmh.quantisation_loss(tensors, 0.3, torch.ones(5, 4, 8))) == pytest.approx(
        0.3 / 2 * sum(np.mean((1 - x) ** 2) for x in F.values())
    )


def score(hasher: Any, data: Dataset, query: str = "image", found: str = "text") -> float:
    index = mh.Index.build(hasher.encode({found: data.part("database")[found]}))
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    return mh.metrics.retrieval(index, hasher.encode({query: data.part("query")[query]}), relevant).mean["AP"]


def correlation(data: Dataset) -> float:
    return score(mh.CCAITQ(n_bits=16, random_state=0).fit(data.part("train")), data)


GAINS = {"nuisance": 0.3, "multilabel": 0.05}
SOLVERS = [
    pytest.param(kind, variant, marks=() if (kind, variant) == ("nuisance", "RDCMH") else pytest.mark.slow)
    for kind in GAINS
    for variant in VARIANTS
    if variant != "RDCMH-ND"  # a linear map of the features: see the next test
    if (kind, variant) != ("multilabel", "RDCMH-NW")  # falls short without the weights
]


@pytest.mark.parametrize(("kind", "variant"), SOLVERS)
def test_planted_problems_are_solved_well_above_correlation(kind: str, variant: str) -> None:
    data = planted(kind, 400, 0)
    hasher = RDCMH(n_bits=16, **{**QUICK, **VARIANTS[variant]}).fit(data.part("train"), data.part_labels("train"))
    assert min(score(hasher, data), score(hasher, data, "text", "image")) > correlation(data) + GAINS[kind]


@pytest.mark.slow
def test_linear_functions_are_better_than_correlation() -> None:
    data = planted("nuisance", 400, 0)
    hasher = RDCMH(n_bits=16, **{**QUICK, **VARIANTS["RDCMH-ND"]}, epochs=200)
    hasher.fit(data.part("train"), data.part_labels("train"))
    assert score(hasher, data) > correlation(data) + 0.1


def few_labels(kind: str) -> tuple[Dataset, F64]:
    """A planted problem and its training labels, of which seven in ten rows are unknown."""
    data = planted(kind, 800, 0)
    labels = np.array(data.part_labels("train"), dtype=float)
    labels[np.random.default_rng(0).permutation(len(labels))[: int(0.7 * len(labels))]] = np.nan
    return data, labels


@pytest.mark.parametrize(
    ("kind", "gain"), [("nuisance", 0.05), pytest.param("multilabel", 0.02, marks=pytest.mark.slow)]
)
def test_few_labels_still_beat_correlation(kind: str, gain: float) -> None:
    data, labels = few_labels(kind)
    hasher = RDCMH(n_bits=16, **QUICK, epochs=40 if kind == "nuisance" else 100).fit(data.part("train"), labels)
    assert score(hasher, data) > correlation(data) + gain


@pytest.mark.slow
def test_some_labels_of_an_item_may_be_missing() -> None:
    data = planted("multilabel", 800, 0)
    labels = np.array(data.part_labels("train"), dtype=float)
    labels[np.random.default_rng(0).random(labels.shape) < 0.3] = 0
    hasher = RDCMH(n_bits=16, **QUICK).fit(data.part("train"), labels)
    assert score(hasher, data) > correlation(data)


def test_queries_with_labels_rank_items_with_labels() -> None:
    views, labels = some_items()
    ranking = Ranking(views, labels, "shifted")
    for _ in range(20):
        picks, _, _ = ranking.triplets(np.arange(30), 5, np.random.default_rng(0))
        assert ranking.known[picks[ranking.known]].all()
        assert not ranking.known[picks[~ranking.known]].all()


def test_unlabelled_items_take_part() -> None:
    data = planted("nuisance", 100, 0)
    labels = np.array(data.labels, dtype=float)
    zeros, gaps = labels.copy(), labels.copy()
    zeros[::2], gaps[::2] = 0, np.nan
    quick = {**QUICK, "epochs": 3}
    first = RDCMH(n_bits=8, **quick).fit(data.views, gaps)
    np.testing.assert_array_equal(
        first.codes_.packed, RDCMH(n_bits=8, **quick).fit(data.views, zeros).codes_.packed
    )  # Eq. 1 knows no difference
    other = RDCMH(n_bits=8, **quick).fit(data.views, labels)
    assert (first.codes_.packed != other.codes_.packed).any()


@pytest.mark.parametrize("labelled", [1.0, 0.3])
def test_codes_do_not_collapse(labelled: float) -> None:
    data = planted("multilabel", 400, 0)
    labels = np.array(data.labels, dtype=float)
    labels[np.random.default_rng(0).random(len(labels)) > labelled] = np.nan
    hasher = RDCMH(n_bits=16, **QUICK, epochs=30).fit(data.views, labels)
    for codes in (hasher.codes_, *(hasher.encode({m: x}) for m, x in data.views.items())):
        assert len(np.unique(codes.packed, axis=0)) > 20
        balance = np.abs(codes.signs().mean(axis=0))
        assert balance.mean() < 0.4 and balance.max() < 0.9


def test_three_views_and_many_items_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rdcmh, "CANDIDATES", 50)
    data = planted("three_views", 400, 0)
    hasher = RDCMH(n_bits=16, **QUICK, epochs=15).fit(data.part("train"), data.part_labels("train"))
    assert score(hasher, data, "tags", "image") > 0.3


def test_losses_fall_and_are_named() -> None:
    data = planted("nuisance", 200, 0)
    hasher = RDCMH(n_bits=8, **QUICK, epochs=10).fit(data.views, data.labels)
    assert list(hasher.losses_) == ["ranking", "quantisation"]
    assert hasher.losses_["ranking"][-1] < 0.9 * hasher.losses_["ranking"][0]
    after = RDCMH(n_bits=8, **QUICK, epochs=5, joint=False).fit(data.views, data.labels)
    assert list(after.losses_) == ["ranking", "codes"]
    assert after.losses_["codes"][-1] < after.losses_["codes"][0]


def test_too_few_items_are_refused() -> None:
    data = planted("nuisance", 40, 0)
    with pytest.raises(ValueError, match="more items than n_bins=5, got 5"):
        RDCMH(n_bits=4, **QUICK).fit({m: x[:5] for m, x in data.views.items()}, np.eye(5))
    with pytest.raises(ValueError, match="every view is constant"):
        RDCMH(n_bits=4, **QUICK).fit({"image": np.ones((30, 4))}, np.ones((30, 1)))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_bins", 2, ValueError),
        ("epochs", 0, ValueError),
        ("batch_size", 1.5, TypeError),
        ("learning_rate", 0.0, ValueError),
        ("margin", -1.0, ValueError),
        ("lam", float("nan"), ValueError),
        ("hidden", (0,), ValueError),
        ("dropout", 1.0, ValueError),
        ("similarity", "none", ValueError),
    ],
)
def test_hyper_parameters_are_checked(name: str, value: Any, error: type[Exception]) -> None:
    data = planted("nuisance", 40, 0)
    with pytest.raises(error, match=name):
        RDCMH(n_bits=8, **{**QUICK, name: value}).fit(data.views, data.labels)
