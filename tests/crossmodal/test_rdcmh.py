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
        s = ranking.similarities(rows)[view]
        assert s.min() >= 0 and s.max() <= 1 + 1e-6
        for i in range(30):
            for j in range(30):
                s1 = max(0.0, cosine(x[i], x[j])) if kind == "clipped" else (1 + cosine(x[i], x[j])) / 2
                both = labels[i].any() and labels[j].any()
                expected = s1 * np.exp(cosine(labels[i], labels[j]) - s1) if both else s1
                assert s[i, j] == pytest.approx(expected, abs=1e-6)
        some = rows[::-3]
        np.testing.assert_allclose(ranking.similarities(some)[view], s[np.ix_(some, some)], atol=1e-6)


def test_shared_labels_are_counted() -> None:
    views, labels = some_items()
    s = Ranking(views, labels, "shared labels").similarities(np.arange(30))["a"]
    np.testing.assert_allclose(s, labels @ labels.T / labels.sum(axis=1).max(), rtol=1e-6)


def bins_of(s: F64, out: NDArray[np.bool_], n_bins: int) -> list[dict[int, int]]:
    """Slow twin: the bin of every ranked item in every query's list, equal parts of the range of s."""
    found = []
    for q in range(len(s)):
        ranked = [i for i in range(len(s)) if not out[q, i]]
        high, low = max(s[q, i] for i in ranked), min(s[q, i] for i in ranked)
        width = (high - low) / n_bins
        found.append({i: min(n_bins - 1, int((high - s[q, i]) / width)) for i in ranked})
    return found


def test_triplets_come_from_three_bins_of_the_ranking_list() -> None:
    views, labels = some_items(31)
    labels[:, 0] = 1  # all labelled
    ranking = Ranking(views, labels, "shifted")
    rng, rows = np.random.default_rng(0), np.random.default_rng(1).permutation(31)
    own = ranking.similarities(rows)
    mean = (own["a"] + own["b"]) / 2
    bins = bins_of(mean, np.eye(31, dtype=bool), 5)
    drawn: list[set[int]] = [set() for _ in rows]
    for _ in range(30):
        picks, order = ranking.triplets(rows, own, 5, 4, rng)
        assert picks.shape == order.shape == (31, 4, 3)
        for q, draw, p in np.argwhere(order):
            i, j = (picks[q, draw, side] for side in PAIRS[p])
            assert q not in (i, j) and bins[q][i] < bins[q][j] and mean[q, i] > mean[q, j]
            drawn[q] |= {int(i), int(j)}
        full = np.array([len(set(places.values())) >= 3 for places in bins])
        assert order[full].all()  # three bins with items make three triplets
    assert all(drawn[q] == set(bins[q]) for q in range(31))  # every item gets its turn


def test_weights_are_those_of_the_two_items() -> None:
    views, labels = some_items()
    ranking = Ranking(views, labels, "shifted")
    own, rng = ranking.similarities(np.arange(30)), np.random.default_rng(0)
    picks, order = ranking.triplets(np.arange(30), own, 5, 4, rng)
    for weighted in (True, False):
        found = rdcmh.weights(own, picks, order, weighted)
        for (a, b), weight in found.items():
            for q, draw, p in np.ndindex(30, 4, 3):
                i, j = (picks[q, draw, side] for side in PAIRS[p])
                expected = 1 - (own[a] + own[b])[i, j] / 2 if weighted else 1.0
                assert float(weight[q, draw, p]) == pytest.approx(order[q, draw, p] * expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["shifted", "shared labels"])
