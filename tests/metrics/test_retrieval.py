"""Measures of whole searches against plain loops: ties by position and expected, empty queries, relevance."""

from __future__ import annotations

import itertools
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
    conventions = {"ties": ties, "denominator": "relevant", "empty": "exclude", "gain": "exponential"}
    assert left_out.conventions == conventions
    nothing = measure(INDEX, QUERIES, np.zeros((12, 60)), (7,))
    assert nothing.n_without_relevant == 12 and all(np.isnan(value) for value in nothing.mean.values())
    assert set(measure(INDEX, QUERIES, np.zeros((12, 60)), (7,), empty="zero").mean.values()) == {0.0}


def test_blocks_of_queries_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    expected = measure(INDEX, QUERIES, RELEVANT, CUTS)
    monkeypatch.setattr(sys.modules["modalhash.metrics.pairs"], "CELLS", 1)
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
    for form in (given, graded, RELEVANT.tolist(), RELEVANT * 1.0 - 0.5):
        assert measure(INDEX, QUERIES, form, CUTS).mean == pytest.approx(expected)  # type: ignore[arg-type]


def test_levels_of_a_given_matrix() -> None:
    given = GivenRelevance(np.array([[0, 3.0, -1], [0.5, 0, 3]]))
    assert given.grades.tolist() == [0, 0.5, 3] and given.rows_graded(slice(0, 2)).tolist() == [[0, 2, 0], [1, 0, 2]]
    assert GivenRelevance(np.ones((2, 3), dtype=bool)).grades.tolist() == [0, 1]
    with pytest.raises(ValueError, match="NaN"):
        GivenRelevance(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="256 different grades, got 300"):
        GivenRelevance(np.arange(300.0)[None])


def test_shared_labels_equal_the_given_matrix() -> None:
    labels = [(np.random.default_rng(i).random((n, 4)) < 0.3).astype(int) for i, n in enumerate((12, 60))]
    found = measure(INDEX, QUERIES, SharedLabels(*labels), CUTS)
    assert SharedLabels(*labels).grades.max() >= (labels[0] @ labels[1].T).max()
    expected = measure(INDEX, QUERIES, labels[0] @ labels[1].T, CUTS)
    for name, values in expected.per_query.items():
        np.testing.assert_allclose(found.per_query[name], values, rtol=1e-14)


def test_every_measure_equals_the_mean_over_all_orders_of_a_small_search() -> None:
    """Four distances, up to three items at each: all orders inside them are searched one by one."""
    draw = np.random.default_rng(5)
    distances = np.repeat(np.arange(4), [2, 3, 1, 3])
    codes = BinaryCodes.from_signs(np.where(np.arange(3)[None] < distances[:, None], 1.0, -1.0))
    query = BinaryCodes.from_signs(-np.ones((1, 3)))
    within = [np.flatnonzero(distances == d) for d in range(4)]
    orders = [np.concatenate(o) for o in itertools.product(*(itertools.permutations(group) for group in within))]
    for gain in ("exponential", "linear"):
        grades = draw.integers(0, 3, (1, 9))
        found = measure(mh.Index.build(codes), query, grades, (1, 3, 5, 12), gain=gain)
        single = [plain(grades[0][order], (1, 3, 5, 12), gain) for order in orders]
        for name in single[0]:
            assert found.mean[name] == pytest.approx(np.mean([one[name] for one in single]), abs=1e-13), (gain, name)


def plain(grades: np.ndarray, cuts: tuple[int, ...], gain: str) -> dict[str, float]:
    """Measures of one ranking by their definitions."""
    gains = grades.astype(float) if gain == "linear" else 2.0**grades - 1
    best = np.sort(gains)[::-1]
    places = np.flatnonzero(grades > 0) + 1
    values = {"AP": float(np.mean(np.arange(1, len(places) + 1) / places))}
    for cut in (None, *cuts):
        dcg, ideal = (sum(g / np.log2(i + 2) for i, g in enumerate(row[:cut])) for row in (gains, best))
        values["nDCG" if cut is None else f"nDCG@{cut}"] = float(dcg / ideal)
    for cut in cuts:
        values[f"P@{cut}"] = float((places <= cut).sum() / cut)
        values[f"R@{cut}"] = float((places <= cut).sum() / len(places))
    return values


