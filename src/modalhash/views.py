"""Views and labels: named matrices of the same items, checked at the door.

A view is a (n, d) matrix, dense or scipy-sparse; row i of every view is item i.  An item may lack a view:
its whole row is NaN (dense) or the row stores one NaN and nothing else (sparse).  Only `missing` knows this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]
F64: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = Any  # a (n, d) numpy array or scipy sparse matrix
Views: TypeAlias = Mapping[str, Matrix]

BLOCK = 2048  # rows that are handled at once: large enough for BLAS, small enough for the cache


def is_sparse(matrix: Matrix) -> bool:
    """True for any scipy sparse matrix or array; scipy is not imported to find out."""
    return type(matrix).__module__.startswith("scipy.sparse")


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover range(n) in order, `size` rows each."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def dense(matrix: Matrix) -> NDArray[np.float64]:
    """The matrix as a dense float64 array (a copy only where one is needed)."""
    return np.asarray(matrix.toarray() if is_sparse(matrix) else matrix, dtype=np.float64)


def missing(matrix: Matrix) -> NDArray[np.bool_]:
    """Rows without this view, as (n,) bool.

    A dense row is missing when all of it is NaN, a sparse row when its one stored value is NaN.
    Rows that are NaN only in part are not missing; `check_views` refuses them.
    """
    if is_sparse(matrix):
        csr = matrix.tocsr()
        gaps = np.zeros(csr.shape[0], dtype=bool)
        single = np.flatnonzero(np.diff(csr.indptr) == 1)
        gaps[single] = np.isnan(csr.data[csr.indptr[single]])
        return gaps
    rows = np.asarray(matrix)
    gaps = np.isnan(rows[:, 0]) if rows.shape[1] else np.zeros(len(rows), dtype=bool)
    suspects = np.flatnonzero(gaps)
    gaps[suspects] = np.isnan(rows[suspects]).all(axis=1)
    return gaps


def remove_rows(matrix: Matrix, gone: NDArray[np.bool_]) -> Matrix:
    """A copy in which the rows `gone` (n,) lack the view; float32 unless the matrix is of floats; sparse stays CSR."""
    kind = matrix.dtype if matrix.dtype.kind == "f" else np.dtype(np.float32)
    if not is_sparse(matrix):
        return np.where(gone[:, None], kind.type(np.nan), matrix).astype(kind)
    csr = matrix.tocsr().astype(kind)
    counts = np.where(gone, 1, np.diff(csr.indptr))
    starts = np.concatenate([[0], np.cumsum(counts)])
    kept = np.repeat(~gone, np.diff(csr.indptr))
    data, indices = np.full(starts[-1], np.nan, dtype=kind), np.zeros(starts[-1], dtype=csr.indices.dtype)
    filled = np.repeat(~gone, counts)
    data[filled], indices[filled] = csr.data[kept], csr.indices[kept]
    return type(csr)((data, indices, starts), shape=csr.shape)


def check_views(views: Views) -> dict[str, Matrix]:
    """Views as float arrays or CSR matrices of equal row counts; inputs are never written to.

    Integers and booleans become float32, float32 and float64 stay as they are.
    Raises TypeError for what is no matrix and ValueError for empty sets, unequal rows, infinities and
    rows that are NaN only in part; the message names the view.
    """
    if not isinstance(views, Mapping):
        raise TypeError(f"views: expected a mapping name -> matrix, got {type(views).__name__}")
    if not views:
        raise ValueError("views: expected at least one view, got none")
    checked = {_check_name(name): _check_matrix(name, matrix) for name, matrix in views.items()}
    counts = {name: matrix.shape[0] for name, matrix in checked.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"views: expected the same number of rows in every view, got {counts}")
    return checked


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise ValueError(f"views: {name!r} is not a view name (a non-empty text without '/' or a leading dot)")
    return name


def _check_matrix(name: str, matrix: Matrix) -> Matrix:
    array = matrix.tocsr() if is_sparse(matrix) else np.asarray(matrix)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"view {name!r}: expected numbers, got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"view {name!r}: expected shape (n, d), got {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"view {name!r}: expected at least one row and one column, got {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    if is_sparse(array):
        array = _without_duplicates(array)
        _check_sparse_values(name, array)
    else:
        _check_dense_values(name, array)
    return array


def _without_duplicates(csr: Matrix) -> Matrix:
    if csr.has_canonical_format:
        return csr
    csr = csr.copy()
    csr.sum_duplicates()
    return csr


def _check_dense_values(name: str, array: Array) -> None:
    for block in blocks(len(array)):
        with np.errstate(over="ignore", invalid="ignore"):
            suspects = np.flatnonzero(~np.isfinite(array[block].sum(axis=1)))  # one cheap pass finds most rows clean
        for i in suspects + block.start:
            nan = np.isnan(array[i])
            if np.isinf(array[i]).any():
                raise ValueError(f"view {name!r}: row {i} holds an infinity")
            if nan.any() and not nan.all():
                raise ValueError(
                    f"view {name!r}: row {i} is NaN in part; a missing row is NaN in all {array.shape[1]} columns"
                )


def _check_sparse_values(name: str, csr: Matrix) -> None:
    odd = np.flatnonzero(~np.isfinite(csr.data))
    if not len(odd):
        return
    rows = np.searchsorted(csr.indptr, odd, side="right") - 1
    if np.isinf(csr.data[odd]).any():
        raise ValueError(f"view {name!r}: row {rows[np.isinf(csr.data[odd])][0]} holds an infinity")
    partial = rows[np.diff(csr.indptr)[rows] != 1]
    if len(partial):
        raise ValueError(
            f"view {name!r}: row {partial[0]} stores NaN beside other values; a missing row stores one NaN only"
        )


def check_encode_views(
    views: Views, widths: Mapping[str, int]
) -> tuple[dict[str, Matrix], dict[str, NDArray[np.bool_]]]:
    """Views to encode, in the order of `fit`, and the rows that have each of them.

    Raises ValueError for an unknown view, another width than in `fit`, or an item that has no view at all.
    """
    checked = check_views(views)
    for name, matrix in checked.items():
        if name not in widths:
            raise ValueError(f"view {name!r} is unknown; fitted views: {', '.join(map(repr, widths))}")
        if matrix.shape[1] != widths[name]:
            raise ValueError(f"view {name!r}: expected {widths[name]} columns as in fit, got shape {matrix.shape}")
    checked = {name: checked[name] for name in widths if name in checked}  # sums of views hang on no caller's order
    present = {name: ~missing(matrix) for name, matrix in checked.items()}
    without = np.flatnonzero(~np.any(list(present.values()), axis=0))
    if len(without):
        raise ValueError(
            f"row {without[0]} has no view at all ({len(without)} such rows); "
            f"views given: {', '.join(map(repr, checked))}"
        )
    return checked, present


def check_labels(labels: Matrix, n: int) -> tuple[Matrix, NDArray[np.bool_]]:
    """Labels as a (n, c) 0/1 matrix (float64 array, or CSR if sparse) and the (n,) bool rows that are labelled.

    Accepts (n, c) 0/1 matrices, dense or sparse, and (n,) integer classes.  A NaN row is not labelled; it
    becomes zeros in the result.  Raises TypeError for what is not numeric and ValueError for other row
    counts, values besides 0 and 1, and a matrix without any 1.
    """
    array: Matrix = labels.tocsr() if is_sparse(labels) else np.asarray(labels)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"labels: expected numbers or booleans, got dtype {array.dtype}")
    if array.ndim not in (1, 2) or array.shape[0] != n:
        raise ValueError(f"labels: expected shape ({n},) or ({n}, c), got {array.shape}")
    if array.ndim == 1:
        if array.dtype.kind not in "iu":
            raise TypeError(f"labels: classes of shape (n,) must be integers, got dtype {array.dtype}")
        return one_hot(array), np.ones(n, dtype=bool)
    if is_sparse(array):
        array = _without_duplicates(array)
    labelled = ~missing(array) if array.shape[1] else np.ones(n, dtype=bool)
    if is_sparse(array):
        array = array.astype(np.float64)  # a copy: the caller's matrix is not written to
        array.data[np.isnan(array.data) & ~np.repeat(labelled, np.diff(array.indptr))] = 0.0
        array.eliminate_zeros()
        values = array.data
    else:
        array = np.where(labelled[:, None], array, 0).astype(np.float64)
        values = array.ravel()
    if not np.isin(values, (0, 1)).all():
        odd = np.asarray(values)[~np.isin(values, (0, 1))][0]
        raise ValueError(f"labels: expected only 0 and 1 (or whole rows of NaN), found {odd}")
    if not (values == 1).any():
        raise ValueError(f"labels: the {array.shape} matrix holds no 1 at all")
    return array, labelled


def one_hot(classes: Array) -> NDArray[np.float64]:
    """Integer classes (n,) as a 0/1 matrix (n, number of distinct classes), columns in ascending order of class."""
    values, positions = np.unique(classes, return_inverse=True)
    return np.eye(len(values))[positions]
