"""Packed bits: their order, their pads, their signs and their distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modalhash.codes import BinaryCodes

WIDTHS = [1, 7, 8, 9, 63, 64, 65, 257]


def values(n: int, k: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, k]).integers(-1, 2, (n, k)).astype(float)  # a third of them zero


@pytest.mark.parametrize("k", WIDTHS)
def test_bits_are_packed_in_packbits_order_with_pads_of_zero(k: int) -> None:
    X = values(20, k)
    codes = BinaryCodes.from_signs(X)
    width = -(-k // 8)
    assert codes.packed.shape == (20, width) and codes.packed.dtype == np.uint8
    assert codes.n_bits == k and len(codes) == 20 and codes.bytes_per_item == width
    for row, packed in zip(X, codes.packed, strict=True):
        bits = "".join("1" if value >= 0 else "0" for value in row).ljust(8 * width, "0")
        assert packed.tolist() == [int(bits[i : i + 8], 2) for i in range(0, 8 * width, 8)]


@pytest.mark.parametrize("k", WIDTHS)
def test_signs_are_read_back(k: int) -> None:
    X = values(20, k)
    found = BinaryCodes.from_signs(X).signs()
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, np.where(X >= 0, 1, -1))
    np.testing.assert_array_equal(BinaryCodes.from_signs(found).packed, BinaryCodes.from_signs(X).packed)


def test_zero_of_either_sign_is_plus_one() -> None:
    X = np.array([[0.0, -0.0, -1e-308, 1e-308, -np.inf, np.inf]])
    assert BinaryCodes.from_signs(X).signs().tolist() == [[1, 1, -1, 1, -1, 1]]
    assert BinaryCodes.from_signs(np.array([[0, -1, 1]], dtype=np.int8)).signs().tolist() == [[1, -1, 1]]
    assert BinaryCodes.from_signs(np.array([[0, -1, 1]], dtype=np.float16)).signs().tolist() == [[1, -1, 1]]


@pytest.mark.parametrize("k", WIDTHS)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 70), (130, 5), (0, 4), (4, 0)])
def test_hamming_counts_the_bits_that_differ(k: int, sizes: tuple[int, int]) -> None:
    X, Y = values(sizes[0], k, 1) >= 0, values(sizes[1], k, 2) >= 0
    a, b = (BinaryCodes.from_signs(np.where(bits, 1, -1)) for bits in (X, Y))
    found = a.hamming(b)
    assert found.dtype == np.int32 and found.shape == sizes
    np.testing.assert_array_equal(found, (X[:, None] != Y[None]).sum(axis=2))
    np.testing.assert_array_equal(b.hamming(a), found.T)


def test_hamming_reaches_the_number_of_bits() -> None:
    ones = BinaryCodes.from_signs(np.ones((1, 257)))
    assert ones.hamming(BinaryCodes.from_signs(-np.ones((1, 257)))).tolist() == [[257]]
    assert ones.hamming(ones).tolist() == [[0]]


@pytest.mark.parametrize("k", [9, 64])
def test_rows_are_chosen_in_every_way(k: int) -> None:
    X = values(10, k)
    codes, signs = BinaryCodes.from_signs(X), np.where(X >= 0, 1, -1)
    mask = np.arange(10) % 3 == 0
    ways: list[tuple[Any, Any]] = [
        (0, [0]),
        (-1, [-1]),
        (np.int64(4), [4]),
        (slice(2, 7), slice(2, 7)),
        (slice(None, None, -2), slice(None, None, -2)),
        (slice(5, 5), slice(5, 5)),
        (mask, mask),
        (mask.tolist(), mask),
        ([3, 3, -2], [3, 3, -2]),
        (np.array([], dtype=int), slice(0, 0)),
        ([], slice(0, 0)),
    ]
    for rows, expected in ways:
        found = codes[rows]
        assert isinstance(found, BinaryCodes) and found.n_bits == k
        np.testing.assert_array_equal(found.signs(), signs[expected])
    for bad in (10, -11, [10]):
        with pytest.raises(IndexError):
            codes[bad]
    assert [len(code) for code in codes] == [1] * 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("k", WIDTHS)
def test_words_hold_the_bytes_and_zeros(k: int) -> None:
    codes = BinaryCodes.from_signs(values(5, k))
    words = codes.words()
    assert words.dtype == np.uint64 and words.shape == (5, -(-k // 64))
    np.testing.assert_array_equal(words.view(np.uint8)[:, : codes.bytes_per_item], codes.packed)
    assert not words.view(np.uint8)[:, codes.bytes_per_item :].any()
    assert codes[:0].words().shape == (0, -(-k // 64))


@pytest.mark.parametrize(
    ("packed", "n_bits", "kind", "message"),
    [
        (np.zeros((2, 1), np.int64), 8, TypeError, "uint8.*int64"),
        (np.zeros((2, 1), bool), 8, TypeError, "uint8.*bool"),
        ([[0]], 8, TypeError, "uint8.*list"),
        (np.zeros((2, 1), np.uint8), 9, ValueError, r"\(n, 2\) for 9 bits.*\(2, 1\)"),
        (np.zeros((2, 2), np.uint8), 8, ValueError, r"\(n, 1\) for 8 bits"),
        (np.zeros(2, np.uint8), 16, ValueError, r"\(2,\)"),
        (np.full((1, 1), 1, np.uint8), 7, ValueError, "last 1 pad bits"),
        (np.array([[0, 0], [0, 64]], np.uint8), 9, ValueError, "last 7 pad bits"),
        (np.zeros((1, 1), np.uint8), 0, ValueError, "n_bits.*0"),
        (np.zeros((1, 1), np.uint8), -8, ValueError, "n_bits.*-8"),
        (np.zeros((1, 1), np.uint8), True, ValueError, "n_bits.*True"),
        (np.zeros((1, 1), np.uint8), 8.0, ValueError, r"n_bits.*8\.0"),
    ],
)
def test_what_is_no_code_is_refused(packed: Any, n_bits: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        BinaryCodes(packed, n_bits)


def test_set_bits_that_are_no_pads_are_taken() -> None:
    assert BinaryCodes(np.array([[255, 128]], np.uint8), 9).signs().tolist() == [[1] * 9]
    assert type(BinaryCodes(np.zeros((1, 1), np.uint8), np.int64(8)).n_bits) is int  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (np.array([[1.0, np.nan]]), ValueError, "NaN"),
        (np.zeros(3), ValueError, r"\(3,\)"),
        (np.zeros((3, 0)), ValueError, r"\(3, 0\)"),
        (np.zeros((1, 2, 3)), ValueError, r"\(1, 2, 3\)"),
        (np.array([[True, False]]), TypeError, "bool"),
        (np.array([[1, 0]], dtype=np.uint8), TypeError, "uint8"),
        (np.array([[1j, 2]]), TypeError, "complex"),
        (np.array([["a"]]), TypeError, "<U1"),
    ],
)
def test_what_has_no_sign_is_refused(bad: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        BinaryCodes.from_signs(bad)


def test_codes_of_other_lengths_or_kinds_are_not_compared() -> None:
    codes = BinaryCodes.from_signs(np.ones((2, 8)))
    with pytest.raises(ValueError, match=r"8 bits.*9 bits"):
        codes.hamming(BinaryCodes.from_signs(np.ones((2, 9))))
    with pytest.raises(TypeError, match="ndarray"):
        codes.hamming(codes.packed)  # type: ignore[arg-type]
