"""Search chooses between the scan and buckets; whatever it chooses, the answers are the scan's."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from naive_search import clusters, draw, nearest

from modalhash import BinaryCodes, Index
from modalhash.index import choice, kernels
from modalhash.index.choice import Costs, Search
from modalhash.index.multi_index import MultiIndex
from modalhash.index.scan import KERNELS, PATHS
from modalhash.index.table import Table

assert kernels.__name__ == KERNELS  # loaded: "auto" does not build buckets before


@pytest.fixture(autouse=True)
def _own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the choice itself, whatever path the test run asks for."""
    monkeypatch.delenv("MODALHASH_KERNELS", raising=False)


def wait(search: Search) -> None:
    """Until buckets that are being built are there."""
    if search._building is not None:
        search._building.join()


def check(search: Search, queries: BinaryCodes, k: int) -> None:
    positions, distances = search.nearest(queries, k)
    expected = nearest(queries, search.codes, k)
    np.testing.assert_array_equal(distances, expected[1])
    np.testing.assert_array_equal(positions, expected[0])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("bits", "method"), [(12, "table"), (16, "auto"), (40, "multi_index"), (64, "scan")])
def test_all_turns_and_batches_give_the_naive_answer(
    bits: int, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODALHASH_KERNELS", path)
    monkeypatch.setattr(choice, "WORTH_A_TABLE", 1000)
    search = Search(clusters(3000, bits, seed=1), method)
    for turn in range(6):
        check(search, clusters(1, bits, seed=turn + 10), 20)
        wait(search)
    for size in (2, 50, 200):
        check(search, clusters(size, bits, seed=3), 7)
    check(search, clusters(4, bits, seed=3), 4000)
    assert search.nearest(clusters(0, bits), 3)[0].shape == (0, 3)
    assert (search.buckets is None) == (method == "scan" or path == "numpy")


@pytest.mark.parametrize("method", ["table", "multi_index"])
def test_queries_that_are_given_up_are_scanned(method: str) -> None:
    bits = 16 if method == "table" else 64
    search = Search(draw(3000, bits, seed=4), method)
    assert search._has_buckets()
    asked = draw(10, bits, seed=5)
    positions, distances = search._open(asked, 15, budget=0)
    expected = nearest(asked, search.codes, 15)
    np.testing.assert_array_equal(distances, expected[1])
    np.testing.assert_array_equal(positions, expected[0])


def test_a_query_that_looks_at_little_does_not_make_heavy_ones_too_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is overhead, not entries: the next query got a budget that sent it to the scan."""
    search = Search(draw(3000, 64, seed=4), "multi_index")
    assert search._has_buckets() and search.buckets is not None
    asked, budgets, looked = draw(1, 64, seed=5), [], iter([100_000, 100_000, 1, 100_000])
    answer = search.scanner.nearest(asked, 5)

    def opened(queries: BinaryCodes, k: int, budget: int, threads: int) -> tuple[object, object]:
        budgets.append(budget)
        return answer, np.array([next(looked)])

    clock = iter(np.cumsum([0.0, 1.0] * 4).tolist())  # every query takes a second
    monkeypatch.setattr(search.buckets, "nearest", opened)
    monkeypatch.setattr(choice, "process_time", lambda: next(clock))
    for _ in range(4):
        search._open(asked, 5, search._budget(2.0, most=sys.maxsize))
    assert budgets[2] == pytest.approx(200_000, rel=0.01) and budgets[3] > 100_000


@pytest.mark.parametrize(("method", "bits"), [("table", 16), ("multi_index", 32)])
def test_a_cost_that_was_measured_far_too_high_is_forgotten(method: str, bits: int) -> None:
    search = Search(clusters(3000, bits, seed=4), method)
    queries = clusters(1, bits, seed=5)
    check(search, queries, 5)
    search._opened = (1e3, 1.0)  # as if a query had met a machine that stood still
    assert search._budget(1e-3, most=sys.maxsize) == 0
    assert search._budget(1e-3, most=choice.TRIAL) == pytest.approx(1e-3 / choice.SECONDS_AN_ENTRY, abs=1)
    for _ in range(300):
        search._open(queries, 5, budget=0)  # given up, and still measured
    assert 1e-3 * search._budget(1.0, most=sys.maxsize) > 10


def test_the_cheaper_way_is_taken_and_the_other_tried_again() -> None:
    costs = Costs()
    for expected in (False, True, False, True):  # the measuring turns; the first of each way does not count
        opened, _ = costs.next_way()
        assert opened == expected
        costs.add(opened, (1.0 if opened else 2.0) * (100 if costs.turn < 3 else 1))
    assert (costs.scan, costs.buckets) == (2.0, 1.0)
    assert costs.next_way()[0]
    costs.buckets = 50.0
    ways = [costs.next_way() for _ in range(2 * choice.AGAIN)]
    assert sum(opened for opened, _ in ways) == 2
    assert all(most == choice.TRIAL for opened, most in ways if opened)
    costs.scan = 60.0
    assert sum(not costs.next_way()[0] for _ in range(2 * choice.AGAIN)) == 2
    costs.scan = 60.0 * choice.FAR
    assert all(costs.next_way()[0] for _ in range(2 * choice.AGAIN))


def test_auto_builds_a_multi_index_only_when_it_is_repaid(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(clusters(3000, 64, seed=6), "auto")
    check(search, clusters(1, 64, seed=7), 5)
    search._seconds_of_few = 1e9
    check(search, clusters(1, 64, seed=7), 5)
    assert search.buckets is None  # too few codes
    monkeypatch.setattr(choice, "WORTH_A_MULTI_INDEX", 1000)
    monkeypatch.setattr(choice, "MOST_BYTES", 100_000)
    assert not search._has_buckets()  # too large
    monkeypatch.setattr(choice, "MOST_BYTES", 150_000)
    search._seconds_of_few = 0.0
    assert not search._has_buckets()  # not repaid
    for _ in range(100):
        check(search, clusters(1, 64, seed=8), 5)
        if search._building is not None:
            break
    wait(search)
    assert isinstance(search.buckets, MultiIndex)


def test_auto_builds_a_table_for_many_short_codes() -> None:
    search = Search(draw(100_000, 10, seed=9), "auto")
    check(search, draw(3, 10, seed=10), 5)
    wait(search)
    assert isinstance(search.buckets, Table)
    assert not Search(draw(99_999, 10, seed=9), "auto")._has_buckets()


def test_no_search_waits_while_auto_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the request that came when building was repaid paid for it, a second at a million codes."""
    may_end, built = threading.Event(), []

    class Slow(Table):
        def __init__(self, codes: BinaryCodes) -> None:
            built.append(1)
            assert may_end.wait(60)
            super().__init__(codes)

    together = threading.Barrier(4)

    def worth(_: Search) -> bool:
        together.wait(60)
        return True

    monkeypatch.setattr(choice, "Table", Slow)
    monkeypatch.setattr(Search, "_worth_building", worth)
    search = Search(draw(3000, 12, seed=9))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda seed: check(search, draw(1, 12, seed=seed), 5), range(20)))
    assert search.buckets is None and built == [1]
    may_end.set()
    wait(search)
    for seed in range(6):
        check(search, draw(1, 12, seed=seed), 5)
    assert isinstance(search.buckets, Slow) and built == [1]


