from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modalhash.folders import read_state, write_state
from modalhash.quantized import QuantizedCodes, Score


def some_codes(n: int = 50, m: int = 3, words: int = 16, width: int = 5, score: Score = "dot") -> QuantizedCodes:
    rng = np.random.default_rng(0)
    codebooks = rng.standard_normal((m, words, width)).astype(np.float32)
    return QuantizedCodes(rng.integers(0, words, (n, m)).astype(np.uint8), codebooks, score)


def test_decoding_adds_one_word_of_every_codebook() -> None:
    codes = some_codes()
    vectors = codes.decode()
    assert vectors.dtype == np.float32 and vectors.shape == (50, 5)
    for i in (0, 17, 49):
        words = [codes.codebooks[j, codes.indices[i, j]] for j in range(3)]
        np.testing.assert_allclose(vectors[i], np.sum(words, axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("m", "words", "score", "size"),
    [(4, 256, "dot", 4.0), (4, 16, "dot", 2.0), (3, 16, "dot", 1.5), (4, 17, "dot", 4.0), (4, 256, "l2", 8.0)],
)
def test_bytes_count_half_a_byte_up_to_16_words_and_the_norm(m: int, words: int, score: Score, size: float) -> None:
    assert some_codes(m=m, words=words, score=score).bytes_per_item == size


def test_norms_are_kept_for_l2_only() -> None:
    codes = some_codes(score="l2")
    np.testing.assert_allclose(codes.norms, np.sum(codes.decode() ** 2, axis=1), rtol=1e-5)
    assert codes.norms.dtype == np.float32
    assert codes[10:20].norms.tobytes() == codes.norms[10:20].tobytes()
    assert some_codes().norms.shape == (0,)


def test_rows_are_chosen_by_integer_slice_positions_and_mask() -> None:
    codes = some_codes()
    assert len(codes[3]) == 1 and len(codes[2:7]) == 5 and len(codes[[4, 1]]) == 2 and len(codes[:0]) == 0
    assert np.array_equal(codes[-1].indices, codes.indices[-1:])
    assert np.array_equal(codes[np.arange(50) % 2 == 0].indices, codes.indices[::2])
    assert codes[:0].decode().shape == (0, 5)
    assert codes[:3].codebooks is codes.codebooks


def test_they_have_no_signs() -> None:
    assert not hasattr(some_codes(), "signs")


GOOD = (np.zeros((4, 2), np.uint8), np.zeros((2, 3, 5), np.float32), "dot")


@pytest.mark.parametrize(
    ("position", "value", "error", "message"),
    [
        (0, np.zeros((4, 2), np.int64), TypeError, "indices: expected a uint8 array, got int64"),
        (0, [[0, 0]], TypeError, "indices: expected a uint8 array, got list"),
        (0, np.zeros((4, 3), np.uint8), ValueError, r"indices: expected shape \(n, 2\).*got \(4, 3\)"),
        (0, np.zeros(4, np.uint8), ValueError, r"indices: expected shape \(n, 2\)"),
        (0, np.full((4, 2), 3, np.uint8), ValueError, "indices: 3 is out of range; each codebook has 3 words"),
        (1, np.zeros((2, 3, 5)), TypeError, "codebooks: expected a float32 array, got float64"),
        (1, np.zeros((2, 3), np.float32), ValueError, r"codebooks: expected shape .* got \(2, 3\)"),
        (1, np.zeros((2, 257, 5), np.float32), ValueError, "codebooks: expected shape"),
        (1, np.zeros((2, 3, 0), np.float32), ValueError, "codebooks: expected shape"),
        (1, np.full((2, 3, 5), np.nan, np.float32), ValueError, "codebooks: hold NaN"),
        (2, "cosine", ValueError, "score: expected 'dot' or 'l2', got 'cosine'"),
    ],
)
def test_what_does_not_fit_is_refused(position: int, value: Any, error: type[Exception], message: str) -> None:
    parts: list[Any] = list(GOOD)
    parts[position] = value
    with pytest.raises(error, match=message):
        QuantizedCodes(*parts)


@pytest.mark.parametrize("score", ["dot", "l2"])
def test_they_come_back_from_a_folder(tmp_path: Path, score: Score) -> None:
    codes = some_codes(score=score)
    write_state(tmp_path, "state.json", {}, {"codes_": codes})
    _, state = read_state(tmp_path, "state.json")
    back = state["codes_"]
    assert isinstance(back, QuantizedCodes) and back.score == score
    assert np.array_equal(back.indices, codes.indices) and np.array_equal(back.codebooks, codes.codebooks)
    assert np.array_equal(back.norms, codes.norms)
