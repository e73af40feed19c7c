"""The look-up-table scan: three paths, any number of codebooks and words, one answer."""

from __future__ import annotations

import numpy as np
import pytest

from modalhash import Index
from modalhash.index import lookup, lookup_kernels
from modalhash.index.lookup_planes import planes as planes_of
from modalhash.index.scan import PATHS
from modalhash.quantized import F32, QuantizedCodes, Score

SIZES = (1, 63, 64, 65, 1000, 5000)
WIDTH = 6


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MODALHASH_KERNELS", request.param)
    return str(request.param)


def draw(n: int, m: int, words: int, score: Score = "dot", scale: float = 1.0) -> QuantizedCodes:
    rng = np.random.default_rng(n + m)
    codebooks = (scale * rng.standard_normal((m, words, WIDTH))).astype(np.float32)
    return QuantizedCodes(rng.integers(0, words, (n, m)).astype(np.uint8), codebooks, score)


def ask(count: int = 5) -> F32:
    return np.random.default_rng(1).standard_normal((count, WIDTH)).astype(np.float32)


def agree(queries: F32, codes: QuantizedCodes, ks: tuple[int, ...]) -> None:
    """The answers are those of a stable sort of all distances, float for float."""
    distances = lookup.scores(queries, codes)
    order = np.argsort(distances, axis=1, kind="stable")
    search = lookup.LookUp(codes)
    for k in ks:
        positions, found = search.nearest(queries, k)
        assert positions.dtype == np.int64 and found.dtype == np.float32
        np.testing.assert_array_equal(positions, order[:, :k])
        np.testing.assert_array_equal(found, np.take_along_axis(distances, order[:, :k], axis=1))


@pytest.mark.parametrize("score", ["dot", "l2"])
@pytest.mark.parametrize("words", [2, 16, 200, 256])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 8, 16])
def test_every_shape_as_a_stable_sort_of_the_scores(m: int, words: int, score: Score, path: str) -> None:
    for n in SIZES:
        agree(ask(), draw(n, m, words, score), (1, 7, 100, n + 3))


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_more_items_than_a_block_and_more_queries_than_a_group(score: Score, path: str) -> None:
    agree(ask(2 * lookup_kernels.GROUP + 3), draw(3 * lookup_kernels.BLOCK + 77, 4, 256, score), (1, 100, 3000))


@pytest.mark.parametrize("score", ["dot", "l2"])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-3, 1e15])
def test_small_large_and_zero_tables(scale: float, score: Score, path: str) -> None:
    agree(ask(), draw(9000, 4, 256, score, scale), (1, 100))
    agree(np.zeros((2, WIDTH), np.float32), draw(9000, 5, 256, score, scale), (1, 100))


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_tables_far_from_zero_lose_digits_but_no_item(shift: float, path: str) -> None:
    codes = draw(20_000, 4, 256)
    far = QuantizedCodes(codes.indices, codes.codebooks + np.float32(shift), "dot")
    agree(np.abs(ask()), far, (1, 100))


