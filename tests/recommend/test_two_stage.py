"""Two stages: all recalled is the ranking by factors, few recalled that of codes; ties and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from modalhash.codes import BinaryCodes
from modalhash.recommend.nearest import nearest_codes, nearest_factors
from modalhash.recommend.two_stage import recall_then_rank
from modalhash.views import F64

Side = tuple[BinaryCodes, F64]


def sides(n: int = 70, m: int = 90, r: int = 12) -> tuple[Side, Side]:
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((n, r)), rng.standard_normal((m, r))
    return (BinaryCodes.from_signs(users), users), (BinaryCodes.from_signs(items), items)


def test_all_recalled_is_the_ranking_by_factors() -> None:
    users, items = sides()
    found = recall_then_rank(users, items, 7, 90)
    expected = nearest_factors(users[1], items[1], 7)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def test_a_list_holds_the_best_products_of_the_nearest_codes() -> None:
    users, items = sides()
    gone = [np.arange(i % 5) for i in range(70)]
    positions, distances = recall_then_rank(users, items, 4, 20, gone)
    recalled = nearest_codes(users[0], items[0], 20, gone)[0]
    for i in range(70):
        products = items[1][recalled[i]] @ users[1][i]
        assert positions[i].tolist() == recalled[i][np.argsort(-products)][:4].tolist()
        assert not set(positions[i]) & set(gone[i]) and (np.diff(distances[i]) >= 0).all()
    few = recall_then_rank(users, items, 10, 3)[0]
    assert few.shape == (70, 3)


def test_equal_products_keep_the_order_of_positions() -> None:
    users, items = sides()
    same = (items[0], np.zeros_like(items[1]))
    positions = recall_then_rank(users, same, 5, 30)[0]
    recalled = np.sort(nearest_codes(users[0], items[0], 30)[0], axis=1)
    np.testing.assert_array_equal(positions, recalled[:, :5])


def test_what_cannot_be_asked_is_refused() -> None:
    users, items = sides()
    with pytest.raises(ValueError, match="n_recalled"):
        recall_then_rank(users, items, 5, 0)
    with pytest.raises(ValueError, match="items: expected as many factors as codes, 90, got 3"):
        recall_then_rank(users, (items[0], items[1][:3]), 5, 10)
