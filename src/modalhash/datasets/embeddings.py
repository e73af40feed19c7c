"""Embeddings of any encoder as a data set: `.npy`, Parquet or Arrow, any number of views, with or without labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import PARTS, Dataset, Positions, random_split
from modalhash.hasher import check_integer
from modalhash.views import Array, Matrix, blocks, is_sparse, missing, one_hot

ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")
SUFFIXES = (".npy", *PARQUET, *ARROW)
LABELS = ("labels", "label")  # columns that are labels unless others are named
TITLES = ("title", "text")
IDS = ("id",)
SPLIT = ("split",)
SHARE = 0.1  # of the items that query, and that validate, at most
ALIASES = {"test": "query", "val": "validation", "dev": "validation"}


def read_embeddings(
    path: str | os.PathLike[str],
    *,
    views: str | Sequence[str] | None = None,
    labels: str | Sequence[str] | None = None,
    ids: str | None = None,
    titles: str | None = None,
    split: str | None = None,
    held_out: int = 1000,
    seed: int = 0,
) -> Dataset:
    """A Dataset from a file of embeddings.

    `.npy`: one array (n, d), one view, called `embedding` or as `views` says; labels from the file `labels`, by
    default NAME.labels.npy beside it: (n,) integers or texts, or (n, c) 0/1.
    `.parquet`, `.arrow`, `.feather`: a view a column of lists of numbers, all such columns or those that `views`
    names; null: the item lacks the view.  labels: a column of integers or texts (classes) or of lists of them
    (several an item), `labels` or `label` by default, or several columns of 0/1; null: not labelled.  ids, titles,
    split: columns, `id`, `title` or `text`, and `split` by default where they are there; split holds train,
    validation, query (or test) or database.
    Without a split `held_out` items query and as many validate, at most a tenth of all each, drawn with `seed`.
    Raises FileNotFoundError, TypeError or ValueError that name the file and the column at fault.
    """
    source = Path(path)
    check_integer("held_out", held_out, low=0)
    check_integer("seed", seed, low=0)
    if not source.is_file():
        raise FileNotFoundError(f"{source}: not found")
    named = {"ids": ids, "titles": titles, "split": split}
    try:
        if source.suffix.lower() == ".npy":
            columns = _from_array(source, views, labels, named)
        else:
            columns = _from_table(_read_table(source), views, labels, named)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{source}: {error}") from error
    parts = columns.pop("split", None)
    n = next(iter(columns["views"].values())).shape[0]
    share = min(SHARE, held_out / n)
    rows = random_split(n, query=share, validation=share, seed=seed) if parts is None else parts
    return Dataset(name=source.stem, split=rows, **columns)


def centred(data: Dataset) -> Dataset:
    """The data with each view's training mean subtracted, which closes the gap between views of one space.

    Views become float32; missing rows stay missing.  Raises ValueError for a sparse view.
    """
    moved: dict[str, Matrix] = {}
    for name, matrix in data.views.items():
        if is_sparse(matrix):
            raise ValueError(f"{data.name}: view {name!r} is sparse, and a mean subtracted would fill it")
        train = matrix[data.split["train"]]
        train = train[~missing(train)]
        mean = train.mean(axis=0, dtype=np.float64) if len(train) else np.zeros(matrix.shape[1])
        moved[name] = np.empty(matrix.shape, dtype=np.float32)
        for rows in blocks(len(matrix)):
            moved[name][rows] = matrix[rows] - mean
    return replace(data, views=moved)


def _from_array(
    path: Path, views: str | Sequence[str] | None, labels: str | Sequence[str] | None, named: Mapping[str, str | None]
) -> dict[str, Any]:
    for use, column in named.items():
        if column is not None:
            raise ValueError(f"{use}: a .npy file has no columns, got {column!r}")
    names = _names(views) or ["embedding"]
    if len(names) > 1:
        raise ValueError(f"views: a .npy file holds one view, got {', '.join(names)}")
    matrix = _load_array(path)
    if matrix.ndim != 2:
        raise ValueError(f"expected an array (n, d), got shape {matrix.shape}")
    beside = path.with_suffix(".labels.npy")
    given = _names(labels)
    if len(given) > 1:
        raise ValueError(f"labels: expected one .npy file, got {', '.join(given)}")
    file = Path(given[0]) if given else beside
    if given and not file.is_file():
        raise ValueError(f"labels: {file} not found")
    found: dict[str, Any] = {"views": {names[0]: matrix}}
    return found | (_classes(_load_array(file)) if file.is_file() else {})


def _load_array(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, EOFError) as error:
        raise ValueError(f"{path.name} is not a readable .npy file ({error})") from error


def _classes(values: Array) -> dict[str, Any]:
    """Labels from an array: texts become classes with names."""
    if values.dtype.kind != "U":
        return {"labels": values}
    if values.ndim != 1:
        raise ValueError(f"labels: expected n texts, got shape {values.shape}")
    names, classes = np.unique(values, return_inverse=True)
    return {"labels": classes, "label_names": names.tolist()}


def _read_table(path: Path) -> Any:
    """A pyarrow table from a Parquet or Arrow file."""
    import pyarrow as pa

    try:
        if path.suffix.lower() in PARQUET:
            from pyarrow import parquet

            return parquet.read_table(path)
        with pa.memory_map(str(path)) as stream:
            try:
                return pa.ipc.open_file(stream).read_all()
            except pa.ArrowInvalid:
                stream.seek(0)
                return pa.ipc.open_stream(stream).read_all()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"is not a readable Parquet or Arrow file ({error})") from error


def _from_table(
    table: Any, views: str | Sequence[str] | None, labels: str | Sequence[str] | None, named: Mapping[str, str | None]
) -> dict[str, Any]:
    label_columns = _names(labels) or _first_of(table, LABELS)
    single = {
        use: [column] if column is not None else _first_of(table, known)
        for (use, column), known in zip(named.items(), (IDS, TITLES, SPLIT), strict=True)
    }
    taken = {*label_columns, *(name for names in single.values() for name in names)}
    free = [name for name in table.column_names if name not in taken]
    chosen = _names(views) or [name for name in free if _is_list_of_numbers(table.column(name))]
    for name in (*chosen, *taken):
        if name not in table.column_names:
            raise ValueError(f"has no column {name!r}; its columns: {', '.join(table.column_names)}")
    if not chosen:
        raise ValueError(f"has no column of lists of numbers; its columns: {', '.join(map(str, table.schema))}")
    found: dict[str, Any] = {"views": {name: _matrix(name, table.column(name)) for name in chosen}}
    if label_columns:
        found |= _labels(label_columns, table)
    for use, names in single.items():
        if names and use != "split":
            found[use] = _column(names[0], table)
    if single["split"]:
        found["split"] = _parts(single["split"][0], _column(single["split"][0], table))
    if "ids" in found:
        found["ids"] = np.array(found["ids"])
    if "titles" in found:
        found["titles"] = ["" if text is None else str(text) for text in found["titles"]]
    return found


def _names(given: str | Sequence[str] | None) -> list[str]:
    return [] if given is None else [given] if isinstance(given, str) else list(given)


def _first_of(table: Any, known: Sequence[str]) -> list[str]:
    return [name for name in known if name in table.column_names][:1]


def _is_list_of_numbers(field: Any) -> bool:
    import pyarrow.types as kinds

    kind = field.type
    lists = kinds.is_fixed_size_list(kind) or kinds.is_list(kind) or kinds.is_large_list(kind)
    return bool(lists and (kinds.is_floating(kind.value_type) or kinds.is_integer(kind.value_type)))


def _matrix(name: str, column: Any) -> NDArray[Any]:
    """The matrix (n, d) of a column of lists; a null list becomes a row of NaN."""
    if not _is_list_of_numbers(column):
        raise TypeError(f"column {name!r}: expected lists of numbers, got {column.type}")
    import pyarrow.compute as compute

    gaps = np.asarray(column.is_null())
    sizes = compute.list_value_length(column.drop_null()).unique().to_pylist()
    if len(sizes) != 1 or not sizes[0]:
        told = ", ".join(map(str, sorted(sizes)[:5])) or "none"
        raise ValueError(f"column {name!r}: expected lists of one length, got lengths {told}")
    values = compute.list_flatten(column.drop_null())
    if values.null_count:
        raise ValueError(f"column {name!r}: {values.null_count} numbers inside the lists are null")
    rows = values.to_numpy().reshape(-1, sizes[0])
    if not gaps.any():
        return np.asarray(rows)
    kind = rows.dtype if rows.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    matrix = np.full((len(gaps), sizes[0]), np.nan, dtype=kind)
    matrix[~gaps] = rows
    return matrix


def _labels(names: Sequence[str], table: Any) -> dict[str, Any]:
    """Labels and their names from one column, or from several of 0/1."""
    if len(names) > 1:
        columns = [np.array(_column(name, table), dtype=np.float64) for name in names]
        return {"labels": np.stack(columns, axis=1), "label_names": list(names)}
    values = _column(names[0], table)
    known = [value for value in values if value is not None]
    if not known:
        raise ValueError(f"column {names[0]!r}: holds no label")
    if isinstance(known[0], list):
        return _several(names[0], values)
    if not all(isinstance(value, int | str) for value in known):
        kind = table.column(names[0]).type
        raise TypeError(f"column {names[0]!r}: expected integers, texts or lists of them, got {kind}")
    if isinstance(known[0], bool):
        return {"labels": np.array(values, dtype=np.float64)[:, None], "label_names": [names[0]]}
    label_names, classes = np.unique(np.array(known), return_inverse=True)
    told = [str(name) for name in label_names.tolist()]
    if len(known) == len(values):
        return {"labels": classes, "label_names": told}
    matrix = np.full((len(values), len(told)), np.nan, dtype=np.float32)
    matrix[[value is not None for value in values]] = one_hot(classes)
    return {"labels": matrix, "label_names": told}


def _several(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """0/1 labels from lists; null: not labelled."""
    distinct = {label for row in values if row is not None for label in row}
    if not distinct or any(not isinstance(label, int | str) for label in distinct):
        raise TypeError(f"column {name!r}: expected lists of integers or texts, got {list(distinct)[:3]}")
    told = sorted(distinct)
    place = {label: i for i, label in enumerate(told)}
    matrix = np.zeros((len(values), len(told)), dtype=np.float32)
    for i, row in enumerate(values):
        if row is None:
            matrix[i] = np.nan
        else:
            matrix[i, [place[label] for label in row]] = 1
    return {"labels": matrix, "label_names": [str(label) for label in told]}


def _column(name: str, table: Any) -> list[Any]:
    values: list[Any] = table.column(name).to_pylist()
    return values


def _parts(name: str, values: Sequence[Any]) -> dict[str, Positions]:
    """The split that a column names; the database is all but the queries, train what is neither if nothing is named."""
    told = np.array([ALIASES.get(str(value).lower(), str(value).lower()) for value in values])
    for value in np.unique(told).tolist():
        if value not in PARTS:
            raise ValueError(f"column {name!r}: unknown part {value!r}; known: {', '.join((*PARTS, *ALIASES))}")
    split = {part: np.flatnonzero(told == part) for part in PARTS}
    split["database"] = np.flatnonzero(told != "query")
    if not len(split["train"]):
        split["train"] = np.setdiff1d(split["database"], split["validation"])
    return split
