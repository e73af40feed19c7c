from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.index import lookup
from modalhash.metrics.ranks import ranked_counts
from modalhash.quantized import F32, QuantizedCodes, Score
from modalhash.views import Array


def some_codes(n: int = 300, m: int = 4, words: int = 32, width: int = 24, score: Score = "dot") -> QuantizedCodes:
    rng = np.random.default_rng(0)
    codebooks = rng.standard_normal((m, words, width)).astype(np.float32)
    return QuantizedCodes(rng.integers(0, words, (n, m)).astype(np.uint8), codebooks, score)


def some_queries(q: int = 40, width: int = 24) -> F32:
    return np.random.default_rng(1).standard_normal((q, width)).astype(np.float32)


def decoded_distances(queries: F32, codes: QuantizedCodes) -> Array:
    """The slow twin: distances to the decoded vectors in float64."""
    vectors, rows = codes.decode().astype(np.float64), queries.astype(np.float64)
    if codes.score == "dot":
        return np.asarray(-rows @ vectors.T)
    return np.asarray(((rows[:, None] - vectors[None]) ** 2).sum(axis=2))


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_sums_of_table_entries_equal_decoded_products(score: Score) -> None:
    codes, queries = some_codes(score=score), some_queries()
    found = lookup.scores(queries, codes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, decoded_distances(queries, codes), rtol=1e-4, atol=1e-4)


def test_squared_distances_are_never_negative() -> None:
    codes = some_codes(score="l2")
    found = lookup.scores(codes.decode(), codes)
    assert (found >= 0).all() and np.diag(found).max() < 1e-3


@pytest.mark.parametrize("score", ["dot", "l2"])
@pytest.mark.parametrize(("m", "words", "width"), [(1, 1, 1), (1, 2, 3), (4, 16, 8), (2, 256, 7), (4, 64, 128)])
def test_a_query_alone_gets_the_floats_it_gets_in_a_batch(score: Score, m: int, words: int, width: int) -> None:
    codes = some_codes(n=50, m=m, words=words, width=width, score=score)
    queries = some_queries(33, width)
    batch = lookup.scores(queries, codes)
    for i in range(len(queries)):
        assert lookup.scores(queries[i : i + 1], codes).tobytes() == batch[i].tobytes()


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_blocks_of_any_size_give_the_same_results(monkeypatch: pytest.MonkeyPatch, score: Score) -> None:
    codes, queries = some_codes(score=score), some_queries()
    scores, (positions, distances) = lookup.scores(queries, codes), lookup.nearest(queries, codes, 7)
    for name, value in {"SCORES": 700, "CELLS": 300, "ITEMS": 11}.items():
        monkeypatch.setattr(lookup, name, value)
    assert np.array_equal(lookup.scores(queries, codes), scores)
    again = lookup.nearest(queries, codes, 7)
    assert np.array_equal(again[0], positions) and np.array_equal(again[1], distances)


@pytest.mark.parametrize("k", [1, 10, 299, 300, 999])
@pytest.mark.parametrize("score", ["dot", "l2"])
def test_the_nearest_are_exact_and_ties_keep_the_order_of_insertion(score: Score, k: int) -> None:
    codes = some_codes(m=2, words=3, width=6, score=score)  # 9 different vectors among 300: ties everywhere
    queries = some_queries(width=6)
    distances = lookup.scores(queries, codes)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    positions, found = lookup.nearest(queries, codes, k)
    assert np.array_equal(positions, order)
    assert np.array_equal(found, np.take_along_axis(distances, order, axis=1))


def test_ordered_integers_follow_the_floats() -> None:
    values = np.array([-np.inf, -3.5, -1e-30, -0.0, 0.0, 1e-30, 2.0, np.inf], dtype=np.float32)
    keys = lookup.ordered(values).astype(np.int64)
    assert (np.diff(keys) >= 0).all()
    assert np.flatnonzero(np.diff(keys) == 0).tolist() == [3]


def test_an_index_filters_names_and_comes_back(tmp_path: Path) -> None:
    codes, queries = some_codes(), some_queries()
    ids = [f"item {i}" for i in range(len(codes))]
    index = mh.Index.build(codes, ids)
    distances = lookup.scores(queries, codes)
    allow = np.arange(len(codes)) % 3 == 0
    hits = index.search(queries, 5, allow=allow)
    order = np.argsort(np.where(allow, distances, np.inf), axis=1, kind="stable")[:, :5]
    assert np.array_equal(hits.ids, np.asarray(ids)[order]) and hits.distances.dtype == np.float32
    index.save(tmp_path / "index")
    again = mh.Index.load(tmp_path / "index").search(queries, 5, allow=allow)
    assert np.array_equal(again.ids, hits.ids) and np.array_equal(again.distances, hits.distances)
    nothing = index.search(queries, 5, allow=[])
    assert nothing.ids.shape == (40, 0) and nothing.distances.dtype == np.float32


