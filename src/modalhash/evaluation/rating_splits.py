"""Splits of ratings: leave one out, at random, cold users and cold items; and candidates for sampled rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import check_integer, check_real
from modalhash.views import Array, Matrix, blocks

Positions = NDArray[np.int64]
DRAWN = 2**22  # random numbers that are held at once


@dataclass(frozen=True, eq=False)
class RatingSplit:
    """Ratings to learn from and to be tested on, sparse (users, items), disjoint; positions of who is cold."""

    train: Matrix
    test: Matrix
    cold_users: Positions
    cold_items: Positions


def leave_one_out(
    ratings: Matrix, seed: int = 0, *, times: Array | None = None, at_least: float | None = None
) -> RatingSplit:
    """One rating of every user with two or more is the test: one at random, or the latest.

    times: (ratings,) in the order of the canonical CSR form, the largest is the latest; at_least: only ratings of at
    least this value are tested.
    """
    entries = _entries(ratings)
    order = np.random.default_rng(seed).permutation(len(entries.data))
    if times is not None:
        moments = np.asarray(times)
        if moments.shape != entries.data.shape:
            raise ValueError(f"times: expected {entries.data.shape}, one a rating, got {moments.shape}")
        order = order[np.argsort(-moments[order].astype(np.float64), kind="stable")]
    counts = np.bincount(entries.row, minlength=entries.shape[0])
    fit = (counts[entries.row] > 1) & (True if at_least is None else entries.data >= at_least)
    order = order[fit[order]]
    _, first = np.unique(entries.row[order], return_index=True)
    test = np.zeros(len(entries.data), dtype=bool)
    test[order[first]] = True
    return _split(entries, test)


def random_ratings(ratings: Matrix, share: float = 0.2, seed: int = 0) -> RatingSplit:
    """A share of all ratings, drawn at random, is the test."""
    check_real("share", share, low=0)
    if share >= 1:
        raise ValueError(f"share: expected less than 1, got {share}")
    entries = _entries(ratings)
    test = np.zeros(len(entries.data), dtype=bool)
    test[np.random.default_rng(seed).permutation(len(test))[: round(share * len(test))]] = True
    return _split(entries, test)


def cold(ratings: Matrix, users: float = 0.2, items: float = 0.2, kept: int = 1, seed: int = 0) -> RatingSplit:
    """A share of the users and of the items are cold: at most `kept` ratings of each stay, the others are the test.

    Shares are of those that have a rating; users=0 gives cold items alone, items=0 cold users alone.  With both, a
    rating stays if it is kept on either side on which it is cold.
    """
    check_integer("kept", kept, low=0)
    entries, rng = _entries(ratings), np.random.default_rng(seed)
    test = np.zeros(len(entries.data), dtype=bool)
    chosen = []
    for name, share, own in (("users", users, entries.row), ("items", items, entries.col)):
        check_real(name, share, low=0)
        if share >= 1:
            raise ValueError(f"{name}: expected a share less than 1, got {share}")
        rated = np.unique(own)
        chosen.append(np.sort(rng.permutation(rated)[: round(share * len(rated))]).astype(np.int64))
        order = rng.permutation(len(own))
        order = order[np.argsort(own[order], kind="stable")]
        _, starts, counts = np.unique(own[order], return_index=True, return_counts=True)
        rank = np.arange(len(own)) - np.repeat(starts, counts)
        late = np.zeros(len(own), dtype=bool)
        late[order] = rank >= kept
        test |= late & np.isin(own, chosen[-1])
    return _split(entries, test, *chosen)


def candidates(
    ratings: Matrix, users: Array, items: Array, n: int = 99, seed: int = 0, among: Array | None = None
) -> Positions:
    """For each held-out pair the item and n distinct others that the user never rated, (pairs, 1 + n) positions.

    ratings: all of them, those of the test too; among: positions to draw from (None: all items).
    Raises ValueError naming a user who has too few items left.
    """
    csr = ratings.tocsr()
    pool = np.arange(csr.shape[1]) if among is None else np.unique(np.asarray(among))
    rng = np.random.default_rng(seed)
    who, held = np.asarray(users), np.asarray(items)
    drawn = np.empty((len(who), 1 + n), dtype=np.int64)
    for rows in blocks(len(who), max(1, DRAWN // csr.shape[1])):
        keys = rng.random((rows.stop - rows.start, csr.shape[1]))
        free = np.zeros(csr.shape[1], dtype=bool)
        free[pool] = True
        keys[:, ~free] = np.inf
        for key, user in zip(keys, who[rows], strict=True):
            key[csr.indices[csr.indptr[user] : csr.indptr[user + 1]]] = np.inf
        keys[np.arange(len(keys)), held[rows]] = -1.0
        few = (keys < np.inf).sum(axis=1) < 1 + n
        if few.any():
            raise ValueError(f"user {who[rows][np.argmax(few)]}: has fewer than {n} items that are not rated")
        nearest = np.argpartition(keys, n, axis=1)[:, : n + 1]
        drawn[rows] = np.take_along_axis(nearest, np.argsort(np.take_along_axis(keys, nearest, 1), axis=1), 1)
    return drawn


def _entries(ratings: Matrix) -> Matrix:
    csr = ratings.tocsr().copy()
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return csr.tocoo()


def _split(
    entries: Matrix, test: NDArray[np.bool_], users: Positions | None = None, items: Positions | None = None
) -> RatingSplit:
    import scipy.sparse as sp

    nobody = np.empty(0, dtype=np.int64)
    train, held = (
        sp.csr_array((entries.data[part], (entries.row[part], entries.col[part])), shape=entries.shape)
        for part in (~test, test)
    )
    return RatingSplit(train, held, nobody if users is None else users, nobody if items is None else items)
