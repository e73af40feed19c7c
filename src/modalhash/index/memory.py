"""Index: an exact in-memory index over codes, with ids, a filter and one folder on disk."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.folders import read_state, write_state, written_whole
from modalhash.hasher import check_integer
from modalhash.index.choice import Search, check_method
from modalhash.index.hits import Hits
from modalhash.index.scan import nearest
from modalhash.views import Array

FILE = "index.json"


class Index:
    """Exact search over codes; results are ordered by (distance, position).

    Make one with `Index.build`.  `ids` is the (n,) int64 or str array of item ids, `codes` the codes.
    """

    def __init__(self, codes: BinaryCodes, ids: Array, method: str = "auto") -> None:
        self.codes, self.ids, self.method = codes, ids, method

    @classmethod
    def build(cls, codes: BinaryCodes, ids: Array | list[int] | list[str] | None = None, method: str = "auto") -> Self:
        """An index over codes (n >= 1 of them); ids (n,) unique integers or texts, positions by default.

        method: "auto", "scan", "table" or "multi_index", see `Search`; it changes time and memory, never an answer.
        Raises TypeError for codes or ids of another kind, ValueError for none, too few or repeated ids and for a
        method that does not fit the codes.
        """
        if not isinstance(codes, BinaryCodes):
            raise TypeError(f"codes: expected BinaryCodes, got {type(codes).__name__}")
        if not len(codes):
            raise ValueError("codes: expected at least one code, got none")
        check_method(method, codes.n_bits)
        return cls(codes, check_ids(np.arange(len(codes)) if ids is None else ids, len(codes)), method)

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def _search(self) -> Search:
        return Search(self.codes, self.method)

    def search(self, queries: BinaryCodes, k: int, allow: Array | list[int] | list[str] | None = None) -> Hits:
        """The k nearest items of every query, as Hits of shape (queries, min(k, allowed)), distances int32.

        allow: ids, or a (n,) boolean mask, of the items that may be found, one for all queries.
        Raises TypeError if the queries are of another kind than the codes, ValueError for another n_bits,
        k < 1, unknown ids or a mask of another length.
        """
        if not isinstance(queries, BinaryCodes):
            raise TypeError(
                f"an index over BinaryCodes is searched with BinaryCodes, not with {type(queries).__name__}"
            )
        if queries.n_bits != self.codes.n_bits:
            raise ValueError(f"queries of {queries.n_bits} bits do not fit an index of {self.codes.n_bits} bits")
        check_integer("k", k, low=1)
        allowed = None if allow is None else self.positions(allow)
        if allowed is None:
            positions, distances = self._search.nearest(queries, k)
        else:
            positions, distances = nearest(queries, self.codes[allowed], k)
            positions = allowed[positions]
        return Hits(self.ids[positions], distances)

    def positions(self, allow: Array | list[int] | list[str]) -> NDArray[np.int64]:
        """Ascending positions of the items that a filter (ids or a boolean mask) lets through."""
        chosen = np.asarray(allow)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise ValueError(f"allow: expected a mask of shape ({len(self)},), got {chosen.shape}")
            return np.flatnonzero(chosen)
        if not chosen.size:
            return np.empty(0, dtype=np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind != ("U" if self.ids.dtype.kind == "U" else "i"):
            if chosen.dtype.kind == "u" and self.ids.dtype.kind == "i":
                chosen = chosen.astype(np.int64)
            else:
                kind = "texts" if self.ids.dtype.kind == "U" else "integers"
                raise TypeError(
                    f"allow: expected a boolean mask or a list of ids ({kind}), got {chosen.dtype} {chosen.shape}"
                )
        known = np.isin(chosen, self.ids)
        if not known.all():
            raise ValueError(f"allow: unknown id {chosen[~known][0]!r} ({np.sum(~known)} unknown)")
        return np.flatnonzero(np.isin(self.ids, chosen))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the index as one folder, whole or not at all; an index that is there is replaced."""
        with written_whole(folder, marker=FILE) as temporary:
            self.write(temporary)

    def write(self, folder: Path) -> None:
        """Write the index's files into an existing folder."""
        ids = self.ids.tolist() if self.ids.dtype.kind == "U" else self.ids
        write_state(folder, FILE, {"class": "Index"}, {"codes": self.codes, "ids": ids, "method": self.method})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Read an index that `save` wrote; FileNotFoundError or ValueError name the file."""
        _, state = read_state(Path(folder), FILE)
        try:
            return cls.build(state["codes"], state["ids"], state.get("method", "auto"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{Path(folder) / FILE}: holds no usable index ({error})") from error


def check_ids(ids: Array | list[int] | list[str], n: int) -> Array:
    """Ids as a (n,) int64 or str array; TypeError for other kinds, ValueError for another count or repeats."""
    array = np.asarray(ids)
    if isinstance(ids, list) and len({isinstance(value, str) for value in ids}) > 1:
        raise TypeError("ids: expected integers or texts, got both")
    if array.shape != (n,):
        raise ValueError(f"ids: expected shape ({n},), got {array.shape}")
    if array.dtype.kind in "iu":
        array = array.astype(np.int64)
    elif array.dtype.kind != "U":
        raise TypeError(f"ids: expected integers or texts, got {array.dtype}")
    values, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"ids: {values[counts > 1][0]!r} occurs {counts.max()} times; ids must be unique")
    return array
