"""Curves by rank equal a loop over queries and ranks, ties shared out evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.metrics import retrieval
from modalhash.metrics.counts import expected_hits
from modalhash.metrics.rank_curves import curve_ranks, hits_at

RNG = np.random.default_rng(0)
DATABASE, QUERIES = (BinaryCodes.from_signs(RNG.standard_normal((n, 6))) for n in (40, 9))
RELEVANT = RNG.random((9, 40)) < 0.2
RELEVANT[3] = False


def test_ranks_ascend_and_end_with_all_items() -> None:
    assert curve_ranks(1).tolist() == [1]
    assert curve_ranks(10).tolist() == [1, 2, 3, 5, 7, 10]
    assert curve_ranks(40).tolist() == [1, 2, 3, 5, 7, 10, 20, 30, 40]


def test_hits_within_a_rank_are_the_expectation_over_ties() -> None:
    items = RNG.integers(0, 4, (7, 12)).astype(float)
    items[:, -1] += 40 - items.sum(axis=1)  # every query ranks the same number of items; some groups are empty
    hits = np.floor(items * RNG.random((7, 12)))
    ranks = np.arange(1, 41)
    for i, rank in enumerate(ranks.tolist()):
        np.testing.assert_allclose(hits_at(items, hits, ranks)[:, i], expected_hits(items, hits, rank), atol=1e-12)


@pytest.mark.parametrize("empty", ["exclude", "zero"])
@pytest.mark.parametrize("ties", ["expected", "position"])
def test_curves_equal_the_measures_at_each_cut(ties: Any, empty: Any) -> None:
    cuts = (1, 2, 3, 5, 7, 10, 20, 30, 40)
    found = retrieval(mh.Index.build(DATABASE), QUERIES, RELEVANT, cuts, ties=ties, empty=empty)
    assert found.curves["rank"].tolist() == list(cuts)
    for i, cut in enumerate(cuts):
        assert found.curves["precision_rank"][i] == pytest.approx(found.mean[f"P@{cut}"])
        assert found.curves["recall_rank"][i] == pytest.approx(found.mean[f"R@{cut}"])


def test_pairs_by_distance_are_counted() -> None:
    found = retrieval(mh.Index.build(DATABASE), QUERIES, RELEVANT, (5,))
    kept = RELEVANT.any(axis=1)
    distances = QUERIES.hamming(DATABASE)[kept]
    for name, chosen in (("relevant_pairs", RELEVANT[kept]), ("irrelevant_pairs", ~RELEVANT[kept])):
        assert found.curves[name].tolist() == np.bincount(distances[chosen], minlength=7).tolist()


def test_queries_without_anything_relevant_have_curves_of_nothing() -> None:
    found = retrieval(mh.Index.build(DATABASE), QUERIES, np.zeros((9, 40), dtype=bool), (5,))
    assert not found.curves["precision_rank"].any() and not found.curves["relevant_pairs"].any()
