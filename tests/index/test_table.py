"""The direct table gives the scan's answers, or gives a query up; Search chooses and never changes an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_search import draw, nearest

from modalhash.index.table import Table

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("bits", [1, 5, 8, 12, 15, 16])
@pytest.mark.parametrize("n", [1, 2, 63, 65, 1000, 5000])
def test_as_the_naive_search(bits: int, n: int) -> None:
    database, queries = draw(n, bits, seed=n), draw(70, bits, seed=1)
    table = Table(database)
    for k in {1, min(7, n), min(100, n), n}:
        expected = nearest(queries, database, k)
        for threads in (1, 2):
            (positions, distances), work = table.nearest(queries, k, threads=threads)
            np.testing.assert_array_equal(distances, expected[1])
            np.testing.assert_array_equal(positions, expected[0])
            assert (work >= k).all() and positions.dtype == np.int64 and distances.dtype == np.int32


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 16), st.integers(1, 900), st.integers(1, 50), st.integers(1, 6), st.integers(0, 2**31))
def test_ties_go_to_the_lowest_position(bits: int, n: int, k: int, distinct: int, seed: int) -> None:
    database, queries = draw(n, bits, seed, distinct), draw(3, bits, seed + 1)
    (positions, distances), _ = Table(database).nearest(queries, min(k, n))
    expected = nearest(queries, database, min(k, n))
    np.testing.assert_array_equal(distances, expected[1])
    np.testing.assert_array_equal(positions, expected[0])


def test_a_bucket_is_left_as_soon_as_the_rest_cannot_win() -> None:
    database = draw(100_000, 16, seed=1, distinct=1)
    _, work = Table(database).nearest(database[:1], 10)
    assert work[0] < 100


def test_a_query_beyond_the_budget_is_given_up() -> None:
    database = draw(2000, 16, seed=2, distinct=3)
    near, far = database[:1], draw(1, 16, seed=5)
    _, work = Table(database).nearest(near, 5, budget=50)
    assert work[0] > 0
    _, work = Table(database).nearest(far, 5, budget=3)
    assert work[0] < 0


def test_longer_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="table: expected codes of at most 16 bits, got 17"):
        Table(draw(3, 17))
