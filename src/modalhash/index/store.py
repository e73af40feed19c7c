"""Store: codes that are kept.  The same calls on a folder and on an engine beyond one machine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.hasher import check_integer
from modalhash.index.hits import Hits
from modalhash.index.items import Items, Show
from modalhash.index.memory import check_ids
from modalhash.views import Array

Ids: TypeAlias = Array | list[int] | list[str]
KINDS = {"i": "integers", "U": "texts"}  # of ids, by the kind of their dtype


class StoreLocked(OSError):
    """Another writer has the store open."""


class Store(ABC):
    """A durable collection of BinaryCodes with ids, searched exactly; open one with `Store.open`.

    Ids are int64 or str, one kind a store.  An item keeps its position, the number of its insertion, over updates;
    deleted and inserted again it gets a new one.  A write returns once it is kept, and every search that begins
    after that sees it.  `n_bits` is the length of the codes, `model` the checksum of the model that made them, or
    None.  A store closes at the end of a `with` block.
    """

    n_bits: int
    model: str | None

    @classmethod
    def open(
        cls,
        where: str | os.PathLike[str],
        n_bits: int | None = None,
        create: bool = False,
        *,
        model: str | None = None,
        read_only: bool = False,
        **options: Any,
    ) -> Store:
        """Open the store in a folder (a path or file://…) or on an engine (milvus://…).

        n_bits: needed to make a store; otherwise compared with what is there.  create: make it if it is not there.
        model: checksum of the model that makes the codes; kept when the store is made, compared when it is opened.
        read_only: no writes; any number of readers may be beside one writer.  options: what the engine takes.
        Raises FileNotFoundError where there is no store and create is False, StoreLocked where another writer has
        it, PermissionError where it cannot be written, ValueError for another n_bits, model or format.
        """
        scheme = urlsplit(os.fspath(where)).scheme if "://" in os.fspath(where) else "file"
        if scheme == "milvus":
            engine: type[Store] = import_module("modalhash.index.milvus").MilvusStore
        elif scheme == "file":
            from modalhash.index.file_store import FileStore

            engine, where = FileStore, folder_of(where)
        else:
            raise ValueError(f"{os.fspath(where)}: expected a folder, file://… or milvus://…")
        return engine(where, n_bits, create, model=model, read_only=read_only, **options)

    @abstractmethod
    def __init__(
        self,
        where: str | os.PathLike[str],
        n_bits: int | None = None,
        create: bool = False,
        *,
        model: str | None = None,
        read_only: bool = False,
    ) -> None: ...

    @abstractmethod
    def upsert(self, ids: Ids, codes: BinaryCodes, show: Show | None = None) -> None:
        """Insert items, and replace those whose ids are there as a whole (without `show` they show nothing).

        All of them are kept or, after an error, none.  Raises TypeError or ValueError for ids of another kind or
        repeated ids, codes of another length, and counts that differ; PermissionError for a store opened
        read-only; OSError where the disk is full or fails.
        """

    @abstractmethod
    def delete(self, ids: Ids) -> int:
        """Delete items, all or none, and return how many were there; ids that are not there are passed over."""

    @abstractmethod
    def search(self, queries: BinaryCodes, k: int, allow: Ids | None = None) -> Hits:
        """The k nearest items of every query, as Hits of shape (queries, min(k, allowed)), nearest first.

        Distances are int32; equal distances are in order of position.  allow: ids of the items that may be found,
        one list for all queries.  Raises as `Index.search` does: TypeError for other queries, ValueError for
        another n_bits, k < 1 or unknown ids.
        """

    @abstractmethod
    def get(self, ids: Ids) -> Items:
        """Codes of items and what to show of them, in the order of `ids`; ValueError names an id that is not there."""

    @abstractmethod
    def count(self) -> int:
        """How many items there are."""

    @abstractmethod
    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a store of its own that holds the items of one moment; writes go on meanwhile."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files, locks and connections; what was written stays.  Closing twice does no harm."""

    def __len__(self) -> int:
        return self.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def folder_of(where: str | os.PathLike[str]) -> Path:
    """The folder that a path or a file:// address names; ValueError for a file on another host."""
    text = os.fspath(where)
    if not text.startswith("file://"):
        return Path(where)
    address = urlsplit(text)
    if address.netloc not in ("", "localhost") or not address.path:
        raise ValueError(f"{text}: expected file:///path/of/a/folder")
    return Path(unquote(address.path))


def check_items(ids: Ids, codes: BinaryCodes, show: Show | None, n_bits: int) -> Array:
    """Ids as a (n,) int64 or str array, after a look at everything that is to be written."""
    if not isinstance(codes, BinaryCodes):
        raise TypeError(f"codes: a store holds BinaryCodes, got {type(codes).__name__}")
    if codes.n_bits != n_bits:
        raise ValueError(f"codes of {codes.n_bits} bits do not fit a store of {n_bits} bits")
    for name, kind, column in (("titles", str, show.titles), ("pictures", bytes, show.pictures)) if show else ():
        if len(column) != len(codes):
            raise ValueError(f"show: {len(column)} {name} for {len(codes)} items")
        wrong = next((value for value in column if not isinstance(value, kind)), None)
        if wrong is not None:
            raise TypeError(f"show: expected {name} as {kind.__name__}, got {type(wrong).__name__}")
    return id_array(ids, len(codes))


def id_array(ids: Ids, n: int | None = None) -> Array:
    """Unique ids as a (n,) int64 or str array; none of them is an int64 array, as good as any."""
    n = len(ids) if n is None else n
    array = np.asarray(ids)
    return np.empty(0, np.int64) if not n and array.shape == (0,) else check_ids(ids, n)


def check_kind(name: str, ids: Array, kind: str | None) -> None:
    """TypeError unless ids are of the kind ("i" or "U") that the store holds; anything fits a store without ids."""
    if len(ids) and kind is not None and ids.dtype.kind != kind:
        raise TypeError(f"{name}: this store's ids are {KINDS[kind]}, got {KINDS[ids.dtype.kind]}")


def check_search(queries: BinaryCodes, k: int, n_bits: int) -> None:
    """TypeError or ValueError unless a store of so many bits can answer."""
    if not isinstance(queries, BinaryCodes):
        given = f"a {queries.dtype} array" if isinstance(queries, np.ndarray) else type(queries).__name__
        raise TypeError(f"a store is searched with BinaryCodes, not with {given}")
    if queries.n_bits != n_bits:
        raise ValueError(f"queries of {queries.n_bits} bits do not fit a store of {n_bits} bits")
    check_integer("k", k, low=1)
