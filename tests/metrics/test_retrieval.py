"""Measures of whole searches against plain loops: ties by position and expected, empty queries, relevance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.metrics import SharedLabels, retrieval
from modalhash.metrics import retrieval as measure
from modalhash.metrics.relevance import GivenRelevance, as_relevance

rng = np.random.default_rng(0)
DATABASE = BinaryCodes.from_signs(rng.choice([-1.0, 1.0], (60, 5)))
QUERIES = BinaryCodes.from_signs(rng.choice([-1.0, 1.0], (12, 5)))
RELEVANT = rng.random((12, 60)) < 0.2
RELEVANT[3] = False
INDEX = mh.Index.build(DATABASE)
CUTS = (1, 7, 60, 100)


def loop(ranking: np.ndarray, cut: int | None, denominator: str) -> float:
    places = np.flatnonzero(ranking) + 1
    precisions = np.arange(1, len(places) + 1) / places
    if cut is None or not len(places):
        return float(precisions.mean()) if len(places) else 0.0
    inside = precisions[places <= cut]
    if denominator == "first":
        return float(precisions[:cut].mean())
    below = {"relevant": len(places), "min": min(len(places), cut), "hits": max(len(inside), 1)}[denominator]
    return float(inside.sum() / below)


@pytest.mark.parametrize("denominator", ["relevant", "min", "hits", "first"])
@pytest.mark.parametrize("kind", [bool, int, float])
def test_ties_by_position_equal_a_stable_sort(denominator: Any, kind: type) -> None:
    result = measure(INDEX, QUERIES, RELEVANT.astype(kind), CUTS, ties="position", denominator=denominator)
    order = np.argsort(QUERIES.hamming(DATABASE), axis=1, kind="stable")
    for q in range(12):
        ranking = RELEVANT[q, order[q]]
        if q == 3:
            assert all(np.isnan(values[q]) for values in result.per_query.values())
            continue
        assert result.per_query["AP"][q] == pytest.approx(loop(ranking, None, ""), abs=1e-13)
        for cut in CUTS:
            assert result.per_query[f"AP@{cut}"][q] == pytest.approx(loop(ranking, cut, denominator), abs=1e-12)
            assert result.per_query[f"P@{cut}"][q] == pytest.approx(ranking[:cut].sum() / cut, abs=1e-13)
            assert result.per_query[f"R@{cut}"][q] == pytest.approx(ranking[:cut].sum() / ranking.sum(), abs=1e-13)


@pytest.mark.parametrize("denominator", ["relevant", "min", "hits", "first"])
def test_expected_ties_are_the_mean_over_shuffled_databases(denominator: Any) -> None:
    expected = measure(INDEX, QUERIES, RELEVANT, CUTS, denominator=denominator)
    sums: dict[str, list[float]] = {name: [] for name in expected.mean}
    for seed in range(300):
        order = np.random.default_rng(seed).permutation(60)
        shuffled = mh.Index.build(DATABASE[order])
        one = measure(shuffled, QUERIES, RELEVANT[:, order], CUTS, ties="position", denominator=denominator)
        again = measure(shuffled, QUERIES, RELEVANT[:, order], CUTS, denominator=denominator) if seed < 3 else expected
        for name, value in one.mean.items():
            sums[name].append(value)
            assert again.mean[name] == pytest.approx(expected.mean[name], abs=1e-12)
    for name, values in sums.items():
        assert abs(np.mean(values) - expected.mean[name]) <= 5 * np.std(values) / np.sqrt(300) + 1e-12, name


@pytest.mark.parametrize("ties", ["expected", "position"])
def test_queries_with_nothing_relevant_are_left_out_or_count_as_zero(ties: Any) -> None:
    left_out = measure(INDEX, QUERIES, RELEVANT, (7,), ties=ties)
    as_zero = measure(INDEX, QUERIES, RELEVANT, (7,), ties=ties, empty="zero")
    assert left_out.n_without_relevant == as_zero.n_without_relevant == 1
    assert left_out.n_queries == as_zero.n_queries == 12
    for name, values in as_zero.per_query.items():
        assert values.shape == (12,) and values[3] == 0 and np.isnan(left_out.per_query[name][3])
        assert as_zero.mean[name] == pytest.approx(values.mean(), rel=1e-14)
        assert left_out.mean[name] == pytest.approx(values.sum() / 11, rel=1e-13)
    assert left_out.conventions == {"ties": ties, "denominator": "relevant", "empty": "exclude"}
    nothing = measure(INDEX, QUERIES, np.zeros((12, 60)), (7,))
    assert nothing.n_without_relevant == 12 and all(np.isnan(value) for value in nothing.mean.values())
    assert set(measure(INDEX, QUERIES, np.zeros((12, 60)), (7,), empty="zero").mean.values()) == {0.0}


def test_blocks_of_queries_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    expected = measure(INDEX, QUERIES, RELEVANT, CUTS)
    monkeypatch.setattr(sys.modules["modalhash.metrics.retrieval"], "CELLS", 1)
    found = measure(INDEX, QUERIES, RELEVANT, CUTS)
    for name, values in expected.per_query.items():
        np.testing.assert_allclose(found.per_query[name], values, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"cuts": (0,)}, ValueError, "cuts"),
        ({"cuts": (1.5,)}, TypeError, "cuts"),
        ({"ties": "random"}, ValueError, "ties.*'random'"),
        ({"empty": "skip"}, ValueError, "empty.*'skip'"),
        ({"denominator": "mean"}, ValueError, "denominator.*'mean'"),
        ({"relevant": RELEVANT[1:]}, ValueError, r"\(12, 60\).*\(11, 60\)"),
        ({"relevant": RELEVANT.T}, ValueError, r"\(12, 60\).*\(60, 12\)"),
        ({"relevant": RELEVANT[0]}, ValueError, r"\(12, 60\).*\(60,\)"),
        ({"relevant": RELEVANT[:0], "queries": QUERIES[:0]}, ValueError, "at least one query"),
        ({"queries": BinaryCodes.from_signs(np.ones((12, 6)))}, ValueError, "6 bits.*5 bits"),
    ],
)
def test_bad_calls_are_refused(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"index": INDEX, "queries": QUERIES, "relevant": RELEVANT, **change}
    with pytest.raises(kind, match=message):
        retrieval(**given)


Q = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]])
D = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix, sp.csr_array, sp.coo_array, sp.csc_matrix])
@pytest.mark.parametrize("kind", [bool, np.int64, np.uint8, np.float64])
def test_items_are_relevant_where_they_share_a_label(form: Any, kind: Any) -> None:
    shared = SharedLabels(form(Q.astype(kind)), form(D.astype(kind)))
    expected = np.array([[any(a & b for a, b in zip(q, d, strict=True)) for d in D] for q in Q])
    assert shared.shape == (4, 5)
    assert shared.rows(slice(0, 4)).dtype == bool
    np.testing.assert_array_equal(shared.rows(slice(0, 4)), expected)
    np.testing.assert_array_equal(shared.rows(slice(1, 3)), expected[1:3])


def test_classes_are_relevant_where_they_are_equal() -> None:
    shared = SharedLabels(np.array([3, 1]), np.array([1, 2, 3, 3]))
    assert shared.shape == (2, 4)
    assert shared.rows(slice(0, 2)).tolist() == [[False, False, True, True], [True, False, False, False]]
    assert shared.rows(slice(1, 2)).tolist() == [[True, False, False, False]]
    np.testing.assert_array_equal(SharedLabels([3, 1], [1, 2, 3, 3]).rows(slice(0, 2)), shared.rows(slice(0, 2)))


def test_labels_of_one_side_without_any_one_are_fine() -> None:
    for form in (np.array, sp.csr_array):
        assert not SharedLabels(form(Q * 0), form(D)).rows(slice(0, 4)).any()
        assert not SharedLabels(form(Q), form(D * 0)).rows(slice(0, 4)).any()


@pytest.mark.parametrize(
    ("query", "database"),
    [
        (Q, D[:, :2]),
        (Q, np.arange(5)),
        (Q * 2, D),
        (sp.csr_array(Q), sp.csr_array(D * 3)),
        (sp.csr_array(np.array([[1, -1, 0]])), D),
    ],
)
def test_labels_that_cannot_be_shared_are_refused(query: Any, database: Any) -> None:
    with pytest.raises(ValueError, match="labels"):
        SharedLabels(query, database)


def test_a_given_matrix_says_what_is_relevant() -> None:
    graded = np.where(RELEVANT, 2.5, 0)
    given = GivenRelevance(graded)
    assert given.shape == (12, 60)
    np.testing.assert_array_equal(given.rows(slice(2, 5)), RELEVANT[2:5])
    assert as_relevance(given, 12, 60) is given
    expected = measure(INDEX, QUERIES, RELEVANT, CUTS).mean
    for form in (given, graded, RELEVANT.tolist()):
        assert measure(INDEX, QUERIES, form, CUTS).mean == expected  # type: ignore[arg-type]


def test_shared_labels_equal_the_given_matrix() -> None:
    labels = [(np.random.default_rng(i).random((n, 4)) < 0.3).astype(int) for i, n in enumerate((12, 60))]
    found = measure(INDEX, QUERIES, SharedLabels(*labels), CUTS)
    expected = measure(INDEX, QUERIES, labels[0] @ labels[1].T > 0, CUTS)
    for name, values in expected.per_query.items():
        np.testing.assert_array_equal(found.per_query[name], values)
