"""Steps on codebooks, against brute force."""

from __future__ import annotations

from itertools import combinations, permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from modalhash.quantizers import (
    co_occurrences,
    cut_words,
    decode,
    fitted_words,
    hamming_order,
    nearest_words,
    residual_words,
)

F64 = NDArray[np.float64]


def problem(m: int = 2, words: int = 4, n: int = 60, K: int = 3) -> tuple[F64, F64]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, words, K)), 1.5 * rng.standard_normal((n, K))


def costs(C: F64, T: F64, A: NDArray[np.uint8]) -> F64:
    return np.asarray(((T - decode(C, A)) ** 2).sum(axis=1))


def best_costs(C: F64, T: F64) -> F64:
    """Over every combination of words."""
    m, words, _ = C.shape
    combinations = np.array(list(product(range(words), repeat=m)), dtype=np.uint8)
    return np.asarray(((T[:, None] - decode(C, combinations)) ** 2).sum(axis=2).min(axis=1))


def test_one_codebook_is_solved_as_by_brute_force() -> None:
    C, T = problem(m=1)
    np.testing.assert_allclose(costs(C, T, nearest_words(C, np.eye(3), T, 3)), best_costs(C, T))


def test_sweeps_end_where_no_other_word_is_better_and_nearly_always_at_the_best_words() -> None:
    C, T = problem(n=200)
    A = nearest_words(C, np.eye(3), T, 20)
    found = costs(C, T, A)
    for j, word in product(range(2), range(4)):
        other = A.copy()
        other[:, j] = word
        assert (costs(C, T, other) >= found - 1e-12).all()
    assert np.isclose(found, best_costs(C, T)).mean() > 0.8


def test_sweeps_from_given_words_make_no_row_worse() -> None:
    C, T = problem(m=3)
    start = np.random.default_rng(1).integers(0, 4, (60, 3)).astype(np.uint8)
    kept = start.copy()
    before = costs(C, T, start)
    for sweeps in (1, 2, 3):
        after = costs(C, T, nearest_words(C, np.eye(3), T, sweeps, start))
        assert (after <= before + 1e-12).all()
        before = after
    assert before.sum() < 0.7 * costs(C, T, start).sum()
    np.testing.assert_array_equal(start, kept)
    best = nearest_words(C, np.eye(3), T, 20)
    np.testing.assert_array_equal(nearest_words(C, np.eye(3), T, 1, best), best)


def test_pairs_are_counted_in_blocks_as_at_once() -> None:
    rng = np.random.default_rng(0)
    A, w = rng.integers(0, 4, (5000, 3)), rng.integers(1, 5, 5000).astype(float)
    one_hot = np.hstack([np.eye(4)[column] for column in A.T])
    np.testing.assert_allclose(co_occurrences(A + 4 * np.arange(3), w, 12), one_hot.T @ (w[:, None] * one_hot))


def test_fitted_words_have_no_gradient() -> None:
    rng = np.random.default_rng(0)
    A, w, E = rng.integers(0, 4, (50, 3)).astype(np.uint8), rng.random(50), rng.standard_normal((50, 2))
    A[:, 1] %= 3  # a word that nobody uses

    def objective(C: F64) -> float:
        return float(np.sum(w[:, None] * (E - decode(C, A)) ** 2) + 0.1 * np.sum(C**2))

    C = fitted_words(A, w, E, 4, 0.1)
    assert (C[1, 3] == 0).all()
    for place in np.ndindex(C.shape):
        step = np.zeros(C.shape)
        step[place] = 1e-5
        assert abs(objective(C + step) - objective(C - step)) / 2e-5 < 1e-8


def test_fitted_words_exist_although_the_pairs_are_singular() -> None:
    A = np.random.default_rng(0).integers(0, 4, (50, 3)).astype(np.uint8)
    pairs = co_occurrences(A + 4 * np.arange(3), np.ones(50), 12)
    assert np.linalg.matrix_rank(pairs) == 10  # m (words - 1) + 1
    E = np.random.default_rng(1).standard_normal((50, 2))
    C = fitted_words(A, np.ones(50), E, 4, 1e-6)
    assert np.isfinite(C).all() and np.abs(C).max() < 10


