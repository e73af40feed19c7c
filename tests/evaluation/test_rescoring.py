"""Measures of codes and of rescored codes against slow twins that rank every item by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from modalhash.codes import BinaryCodes
from modalhash.evaluation.rescoring import Asked, Floats, measures, rank
from modalhash.evaluation.vectors import Vectors, float_neighbours, nearest_places
from modalhash.index import Index
from modalhash.metrics import SharedLabels, retrieval
from modalhash.metrics.gains import gain_of
from modalhash.metrics.ranks import ranked_counts
from modalhash.metrics.retrieval import measures_of
from modalhash.views import Array

N, Q, D, K, SHORT = 300, 12, 6, 5, 40


def unit(rows: Array) -> Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def floats() -> Floats:
    rng = np.random.default_rng(0)
    items = unit(rng.standard_normal((N, D)))
    items[50:60] = items[40:50]  # items that are twice there
    queries = unit(rng.standard_normal((Q, D)))
    return Floats(queries, items, float_neighbours(queries, items, K))


@pytest.fixture(params=["classes", "several"])
def labels(request: pytest.FixtureRequest) -> SharedLabels:
    rng = np.random.default_rng(1)
    if request.param == "classes":
        return SharedLabels(rng.integers(0, 5, Q), rng.integers(0, 5, N))
    given = rng.random((N + Q, 6)) < 0.3
    given[:, 0] |= ~given.any(axis=1)
    return SharedLabels(given[:Q].astype(float), given[Q:].astype(float))


def slow_ap(order: Sequence[int], relevant: Array) -> float:
    hits = np.cumsum(relevant[list(order)])
    ranks = np.arange(1, len(order) + 1)
    return float((relevant[list(order)] * hits / ranks).sum() / max(relevant.sum(), 1))


def binary(floats: Floats, bits: int = 6) -> tuple[Index, BinaryCodes]:
    turn = np.random.default_rng(2).standard_normal((D, bits))
    return Index.build(BinaryCodes.from_signs(floats.items @ turn)), BinaryCodes.from_signs(floats.queries @ turn)


def stored(index: Index) -> BinaryCodes:
    assert isinstance(index.codes, BinaryCodes)
    return index.codes


def test_codes_are_measured_as_metrics_measure_them(floats: Floats, labels: SharedLabels) -> None:
    index, queries = binary(floats)
    plain, again = measures(rank(index, queries, Asked(labels, floats, K, SHORT)), Asked(labels, floats, K, SHORT))
    expected = retrieval(index, queries, labels, (K,))
    for name in ("AP", f"P@{K}", f"nDCG@{K}", "nDCG"):
        np.testing.assert_allclose(plain[name], expected.per_query[name], rtol=1e-12)
    assert again is not None and set(again) == set(plain)


def test_rescored_codes_rank_the_shortlist_by_floats_and_the_rest_by_codes(
    floats: Floats, labels: SharedLabels
) -> None:
    index, queries = binary(floats)
    asked = Asked(labels, floats, K, SHORT)
    again = measures(rank(index, queries, asked), asked)[1]
    assert again is not None
    distances, rng = queries.hamming(stored(index)), np.random.default_rng(3)
    for q in range(Q):
        relevant = labels.rows(slice(q, q + 1))[0]
        order = np.argsort(distances[q], kind="stable")
        short = order[:SHORT]
        head = short[np.argsort(-(floats.items[short] @ floats.queries[q]), kind="stable")]
        rest = np.setdiff1d(np.arange(N), head)
        drawn = []
        for _ in range(400):  # all orders of items at one distance, by chance
            shuffled = rng.permutation(rest)
            drawn.append(slow_ap([*head, *shuffled[np.argsort(distances[q][shuffled], kind="stable")]], relevant))
        assert again["AP"][q] == pytest.approx(np.mean(drawn), abs=4 * float(np.std(drawn)) / 20 + 1e-6)
        assert again[f"P@{K}"][q] == pytest.approx(relevant[head[:K]].mean())


def test_float_distances_are_exact_in_the_shortlist_and_nearly_so_beyond(floats: Floats, labels: SharedLabels) -> None:
    index = Vectors(floats.items[:, :3], 12.0)  # some dimensions, so that rescoring changes something
    asked = Asked(labels, floats, K, SHORT)
    plain, again = measures(rank(index, floats.queries[:, :3], asked), asked)
    assert again is not None
    distances = index.distances(floats.queries[:, :3])
    gains = gain_of(labels.grades, "exponential")
    exact = ranked_counts(distances, labels.rows_graded(slice(0, Q)), gains, by_position=False)
    for name, values in measures_of(exact, gains, (K,), "relevant").items():
        if name != "relevant":
            np.testing.assert_allclose(plain[name], values, atol=2e-4)
    for q in range(Q):
        relevant = labels.rows(slice(q, q + 1))[0]
        order = np.argsort(distances[q], kind="stable")
        short = order[:SHORT]
        head = short[np.argsort(-(floats.items[short] @ floats.queries[q]), kind="stable")]
        assert again["AP"][q] == pytest.approx(slow_ap([*head, *order[SHORT:]], relevant), abs=5e-3)  # twins tie
        assert again[f"P@{K}"][q] == pytest.approx(relevant[head[:K]].mean())


def test_steps_of_distances_cost_no_accuracy_on_many_items() -> None:
    rng = np.random.default_rng(4)
    items, queries = unit(rng.standard_normal((20_000, 16))), unit(rng.standard_normal((4, 16)))
    near = items @ queries.T
    labels = SharedLabels(np.ones(4, dtype=int), (near.max(axis=1) + rng.normal(0, 0.2, len(items)) > 0.4).astype(int))
    asked = Asked(labels, None, 10, 100)
    plain, again = measures(rank(Vectors(items, 64.0), queries, asked), asked)
    assert again is None
    for q in range(4):
        exact = slow_ap(np.argsort(-near[:, q], kind="stable").tolist(), labels.rows(slice(q, q + 1))[0])
        assert plain["AP"][q] == pytest.approx(exact, abs=1e-5)


def test_neighbours_are_counted_in_expectation_over_ties(floats: Floats) -> None:
    index, queries = binary(floats, 4)  # 16 codes for 300 items
    asked = Asked(None, floats, K, SHORT)
    plain, again = measures(rank(index, queries, asked), asked)
    distances, rng = queries.hamming(stored(index)), np.random.default_rng(5)
    similar = floats.queries @ floats.items.T
    for q in range(Q):
        wanted = similar[q] >= np.sort(similar[q])[-K] - 1e-6
        drawn = []
        for _ in range(2000):
            shuffled = rng.permutation(N)
            drawn.append(wanted[shuffled[np.argsort(distances[q][shuffled], kind="stable")][:K]].sum() / K)
        assert plain[f"neighbours@{K}"][q] == pytest.approx(np.mean(drawn), abs=0.02)
    assert again is not None and (again[f"neighbours@{K}"] >= plain[f"neighbours@{K}"] - 0.3).all()


def test_floats_find_all_their_neighbours_also_where_items_are_twice_there(floats: Floats) -> None:
    asked = Asked(None, floats, K, SHORT)
    ranking = rank(Vectors(floats.items, 4.0 * D), floats.queries, asked)
    np.testing.assert_array_equal(measures(ranking, asked)[0][f"neighbours@{K}"], 1.0)
    np.testing.assert_array_equal(ranking.again()[:, :K], ranking.places[:, :K])
    twins = Floats(floats.items[40:50], floats.items, float_neighbours(floats.items[40:50], floats.items, 1))
    assert (np.diff(twins.neighbours.starts) == 2).all()  # the item and its twin


def test_rescoring_all_items_is_the_float_ranking(floats: Floats, labels: SharedLabels) -> None:
    index, queries = binary(floats)
    asked = Asked(labels, floats, K, N)
    again = measures(rank(index, queries, asked), asked)[1]
    flat = measures(rank(Vectors(floats.items, 4.0 * D), floats.queries, asked), asked)[0]
    assert again is not None
    np.testing.assert_array_equal(again[f"neighbours@{K}"], 1.0)
    np.testing.assert_allclose(again["AP"], flat["AP"], atol=5e-3)  # twins are ordered by codes, or tie


def test_queries_without_anything_relevant_are_nan(floats: Floats) -> None:
    labels = SharedLabels(np.array([9] + [1] * (Q - 1)), np.ones(N, dtype=int))
    for index, queries in (binary(floats), (Vectors(floats.items, 24.0), floats.queries)):
        asked = Asked(labels, floats, K, SHORT)
        for found in measures(rank(index, queries, asked), asked):
            assert found is not None and np.isnan(found["AP"][0]) and not np.isnan(found["AP"][1:]).any()


def test_nearest_places_keep_the_order_of_the_items_in_ties() -> None:
    distances = np.array([[2.0, 1.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(nearest_places(distances, 3), [[3, 1, 2], [0, 1, 2]])
