"""Reviews: what users wrote about items, with the time and the helpful votes where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Array, Matrix

KEYS = ("users", "items", "texts", "times", "helpful", "bytes", "offsets")


@dataclass(frozen=True, eq=False)
class Reviews:
    """One review a row: user and item by position, (r,) integers; its text, which may be empty.

    times: (r,) numbers, larger = later; helpful: (r,) how many found it helpful; None where unknown.
    Raises TypeError or ValueError for other kinds, lengths and values.
    """

    users: Array
    items: Array
    texts: Sequence[str]
    times: Array | None = None
    helpful: Array | None = None

    def __post_init__(self) -> None:
        for name in ("users", "items"):
            column = np.asarray(getattr(self, name))
            if column.ndim != 1 or (column.size and column.dtype.kind not in "iu"):
                raise TypeError(f"reviews.{name}: expected (r,) integers, got {column.dtype} {column.shape}")
            if len(column) != len(self.texts):
                raise ValueError(f"reviews.{name}: holds {len(column)} values, expected {len(self.texts)}, one a text")
            object.__setattr__(self, name, column.astype(np.int64))
        for i, text in enumerate(self.texts):
            if not isinstance(text, str):
                raise TypeError(f"reviews.texts: text {i} is a {type(text).__name__}, expected a str")
        for name in ("times", "helpful"):
            self._check_numbers(name)

    def _check_numbers(self, name: str) -> None:
        given = getattr(self, name)
        if given is None:
            return
        column = np.asarray(given)
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise TypeError(f"reviews.{name}: expected (r,) numbers, got {column.dtype} {column.shape}")
        if len(column) != len(self):
            raise ValueError(f"reviews.{name}: holds {len(column)} values, expected {len(self)}")
        if not np.isfinite(column).all():
            raise ValueError(f"reviews.{name}: review {int(np.argmin(np.isfinite(column)))} has none")
        object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def triple(self) -> tuple[Array, Array, Sequence[str]]:
        """Users and items by position, and texts."""
        return self.users, self.items, self.texts

    def check_shape(self, n_users: int, n_items: int) -> None:
        """ValueError for a user or an item that is not one of the ratings."""
        for name, column, n in (("users", self.users, n_users), ("items", self.items, n_items)):
            if len(column) and (column.min() < 0 or column.max() >= n):
                raise ValueError(f"reviews.{name}: positions must lie in 0…{n - 1}, got {column.min()}…{column.max()}")

    def of(self, ratings: Matrix) -> Reviews:
        """Only the reviews of pairs that these ratings store, such as those of training."""
        return self.some(self._positions(ratings) >= 0)

    def some(self, rows: Array) -> Reviews:
        """Only these reviews, by position or as a boolean mask."""
        at = np.arange(len(self))[rows]
        known = (None if column is None else column[at] for column in (self.times, self.helpful))
        return Reviews(self.users[at], self.items[at], [self.texts[i] for i in at.tolist()], *known)

    def times_of(self, ratings: Matrix) -> F64:
        """The time of every rating in the order of the canonical CSR form, that of its last review.

        Raises ValueError without times, or for a rating without a review.
        """
        if self.times is None:
            raise ValueError("reviews: have no times")
        at, csr = self._positions(ratings), _canonical(ratings)
        found = np.full(csr.nnz, -np.inf)
        np.maximum.at(found, at[at >= 0], self.times[at >= 0])
        if np.isinf(found).any():
            entry = int(np.argmax(np.isinf(found)))
            user = int(np.searchsorted(csr.indptr, entry, side="right")) - 1
            raise ValueError(f"reviews: user {user} rated item {csr.indices[entry]}, but no review says when")
        return found

    def _positions(self, ratings: Matrix) -> NDArray[np.int64]:
        """For each review the position of its pair in the canonical CSR form, -1 where it is not rated."""
        csr = _canonical(ratings)
        self.check_shape(*csr.shape)
        if not csr.nnz:
            return np.full(len(self), -1)
        rows = np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))
        pairs = rows * csr.shape[1] + csr.indices
        wanted = self.users * csr.shape[1] + self.items
        at = np.minimum(np.searchsorted(pairs, wanted), csr.nnz - 1)
        return np.where(pairs[at] == wanted, at, -1)

    # as arrays of a file
    def arrays(self) -> dict[str, Array]:
        """What a file holds: users, items, the texts as UTF-8 `bytes` cut at `offsets`, and what else is known."""
        encoded = [text.encode("utf8", "surrogatepass") for text in self.texts]
        found = {
            "users": self.users,
            "items": self.items,
            "bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        }
        return found | {name: np.asarray(v) for name in ("times", "helpful") if (v := getattr(self, name)) is not None}


def read_reviews(path: Path) -> Reviews:
    """Reviews from a `.npz` of their arrays; FileNotFoundError, ValueError or TypeError name the file."""
    from modalhash.datasets.files import read_arrays

    arrays = read_arrays(path)
    try:
        return reviews_of(arrays)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{path}: {error}") from error


def reviews_of(arrays: Mapping[str, Array]) -> Reviews:
    """Reviews from the arrays of a file, by their names after `reviews.`; texts or bytes and offsets.

    Raises ValueError or TypeError that name the array.
    """
    for name in ("users", "items"):
        if name not in arrays:
            raise ValueError(f"reviews: need reviews.{name}")
    if ("texts" in arrays) == ("bytes" in arrays or "offsets" in arrays):
        raise ValueError("reviews: need either reviews.texts, or reviews.bytes and reviews.offsets")
    texts = _texts(arrays)
    return Reviews(arrays["users"], arrays["items"], texts, arrays.get("times"), arrays.get("helpful"))


def _texts(arrays: Mapping[str, Array]) -> list[str]:
    from modalhash.datasets.files import texts_of

    if "texts" in arrays:
        return texts_of("reviews.texts", arrays["texts"])
    if "bytes" not in arrays or "offsets" not in arrays:
        raise ValueError("reviews: need both reviews.bytes and reviews.offsets")
    blob, edges = np.asarray(arrays["bytes"]), np.asarray(arrays["offsets"])
    if blob.dtype != np.uint8 or blob.ndim != 1 or edges.ndim != 1 or edges.dtype.kind not in "iu":
        raise TypeError(f"reviews.bytes: expected bytes (uint8) and offsets (r + 1,), got {blob.dtype} {blob.shape}")
    edges = edges.astype(np.int64)
    if not len(edges) or edges[0] != 0 or edges[-1] != len(blob) or (np.diff(edges) < 0).any():
        raise ValueError(f"reviews.offsets: must rise from 0 to {len(blob)}")
    data, found = blob.tobytes(), []
    for i, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        try:
            found.append(data[low:high].decode("utf8", "surrogatepass"))
        except UnicodeDecodeError as error:
            raise ValueError(f"reviews.bytes: review {i} is not UTF-8 ({error})") from error
    return found


def _canonical(ratings: Any) -> Any:
    csr = ratings.tocsr().copy()
    csr.sum_duplicates()
    csr.eliminate_zeros()
    return csr
