"""Ratings with views of users and items: by name, a CSV with the columns user, item, rating, a `.npz` or a folder.

Arrays of a `.npz` or of a folder of `.npy` files: `ratings.data|indices|indptr|shape` (CSR, users x items), optional
`user_view.NAME` and `item_view.NAME` (dense or sparse in the same way), `user_ids`, `item_ids`, `titles` of the items,
`pictures.bytes` and `pictures.offsets` that show them, and reviews: `reviews.users` and `reviews.items` (positions),
`reviews.texts` (or `reviews.bytes`, UTF-8, cut at `reviews.offsets`), `reviews.times`, `reviews.helpful`.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.datasets.files import matrices, matrix_arrays, raw_columns, read_arrays, texts_of
from modalhash.datasets.reviews import KEYS, Reviews, reviews_of
from modalhash.folders import write_json, written_whole
from modalhash.views import Array, Matrix, is_sparse

NAMED = {
    "ml1m": "MovieLens-1M: 1,000,209 ratings of 3,883 films by 6,040 people (needs MODALHASH_DATA)",
    "amazon_musical_instruments": "10,261 ratings with reviews of 900 items by 1,429 people (needs MODALHASH_DATA)",
}
COLUMNS = ("user", "item", "rating")
MARKER = "ratings.json"
_KEY = re.compile(
    r"ratings\.(data|indices|indptr|shape)|(user|item)_view\.[^/]+|(user|item)_ids|titles|pictures\.(bytes|offsets)"
    rf"|reviews\.({'|'.join(KEYS)})"
)


@dataclass(kw_only=True, eq=False)
class Ratings:
    """Ratings, sparse (users, items), and what is known of both sides, as `Recommender.fit` takes it.

    user_views, item_views: name -> (users, d) and (items, d); user_ids, item_ids: unique int64 or str, or None for
    positions; titles and pictures (encoded, empty for none): of the items, to show; features: item view -> the
    extractor that made its matrix; reviews: what users wrote about items.
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
    reviews: Reviews | None = None

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
        if self.reviews is not None:
            try:
                self.reviews.check_shape(n, m)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from error

    @property
    def written(self) -> tuple[Array, Array, Sequence[str]] | None:
        """Reviews as `Recommender.fit` takes them: users and items by id, and texts; None where nothing is written."""
        if self.reviews is None:
            return None
        users, items = self.reviews.users, self.reviews.items
        return (
            users if self.user_ids is None else np.asarray(self.user_ids)[users],
            items if self.item_ids is None else np.asarray(self.item_ids)[items],
            self.reviews.texts,
        )


def load_ratings(name: str | os.PathLike[str]) -> Ratings:
    """Ratings by name (see NAMED) or from a path: `.csv`, `.npz` or a folder.

    Raises FileNotFoundError, ValueError or TypeError that name the file, and the line or array at fault.
    """
    path = Path(name)
    if str(name) == "ml1m":
        from modalhash.datasets.ml1m_ratings import load_ml1m_ratings

        return load_ml1m_ratings()
    if str(name) == "amazon_musical_instruments":
        from modalhash.datasets.amazon_musical_instruments import load_amazon_ratings

        return load_amazon_ratings()
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
        own = {key.removeprefix("reviews."): array for key, array in arrays.items() if key.startswith("reviews.")}
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
            reviews=reviews_of(own) if own else None,
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
    if data.reviews is not None:
        arrays |= {f"reviews.{key}": array for key, array in data.reviews.arrays().items()}
    with written_whole(folder, marker=MARKER) as temporary:
        for key, array in arrays.items():
            np.save(temporary / f"{key}.npy", np.asarray(array), allow_pickle=False)
        write_json(temporary / MARKER, {"format": 1, "name": data.name})


def read_csv(path: Path) -> Ratings:
    """Ratings from a CSV (UTF-8, commas) with a head line that names user, item and rating, and optionally title.

    A column `review` holds what a user wrote about an item, empty for nothing; beside it `time` (a number or an ISO
    date) and `helpful` (a number of votes) are read where they are there.  Ids are integers where all of a side are,
    else texts; users and items stand in the order of their ids.
    """
    import scipy.sparse as sp

    users, items, values, written = [], [], [], []
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
        if (row.get("review") or "").strip():
            written.append((len(users) - 1, line, row))
    if not values:
        raise ValueError(f"{path}: holds no rating")
    (user_ids, rows), (item_ids, columns) = _positions(users), _positions(items)
    ratings = sp.csr_array((values, (rows, columns)), shape=(len(user_ids), len(item_ids)))
    shown = [titles.get(str(id_), str(id_)) for id_ in item_ids.tolist()] if titles else None
    reviews = _reviews(path, rows, columns, written) if written else None
    return Ratings(name=path.stem, ratings=ratings, user_ids=user_ids, item_ids=item_ids, titles=shown, reviews=reviews)


def _reviews(path: Path, rows: Array, columns: Array, written: list[tuple[int, int, dict[str, str]]]) -> Reviews:
    """Reviews of a CSV, from (rating, line, row) of those that are not empty."""
    at = np.array([rating for rating, _, _ in written])
    known: dict[str, Array | None] = {"time": None, "helpful": None}
    for name, read in (("time", _time), ("helpful", _votes)):
        if name in written[0][2]:
            known[name] = np.array([read(path, line, row[name]) for _, line, row in written])
    texts = [row["review"] for _, _, row in written]
    return Reviews(rows[at], columns[at], texts, known["time"], known["helpful"])


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


def _number(path: Path, line: int, text: str, what: str = "a rating as a number") -> float:
    if not _is_number(text):
        raise ValueError(f"{path}: line {line}: expected {what}, got {text!r}")
    return float(text)


def _votes(path: Path, line: int, text: str) -> float:
    return _number(path, line, text, "helpful votes as a number")


def _time(path: Path, line: int, text: str) -> float:
    """A number as it is, a date as seconds since 1970 (without a zone: in UTC)."""
    try:
        moment = None if _is_number(text) else datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None:
        return _number(path, line, text, "a time as a number or an ISO date")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _positions(ids: list[str]) -> tuple[Array, Array]:
    """The distinct ids in order, as int64 where every one is written as an integer, and the position of each."""
    distinct = set(ids)
    whole = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", id_, flags=re.ASCII) for id_ in distinct)
    values, positions = np.unique(np.array([int(id_) for id_ in ids] if whole else ids), return_inverse=True)
    return values, positions
