"""Ratings with views of users and items: by name, a CSV with the columns user, item, rating, a `.npz` or a folder.

Arrays of a `.npz` or of a folder of `.npy` files: `ratings.data|indices|indptr|shape` (CSR, users x items), optional
`user_view.NAME` and `item_view.NAME` (dense or sparse in the same way), `user_ids`, `item_ids`, `titles` of the items,
and `pictures.bytes` and `pictures.offsets` that show them.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets.files import matrices, matrix_arrays, raw_columns, read_arrays, texts_of
from modalhash.folders import write_json, written_whole
from modalhash.views import Array, Matrix, is_sparse

NAMED = {"ml1m": "MovieLens-1M: 1,000,209 ratings of 3,883 films by 6,040 people (needs MODALHASH_DATA)"}
COLUMNS = ("user", "item", "rating")
MARKER = "ratings.json"
_KEY = re.compile(
    r"ratings\.(data|indices|indptr|shape)|(user|item)_view\.[^/]+|(user|item)_ids|titles|pictures\.(bytes|offsets)"
)


@dataclass(kw_only=True, eq=False)
class Ratings:
    """Ratings, sparse (users, items), and what is known of both sides, as `Recommender.fit` takes it.

    user_views, item_views: name -> (users, d) and (items, d); user_ids, item_ids: unique int64 or str, or None for
    positions; titles and pictures (encoded, empty for none): of the items, to show; features: item view -> the
    extractor that made its matrix.
    """

    name: str
    ratings: Matrix
    user_views: Mapping[str, Matrix] = field(default_factory=dict)
    item_views: Mapping[str, Matrix] = field(default_factory=dict)
    user_ids: Array | None = None
    item_ids: Array | None = None
    titles: Sequence[str] | None = None
    pictures: Sequence[bytes] | None = None
    features: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_sparse(self.ratings) or self.ratings.ndim != 2:
            raise TypeError(f"{self.name}: expected ratings as a scipy sparse matrix users x items")
        n, m = self.ratings.shape
        for side, rows, views in (("user", n, self.user_views), ("item", m, self.item_views)):
            for view, matrix in views.items():
                if getattr(matrix, "ndim", 0) != 2 or matrix.shape[0] != rows:
                    raise ValueError(f"{self.name}: {side}_view.{view}: expected ({rows}, d), one row a {side}")
        sizes = {"user_ids": n, "item_ids": m, "titles": m, "pictures": m}
        for column, rows in sizes.items():
            found = getattr(self, column)
            if found is not None and len(found) != rows:
                raise ValueError(f"{self.name}: {column} holds {len(found)} values, expected {rows}")


def load_ratings(name: str | os.PathLike[str]) -> Ratings:
    """Ratings by name (see NAMED) or from a path: `.csv`, `.npz` or a folder.

    Raises FileNotFoundError, ValueError or TypeError that name the file, and the line or array at fault.
    """
    path = Path(name)
    if str(name) == "ml1m":
        from modalhash.datasets.ml1m_ratings import load_ml1m_ratings

        return load_ml1m_ratings()
    if not path.exists():
        raise FileNotFoundError(f"{name}: is neither known ratings ({', '.join(NAMED)}) nor an existing path")
    if path.is_file() and path.suffix.lower() != ".npz":
        return read_csv(path)
    return read_ratings(path)


def read_ratings(path: str | os.PathLike[str]) -> Ratings:
    """Ratings from a `.npz` file or a folder of `.npy` files; errors name the file and the array."""
    source = Path(path)
    arrays = read_arrays(source)
    for key in arrays:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{source}: unknown array {key!r}; ratings are in ratings.data|indices|indptr|shape")
    try:
        ratings = matrices(arrays, "", "ratings").get("ratings")
        if ratings is None:
            raise ValueError("holds no ratings: expected ratings.data, .indices, .indptr and .shape")
        shown = raw_columns({f"raw.{key}": array for key, array in arrays.items() if key.startswith("pictures.")})
        return Ratings(
            name=source.resolve().name if source.is_dir() else source.stem,
            ratings=ratings,
            user_views=matrices(arrays, "user_view."),
            item_views=matrices(arrays, "item_view."),
            user_ids=arrays.get("user_ids"),
            item_ids=arrays.get("item_ids"),
            titles=texts_of("titles", arrays["titles"]) if "titles" in arrays else None,
            pictures=shown.get("pictures"),
        )
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{source}: {error}") from error


def write_ratings(data: Ratings, folder: str | os.PathLike[str]) -> None:
    """Write ratings as a folder that `read_ratings` reads, whole or not at all; pictures and extractors stay behind."""
    arrays: dict[str, Any] = matrix_arrays("ratings", data.ratings)
    for side, views in (("user", data.user_views), ("item", data.item_views)):
        for name, matrix in views.items():
            arrays |= matrix_arrays(f"{side}_view.{name}", matrix)
    columns = {"user_ids": data.user_ids, "item_ids": data.item_ids}
    arrays |= {key: column for key, column in columns.items() if column is not None}
    if data.titles is not None:
        arrays["titles"] = np.array(data.titles, dtype=np.str_)
    with written_whole(folder, marker=MARKER) as temporary:
        for key, array in arrays.items():
            np.save(temporary / f"{key}.npy", np.asarray(array), allow_pickle=False)
        write_json(temporary / MARKER, {"format": 1, "name": data.name})


def read_csv(path: Path) -> Ratings:
    """Ratings from a CSV (UTF-8, commas) with a head line that names user, item and rating, and optionally title.

    Ids are integers where all of a side are, else texts; users and items stand in the order of their ids.
    """
    import scipy.sparse as sp

    users, items, values = [], [], []
    titles: dict[str, str] = {}
    seen: dict[tuple[str, str], int] = {}
    for line, row in _rows(path):
        pair = (row["user"], row["item"])
        if seen.setdefault(pair, line) != line:
            raise ValueError(f"{path}: line {line} rates item {pair[1]} by user {pair[0]} again (line {seen[pair]})")
        users.append(pair[0])
        items.append(pair[1])
        values.append(_number(path, line, row["rating"]))
        if row.get("title"):
            titles.setdefault(pair[1], row["title"])
    if not values:
        raise ValueError(f"{path}: holds no rating")
    (user_ids, rows), (item_ids, columns) = _positions(users), _positions(items)
    ratings = sp.csr_array((values, (rows, columns)), shape=(len(user_ids), len(item_ids)))
    shown = [titles.get(str(id_), str(id_)) for id_ in item_ids.tolist()] if titles else None
    return Ratings(name=path.stem, ratings=ratings, user_ids=user_ids, item_ids=item_ids, titles=shown)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and rows, checked to have all columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            absent = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
            if absent:
                raise ValueError(f"{path}: the head line lacks {', '.join(absent)}; expected {','.join(COLUMNS)}")
            for row in reader:
                if any(not row[column] for column in COLUMNS) or None in row:
                    raise ValueError(f"{path}: line {reader.line_num}: expected a user, an item and a rating")
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: is not a CSV in UTF-8 ({error})") from error


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{path}: line {line}: expected a rating as a number, got {text!r}")
    return value


def _positions(ids: list[str]) -> tuple[Array, Array]:
    """The distinct ids in order, as int64 where every one is written as an integer, and the position of each."""
    distinct = set(ids)
    whole = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", id_, flags=re.ASCII) for id_ in distinct)
    values, positions = np.unique(np.array([int(id_) for id_ in ids] if whole else ids), return_inverse=True)
    return values, positions