@pytest.mark.parametrize("cut", [False, True])
def test_starting_words_leave_less_with_every_codebook(cut: bool) -> None:
    rng = np.random.default_rng(0)
    E = rng.standard_normal((300, 6)) * np.arange(1, 7)
    left = [float(np.sum(E**2))]
    for m in (1, 2, 4):
        C = cut_words(E, m, 8, np.random.default_rng(0)) if cut else residual_words(E, m, 8, 0)
        assert C.shape == (m, 8, 6)
        left.append(float(costs(C, E, nearest_words(C, np.eye(6), E, 3)).sum()))
    assert left == sorted(left, reverse=True) and left[-1] < 0.3 * left[0]


def test_starting_words_of_few_rows() -> None:
    E = np.random.default_rng(0).standard_normal((3, 2))
    for C in (residual_words(E, 4, 16, 0), cut_words(E, 4, 16, np.random.default_rng(0))):
        assert C.shape == (4, 16, 2)
        np.testing.assert_allclose(decode(C, nearest_words(C, np.eye(2), E, 3)), E, atol=1e-9)


def agreement(C: F64, order: NDArray[np.intp]) -> F64:
    """Σ_ab Hamming(a, b) ‖C_a - C_b‖² of every codebook in a new order, by loops."""
    total = np.zeros(len(C))
    for j, words in enumerate(C):
        for a, b in product(range(C.shape[1]), repeat=2):
            total[j] += (a ^ b).bit_count() * np.sum((words[order[j, a]] - words[order[j, b]]) ** 2)
    return total


def test_small_codebooks_get_the_best_of_all_orders() -> None:
    C = np.random.default_rng(0).standard_normal((5, 4, 3))
    orders = np.array(list(permutations(range(4))))
    best = np.max([agreement(C, np.tile(order, (5, 1))) for order in orders], axis=0)
    np.testing.assert_allclose(agreement(C, hamming_order(C)), best)


def test_no_swap_of_two_words_gives_a_better_order() -> None:
    C = np.random.default_rng(0).standard_normal((20, 16, 5))
    bits = np.bitwise_count(np.arange(16)[:, None] ^ np.arange(16))
    squares = ((C[:, :, None] - C[:, None]) ** 2).sum(axis=3)

    def reached(order: NDArray[np.intp]) -> F64:
        return np.array([np.sum(bits * own[row][:, row]) for own, row in zip(squares, order, strict=True)])

    order = hamming_order(C, starts=1)
    np.testing.assert_allclose(reached(order)[:2], agreement(C[:2], order[:2]))
    for a, b in combinations(range(16), 2):
        other = order.copy()
        other[:, [a, b]] = other[:, [b, a]]
        assert (reached(other) <= reached(order) + 1e-6).all()


def test_new_numbers_follow_distances_and_find_a_hidden_cube() -> None:
    rng = np.random.default_rng(0)
    corners = (np.arange(16)[:, None] >> np.arange(4)) & 1
    C = np.stack([corners[rng.permutation(16)].astype(float), rng.standard_normal((16, 4))])
    order = hamming_order(C)
    assert all(sorted(row) == list(range(16)) for row in order.tolist())
    plain = np.tile(np.arange(16), (2, 1))
    assert (agreement(C, order) > 1.05 * agreement(C, plain)).all()
    bits = np.bitwise_count(np.arange(16)[:, None] ^ np.arange(16))
    np.testing.assert_allclose(((C[0][order[0]][:, None] - C[0][order[0]]) ** 2).sum(axis=2), bits)
    np.testing.assert_array_equal(hamming_order(C * 1e-9), order)
    np.testing.assert_array_equal(hamming_order(np.zeros((1, 16, 2)))[0], np.arange(16))
