"""The scan: three paths, any width, any number of threads, one answer."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_search import clusters, distances, draw
from naive_search import nearest as naive_nearest
from naive_search import within as naive_within

from modalhash import BinaryCodes, Index
from modalhash.index import kernels
from modalhash.index.scan import PATHS, Scanner, nearest, planes

WIDTHS = (1, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300)
SIZES = (1, 2, 63, 64, 65, 1000, 5000)


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MODALHASH_KERNELS", request.param)
    return str(request.param)


def same(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert found[0].dtype == np.int64 and found[1].dtype == np.int32
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("bits", WIDTHS)
def test_every_width_and_size_as_the_naive_search(bits: int, path: str) -> None:
    for n in SIZES:
        database, queries = draw(n, bits, seed=n), draw(5, bits, seed=1)
        for k in (1, 7, 100, n + 3):
            same(Scanner(database).nearest(queries, k), naive_nearest(queries, database, k))


@pytest.mark.parametrize("bits", [8, 16, 32, 64, 128, 256, 300])
@pytest.mark.parametrize("distinct", [1, 3, 40])
def test_ties_go_to_the_lowest_position(bits: int, distinct: int, path: str) -> None:
    database, queries = draw(5000, bits, seed=2, distinct=distinct), draw(40, bits, seed=3, distinct=7)
    for k in (1, 100, 1700):
        same(nearest(queries, database, k), naive_nearest(queries, database, k))


@pytest.mark.parametrize("bits", [16, 64, 128])
@pytest.mark.parametrize("queries", [1, 3, 100])
def test_threads_do_not_change_the_answer(bits: int, queries: int, path: str) -> None:
    database, asked = clusters(20_000, bits, seed=4), clusters(queries, bits, seed=5)
    one = Scanner(database, threads=1).nearest(asked, 50)
    same(one, naive_nearest(asked, database, 50))
    for threads in (2, 3):
        same(Scanner(database, threads=threads).nearest(asked, 50), one)
    same(Scanner(database[:2], threads=3).nearest(asked, 5), naive_nearest(asked, database[:2], 5))


def test_codes_that_come_nearer_and_nearer_keep_filling_the_buffer(path: str) -> None:
    falling = BinaryCodes.from_signs(np.where(np.arange(64) < np.linspace(64, 0, 9000)[:, None], 1.0, -1.0))
    query = BinaryCodes.from_signs(-np.ones((1, 64)))
    same(nearest(query, falling, 10), naive_nearest(query, falling, 10))


@pytest.mark.parametrize("bits", [16, 20, 64, 256])
def test_within_finds_all_and_only_codes_up_to_the_radius(bits: int, path: str) -> None:
    database, queries = clusters(3000, bits, seed=6, centres=4), clusters(35, bits, seed=7, centres=4)
    for radius in (0, bits // 8, bits // 4, bits, bits + 5):
        ends, positions, found = Scanner(database).within(queries, radius)
        assert ends.dtype == positions.dtype == np.int64 and found.dtype == np.int32 and ends.shape == (35,)
        parts = zip(np.split(found, ends[:-1]), np.split(positions, ends[:-1]), strict=True)
        answers = [list(zip(d.tolist(), p.tolist(), strict=True)) for d, p in parts]
        assert answers == naive_within(queries, database, radius)


def test_no_queries_and_no_codes(path: str) -> None:
    full, empty = draw(100, 64), draw(100, 64)[:0]
    for queries, database in ((empty, full), (full, empty), (empty, empty)):
        positions, found = nearest(queries, database, 7)
        assert positions.shape == found.shape == (len(queries), min(7, len(database)))
        ends, positions, found = Scanner(database).within(queries, 64)
        assert ends.tolist() == [0] * len(queries) and not len(positions) and not len(found)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.sampled_from([3, 16, 30, 64]),
    n=st.integers(1, 1500),
    k=st.integers(1, 300),
    distinct=st.one_of(st.none(), st.integers(1, 9)),
    seed=st.integers(0, 2**31),
    path=st.sampled_from(PATHS),
)
def test_any_search_as_the_naive_one(bits: int, n: int, k: int, distinct: int | None, seed: int, path: str) -> None:
    database, queries = draw(n, bits, seed, distinct), draw(3, bits, seed + 1, distinct)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODALHASH_KERNELS", path)
        same(nearest(queries, database, k), naive_nearest(queries, database, k))


def test_the_index_scans_a_subset_and_leaves_inputs_alone(path: str) -> None:
    codes, queries = draw(3000, 48, seed=8, distinct=60), draw(4, 48, seed=9)
    before = codes.packed.copy(), queries.packed.copy()
    codes.packed.setflags(write=False)
    index, allow = Index.build(codes), np.arange(0, 3000, 7)
    hits, subset = index.search(queries, 20), index.search(queries, 20, allow=allow)
    same((hits.ids, hits.distances), naive_nearest(queries, codes, 20))
    expected = naive_nearest(queries, codes[allow], 20)
    same((subset.ids, subset.distances), (allow[expected[0]], expected[1]))
    assert index.search(queries, 5, allow=[]).ids.shape == (4, 0)
    assert (codes.packed == before[0]).all() and (queries.packed == before[1]).all()


def test_planes_are_padded_with_zeros_to_the_next_width() -> None:
    for bits, (dtype, count) in {5: ("u2", 1), 17: ("u4", 1), 33: ("u8", 1), 65: ("u8", 2), 129: ("u8", 4)}.items():
        made = planes(draw(10, bits))
        assert len(made) == count and all(plane.dtype == dtype and plane.shape == (10,) for plane in made)
    odd = np.frombuffer(b"x" + draw(10, 64).packed.tobytes(), np.uint8)[1:].reshape(10, 8)  # not aligned
    assert planes(BinaryCodes(odd, 64))[0].flags.aligned
    one, other = draw(10, 300, seed=1), draw(6, 300, seed=2)
    words = zip(planes(one), planes(other), strict=True)
    total = sum(np.bitwise_count(a[:, None] ^ b).astype(int) for a, b in words)
    np.testing.assert_array_equal(total, distances(one, other))


def test_kernels_refuse_what_they_must_not_read() -> None:
    good = planes(draw(50, 64))
    for bad, error in [
        ((good[0].astype(np.int64),), TypeError),
        ((good[0].astype(np.float64),), TypeError),
        ((good[0].tolist(),), TypeError),
        ((good[0].view(np.uint32),), TypeError),
        ((good[0][::2],), ValueError),
        ((good[0].reshape(5, 10),), ValueError),
        (good * 2, ValueError),
        ((), ValueError),
        (good[0], ValueError),
    ]:
        with pytest.raises(error):
            kernels.nearest(bad, good, 3, vector=False)  # type: ignore[arg-type]
        with pytest.raises(error):
            kernels.within(good, bad, 3, vector=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected contiguous"):
        kernels.nearest((good[0], good[0][:9]), (good[0], good[0]), 3, vector=False)
    for k in (0, 51):
        with pytest.raises(ValueError, match=r"k: expected 1 to 50"):
            kernels.nearest(good, good, k, vector=False)


def test_searches_refuse_other_kinds_widths_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = draw(10, 16)
    with pytest.raises(TypeError, match="queries: expected BinaryCodes, got ndarray"):
        nearest(codes.packed, codes, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="8 bits do not fit a database of 16 bits"):
        nearest(draw(10, 8), codes, 3)
    with pytest.raises(ValueError, match="k: expected at least 1"):
        nearest(codes, codes, 0)
    with pytest.raises(ValueError, match="radius: expected at least 0"):
        Scanner(codes).within(codes, -1)
    with pytest.raises(ValueError, match="threads: expected at least 1"):
        Scanner(codes, threads=0)
    monkeypatch.setenv("MODALHASH_KERNELS", "fast")
    with pytest.raises(ValueError, match="MODALHASH_KERNELS: expected one of vector, numba, numpy, got 'fast'"):
        nearest(codes, codes, 3)


def test_a_small_search_does_not_load_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODALHASH_KERNELS", raising=False)
    program = (
        "import sys, numpy as np, modalhash as mh\n"
        "codes = mh.BinaryCodes.from_signs(np.random.default_rng(0).standard_normal((10_000, 64)))\n"
        "mh.Index.build(codes).search(codes[:10], k=5)\n"
        "print('numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