def test_ties_and_empty_bins_make_no_triplets(kind: str) -> None:
    views, labels = some_items()
    rows, rng = np.arange(30), np.random.default_rng(0)
    ranking = Ranking({m: np.ones_like(x) for m, x in views.items()}, 0 * labels, kind)
    assert not ranking.triplets(rows, ranking.similarities(rows), 5, 4, rng)[1].any()
    two = np.repeat(np.eye(2), 15, axis=0)  # two bins with items: one triplet a draw
    ranking = Ranking({m: np.ones_like(x) for m, x in views.items()}, two, kind)
    picks, order = ranking.triplets(rows, ranking.similarities(rows), 5, 4, rng)
    assert (order.sum(axis=2) == 1).all()
    for q, draw, p in np.argwhere(order):
        i, j = (picks[q, draw, side] for side in PAIRS[p])
        assert i // 15 == q // 15 != j // 15


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_ranking_loss_is_its_definition(margin: float) -> None:
    import torch

    rng = np.random.default_rng(0)
    K, b, draws = 8, 5, 2
    F = {m: rng.uniform(-1, 1, (b, K)) for m in ("x", "y")}
    picks = rng.integers(b, size=(b, draws, 3))
    weights = {(a, c): rng.random((b, draws, 3)) * (rng.random((b, draws, 3)) < 0.7) for a in F for c in F}
    expected = 0.0
    for (a, c), weight in weights.items():
        for q, draw, p in np.ndindex(weight.shape):
            i, j = (picks[q, draw, side] for side in [(0, 1), (0, 2), (1, 2)][p])
            d = [(K - F[a][q] @ F[c][item]) / 2 for item in (i, j)]
            expected += weight[q, draw, p] * max(0.0, d[0] - d[1] + margin * K) / K / np.count_nonzero(weight)
    tensors = {m: torch.from_numpy(x) for m, x in F.items()}
    assert float(rdcmh.ranking_loss(tensors, picks, weights, margin)) == pytest.approx(expected)


def test_without_margin_equal_codes_are_an_optimum_and_with_it_not() -> None:
    import torch

    F = {m: torch.ones(6, 8) for m in ("x", "y")}
    picks, weights = np.zeros((6, 2, 3), np.int64), {(a, b): np.ones((6, 2, 3)) for a in F for b in F}
    assert float(rdcmh.ranking_loss(F, picks, weights, 0.0)) == 0.0
    assert float(rdcmh.ranking_loss(F, picks, weights, 0.25)) == pytest.approx(4 * 0.25)


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
    ranking, rows, rng = Ranking(views, labels, "shifted"), np.arange(30), np.random.default_rng(0)
    own, known = ranking.similarities(rows), ranking.known
    out = ranking.left_out(rows, 5)
    np.testing.assert_array_equal(out, np.eye(30, dtype=bool) | (known[:, None] & ~known[None, :]))
    bins = bins_of((own["a"] + own["b"]) / 2, out, 5)
    for _ in range(20):
        picks, order = ranking.triplets(rows, own, 5, 4, rng)
        for q, draw, p in np.argwhere(order):
            assert all(int(picks[q, draw, side]) in bins[q] for side in PAIRS[p])
    few = np.flatnonzero(~known).tolist() + np.flatnonzero(known)[:5].tolist()
    np.testing.assert_array_equal(ranking.left_out(np.array(few), 5), np.eye(len(few), dtype=bool))  # too few to rank


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


def test_three_views_work() -> None:
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
        ("draws", 0, ValueError),
        ("learning_rate", 0.0, ValueError),
        ("margin", -1.0, ValueError),
        ("lam", float("nan"), ValueError),
        ("hidden", (0,), ValueError),
        ("hidden", 64, TypeError),
        ("hidden", [64], TypeError),  # could not be saved
        ("weighted", "no", TypeError),
        ("joint", None, TypeError),
        ("dropout", 1.0, ValueError),
        ("similarity", "none", ValueError),
    ],
)
def test_hyper_parameters_are_checked(name: str, value: Any, error: type[Exception]) -> None:
    data = planted("nuisance", 40, 0)
    with pytest.raises(error, match=name):
        RDCMH(n_bits=8, **{**QUICK, name: value}).fit(data.views, data.labels)