def test_buckets_are_opened_while_another_thread_measures_the_scan() -> None:
    """Regression: infinity was no number of entries, and one of two searches at once failed."""
    search = Search(draw(3000, 64, seed=4), "multi_index")
    asked = draw(1, 64, seed=5)
    expected, scan = search.scanner.nearest(asked, 5), search._scan

    def beside(queries: BinaryCodes, k: int) -> tuple[object, object]:
        search._scan = scan  # type: ignore[method-assign]
        for found, wanted in zip(search.nearest(asked, 5), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        return scan(queries, k)

    search._scan = beside  # type: ignore[method-assign,assignment]
    search.nearest(asked, 5)
    assert search._scan == scan


def test_the_method_travels_with_the_index(tmp_path: Path) -> None:
    codes = clusters(500, 24, seed=11)
    Index.build(codes, method="multi_index").save(tmp_path / "index")
    index = Index.load(tmp_path / "index")
    assert index.method == "multi_index"
    for _ in range(3):
        expected = nearest(codes[:2], codes, 9)
        np.testing.assert_array_equal(index.search(codes[:2], 9).ids, expected[0])
    allow = np.arange(0, 500, 2)
    hits = index.search(codes[:2], 9, allow=allow)
    np.testing.assert_array_equal(hits.ids, allow[nearest(codes[:2], codes[allow], 9)[0]])


@pytest.mark.parametrize(
    ("method", "bits", "message"),
    [
        ("fastest", 8, "method: expected one of auto, scan, table, multi_index, got 'fastest'"),
        ("table", 17, "method 'table' needs codes of at most 16 bits, got 17"),
        ("multi_index", 16, "method 'multi_index' needs codes of 17 to 64 bits, got 16"),
        ("multi_index", 65, "method 'multi_index' needs codes of 17 to 64 bits, got 65"),
    ],
)
def test_methods_that_do_not_fit_are_refused(method: str, bits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Index.build(draw(5, bits), method=method)
