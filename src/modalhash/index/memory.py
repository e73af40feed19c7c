"""Index: an exact in-memory index over codes, with ids, a filter and one folder on disk."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.folders import read_state, write_state, written_whole
from modalhash.hasher import check_integer
from modalhash.index import lookup
from modalhash.index.choice import Search, check_method
from modalhash.index.hits import Hits
from modalhash.index.lookup import LookUp
from modalhash.index.scan import nearest
from modalhash.quantized import QuantizedCodes
from modalhash.views import Array, Floats

FILE = "index.json"
Codes: TypeAlias = BinaryCodes | QuantizedCodes
Queries: TypeAlias = BinaryCodes | QuantizedCodes | Floats


class Index:
    """Exact search over codes; results are ordered by (distance, position).

    BinaryCodes are searched with BinaryCodes of equal n_bits, by Hamming distance; QuantizedCodes with float vectors
    (queries, K), or with QuantizedCodes, which are decoded: minus the inner product, or the squared distance.
    Make one with `Index.build`.  `ids` is the (n,) int64 or str array of item ids, `codes` the codes.
    """

    def __init__(self, codes: Codes, ids: Array, method: str = "auto") -> None:
        self.codes, self.ids, self.method = codes, ids, method

    @classmethod
    def build(cls, codes: Codes, ids: Array | list[int] | list[str] | None = None, method: str = "auto") -> Self:
        """An index over codes (n >= 1 of them); ids (n,) unique integers or texts, positions by default.

        method: "auto", "scan", "table" or "multi_index", see `Search`; it changes time and memory, never an answer.
        Raises TypeError for codes or ids of another kind, ValueError for none, too few or repeated ids and for a
        method that does not fit the codes.
        """
        if not isinstance(codes, BinaryCodes | QuantizedCodes):
            raise TypeError(f"codes: expected BinaryCodes or QuantizedCodes, got {type(codes).__name__}")
        if not len(codes):
            raise ValueError("codes: expected at least one code, got none")
        if isinstance(codes, BinaryCodes):
            check_method(method, codes.n_bits)
        elif method not in ("auto", "scan"):
            raise ValueError(f"method: QuantizedCodes are scanned (auto or scan), got {method!r}")
        return cls(codes, check_ids(np.arange(len(codes)) if ids is None else ids, len(codes)), method)

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def _search(self) -> Search:
        assert isinstance(self.codes, BinaryCodes)
        return Search(self.codes, self.method)

    @cached_property
    def _look_up(self) -> LookUp:
        assert isinstance(self.codes, QuantizedCodes)
        return LookUp(self.codes)

    def search(self, queries: Queries, k: int, allow: Array | list[int] | list[str] | None = None) -> Hits:
        """The k nearest items of every query, as Hits of shape (queries, min(k, allowed)).

        Distances are int32 for BinaryCodes, float32 for QuantizedCodes.
        allow: ids, or a (n,) boolean mask, of the items that may be found, one for all queries.
        Raises TypeError if the queries are of another kind than the codes, ValueError for another n_bits or width,
        k < 1, unknown ids or a mask of another length.
        """
        fitting = check_queries(queries, self.codes)
        check_integer("k", k, low=1)
        allowed = None if allow is None else self.positions(allow)
        codes = self.codes if allowed is None else self.codes[allowed]
        distances: Array
        if isinstance(codes, QuantizedCodes):
            positions, distances = (self._look_up if allowed is None else LookUp(codes)).nearest(fitting, k)
        elif allowed is None:
            positions, distances = self._search.nearest(fitting, k)
        else:
            positions, distances = nearest(fitting, codes, k)
        if allowed is not None:
            positions = allowed[positions]
        return Hits(self.ids[positions], distances)

    def distances(self, queries: Queries) -> Array:
        """Distances of every query to every item, (queries, n), items in the order of insertion."""
        fitting = check_queries(queries, self.codes)
        if isinstance(self.codes, BinaryCodes):
            return np.asarray(fitting.hamming(self.codes))
        return lookup.scores(fitting, self.codes)

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
            if chosen.ndim == 1 and chosen.dtype.kind == "u" and self.ids.dtype.kind == "i":
                chosen = chosen.astype(np.int64)
            else:
                kind = "texts" if self.ids.dtype.kind == "U" else "integers"
                raise TypeError(
                    f"allow: expected a boolean mask or a list of ids ({kind}), got {chosen.dtype} {chosen.shape}"
                )
        known = np.isin(chosen, self.ids)
        if not known.all():
            raise ValueError(f"allow: unknown id {chosen[~known].tolist()[0]!r} ({np.sum(~known)} unknown)")
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


def check_queries(queries: Queries, codes: Codes) -> Any:
    """Queries as the scan of these codes takes them: BinaryCodes, or vectors (queries, K) float32."""
    given = f"a {queries.dtype} array" if isinstance(queries, np.ndarray) else type(queries).__name__
    if isinstance(codes, BinaryCodes):
        if not isinstance(queries, BinaryCodes):
            raise TypeError(f"an index over BinaryCodes is searched with BinaryCodes, not with {given}")
        if queries.n_bits != codes.n_bits:
            raise ValueError(f"queries of {queries.n_bits} bits do not fit an index of {codes.n_bits} bits")
        return queries
    vectors = queries.decode() if isinstance(queries, QuantizedCodes) else queries
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        raise TypeError(
            f"an index over QuantizedCodes is searched with float32 vectors or QuantizedCodes, not with {given}"
        )
    if vectors.ndim != 2 or vectors.shape[1] != codes.width:
        raise ValueError(f"queries: expected shape (queries, {codes.width}), got {vectors.shape}")
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("queries: hold NaN or an infinity")
    return vectors


def check_ids(ids: Array | list[int] | list[str], n: int) -> Array:
    """Ids as a (n,) int64 or str array; TypeError for other kinds, ValueError for another count or repeats."""
    array = np.asarray(ids)
    if isinstance(ids, list | tuple) and len({isinstance(value, str) for value in ids}) > 1:
        raise TypeError("ids: expected integers or texts, got both")
    if array.shape != (n,):
        raise ValueError(f"ids: expected shape ({n},), got {array.shape}")
    if array.dtype.kind in "iu":
        if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"ids: {array.max()} does not fit int64")
        array = array.astype(np.int64)
    elif array.dtype.kind != "U":
        raise TypeError(f"ids: expected integers or texts, got {array.dtype}")
    values, counts = np.unique(array, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"ids: {values[counts > 1].tolist()[0]!r} occurs {counts.max()} times; ids must be unique")
    return array
