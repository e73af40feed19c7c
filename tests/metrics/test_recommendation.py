"""Measures of recommendations against slow twins that try every order of tied items."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from modalhash.metrics.recommendation import coverage, popularity_bias, recommendation


def of_order(relevant: list[bool], k: int) -> dict[str, float]:
    """HR, recall, AP (over min(relevant, k)) and nDCG at k of one order, by definition."""
    top, total = relevant[:k], sum(relevant)
    gain = sum(1 / np.log2(2 + i) for i, hit in enumerate(top) if hit)
    best = sum(1 / np.log2(2 + i) for i in range(min(total, k)))
    precision = [sum(top[: i + 1]) / (i + 1) for i, hit in enumerate(top) if hit]
    return {
        "HR": float(any(top)),
        "R": sum(top) / total,
        "P": sum(top) / k,
        "AP": sum(precision) / min(total, k),
        "nDCG": gain / best,
    }


def twin(distances: list[int], relevant: list[bool], k: int) -> dict[str, float]:
    """The mean over all orders that the distances allow."""
    groups = [[i for i, d in enumerate(distances) if d == value] for value in sorted(set(distances))]
    orders = itertools.product(*(itertools.permutations(group) for group in groups))
    found = [of_order([relevant[i] for i in itertools.chain(*order)], k) for order in orders]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@pytest.mark.parametrize("kind", [np.int32, np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_every_measure_is_the_mean_over_all_orders(k: int, kind: Any) -> None:
    rng = np.random.default_rng(k)
    distances = rng.integers(0, 4, (12, 6))
    relevant = rng.random((12, 6)) < 0.4
    relevant[:, 0] |= ~relevant.any(axis=1)
    result = recommendation(distances.astype(kind), relevant, cuts=[k])
    for row in range(12):
        wanted = twin(distances[row].tolist(), relevant[row].tolist(), k)
        for name, value in wanted.items():
            assert result.per_query[f"{name}@{k}"][row] == pytest.approx(value, abs=1e-12)
    assert result.mean[f"HR@{k}"] == pytest.approx(result.per_query[f"HR@{k}"].mean())


def test_only_candidates_are_ranked() -> None:
    rng = np.random.default_rng(0)
    distances, allowed = rng.integers(0, 4, (20, 7)), rng.random((20, 7)) < 0.7
    allowed[:, 3] = True
    relevant = np.zeros((20, 7), dtype=bool)
    relevant[:, 3] = True
    for kind in (np.int32, np.float64):
        result = recommendation(distances.astype(kind), relevant, cuts=[2], candidates=allowed)
        for row in range(20):
            own = allowed[row]
            wanted = twin(distances[row][own].tolist(), relevant[row][own].tolist(), 2)
            assert result.per_query["nDCG@2"][row] == pytest.approx(wanted["nDCG"])
            assert result.per_query["HR@2"][row] == pytest.approx(wanted["HR"])


def test_chance_among_a_hundred() -> None:
    relevant = np.arange(100)[None] == 0
    result = recommendation(np.zeros((1, 100), dtype=int), relevant, cuts=[10])
    assert result.mean["HR@10"] == pytest.approx(0.1)
    assert result.mean["R@10"] == pytest.approx(0.1)


def test_users_without_anything_relevant() -> None:
    distances, relevant = np.array([[0, 1], [0, 1]]), np.array([[True, False], [False, False]])
    left_out, zero = recommendation(distances, relevant), recommendation(distances, relevant, empty="zero")
    assert left_out.mean["HR@10"] == 1 and np.isnan(left_out.per_query["HR@10"][1])
    assert zero.mean["HR@10"] == 0.5 and zero.n_without_relevant == 1 and zero.n_queries == 2
    nothing = recommendation(distances, np.zeros((2, 2)))
    assert np.isnan(nothing.mean["HR@10"])


def test_bad_input_is_refused() -> None:
    distances, relevant = np.array([[0, 1]]), np.array([[True, False]])
    cases: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("relevant", (distances, relevant[:, 1:]), {}),
        ("empty", (distances, relevant), {"empty": "other"}),
        ("cuts", (distances, relevant), {"cuts": [0]}),
        ("candidates", (distances, relevant), {"candidates": ~relevant}),
        ("NaN", (np.array([[np.nan, 1.0]]), relevant), {}),
        ("integers", (-distances, relevant), {}),
    ]
    for pattern, given, options in cases:
        with pytest.raises(ValueError, match=pattern):
            recommendation(*given, **options)


def test_coverage_and_popularity() -> None:
    lists = np.array([[0, 1], [0, 2]])
    assert coverage(lists, 6) == 0.5
    assert popularity_bias(lists, np.array([4, 2, 2, 0, 0, 0])) == pytest.approx(3 / (8 / 6))
    assert popularity_bias(np.arange(6)[None], np.arange(6)) == 1
    for wrong in (np.array([[6]]), np.array([[-1]]), np.array([[0.5]]), np.empty((0, 3), dtype=int)):
        with pytest.raises(ValueError, match="positions"):
            coverage(wrong, 6)
    with pytest.raises(ValueError, match="popularity"):
        popularity_bias(lists, np.zeros(6))
