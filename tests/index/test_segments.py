"""Segments find what living rows hold, however many dead ones lie between; columns keep ids of both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from naive_search import draw, nearest

from modalhash.index.columns import IdColumn, Rows
from modalhash.index.segments import DEAD, MERGED, Segment, State
from modalhash.index.truth import News

BITS, N = 24, 400
CODES = draw(N, BITS, seed=1, distinct=60)
QUERIES = draw(5, BITS, seed=2)


def rows(positions: Any, codes: Any = None) -> Rows:
    places = np.asarray(positions, np.int64)
    return Rows(places, CODES[places % N] if codes is None else codes, IdColumn((places * 10).astype(np.int64)))


def check(state: State, kept: dict[int, int]) -> None:
    """kept: position -> row of CODES, ascending."""
    places = np.array(sorted(kept), np.int64)
    codes = CODES[np.array([kept[place] for place in places.tolist()], np.int64)]
    assert len(state) == len(places)
    for k in (1, 7, 2 * N):
        hits = state.search(QUERIES, k)
        expected, distances = nearest(QUERIES, codes, k)
        np.testing.assert_array_equal(hits.distances, distances)
        np.testing.assert_array_equal(hits.ids, 10 * places[expected])
    some = places[::3]
    hits = state.search(QUERIES, 9, some)
    expected, distances = nearest(QUERIES, codes[::3], 9)
    np.testing.assert_array_equal(hits.distances, distances)
    np.testing.assert_array_equal(hits.ids, 10 * some[expected])
    np.testing.assert_array_equal(state.rows().positions, places)
    np.testing.assert_array_equal(state.index.codes.packed, codes.packed)  # type: ignore[union-attr]


@pytest.mark.parametrize("dead", [1, 15, 16, 17, 100, 200, N - 1, N])
def test_the_nearest_may_all_be_dead(dead: int) -> None:
    state = State.of(rows(range(N)), 0, N - 1, "mapped")
    order, _ = nearest(QUERIES[:1], CODES, N)
    gone = np.sort(order[0, :dead])
    after = state.after(News(gone, Rows.none(BITS), Rows.none(BITS)), 1, N - 1)
    check(after, {i: i for i in range(N) if i not in set(gone.tolist())})
    check(state, {i: i for i in range(N)})  # a search that is under way sees the old state


def test_updated_items_keep_their_place_among_equal_distances() -> None:
    state = State.of(rows(range(0, N, 2)), 0, N - 2, "mapped")
    kept = {i: i for i in range(0, N, 2)}
    rng = np.random.default_rng(3)
    last = N - 2
    for version in range(1, 12):
        gone = np.sort(rng.choice(np.array(list(kept)), 20, replace=False))
        stay, source = gone[::2], rng.integers(0, N, 10)
        fresh = np.arange(last + 1, last + 1 + version)
        updated = rows(stay, CODES[source])
        state = state.after(News(gone, updated, rows(fresh)), version, int(fresh[-1]))
        last = int(fresh[-1])
        kept = {place: row for place, row in kept.items() if place not in set(gone.tolist())}
        kept |= dict(zip(stay.tolist(), source.tolist(), strict=True)) | {i: i % N for i in fresh.tolist()}
        check(state, kept)
    assert state.cache == "mapped" and len(state.segments) == 2


def test_too_many_dead_rows_are_folded_and_small_segments_merged() -> None:
    n = 3 * DEAD
    state = State.of(rows(range(n), CODES[np.arange(n) % N]), 0, n - 1, "mapped")
    first = state.after(News(np.arange(DEAD), Rows.none(BITS), Rows.none(BITS)), 1, n - 1)
    assert len(first.segments[0].dead) == DEAD and first.cache == "mapped"
    second = first.after(News(np.array([DEAD]), Rows.none(BITS), Rows.none(BITS)), 2, n - 1)
    assert len(second.segments) == 1 and not len(second.segments[0].dead) and second.cache is None
    assert len(second) == n - DEAD - 1
    for i in range(3):
        large = np.arange(n + i * MERGED, n + (i + 1) * MERGED)
        first = first.after(News(np.empty(0, np.int64), Rows.none(BITS), rows(large)), 3 + i, int(large[-1]))
    assert [len(part.rows) for part in first.segments] == [n, 3 * MERGED]


@pytest.mark.parametrize(
    "ids",
    [
        [5, -(2**63), 2**63 - 1],
        ["ab", "cd", "ef"],
        ["日本", "🦊b"],
        ["a", "", "bcd"],
        ["é", "ab"],
        ["日本", "x" * 300],
        ["🦊", "🦊b", ""],
        [""],
        [],
    ],
)
def test_columns_give_back_what_they_took(ids: list[Any]) -> None:
    column = IdColumn.of(ids)
    every = np.arange(len(ids))
    assert len(column) == len(ids) and column.take(every).tolist() == ids
    assert column.pick(every[::-1]).take(every).tolist() == ids[::-1]
    twice = IdColumn.joined([column, IdColumn.of([]), column.pick(every[1:])])
    assert twice.take(np.arange(len(twice))).tolist() == ids + ids[1:]
    assert column.take(np.tile(every, (2, 1))).shape == (2, len(ids))
    assert column.take(np.empty((2, 0), np.int64)).shape == (2, 0)


def test_columns_of_different_letters_are_joined() -> None:
    parts = [["ab", "c"], ["日"], ["🦊z"], ["é"]]
    joined = IdColumn.joined([IdColumn.of(part) for part in parts])
    assert joined.take(np.arange(5)).tolist() == [id_ for part in parts for id_ in part]
    assert IdColumn.of(parts[0]).letters.dtype == np.uint8  # type: ignore[union-attr]


def test_a_segment_shares_its_search_with_what_it_was() -> None:
    segment = Segment.of(rows(range(N)))
    later = segment.without(np.array([3, 9, N + 5]))
    assert later.search is segment.search and len(later) == N - 2 and segment.without(np.array([N])) is segment
