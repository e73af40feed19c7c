"""Data sets in the .mat layouts that the field passes around: ready-made picture and text features with labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets.dataset import Dataset, Positions, random_split
from modalhash.views import Matrix, is_sparse

PARTS = {"tr": "train", "te": "query", "db": "database"}
WHOLE = {"image": "XAll", "text": "YAll", "labels": "LAll"}
PARTED = {"image": "I", "text": "T", "labels": "L"}


def read_mat(path: str | os.PathLike[str], *, query: float = 0.1, validation: float = 0.1, seed: int = 0) -> Dataset:
    """A Dataset with the views `image` and `text` from a .mat file of one of two layouts.

    `I_tr, T_tr, L_tr, I_te, T_te, L_te`: training items and queries; `I_db, T_db, L_db`, if they are there, are the
    database (its rows are items of their own), else the training items are.
    `XAll, YAll, LAll`: all items; `query`, `validation` and `seed` make a random split, the database is all but the
    queries.  Labels are (n, c) 0/1, or n integer classes.  Names are found whatever their case.
    Raises FileNotFoundError or ValueError that name the file and the array at fault; files of version 7.3 (HDF5) are
    refused: `save -v7` writes the older kind.
    """
    source = Path(path)
    arrays = _arrays(source)
    names = {name.casefold(): name for name in arrays}
    try:
        if all(name.casefold() in names for name in WHOLE.values()):
            columns = {use: arrays[names[name.casefold()]] for use, name in WHOLE.items()}
            return _dataset(
                source, columns, random_split(_rows(columns), query=query, validation=validation, seed=seed)
            )
        return _parted(source, {name.casefold(): array for name, array in arrays.items()})
    except (ValueError, TypeError) as error:
        raise type(error)(f"{source}: {error}") from error


def _arrays(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found")
    try:
        content = loadmat(path)
    except NotImplementedError as error:  # scipy's answer to HDF5
        raise ValueError(f"{path}: is a .mat file of version 7.3 (HDF5); write it with `save -v7`") from error
    except Exception as error:  # the parser of a damaged file raises many kinds
        raise ValueError(f"{path}: is not a readable .mat file ({error})") from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


def _parted(source: Path, arrays: Mapping[str, Any]) -> Dataset:
    parts = [part for part in PARTS if part != "db" or any(f"{letter}_db".casefold() in arrays for letter in "ITL")]
    wanted = [f"{letter}_{part}" for part in parts for letter in PARTED.values()]
    absent = [name for name in wanted if name.casefold() not in arrays]
    if absent:
        raise ValueError(
            f"expected {', '.join(wanted)} or {', '.join(WHOLE.values())}; {', '.join(absent)} is not among "
            f"{', '.join(arrays) or 'no arrays'}"
        )
    pieces = {part: {use: arrays[f"{name}_{part}".casefold()] for use, name in PARTED.items()} for part in parts}
    counts = {part: _rows(pieces[part], f"_{part}") for part in parts}
    edges = np.cumsum([0, *counts.values()])
    split = {PARTS[part]: np.arange(edges[i], edges[i + 1]) for i, part in enumerate(parts)}
    split.setdefault("database", split["train"])
    return _dataset(source, {use: _stacked(use, [pieces[part][use] for part in parts]) for use in PARTED}, split)


def _rows(columns: Mapping[str, Any], part: str = "") -> int:
    """The number of items; ValueError if views and labels differ in it."""
    counts = {use: _one_row_each(use, matrix).shape[0] for use, matrix in columns.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{use}{part} {count}" for use, count in counts.items())
        raise ValueError(f"expected the same number of rows in views and labels, got {found}")
    return int(counts["image"])


def _one_row_each(use: str, matrix: Any) -> Matrix:
    """The matrix as it is; a row or column of integer classes as (n,)."""
    if not is_sparse(matrix) and (not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "fiub"):
        raise TypeError(f"{use}: expected a matrix of numbers, got {getattr(matrix, 'dtype', type(matrix).__name__)}")
    if use == "labels" and not is_sparse(matrix) and 1 in matrix.shape:
        return matrix.ravel().astype(np.int64)
    return matrix


def _stacked(use: str, pieces: list[Any]) -> Matrix:
    rows = [_one_row_each(use, piece) for piece in pieces]
    if len({piece.shape[1:] for piece in rows}) > 1:
        raise ValueError(f"{use}: parts have different columns: {', '.join(str(piece.shape) for piece in rows)}")
    if any(is_sparse(piece) for piece in rows):
        from scipy.sparse import vstack

        return vstack(rows, format="csr")
    return np.concatenate(rows)


def _dataset(source: Path, columns: Mapping[str, Any], split: Mapping[str, Positions]) -> Dataset:
    views = {use: _one_row_each(use, columns[use]) for use in ("image", "text")}
    return Dataset(name=source.stem, views=views, labels=_one_row_each("labels", columns["labels"]), split=split)
