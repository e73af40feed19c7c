"""Counting: the kernels, numpy and a plain loop give the same counts, whatever the codes, labels and threads."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.metrics import SharedLabels, counting, pairs, retrieval
from modalhash.metrics.counts import TieCounts
from modalhash.metrics.relevance import GivenRelevance, mask_words
from modalhash.views import Array

BITS = (1, 16, 63, 64, 65, 128, 257)
PATHS = ("vector", "numba", "numpy")


def draw(n: int, bits: int, seed: int, distinct: int = 50) -> BinaryCodes:
    """Codes around a few centres, so that near, far and equal codes occur."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).random((distinct, bits)) < 0.5
    return BinaryCodes.from_signs(1.0 - 2 * (centres[rng.integers(0, distinct, n)] ^ (rng.random((n, bits)) < 0.1)))


def labels(n: int, columns: int, seed: int, share: float = 0.15) -> NDArray[np.float32]:
    """Labels of which some rows are empty."""
    rng = np.random.default_rng(seed)
    ones = rng.random((n, columns)) < share
    ones[rng.random(n) < 0.1] = False
    return ones.astype(np.float32)


def slow(database: BinaryCodes, queries: BinaryCodes, truth: SharedLabels, highest: int | None = None) -> Any:
    """Counts (queries, n_bits + 1, levels) by a loop over pairs of signs and label rows."""
    top = len(truth.grades) - 1 if highest is None else highest
    counts = np.zeros((len(queries), database.n_bits + 1, top + 1), np.int64)
    given, asked = np.asarray(truth.database), np.asarray(truth.query)
    for q, query in enumerate(queries.signs()):
        for i, code in enumerate(database.signs()):
            level = int(asked[q] == given[i]) if given.ndim == 1 else int((asked[q] * given[i]).sum())
            counts[q, int((query != code).sum()), min(level, top)] += 1
    return counts


def gains(truth: SharedLabels) -> NDArray[np.float64]:
    """A gain for every level that no sum of others equals by chance."""
    return np.sqrt(np.arange(len(truth.grades), dtype=np.float64))


def fields(counts: TieCounts) -> NDArray[np.float64]:
    """All that the measures read, one row a query."""
    return np.hstack([counts.items, counts.hits, counts.gained, counts.levels])


def counts_of(database: BinaryCodes, queries: BinaryCodes, truth: SharedLabels) -> Any:
    parts = list(pairs.counted(mh.Index.build(database), queries, truth, gains(truth), False))
    assert all(first is second for first, second in parts)
    return np.concatenate([fields(part) for part, _ in parts])


def slow_fields(database: BinaryCodes, queries: BinaryCodes, truth: SharedLabels) -> NDArray[np.float64]:
    return fields(TieCounts.of(slow(database, queries, truth), gains(truth)))


def by_kernels(
    database: BinaryCodes, queries: BinaryCodes, truth: SharedLabels, levels: int = 0, threads: int = 1
) -> Any:
    words = truth.words()
    assert words is not None
    items, asked = (pairs.code_words(database), words[1]), (pairs.code_words(queries), words[0])
    shape = database.n_bits + 1, levels or len(truth.grades)
    return counting.count(items, asked, shape, np.ndim(truth.query) == 1, threads)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("columns", [1, 7, 64, 65, 130])