def test_sums_beyond_float32_are_left_to_numpy(path: str) -> None:
    codes = draw(3000, 4, 16, "dot", 3e37)
    with np.errstate(all="ignore"):
        expected = lookup.nearest_numpy(10 * ask(), codes, 9)
        found = lookup.LookUp(codes).nearest(10 * ask(), 9)
    assert np.array_equal(found[0], expected[0]) and found[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("score", ["dot", "l2"])
@pytest.mark.parametrize("distinct", [1, 3, 40])
def test_ties_go_to_the_lowest_position(distinct: int, score: Score, path: str) -> None:
    codes = draw(20_000, 4, 256, score)
    rows = np.random.default_rng(3).integers(0, distinct, len(codes))
    agree(ask(), codes[rows], (1, 100, 2500))


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_items_that_come_nearer_and_nearer_keep_filling_the_buffer(score: Score, path: str) -> None:
    codes, query = draw(20_000, 4, 256, score), ask(1)
    falling = codes[np.argsort(-lookup.scores(query, codes)[0])]
    agree(query, falling, (1, 10, 300))


def test_the_words_of_a_position_are_unsigned_bytes(path: str) -> None:
    """Entry 128 and above, where a signed byte is negative, are in the upper half of the table."""
    codebooks = np.arange(4 * 256, dtype=np.float32).reshape(4, 256, 1)
    indices = np.random.default_rng(4).integers(0, 256, (30_000, 4)).astype(np.uint8)
    codes = QuantizedCodes(indices, codebooks, "dot")
    agree(np.array([[1.0], [-1.0]], np.float32), codes, (1, 100))


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_an_index_keeps_the_layout_and_filters(score: Score, path: str) -> None:
    codes, queries = draw(5000, 4, 200, score), ask()
    index, allow = Index.build(codes), np.arange(5000) % 3 == 1
    order = np.argsort(index.distances(queries), axis=1, kind="stable")
    np.testing.assert_array_equal(index.search(queries, 100).ids, order[:, :100])
    first = index._look_up._planes if path != "numpy" else None
    np.testing.assert_array_equal(index.search(queries[:2], 9).ids, order[:2, :9])
    assert first is None or index._look_up._planes is first
    allowed = [row[allow[row]][:100] for row in order]
    np.testing.assert_array_equal(index.search(queries, 100, allow=allow).ids, allowed)


def test_no_queries_and_no_codes(path: str) -> None:
    full = draw(100, 4, 16)
    for queries, codes in ((ask()[:0], full), (ask(), full[:0]), (ask()[:0], full[:0])):
        positions, found = lookup.nearest(queries, codes, 7)
        assert positions.shape == found.shape == (len(queries), min(7, len(codes)))


def test_bounds_are_not_above_the_distances() -> None:
    """A byte table counts steps from below; slack covers what float sums lose."""
    for score in ("dot", "l2"):
        codes, query = draw(4000, 4, 256, "dot" if score == "dot" else "l2"), ask(1)
        planes = planes_of(codes)
        tables = np.ascontiguousarray(lookup.word_products(query, codes.codebooks).transpose(1, 0, 2))
        square = lookup._squares(query)[0] if score == "l2" else np.float32(0.0)
        distances = lookup.scores(query, codes)[0]
        steps = np.zeros((len(planes[0]), 256), np.uint8)
        limit = np.partition(distances, 50)[50]
        scale = lookup_kernels.byte_table(planes, tables[0], square, limit, steps)
        counted = sum(row[words[:4000]].astype(np.int64) for row, words in zip(steps, planes[0], strict=True))
        _, origin, slack, step = scale
        assert (origin + step * np.minimum(counted, 255) <= distances + slack)[distances < limit].all()
        assert (counted[distances < limit] <= lookup_kernels.most_steps(scale, limit)).all()


def test_arrays_that_the_kernels_must_not_read_are_refused() -> None:
    codes = draw(300, 4, 256, "l2")
    words, norms, least, n = planes_of(codes)
    tables, squares = np.zeros((2, 4, 256), np.float32), np.zeros(2, np.float32)
    good = (words, norms, least, n)
    for planes, given, squared, error, message in (
        (good, tables.astype(np.float64), squares, TypeError, "tables: expected a float32 array"),
        (good, tables[:, ::2], squares, ValueError, "tables: expected a contiguous"),
        (good, tables[:, :3].copy(), squares, ValueError, r"tables: expected \(queries, 4, 256\)"),
        (good, tables, squares[:1], ValueError, r"tables: expected \(queries, 4, 256\)"),
        ((words[:, :300].copy(), norms, least, n), tables, squares, ValueError, "words: expected at least 300"),
        ((words, norms, least, 513), tables, squares, ValueError, "words: expected at least 513"),
        ((words, norms[:9], least, n), tables, squares, ValueError, r"norms: expected shape \(300,\)"),
        ((words.astype(np.int8), norms, least, n), tables, squares, TypeError, "words: expected a uint8"),
    ):
        with pytest.raises(error, match=message):
            lookup_kernels.nearest(planes, given, squared, 3, vector=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k: expected 1 to 300, got 301"):
        lookup_kernels.nearest(good, tables, squares, 301, vector=False)
