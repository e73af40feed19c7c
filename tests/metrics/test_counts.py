"""Expectations over tied groups against the enumeration of every order, against chance, and against fractions."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from modalhash.metrics import average_precision
from modalhash.metrics.counts import (
    at_most,
    before,
    cut_group,
    expected_ap_first,
    expected_hits,
    groups_by_position,
    harmonic,
    hypergeometric,
    level_counts,
    places_before_cut,
)

Groups = list[tuple[int, int]]  # (items, relevant items) of each tie group, nearest first


def plain(ranking: NDArray[np.int64], cut: int) -> dict[str, float]:
    """Every measure of one ranking, by its definition."""
    places = [i + 1 for i, relevant in enumerate(ranking) if relevant]
    precisions = [(j + 1) / place for j, place in enumerate(places)]
    inside = [p for p, place in zip(precisions, places, strict=True) if place <= cut]
    total, first = len(places), precisions[:cut]
    return {
        "AP": sum(precisions) / total if total else 0.0,
        "relevant": sum(inside) / total if total else 0.0,
        "min": sum(inside) / min(total, cut) if total else 0.0,
        "hits": sum(inside) / len(inside) if inside else 0.0,
        "first": sum(first) / len(first) if first else 0.0,
        "found": float(len(inside)),
    }


def measured(groups: Groups, cut: int) -> dict[str, float]:
    items, hits = (np.array([[pair[i] for pair in groups]], dtype=np.float64) for i in (0, 1))
    found = {"AP": average_precision(items, hits)[0], "found": expected_hits(items, hits, cut)[0]}
    for denominator in ("relevant", "min", "hits", "first"):
        found[denominator] = average_precision(items, hits, cut, denominator)[0]
    return {name: float(value) for name, value in found.items()}


def rankings(groups: Groups) -> list[NDArray[np.int64]]:
    """Every placing of the relevant items inside the groups; all are equally likely."""
    ways = [[np.isin(np.arange(n), c).astype(int) for c in itertools.combinations(range(n), r)] for n, r in groups]
    return [np.concatenate(choice) for choice in itertools.product(*ways)]


def draws(count: int) -> list[Groups]:
    rng = np.random.default_rng(3)
    sizes = [rng.integers(0, 6, rng.integers(1, 5)).tolist() for _ in range(count)]
    return [[(n, int(rng.integers(0, n + 1))) for n in row] for row in sizes if sum(row)]


@pytest.mark.parametrize("seed", range(4))
def test_expectations_equal_the_mean_over_all_orders(seed: int) -> None:
    for groups in draws(80)[seed::4]:
        orders = rankings(groups)
        size = sum(n for n, _ in groups)
        for cut in (1, 2, 3, size // 2 + 1, size, size + 5):
            single = [plain(ranking, cut) for ranking in orders]
            found = measured(groups, cut)
            for name in found:
                expected = float(np.mean([one[name] for one in single]))
                assert found[name] == pytest.approx(expected, abs=1e-12), (groups, cut, name)


def test_large_groups_agree_with_chance() -> None:
    rng, groups = np.random.default_rng(0), [(3, 2), (40, 11), (300, 80), (700, 5)]
    for cut in (2, 20, 150, 500):
        single = []
        for _ in range(400):
            parts = [rng.permutation(np.arange(n) < r).astype(int) for n, r in groups]
            single.append(plain(np.concatenate(parts), cut))
        found = measured(groups, cut)
        for name in found:
            values = np.array([one[name] for one in single])
            assert abs(found[name] - values.mean()) <= 5 * values.std() / 20 + 1e-12, (cut, name)


def test_many_items_lose_no_precision() -> None:
    n, r, N, P = 40_000, 1_500, 60_000, 700

    def share(n: int, r: int, N: int, P: int, s: int) -> Fraction:
        with localcontext(prec=50):
            h = Fraction(sum(Decimal(1) / (N + i) for i in range(1, s + 1)))
        return Fraction(r, n) * ((P + 1) * h + Fraction(r - 1, n - 1) * (s - (N + 1) * h))

    cut = N + 500
    items, hits = np.array([[N, n]], dtype=float), np.array([[P, r]], dtype=float)
    exact = (share(N, P, 0, 0, N) + share(n, r, N, P, 500)) / (P + r)
    assert average_precision(items, hits, cut)[0] == pytest.approx(float(exact), rel=1e-11)
    whole = (share(N, P, 0, 0, N) + share(n, r, N, P, n)) / (P + r)
    assert average_precision(items, hits)[0] == pytest.approx(float(whole), rel=1e-11)


def test_a_ranking_without_ties_is_measured_to_the_last_digit_at_1e5_items() -> None:
    rng = np.random.default_rng(1)
    relevant = rng.random(100_000) < 0.01
    places = np.flatnonzero(relevant)[:400].tolist()
    exact = sum((Fraction(j + 1, place + 1) for j, place in enumerate(places)), Fraction(0))
    relevant[np.flatnonzero(relevant)[400:]] = False
    found = average_precision(np.ones((1, 100_000)), relevant[None].astype(float))[0]
    assert found == pytest.approx(float(exact / 400), rel=1e-13)


def test_one_group_of_all_items_gives_every_item_the_same_chance() -> None:
    found = measured([(10, 4)], 5)
    assert found["found"] == pytest.approx(2.0, rel=1e-14)
    expected = {"AP": 1, "relevant": 0.5, "min": 1, "hits": 1, "first": 1, "found": 5}
    assert measured([(10, 10)], 5) == pytest.approx(expected)
    assert set(measured([(10, 0), (0, 0)], 5).values()) == {0.0}


def test_other_denominators_and_cuts_are_refused() -> None:
    ones = np.ones((1, 3))
    with pytest.raises(ValueError, match=r"denominator.*'mean'"):
        average_precision(ones, ones, 2, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cut"):
        average_precision(ones, ones, 0)
    with pytest.raises(TypeError, match="cut"):
        average_precision(ones, ones, 2.0)  # type: ignore[arg-type]


def test_counts_of_groups() -> None:
    rng = np.random.default_rng(0)
    groups, levels = rng.integers(0, 5, (7, 40)), rng.integers(0, 3, (7, 40))
    kept = groups.copy()
    counts = level_counts(groups, levels, 6, 3)
    assert counts.shape == (7, 6, 3)
    for q, g, level in np.ndindex(7, 6, 3):
        assert counts[q, g, level] == ((groups[q] == g) & (levels[q] == level)).sum()
    np.testing.assert_array_equal(groups, kept)
    items = counts.sum(axis=2).astype(float)
    np.testing.assert_array_equal(before(items)[:, 1:], np.cumsum(items, axis=1)[:, :-1])


def test_ranks_keep_the_order_of_the_database() -> None:
    distances = np.random.default_rng(0).integers(0, 4, (5, 300))
    ranks = groups_by_position(distances)
    for row, rank in zip(distances, ranks, strict=True):
        order = sorted(range(300), key=lambda i: (row[i], i))
        assert [int(rank[i]) for i in order] == list(range(300))


def test_cuts_fall_into_groups() -> None:
    n = np.array([[2.0, 0, 3, 1]])
    assert [int(cut_group(n, cut)[0]) for cut in (1, 2, 3, 5, 6, 7)] == [0, 0, 2, 2, 3, 3]
    assert places_before_cut(n, 4).tolist() == [[2, 0, 2, 0]]
    assert places_before_cut(n, None) is n


def test_the_hypergeometric_law() -> None:
    from scipy.stats import hypergeom

    for n, r, s in [(10, 4, 3), (10, 4, 8), (1, 1, 1), (500, 30, 77), (5, 0, 2), (5, 5, 2)]:
        x = np.arange(-1, n + 2).astype(float)
        found = hypergeometric(x, np.full_like(x, n), np.full_like(x, r), np.full_like(x, s))
        np.testing.assert_allclose(found, hypergeom(n, r, s).pmf(x), atol=1e-12)


def test_chance_of_at_most_some_relevant_items() -> None:
    from scipy.stats import hypergeom

    for i, n, r in [(0, 5, 2), (3, 12, 5), (4, 12, 5), (5, 12, 5), (-1, 4, 2), (0, 3, 0), (1, 6, 6), (40, 900, 70)]:
        expected = [float(hypergeom(n, r, t).cdf(i)) for t in range(n + 1)]
        np.testing.assert_allclose(at_most(i, n, r), expected, atol=1e-12)


def test_a_tie_group_of_40000_items_takes_little_time_and_memory() -> None:
    items, hits = np.array([[1_000.0, 40_000, 500]]), np.array([[100.0, 9_000, 50]])
    expected_ap_first(items, hits, 3_000)
    tracemalloc.start()
    started = time.perf_counter()
    found = expected_ap_first(items, hits, 3_000)
    seconds, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.5 and peak < 50e6  # a few ms and 6 MB on an idle machine
    rng, single = np.random.default_rng(0), []
    for _ in range(40):
        parts = [rng.permutation(int(n)) < r for n, r in zip(items[0], hits[0], strict=True)]
        single.append(plain(np.concatenate(parts).astype(int), 3_000)["first"])
    assert abs(found[0] - np.mean(single)) <= 5 * np.std(single) / np.sqrt(40)


def test_harmonic_numbers() -> None:
    assert [float(h) for h in harmonic(4)] == pytest.approx([0, 1, 1.5, 11 / 6, 25 / 12], rel=1e-16)
