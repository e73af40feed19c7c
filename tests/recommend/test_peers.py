"""Peers against slow twins: neighbours, ALS on a planted problem, rotations that keep the products."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.recommend.peers import als_factors, common_rotation, item_neighbours, popularity, sign_codes


def drawn(n: int = 40, m: int = 25, seed: int = 0) -> sp.csr_array:
    rng = np.random.default_rng(seed)
    return sp.csr_array(np.where(rng.random((n, m)) < 0.3, rng.integers(1, 6, (n, m)), 0).astype(float))


def test_popularity_counts_ratings_and_not_stars() -> None:
    ratings = sp.csr_array(np.array([[5.0, 0, 1], [1, 0, 0]]))
    assert popularity(ratings).tolist() == [2, 0, 1]


def test_neighbours_are_the_largest_cosines_without_the_item_itself() -> None:
    ratings = drawn()
    dense = ratings.toarray()
    unit = dense / np.linalg.norm(dense, axis=0)
    cosines = unit.T @ unit
    np.fill_diagonal(cosines, 0.0)
    expected = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        best = np.argsort(-row, kind="stable")[:5]
        expected[i, best] = row[best]
    found = item_neighbours(ratings, k=5)
    np.testing.assert_allclose(found.toarray(), expected.T, atol=1e-12)
    assert (ratings @ found).shape == ratings.shape


def test_an_item_without_ratings_has_no_neighbours() -> None:
    ratings = sp.csr_array(np.array([[5.0, 0, 1], [1, 0, 2]]))
    found = item_neighbours(ratings).toarray()
    assert not found[1].any() and not found[:, 1].any() and found[0, 2] > 0 and found[0, 0] == 0


def test_als_finds_the_withheld_diagonal() -> None:
    pytest.importorskip("implicit", reason="pip install implicit")
    board = (np.add.outer(np.arange(40), np.arange(30)) % 2 == 0) * 4.0
    held = np.arange(30)
    kept = board.copy()
    kept[held, held] = 0.0
    users, items = als_factors(sp.csr_array(kept), 2, regularization=0.1)
    scores = users @ items.T
    assert users.shape == (40, 2) and items.dtype == np.float64
    assert (scores[held, held] > 3 * np.abs(scores[board == 0]).max()).all()
    again = als_factors(sp.csr_array(kept), 2, regularization=0.1)
    assert np.array_equal(users, again[0]) and np.array_equal(items, again[1])


def test_als_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(ImportError, match="pip install implicit"):
        als_factors(drawn(), 4)


def test_the_common_rotation_keeps_products_and_nears_the_corners() -> None:
    rng = np.random.default_rng(0)
    corners = np.where(rng.random((200, 4)) < 0.5, -1.0, 1.0)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    users, items = corners[:120] @ turn, 7.0 * corners[120:] @ turn
    R = common_rotation(users, items)
    np.testing.assert_allclose(users @ R @ (items @ R).T, users @ items.T, atol=1e-9)
    codes = sign_codes(users @ R, items @ R)
    products = 4 - 2 * codes[0].hamming(codes[1])
    np.testing.assert_array_equal(products, np.rint(users @ items.T / 7.0))


def test_the_common_rotation_does_not_hang_on_the_scale_of_a_side() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.standard_normal((50, 4)), rng.standard_normal((60, 4))
    np.testing.assert_allclose(common_rotation(100.0 * users, items), common_rotation(users, items), atol=1e-9)