def test_quantised_queries_are_decoded() -> None:
    codes = some_codes(score="l2")
    index = mh.Index.build(codes)
    hits, same = index.search(codes[:9], 4), index.search(codes[:9].decode(), 4)
    assert np.array_equal(hits.ids, same.ids) and hits.ids[:, 0].tolist() == list(range(9))
    assert np.array_equal(index.distances(codes[:9]), index.distances(codes[:9].decode()))


BINARY = mh.BinaryCodes.from_signs(np.ones((3, 24)))


@pytest.mark.parametrize(
    ("queries", "error", "message"),
    [
        (BINARY, TypeError, "QuantizedCodes is searched with float32 vectors or QuantizedCodes, not with BinaryCodes"),
        (np.zeros((3, 24), np.int64), TypeError, "not with a int64 array"),
        (None, TypeError, "not with NoneType"),
        (np.zeros((3, 23), np.float32), ValueError, r"expected shape \(queries, 24\), got \(3, 23\)"),
        (np.zeros(24, np.float32), ValueError, r"expected shape \(queries, 24\), got \(24,\)"),
        (np.full((3, 24), np.nan, np.float32), ValueError, "queries: hold NaN"),
        (np.full((3, 24), 1e300), ValueError, "queries: hold NaN or an infinity"),
    ],
)
def test_other_queries_are_refused(queries: Any, error: type[Exception], message: str) -> None:
    index = mh.Index.build(some_codes())
    for call in (lambda: index.search(queries, 1), lambda: index.distances(queries)):
        with pytest.raises(error, match=message):
            call()


def test_an_index_over_binary_codes_refuses_vectors() -> None:
    index = mh.Index.build(BINARY)
    with pytest.raises(TypeError, match="BinaryCodes is searched with BinaryCodes, not with a float32 array"):
        index.search(some_queries(), 1)
    with pytest.raises(TypeError, match="not with QuantizedCodes"):
        index.search(some_codes(), 1)
    with pytest.raises(TypeError, match="codes: expected BinaryCodes or QuantizedCodes, got ndarray"):
        mh.Index.build(some_queries())  # type: ignore[arg-type]
    assert index.distances(BINARY).dtype == np.int32


def test_equal_floats_are_one_tie_group() -> None:
    distances = np.array([[0.5, -1.0, 0.5, 2.0], [0.0, -0.0, 0.0, 0.0]], dtype=np.float32)
    counts = ranked_counts(distances, np.ones((2, 4), int), np.array([0.0, 1]), by_position=False)
    assert counts.items.tolist() == counts.hits.tolist() == [[1, 2, 1], [4, 0, 0]]


@pytest.mark.parametrize("ties", ["expected", "position"])
def test_measures_of_sign_vectors_equal_those_of_their_bits(ties: Any) -> None:
    rng = np.random.default_rng(3)
    bits = np.unpackbits(rng.integers(0, 256, (200, 1)).astype(np.uint8), axis=1)
    half = np.unpackbits(np.arange(16, dtype=np.uint8)[:, None], axis=1)[:, 4:] * 2.0 - 1.0
    codebooks = np.zeros((2, 16, 8), np.float32)
    codebooks[0, :, :4] = codebooks[1, :, 4:] = half
    packed = np.packbits(bits, axis=1)
    quantised = QuantizedCodes(np.hstack([packed >> 4, packed & 15]), codebooks, "dot")
    assert np.array_equal(quantised.decode(), bits * 2.0 - 1.0)
    binary = mh.BinaryCodes(packed, 8)
    relevant = rng.random((30, 200)) < 0.2
    relevant[4] = False
    expected = mh.metrics.retrieval(mh.Index.build(binary), binary[:30], relevant, (5, 40), ties=ties)
    for queries in (quantised[:30], quantised[:30].decode()):
        found = mh.metrics.retrieval(mh.Index.build(quantised), queries, relevant, (5, 40), ties=ties)
        assert found.n_without_relevant == 1
        assert set(expected.per_query) - set(found.per_query) == {"P@radius2", "empty@radius2"}
        for name, values in found.per_query.items():
            np.testing.assert_allclose(values, expected.per_query[name], rtol=1e-12)