@pytest.mark.parametrize("ties", ["expected", "position"])
@pytest.mark.parametrize("empty", ["exclude", "zero"])
def test_balls_equal_a_loop_over_queries_and_radii(ties: Any, empty: Any) -> None:
    found = measure(INDEX, QUERIES, RELEVANT, (7,), ties=ties, empty=empty)
    distances = QUERIES.hamming(DATABASE)
    kept = [q for q in range(12) if empty == "zero" or RELEVANT[q].any()]
    assert found.curves["radius"].tolist() == list(range(6))
    for radius in range(6):
        inside = [distances[q] <= radius for q in kept]
        hits = [int((ball & RELEVANT[q]).sum()) for q, ball in zip(kept, inside, strict=True)]
        sizes, totals = [int(ball.sum()) for ball in inside], [int(RELEVANT[q].sum()) for q in kept]
        assert found.curves["precision_micro"][radius] == pytest.approx(sum(hits) / max(sum(sizes), 1))
        assert found.curves["recall_micro"][radius] == pytest.approx(sum(hits) / sum(totals))
        macro = np.mean([h / n if n else 0 for h, n in zip(hits, sizes, strict=True)])
        assert found.curves["precision_macro"][radius] == pytest.approx(macro)
        macro = np.mean([h / n if n else 0 for h, n in zip(hits, totals, strict=True)])
        assert found.curves["recall_macro"][radius] == pytest.approx(macro)
        assert found.curves["empty_balls"][radius] == pytest.approx(np.mean([n == 0 for n in sizes]))
    assert found.mean["P@radius2"] == pytest.approx(found.curves["precision_macro"][2])
    assert found.mean["empty@radius2"] == pytest.approx(found.curves["empty_balls"][2])


def test_an_empty_ball_has_precision_0_and_is_told() -> None:
    far = BinaryCodes.from_signs(np.array([[1.0, 1, 1, 1], [1, 1, 1, -1]]))
    query = BinaryCodes.from_signs(np.array([[-1.0, -1, -1, -1], [1, 1, 1, 1]]))
    found = measure(mh.Index.build(far), query, np.ones((2, 2)), (1,))
    assert found.per_query["P@radius2"].tolist() == [0, 1] and found.per_query["empty@radius2"].tolist() == [1, 0]
    assert found.curves["empty_balls"].tolist() == [0.5, 0.5, 0.5, 0, 0]
    assert found.curves["precision_micro"].tolist() == [1, 1, 1, 1, 1]


def test_float_distances_have_no_radius() -> None:
    books = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
    codes = mh.QuantizedCodes(np.random.default_rng(1).integers(0, 4, (30, 2)).astype(np.uint8), books, "dot")
    queries = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    relevant = np.random.default_rng(3).integers(0, 3, (5, 30))
    found = measure(mh.Index.build(codes), queries, relevant, (7,))
    assert set(found.curves) == {"rank", "precision_rank", "recall_rank"}
    assert not any("radius" in name for name in found.mean)
    shuffled: dict[str, list[float]] = {name: [] for name in found.mean}
    for seed in range(300):
        order = np.random.default_rng(seed).permutation(30)
        one = measure(mh.Index.build(codes[order]), queries, relevant[:, order], (7,), ties="position")
        for name, value in one.mean.items():
            shuffled[name].append(value)
    for name, values in shuffled.items():
        assert abs(np.mean(values) - found.mean[name]) <= 5 * np.std(values) / np.sqrt(300) + 1e-9, name


def test_gains_that_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gain.*linear"):
        measure(INDEX, QUERIES, RELEVANT * 5000.0)
    assert measure(INDEX, QUERIES, RELEVANT * 5000.0, gain="linear").mean["nDCG"] > 0
    with pytest.raises(ValueError, match=r"gain.*'log'"):
        measure(INDEX, QUERIES, RELEVANT, gain="log")  # type: ignore[arg-type]
