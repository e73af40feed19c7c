"""Multi-index hashing gives the scan's answers, or gives a query up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_search import clusters, draw, nearest

from modalhash.index.multi_index import MultiIndex, built_bytes, chunking


@pytest.mark.parametrize("bits", [17, 31, 32, 33, 40, 50, 63, 64])
@pytest.mark.parametrize("n", [1, 2, 63, 65, 1000])
def test_as_the_naive_search(bits: int, n: int) -> None:
    database, queries = clusters(n, bits, seed=n), clusters(5, bits, seed=1)
    index = MultiIndex(database)
    for k in {1, min(7, n), min(100, n)}:
        expected = nearest(queries, database, k)
        (positions, distances), work = index.nearest(queries, k)
        np.testing.assert_array_equal(distances, expected[1])
        np.testing.assert_array_equal(positions, expected[0])
        assert (work >= k).all() and positions.dtype == np.int64 and distances.dtype == np.int32


def test_all_codes_when_as_many_are_asked_for() -> None:
    database, queries = draw(150, 24, seed=3), draw(3, 24, seed=4)
    (positions, _), _ = MultiIndex(database).nearest(queries, 150)
    np.testing.assert_array_equal(positions, nearest(queries, database, 150)[0])


def test_threads_do_not_change_the_answer() -> None:
    database, queries = clusters(5000, 64, seed=5), clusters(150, 64, seed=6)
    index = MultiIndex(database)
    (one, _), (two, _) = index.nearest(queries, 10), index.nearest(queries, 10, threads=2)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[0], nearest(queries, database, 10)[0])


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(17, 64),
    n=st.integers(1, 900),
    k=st.integers(1, 50),
    distinct=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
@example(bits=38, n=4, k=4, distinct=5, seed=29)  # one of three queries is given up
def test_ties_go_to_the_lowest_position(bits: int, n: int, k: int, distinct: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    database = draw(n, bits, seed, distinct)
    queries = database[rng.integers(0, n, 3)]
    (positions, distances), work = MultiIndex(database).nearest(queries, min(k, n), budget=2_000_000)
    answered = work >= 0  # few codes that lie far apart: nearly all buckets, and the query is given up
    expected = nearest(queries, database, min(k, n))
    np.testing.assert_array_equal(distances[answered], expected[1][answered])
    np.testing.assert_array_equal(positions[answered], expected[0][answered])


def test_near_neighbours_are_found_without_looking_at_most_codes() -> None:
    database, queries = clusters(50_000, 64, seed=7, centres=500), clusters(20, 64, seed=8, centres=500)
    (positions, _), work = MultiIndex(database).nearest(queries, 10)
    np.testing.assert_array_equal(positions, nearest(queries, database, 10)[0])
    assert np.median(work) < 20_000


def test_a_query_beyond_the_budget_is_given_up() -> None:
    database, queries = draw(5000, 64, seed=9), draw(4, 64, seed=10)
    _, work = MultiIndex(database).nearest(queries, 100, budget=2000)
    assert (work < 0).all()


def test_chunks_cover_the_bytes_of_a_code() -> None:
    for bits in range(17, 65):
        chunks, width = chunking(bits)
        assert chunks * width >= bits and 9 <= width <= 20
        index = MultiIndex(draw(100, bits))
        _, members, words, _ = index.tables
        assert members.nbytes + words[:, :100].nbytes == 100 * built_bytes(bits)


@pytest.mark.parametrize("bits", [16, 65])
def test_other_lengths_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"multi_index: expected 17 to 64 bits, got {bits}"):
        MultiIndex(draw(3, bits))
