"""Ratings: a sparse users × items matrix and the ids of its sides, checked at the door."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Array, Matrix, is_sparse

Positions = NDArray[np.int64]


def check_ratings(ratings: Matrix) -> Matrix:
    """Ratings as a canonical float64 CSR array of their own; explicit zeros are dropped with a warning.

    Raises TypeError for what is not a scipy sparse matrix of numbers, ValueError for an empty one, NaN, infinities,
    or a pair that is rated twice.
    """
    import scipy.sparse as sp

    if not is_sparse(ratings):
        raise TypeError(f"ratings: expected a scipy sparse matrix users x items, got {type(ratings).__name__}")
    if ratings.dtype.kind not in "fiub":
        raise TypeError(f"ratings: expected numbers, got dtype {ratings.dtype}")
    if ratings.ndim != 2 or 0 in ratings.shape:
        raise ValueError(f"ratings: expected at least one user and one item, got shape {ratings.shape}")
    entries = ratings.tocoo()
    csr = sp.csr_array((entries.data.astype(np.float64), (entries.row, entries.col)), shape=ratings.shape)
    csr.sum_duplicates()
    if csr.nnz < len(entries.data):
        raise ValueError(f"ratings: {len(entries.data) - csr.nnz} pairs of user and item are stored more than once")
    if not np.isfinite(csr.data).all():
        at = int(np.argmin(np.isfinite(csr.data)))
        user = int(np.searchsorted(csr.indptr, at, side="right")) - 1
        raise ValueError(f"ratings: user {user}, item {csr.indices[at]} is {csr.data[at]}")
    zeros = int((csr.data == 0).sum())
    if zeros:
        warnings.warn(f"ratings: {zeros} explicit zeros are dropped; they count as not rated", stacklevel=3)
        csr.eliminate_zeros()
    if not csr.nnz:
        raise ValueError("ratings: the matrix holds no rating at all")
    return csr


def scale_ratings(ratings: Matrix, low: float, high: float, n_bits: int) -> Matrix:
    """S: r (2 s - 1) where s = (rating - low) / (high - low) in [0, 1], nothing where there is no rating.

    What the product of two codes of r bits can reach, -r to r; ratings outside [low, high] are refused with ValueError.
    """
    outside = (ratings.data < low) | (ratings.data > high)
    if outside.any():
        raise ValueError(f"ratings: {ratings.data[outside][0]:g} is outside the range {low:g} to {high:g}")
    scaled = ratings.copy()
    scaled.data = n_bits * (2.0 * (ratings.data - low) / (high - low) - 1.0)
    return scaled


def check_ids(name: str, ids: Any, n: int) -> Array:
    """Ids as (n,) int64 or str, positions if None; TypeError or ValueError for other kinds, counts, repeats."""
    if ids is None:
        return np.arange(n)
    array = np.asarray(ids)
    if array.dtype.kind not in "iuU" or array.ndim != 1:
        raise TypeError(f"{name}: expected integers or texts in one row, got dtype {array.dtype}, shape {array.shape}")
    if len(array) != n:
        raise ValueError(f"{name}: expected {n} ids, one for each, got {len(array)}")
    values, counts = np.unique(array, return_counts=True)
    if len(values) < n:
        raise ValueError(f"{name}: {values[counts > 1][0]!r} stands there {counts.max()} times, ids must be unique")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def find_ids(name: str, ids: Array, wanted: Any) -> Positions:
    """Positions of the wanted ids (one or several); TypeError for another kind, ValueError names the unknown ones."""
    array = np.atleast_1d(np.asarray(wanted))
    if array.ndim != 1 or (array.dtype.kind in "iu") != (ids.dtype.kind == "i") or array.dtype.kind not in "iuU":
        kind = "integers" if ids.dtype.kind == "i" else "texts"
        raise TypeError(f"{name}: ids are {kind}, got {wanted!r}"[:200])
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, array, sorter=order), len(ids) - 1)
    positions = order[at]
    unknown = array[ids[positions] != array]
    if len(unknown):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ValueError(f"{name}: unknown ids {', '.join(map(repr, unknown[:5].tolist()))}{more}")
    return np.asarray(positions, dtype=np.int64)


class Products:
    """Products with S and Sᵀ, exact in O(nnz r), or from the o largest singular values, S ≈ P Σ Qᵀ.

    S: sparse (n, m); `unrated` is the value of every pair that S does not store, so that S is sparse plus constant.
    """

    def __init__(self, S: Matrix, unrated: float, rank: int | None, rng: np.random.Generator) -> None:
        self.shape, self.unrated = S.shape, unrated
        self.S = S.copy()
        self.S.data = S.data - unrated
        self.T = self.S.T.tocsr()
        self.factors: tuple[F64, F64] | None = None
        self.square = float((S.data**2).sum()) + unrated**2 * (S.shape[0] * S.shape[1] - S.nnz)
        if rank is not None and rank < min(S.shape):
            P, values, Q = self.truncated_svd(rank, rng)
            self.factors = (P * values, Q)
            self.square = float((values**2).sum())

    def times(self, right: F64) -> F64:
        """S @ right, (n, r)."""
        if self.factors is None:
            return np.asarray(self.S @ right + self.unrated * right.sum(axis=0))
        return np.asarray(self.factors[0] @ (self.factors[1].T @ right))

    def transposed_times(self, right: F64) -> F64:
        """Sᵀ @ right, (m, r)."""
        if self.factors is None:
            return np.asarray(self.T @ right + self.unrated * right.sum(axis=0))
        return np.asarray(self.factors[1] @ (self.factors[0].T @ right))

    def truncated_svd(self, rank: int, rng: np.random.Generator) -> tuple[F64, F64, F64]:
        """P (n, o), the o largest singular values in falling order, Q (m, o); signs are fixed."""
        from scipy.sparse.linalg import LinearOperator, svds

        operator = LinearOperator(
            self.shape,
            matvec=self.times,
            rmatvec=self.transposed_times,
            matmat=self.times,
            rmatmat=self.transposed_times,
            dtype=np.float64,
        )
        P, values, Qt = svds(operator, k=rank, v0=rng.standard_normal(min(self.shape)))
        order = np.argsort(-values, kind="stable")
        P, values, Q = P[:, order], values[order], Qt[order].T
        largest = Q[np.argmax(np.abs(Q), axis=0), np.arange(rank)]
        flips = np.where(largest >= 0, 1.0, -1.0)
        return np.asarray(P * flips), np.asarray(values), np.asarray(Q * flips)
