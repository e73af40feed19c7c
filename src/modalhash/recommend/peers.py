"""What MDCF is measured against: popularity, neighbours of items, factors of implicit ALS and their codes."""

from __future__ import annotations

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.recommend.ratings import check_ratings
from modalhash.solvers import itq_rotation
from modalhash.views import F64, Matrix, blocks

MISSING = "ALS factors come from the package implicit: pip install implicit"


def popularity(ratings: Matrix) -> F64:
    """How many rated each item, (items,)."""
    checked = check_ratings(ratings)
    return np.bincount(checked.indices, minlength=checked.shape[1]).astype(np.float64)


def item_neighbours(ratings: Matrix, k: int = 50) -> Matrix:
    """For each item the cosines with its k nearest others by who rated them how, sparse (items, items).

    ratings @ item_neighbours(ratings) are scores, larger = nearer.  Memory is O(pairs of items rated together).
    """
    import scipy.sparse as sp

    checked = check_ratings(ratings)
    length = np.sqrt(np.asarray(checked.multiply(checked).sum(axis=0)).ravel())
    columns = checked @ sp.diags_array(1.0 / np.where(length > 0, length, 1.0))
    transposed, columns = columns.T.tocsr(), columns.tocsr()
    kept = [_largest((transposed[rows] @ columns).tocsr(), rows.start, k) for rows in blocks(columns.shape[1])]
    return sp.csr_array(sp.vstack(kept).T)


def _largest(cosines: Matrix, first: int, k: int) -> Matrix:
    """The k largest values of each row but the item's own; ties go to the earlier item."""
    import scipy.sparse as sp

    entries = cosines.tocoo()
    other = np.flatnonzero(entries.col != entries.row + first)
    row, column, value = entries.row[other], entries.col[other], entries.data[other]
    order = np.lexsort((column, -value, row))
    _, starts, counts = np.unique(row[order], return_index=True, return_counts=True)
    kept = order[np.arange(len(order)) - np.repeat(starts, counts) < k]
    return sp.csr_array((value[kept], (row[kept], column[kept])), shape=cosines.shape)


def als_factors(
    ratings: Matrix, n_factors: int, *, regularization: float = 10.0, max_iter: int = 15, seed: int = 0
) -> tuple[F64, F64]:
    """Factors of users and items by alternating least squares on implicit feedback (Hu, Koren & Volinsky 2008).

    Every pair counts, those with a rating as a 1 of confidence = rating, the others as a 0 of confidence 1.
    Raises ImportError with the remedy if the package `implicit` is not there.
    """
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        raise ImportError(MISSING) from None
    import scipy.sparse as sp

    model = AlternatingLeastSquares(
        factors=n_factors, regularization=regularization, iterations=max_iter, num_threads=1, random_state=seed
    )
    model.fit(sp.csr_matrix(check_ratings(ratings).astype(np.float32)), show_progress=False)
    return np.asarray(model.user_factors, dtype=np.float64), np.asarray(model.item_factors, dtype=np.float64)


def sign_codes(users: F64, items: F64) -> tuple[BinaryCodes, BinaryCodes]:
    """Codes by the signs of factors."""
    return BinaryCodes.from_signs(users), BinaryCodes.from_signs(items)


def common_rotation(users: F64, items: F64, seed: int = 0, max_iter: int = 50) -> F64:
    """One rotation (r, r) of both sides towards the corners of the cube (ITQ); products of factors stay as they are.

    Each side counts by its own scale: rows are divided by the root mean square length of their side.
    """
    both = np.vstack([side / max(np.sqrt((side**2).sum(axis=1).mean()), 1e-12) for side in (users, items)])
    return itq_rotation(both, max_iter, np.random.default_rng(seed))
