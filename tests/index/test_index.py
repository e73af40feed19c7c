"""Exact search against a naive twin, with ties everywhere, and what an index refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.index import scan

Pairs = list[list[tuple[int, int]]]


def some(n: int, k: int, seed: int = 0) -> BinaryCodes:
    return BinaryCodes.from_signs(np.random.default_rng([seed, k]).choice([-1.0, 1.0], (n, k)))


def naive(queries: BinaryCodes, codes: BinaryCodes, k: int, allowed: list[int] | None = None) -> Pairs:
    places = range(len(codes)) if allowed is None else allowed
    a, b = queries.signs(), codes.signs()
    return [sorted((int((q != b[i]).sum()), i) for i in places)[:k] for q in a]


def pairs(hits: mh.Hits) -> Pairs:
    rows = zip(hits.distances.tolist(), hits.ids.tolist(), strict=True)
    return [list(zip(d, i, strict=True)) for d, i in rows]


@pytest.mark.parametrize("n_bits", [1, 3, 8, 9, 64, 65, 129])
@pytest.mark.parametrize("k", [1, 2, 17, 59, 60, 61, 500])
def test_the_order_is_distance_then_position(n_bits: int, k: int) -> None:
    codes, queries = some(60, n_bits), some(9, n_bits, 1)
    hits = mh.Index.build(codes).search(queries, k)
    assert hits.ids.shape == hits.distances.shape == (9, min(k, 60)) and len(hits) == 9
    assert hits.distances.dtype == np.int32 and hits.ids.dtype == np.int64
    assert pairs(hits) == naive(queries, codes, k)


def test_equal_codes_come_in_order_of_insertion() -> None:
    codes = BinaryCodes.from_signs(np.ones((3000, 16)))
    index = mh.Index.build(codes)
    for k in (1, 7, 2999, 3000):
        assert index.search(codes[:2], k).ids.tolist() == [list(range(k))] * 2


def test_batches_of_queries_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, queries = some(50, 5), some(23, 5, 1)
    expected = pairs(mh.Index.build(codes).search(queries, 11))
    monkeypatch.setattr(scan, "SCORES", 120, raising=False)
    assert pairs(mh.Index.build(codes).search(queries, 11)) == expected
    for i in range(23):
        assert pairs(mh.Index.build(codes).search(queries[i], 11)) == expected[i : i + 1]


def test_ids_are_returned_in_place_of_positions() -> None:
    codes, queries = some(20, 4), some(5, 4, 1)
    texts = [f"item-{i} ü" for i in range(20)]
    numbers = np.arange(20) * -7 + 2**60
    order = [[i for _, i in row] for row in naive(queries, codes, 20)]
    hits = mh.Index.build(codes, texts).search(queries, 20)
    assert hits.ids.tolist() == [[texts[i] for i in row] for row in order]
    hits = mh.Index.build(codes, numbers.tolist()).search(queries, 20)
    assert hits.ids.tolist() == [[int(numbers[i]) for i in row] for row in order]
    assert mh.Index.build(codes, np.arange(20, dtype=np.uint8)).ids.dtype == np.int64


ALLOWED = [17, 3, 4, 11, 0]


@pytest.mark.parametrize(
    "allow",
    [
        ALLOWED,
        np.array(ALLOWED),
        np.array(ALLOWED, dtype=np.uint16),
        np.array(ALLOWED, dtype=np.int8),
        tuple(ALLOWED),
        [*ALLOWED, 3, 3],
        np.isin(np.arange(20), ALLOWED),
        np.isin(np.arange(20), ALLOWED).tolist(),
    ],
)
def test_only_allowed_items_are_found_in_the_order_of_insertion(allow: Any) -> None:
    codes, queries = some(20, 2), some(6, 2, 1)
    index = mh.Index.build(codes)
    for k in (1, 3, 5, 9):
        assert pairs(index.search(queries, k, allow)) == naive(queries, codes, k, ALLOWED)


def test_allow_by_texts() -> None:
    codes, queries = some(20, 2), some(6, 2, 1)
    index = mh.Index.build(codes, [f"i{i}" for i in range(20)])
    found = index.search(queries, 4, [f"i{i}" for i in ALLOWED])
    assert found.ids.tolist() == [[f"i{i}" for _, i in row] for row in naive(queries, codes, 4, ALLOWED)]


@pytest.mark.parametrize("allow", [[], np.array([], dtype=np.int64), np.zeros(20, dtype=bool)])
def test_allowing_nothing_finds_nothing(allow: Any) -> None:
    for ids in (None, [f"i{i}" for i in range(20)]):
        index = mh.Index.build(some(20, 8), ids)
        hits = index.search(some(3, 8, 1), 5, allow)
        assert hits.ids.shape == hits.distances.shape == (3, 0)
        assert hits.ids.dtype == index.ids.dtype and hits.distances.dtype == np.int32


@pytest.mark.parametrize(
    ("allow", "kind", "message"),
    [
        ([3, 99], ValueError, "unknown id 99"),
        ([-1], ValueError, "unknown id -1"),
        (["3"], TypeError, "integers"),
        ([1.0], TypeError, "integers.*float"),
        ([[1]], TypeError, r"\(1, 1\)"),
        (np.array([[1]], dtype=np.uint8), TypeError, r"\(1, 1\)"),
        (np.array([2**64 - 1], dtype=np.uint64), ValueError, "unknown id"),
        (3, TypeError, r"\(\)"),
        (np.ones(19, dtype=bool), ValueError, r"\(20,\).*\(19,\)"),
        (np.ones((20, 1), dtype=bool), ValueError, r"\(20, 1\)"),
        ({1, 2}, TypeError, "object"),
    ],
)
def test_other_filters_are_refused(allow: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        mh.Index.build(some(20, 8), np.arange(20)).search(some(1, 8), 1, allow)


def test_filters_of_the_other_kind_are_refused_with_both_kinds() -> None:
    with pytest.raises(TypeError, match=r"texts.*int64"):
        mh.Index.build(some(3, 8), ["a", "b", "c"]).search(some(1, 8), 1, [1])
    with pytest.raises(ValueError, match=r"unknown id .*'d'"):
        mh.Index.build(some(3, 8), ["a", "b", "c"]).search(some(1, 8), 1, ["a", "d"])


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        ([1, 2, 1], ValueError, "1 occurs 2 times"),
        (["a", "b", "b"], ValueError, "b.* occurs 2 times"),
        ([1, 2], ValueError, r"\(3,\).*\(2,\)"),
        ([[1, 2, 3]], ValueError, r"\(1, 3\)"),
        ([1, "a", 2], TypeError, "both"),
        ((1, "a", 2), TypeError, "both"),
        ([1.0, 2, 3], TypeError, "float"),
        ([True, False, True], TypeError, "bool"),
        ([None, 1, 2], TypeError, "object"),
        ([b"a", b"b", b"c"], TypeError, "S1"),
        (np.array([1, 2, 2**63], dtype=np.uint64), ValueError, "int64"),
    ],
)
def test_other_ids_are_refused(ids: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        mh.Index.build(some(3, 8), ids)


@pytest.mark.parametrize(("k", "kind"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_k_is_a_positive_integer(k: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="k: expected an integer"):
        mh.Index.build(some(3, 8)).search(some(1, 8), k)


def test_no_queries_give_no_hits() -> None:
    index = mh.Index.build(some(3, 8))
    assert index.search(some(1, 8)[:0], 2).ids.shape == (0, 2)
    assert index.search(some(1, 8)[:0], 2, [1]).ids.shape == (0, 1)
    assert len(index.search(some(1, 8)[:0], 2)) == 0 and len(index) == 3


def test_codes_and_queries_must_be_a_pair() -> None:
    index = mh.Index.build(some(3, 8))
    with pytest.raises(TypeError, match=r"BinaryCodes.*float32 array"):
        index.search(np.zeros((1, 8), np.float32), 1)
    with pytest.raises(TypeError, match=r"BinaryCodes.*(Quantized|ndarray)"):
        mh.Index.build(np.zeros((1, 8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"9 bits.*8 bits"):
        index.search(some(1, 9), 1)
    with pytest.raises(ValueError, match="at least one code"):
        mh.Index.build(some(3, 8)[:0])


@pytest.mark.parametrize("ids", [None, [5, -3, 2**62], ["ü", "日本 語", ""]])
def test_an_index_comes_back_and_its_files_are_stable(tmp_path: Path, ids: Any) -> None:
    codes = some(3, 13)
    index = mh.Index.build(codes, ids)
    for name in ("a", "b"):
        index.save(tmp_path / name)
    loaded = mh.Index.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert loaded.ids.dtype == index.ids.dtype and loaded.ids.tolist() == index.ids.tolist()
    assert isinstance(loaded.codes, mh.BinaryCodes)
    np.testing.assert_array_equal(loaded.codes.packed, codes.packed)
    assert pairs(loaded.search(codes, 3)) == pairs(index.search(codes, 3))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_damaged_index_folders_are_refused_by_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        mh.Index.load(tmp_path / "nowhere")
    mh.Index.build(some(3, 8), ["a", "b", "c"]).save(tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    whole = path.read_text()
    for wrong in (whole.replace('"b"', '"a"'), whole.replace('"ids"', '"names"'), whole.replace('"b",', "")):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"index\.json"):
            mh.Index.load(tmp_path / "index")
