"""Counts of sorted rankings against plain loops: ties, order by position, and what merging leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modalhash.metrics.counts import TieCounts, tie_counts
from modalhash.metrics.ranks import ranked_counts
from modalhash.metrics.retrieval import measures_of
from modalhash.views import Array

GAINS = np.array([0.0, 1, 3])


def measures(counts: TieCounts) -> dict[str, Array]:
    return {**measures_of(counts, GAINS, (1, 4, 13, 50), "hits")}


def plain(distances: Array, levels: Array, by_position: bool) -> TieCounts:
    """Counts with one group a different distance, or one group an item, without merging."""
    groups = np.empty(distances.shape, dtype=int)
    for q, row in enumerate(distances.tolist()):
        order = sorted(range(len(row)), key=lambda i: (row[i], i))
        values = sorted(set(row))
        for rank, i in enumerate(order):
            groups[q, i] = rank if by_position else values.index(row[i])
    return tie_counts(groups, levels, distances.shape[1], GAINS)


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.parametrize("kind", ["int32", "float32", "negative"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_measures_of_merged_groups_equal_those_of_all_groups(by_position: bool, kind: str, share: float) -> None:
    rng = np.random.default_rng(2)
    distances: Any = rng.integers(0, 20, (9, 40)).astype("int32" if kind == "int32" else "float32")
    if kind == "negative":
        distances = -distances / 3 + np.float32(1.5)
    levels = np.where(rng.random((9, 40)) < share, rng.integers(1, 3, (9, 40)), 0)
    levels[4] = 0
    kept = distances.copy(), levels.copy()
    counts = ranked_counts(distances, levels, GAINS, by_position=by_position)
    np.testing.assert_array_equal(counts.items.sum(axis=1), 40)
    expected = measures(plain(distances, levels, by_position))
    for name, values in measures(counts).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-12, atol=1e-15, err_msg=name)
    assert counts.items.shape[1] <= 2 * (levels > 0).sum(axis=1).max() + 1
    np.testing.assert_array_equal(distances, kept[0])
    np.testing.assert_array_equal(levels, kept[1])


def test_zero_has_no_sign() -> None:
    distances = np.array([[0.0, -0.0, 1.0]], dtype=np.float32)
    counts = ranked_counts(distances, np.array([[1, 0, 0]]), GAINS[:2], by_position=False)
    assert (counts.items.tolist(), counts.hits.tolist()) == ([[2, 1]], [[1, 0]])


def test_too_many_items_for_a_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalhash.metrics.ranks.POSITION_BITS", 3)
    with pytest.raises(ValueError, match="fewer than 8 items, got 9"):
        ranked_counts(np.zeros((1, 9), np.int32), np.zeros((1, 9), int), GAINS, by_position=True)
