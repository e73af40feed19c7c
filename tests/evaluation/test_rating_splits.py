"""Splits of ratings: nothing is lost, nothing stands on both sides, and cold means cold."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.evaluation.rating_splits import RatingSplit, candidates, cold, leave_one_out, random_ratings

RNG = np.random.default_rng(0)
RATINGS = sp.csr_array(RNG.integers(1, 6, (50, 40)) * (RNG.random((50, 40)) < 0.4))


def assert_whole(split: RatingSplit) -> None:
    assert (split.train + split.test != RATINGS).nnz == 0
    assert split.train.nnz + split.test.nnz == RATINGS.nnz


def test_leave_one_out_takes_one_of_every_user() -> None:
    split = leave_one_out(RATINGS, seed=1)
    assert_whole(split)
    assert (np.diff(split.test.indptr) == 1).all()
    assert (leave_one_out(RATINGS, seed=1).test != split.test).nnz == 0
    assert (leave_one_out(RATINGS, seed=2).test != split.test).nnz > 0
    liked = leave_one_out(RATINGS, at_least=4)
    assert_whole(liked)
    assert liked.test.data.min() >= 4
    lonely = sp.csr_array(np.array([[5, 0], [3, 4]]))
    assert leave_one_out(lonely).test[[0]].nnz == 0


def test_leave_one_out_takes_the_latest() -> None:
    times = RNG.permutation(RATINGS.nnz)
    split = leave_one_out(RATINGS, times=times)
    for user in range(50):
        own = slice(RATINGS.indptr[user], RATINGS.indptr[user + 1])
        assert split.test[[user]].indices[0] == RATINGS.indices[own][np.argmax(times[own])]
    with pytest.raises(ValueError, match="times"):
        leave_one_out(RATINGS, times=times[1:])


def test_a_share_of_the_ratings() -> None:
    split = random_ratings(RATINGS, 0.25, seed=3)
    assert_whole(split)
    assert split.test.nnz == round(0.25 * RATINGS.nnz)
    for wrong in (-0.1, 1.0):
        with pytest.raises(ValueError, match="share"):
            random_ratings(RATINGS, wrong)


@pytest.mark.parametrize("kept", [0, 1, 5])
@pytest.mark.parametrize(("users", "items"), [(0.2, 0.0), (0.0, 0.2), (0.2, 0.2)])
def test_cold_users_and_items_keep_few_ratings(users: float, items: float, kept: int) -> None:
    split = cold(RATINGS, users, items, kept, seed=4)
    assert_whole(split)
    assert len(split.cold_users) == round(users * 50) and len(split.cold_items) == round(items * 40)
    left_users, left_items = np.diff(split.train.indptr), np.bincount(split.train.indices, minlength=40)
    assert (left_users[split.cold_users] <= kept).all() and (left_items[split.cold_items] <= kept).all()
    if not items:
        assert (left_users[split.cold_users] == kept).all()
    tested = split.test.tocoo()
    assert (np.isin(tested.row, split.cold_users) | np.isin(tested.col, split.cold_items)).all()


def test_cold_refuses_what_cannot_be() -> None:
    for name in ("users", "items"):
        with pytest.raises(ValueError, match=name):
            cold(RATINGS, **{name: 1.0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kept"):
        cold(RATINGS, kept=-1)


def test_candidates_are_the_item_and_others_that_nobody_of_them_rated() -> None:
    held = leave_one_out(RATINGS).test.tocoo()
    drawn = candidates(RATINGS, held.row, held.col, n=9, seed=0)
    assert drawn.shape == (50, 10)
    np.testing.assert_array_equal(drawn[:, 0], held.col)
    dense = RATINGS.toarray()
    for user, own in zip(held.row, drawn, strict=True):
        assert len(set(own)) == 10 and not dense[user, own[1:]].any()
    np.testing.assert_array_equal(drawn, candidates(RATINGS, held.row, held.col, n=9, seed=0))
    counts = np.bincount(candidates(RATINGS, np.repeat(held.row, 40), np.repeat(held.col, 40), n=9)[:, 1:].ravel())
    assert counts.min() > 0.4 * counts.mean()
    few = candidates(RATINGS, held.row[:1], held.col[:1], n=2, among=np.flatnonzero(dense[held.row[0]] == 0)[:2])
    assert set(few[0, 1:]) == set(np.flatnonzero(dense[held.row[0]] == 0)[:2])
    with pytest.raises(ValueError, match=f"user {held.row[0]}.*39"):
        candidates(RATINGS, held.row, held.col, n=39)