def test_all_paths_equal_a_loop_over_pairs(bits: int, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    database, queries = draw(150, bits, 1), draw(9, bits, 2)
    truth = SharedLabels(labels(9, columns, 3), labels(150, columns, 4))
    expected = slow(database, queries, truth)
    assert columns == 1 or expected[:, :, 2:].any()  # some items share more than one label
    for path in PATHS:
        monkeypatch.setenv("MODALHASH_KERNELS", path)
        np.testing.assert_allclose(
            counts_of(database, queries, truth), fields(TieCounts.of(expected, gains(truth))), rtol=1e-14
        )


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint64, bool])
def test_classes(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    classes = np.array([-3, 0, 1, 100]) if np.issubdtype(kind, np.signedinteger) else np.array([0, 1, 2, 2**40 + 7])
    query: Array = rng.choice(classes, 8).astype(kind)
    given: Array = rng.choice(classes, 120).astype(kind)
    database, queries = draw(120, 16, 1), draw(8, 16, 2)
    expected = slow(database, queries, SharedLabels(query, given))
    assert expected[:, :, 1].any() and expected[:, :, 0].any()
    for path in PATHS:
        monkeypatch.setenv("MODALHASH_KERNELS", path)
        truth = SharedLabels(query, given)
        np.testing.assert_array_equal(counts_of(database, queries, truth), fields(TieCounts.of(expected, gains(truth))))


@pytest.mark.parametrize("path", PATHS)
def test_classes_that_no_integer_type_holds_are_still_counted(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODALHASH_KERNELS", path)
    database, queries = draw(6, 16, 1), draw(2, 16, 2)
    names = SharedLabels(np.array(["cat", "dog"]), np.array(["cat", "cat", "dog", "eel", "eel", "cat"]))
    mixed = SharedLabels(np.array([2**63, 2], np.uint64), np.array([2, -1, 2, 4, 5, -(2**63)], np.int64))
    for truth in (names, mixed):
        assert truth.words() is None
        np.testing.assert_array_equal(counts_of(database, queries, truth), slow_fields(database, queries, truth))


@pytest.mark.parametrize("n", [1, 3, 4095, 4096, 4097, 40_000])
@pytest.mark.parametrize("queries", [1, 16, 37])
def test_stripes_blocks_groups_and_threads_change_nothing(n: int, queries: int) -> None:
    database, asked = draw(n, 64, 1), draw(queries, 64, 2)
    truth = SharedLabels(labels(queries, 80, 3), labels(n, 80, 4))
    one = by_kernels(database, asked, truth)
    parts = [part for part, _ in pairs.by_numpy(mh.Index.build(database), asked, truth, gains(truth), False)]
    expected = np.concatenate([fields(part) for part in parts])
    np.testing.assert_allclose(fields(TieCounts.of(one, gains(truth))), expected, rtol=1e-14)
    for threads in (2, 3, 50):
        np.testing.assert_array_equal(by_kernels(database, asked, truth, threads=threads), one)


@pytest.mark.parametrize("levels", [2, 3, 40, 3000])
def test_higher_levels_count_as_the_last(levels: int) -> None:
    database, queries = draw(80, 65, 1), draw(5, 65, 2)
    truth = SharedLabels(labels(5, 90, 3), labels(80, 90, 4))
    expected = slow(database, queries, truth, levels - 1)
    np.testing.assert_array_equal(by_kernels(database, queries, truth, levels), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 140), st.integers(1, 140), st.integers(1, 70), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_any_codes_and_labels(bits: int, columns: int, n: int, queries: int, seed: int) -> None:
    database, asked = draw(n, bits, seed), draw(queries, bits, seed + 1)
    truth = SharedLabels(labels(queries, columns, seed), labels(n, columns, seed + 1))
    np.testing.assert_array_equal(by_kernels(database, asked, truth), slow(database, asked, truth))


def test_no_labels_and_no_queries() -> None:
    database, asked = draw(10, 8, 1), draw(2, 8, 2)
    for columns in (0, 3):
        truth = SharedLabels(np.zeros((2, columns)), np.zeros((10, columns)))
        counts = by_kernels(database, asked, truth)
        assert counts.shape == (2, 9, 2) and counts[:, :, 0].sum() == 20 and not counts[:, :, 1].any()
    assert by_kernels(database, asked[:0], SharedLabels(np.zeros((0, 3)), np.zeros((10, 3))), 2, 4).shape == (0, 9, 2)


def test_masks_hold_every_label_once() -> None:
    ones = labels(3000, 130, 0)
    words = mask_words(ones)
    assert words.shape == (3, 3000) and words.dtype == np.uint64 and words.flags.c_contiguous
    np.testing.assert_array_equal(np.bitwise_count(words).sum(axis=0), ones.sum(axis=1))
    shared = np.bitwise_count(words[:, :40, None] & words[:, None, :50]).sum(axis=0)
    np.testing.assert_array_equal(shared, ones[:40] @ ones[:50].T)


@pytest.mark.parametrize("denominator", ["relevant", "min", "hits", "first"])
@pytest.mark.parametrize("empty", ["exclude", "zero"])
def test_results_do_not_depend_on_the_route(denominator: Any, empty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    index, queries = mh.Index.build(draw(700, 32, 1)), draw(40, 32, 2)
    truth = SharedLabels(labels(40, 70, 3, 0.03), labels(700, 70, 4, 0.03))
    given = GivenRelevance(truth.rows_graded(slice(None)))
    results = []
    ways: list[tuple[str, Any]] = [("numba", truth), ("numpy", truth), ("numpy", given.matrix)]
    for path, relevant in ways:
        monkeypatch.setenv("MODALHASH_KERNELS", path)
        results.append(retrieval(index, queries, relevant, (1, 10, 900), denominator=denominator, empty=empty))
    first, *others = results
    assert first.n_without_relevant
    for i, other in enumerate(others):
        assert other.conventions == first.conventions and other.n_without_relevant == first.n_without_relevant
        for mine, theirs in ((first.per_query, other.per_query), (first.curves, other.curves)):
            assert list(mine) == list(theirs)
            for name, values in mine.items():
                np.testing.assert_allclose(theirs[name], values, rtol=0, atol=1e-12 if i else 0)


def test_blocks_of_queries_do_not_change_the_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODALHASH_KERNELS", "numba")
    index, queries = mh.Index.build(draw(300, 20, 1)), draw(11, 20, 2)
    truth = SharedLabels(labels(11, 5, 3), labels(300, 5, 4))
    expected = retrieval(index, queries, truth)
    monkeypatch.setattr(pairs, "KEPT", 1)
    found = retrieval(index, queries, truth)
    for name, values in expected.per_query.items():
        np.testing.assert_array_equal(found.per_query[name], values)
    for name, values in expected.curves.items():
        np.testing.assert_allclose(found.curves[name], values, rtol=1e-14)


def test_the_amount_of_work_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODALHASH_KERNELS", raising=False)
    monkeypatch.delitem(sys.modules, pairs.COUNTING)
    assert not pairs.kernels_pay(pairs.SMALL) and pairs.kernels_pay(pairs.SMALL + 1)
    monkeypatch.setitem(sys.modules, pairs.COUNTING, counting)
    assert pairs.kernels_pay(1)
    monkeypatch.setenv("MODALHASH_KERNELS", "numpy")
    assert not pairs.kernels_pay(10**12)
    monkeypatch.setenv("MODALHASH_KERNELS", "fast")
    with pytest.raises(ValueError, match=r"MODALHASH_KERNELS.*'fast'"):
        pairs.kernels_pay(1)


def test_small_work_does_not_load_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODALHASH_KERNELS", raising=False)
    program = """if True:
        import sys, numpy as np, modalhash as mh
        codes = mh.BinaryCodes(np.arange(40, dtype=np.uint8)[:, None], 8)
        truth = mh.metrics.SharedLabels(np.arange(40) % 3, np.arange(40) % 3)
        mh.metrics.retrieval(mh.Index.build(codes), codes, truth)
        print("numba" in sys.modules)"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_what_the_kernels_must_not_read_is_refused() -> None:
    words = np.zeros((1, 5), np.uint64)
    good: Any = ((words, words), (words[:, :2].copy(), words[:, :2].copy()), (65, 2), False)
    assert counting.count(*good).sum() == 10
    for at, value, kind, message in [
        (0, (words.astype(np.int64), words), TypeError, "items.*int64"),
        (0, (words[0], words), TypeError, r"items.*\(5,\)"),
        (0, (np.zeros((2, 5), np.uint64)[:, ::2], words), TypeError, "items.*contiguous"),
        (0, (words[:, :4].copy(), words), ValueError, "items: 4 codes do not fit 5 labels"),
        (0, (np.zeros((2, 5), np.uint64), words), ValueError, "equally many words"),
        (1, (words, np.zeros((2, 5), np.uint64)), ValueError, "equally many words"),
        (2, (66, 2), ValueError, r"shape: \(66, 2\)"),
        (2, (65, 1), ValueError, r"shape: \(65, 1\)"),
        (2, (65, 2**28), ValueError, "2..32"),
    ]:
        bad = list(good)
        bad[at] = value
        with pytest.raises(kind, match=message):
            counting.count(*bad)


def test_inputs_are_not_written_to() -> None:
    database, asked = draw(50, 64, 1), draw(4, 64, 2)
    query, given = labels(4, 3, 3), labels(50, 3, 4)
    kept = [array.copy() for array in (database.packed, asked.packed, query, given)]
    by_kernels(database, asked, SharedLabels(query, given))
    for array, copy in zip((database.packed, asked.packed, query, given), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
