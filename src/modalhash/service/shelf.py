"""Shelf: the collection as the service uses it; the one place that knows how items are stored."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.collection import Collection, Show
from modalhash.index import Hits, Index
from modalhash.views import Array

Ids = Sequence[Any]  # integers or texts, one kind


@dataclass(frozen=True, eq=False)
class Seen:
    """What a query or an item is seen as: words, an encoded picture, one vector a view; or a code made before."""

    text: str | None = None
    image: bytes | None = None
    views: Mapping[str, Sequence[float]] | None = None
    code: bytes | None = None
    vector: Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """An item to show: its id, title, encoded picture (empty bytes for none) and packed code."""

    id: int | str
    title: str
    picture: bytes
    code: bytes


@dataclass(frozen=True, eq=False)
class NewItem:
    """An item to store, what is seen of it, and what to show (empty bytes for no picture)."""

    id: int | str
    title: str
    picture: bytes
    seen: Seen


class Shelf:
    """A collection that many threads read and one at a time writes; `version` rises with every write."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.version = 0
        self._writing = threading.Lock()

    def __len__(self) -> int:
        return len(self.collection)

    @property
    def n_bits(self) -> int:
        """Length of the codes."""
        return int(self.collection.hasher.n_bits)

    def encode(self, seen: Seen, *, query: bool) -> Any:
        """The code of one query or item, (1, n_bits), or a query vector (1, K); ValueError says what does not fit."""
        given = [name for name in ("text", "image", "views", "code", "vector") if getattr(seen, name) is not None]
        if not given:
            raise ValueError("give text, image, views or a code")
        if len(given) > 1 and {"code", "vector"} & set(given):
            raise ValueError(f"a code or vector stands alone, got {' and '.join(given)}")
        if seen.code is not None:
            return self._code(seen.code)
        if seen.vector is not None:
            return np.asarray([seen.vector], dtype=np.float32)
        hasher = self.collection.hasher
        return (hasher.encode_queries if query else hasher.encode)(self._views(seen))

    def _code(self, packed: bytes) -> BinaryCodes:
        width = -(-self.n_bits // 8)
        if len(packed) != width:
            raise ValueError(f"code: expected {width} bytes ({self.n_bits} bits), got {len(packed)}")
        return BinaryCodes(np.frombuffer(packed, np.uint8).reshape(1, -1), self.n_bits)

    def _views(self, seen: Seen) -> dict[str, Any]:
        collection = self.collection
        views: dict[str, Any] = {name: np.asarray([row], np.float32) for name, row in (seen.views or {}).items()}
        for kind, value in (("text", seen.text), ("image", seen.image)):
            if value is not None:
                name = collection._view_of(kind)
                if name in views:
                    raise ValueError(f"view {name!r} is given twice, as {kind} and in views")
                views[name] = collection._extract(kind, value)
        return views

    def search(self, seen: Sequence[Seen], k: int, allow: Ids | None = None) -> tuple[Hits, list[list[Item]]]:
        """The k nearest items of every query, (queries, min(k, allowed)), and what to show of them."""
        codes = joined([self.encode(one, query=True) for one in seen])
        collection = self.collection  # writes replace it: one search sees one moment
        hits = collection.index.search(codes, k, allow)  # type: ignore[arg-type]
        return hits, [[_item(collection, at) for at in row] for row in collection.positions(hits)]

    def get(self, ids: Ids) -> list[Item | None]:
        """The items of these ids, None for each that is not there."""
        collection = self.collection
        place = {id_: i for i, id_ in enumerate(collection.index.ids.tolist())}
        found = [place.get(id_) for id_ in ids]
        return [None if at is None else _item(collection, at) for at in found]

    def id_of(self, text: str) -> int | str:
        """The id that a word of an address stands for; ValueError where ids are integers and it is none."""
        if self.collection.index.ids.dtype.kind == "U":
            return text
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ValueError("id: the ids of this collection are integers")
        return int(text)

    def upsert(self, items: Sequence[NewItem]) -> int:
        """Store items, whole or not at all, and return how many; those whose id is there keep their position."""
        ids = [item.id for item in items]
        self._check_kind(ids)
        if len(set(ids)) < len(ids):
            raise ValueError("items: an id occurs twice")
        codes = joined([self.encode(item.seen, query=False) for item in items])
        with self._writing:
            self._write(ids, codes, Show([item.title for item in items], [item.picture for item in items]))
            self.version += 1
        return len(items)

    def delete(self, ids: Ids) -> int:
        """Remove items and return how many were there, after the removal is kept."""
        self._check_kind(ids)
        with self._writing:
            count = self._remove(ids)
            self.version += bool(count)
        return count

    def snapshot(self, folder: Path) -> None:
        """Write a collection of its own that holds the items of one moment."""
        one = self.collection
        Collection.create(folder, one.hasher, one.index, one.features, one.show)

    def close(self) -> None:
        """Let go of files and locks."""

    def _check_kind(self, ids: Ids) -> None:
        texts = self.collection.index.ids.dtype.kind == "U"
        if any(isinstance(id_, str) != texts for id_ in ids):
            raise ValueError(f"id: the ids of this collection are {'texts' if texts else 'integers'}")

    def _write(self, ids: Ids, codes: Any, show: Show) -> None:
        one = self.collection
        rows = _rows(one)
        rows |= {id_: (codes.packed[i], show.titles[i], show.pictures[i]) for i, id_ in enumerate(ids)}
        self.collection = _rebuilt(one, rows)

    def _remove(self, ids: Ids) -> int:
        rows = _rows(self.collection)
        gone = [id_ for id_ in dict.fromkeys(ids) if rows.pop(id_, None)]
        if gone and not rows:
            raise ValueError("ids: the last item cannot be removed")
        if gone:
            self.collection = _rebuilt(self.collection, rows)
        return len(gone)


def _rows(one: Collection) -> dict[Any, tuple[Array, str, bytes]]:
    parts = zip(one.index.ids.tolist(), one.index.codes.packed, one.show.titles, one.show.pictures, strict=True)  # type: ignore[union-attr]
    return {id_: (code, title, picture) for id_, code, title, picture in parts}


def _rebuilt(one: Collection, rows: dict[Any, tuple[Array, str, bytes]]) -> Collection:
    codes, titles, pictures = zip(*rows.values(), strict=True)
    made = BinaryCodes(np.stack(codes), one.hasher.n_bits)
    return Collection(one.hasher, Index.build(made, list(rows)), one.features, Show(titles, pictures))


def joined(parts: Sequence[Any]) -> Any:
    """Codes, or query vectors, behind one another; ValueError for both kinds at once."""
    if all(isinstance(part, BinaryCodes) for part in parts):
        return BinaryCodes(np.concatenate([part.packed for part in parts]), parts[0].n_bits)
    if not all(isinstance(part, np.ndarray) for part in parts):
        raise ValueError("codes and vectors cannot be searched with at once")
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError("vector: expected one length")
    return np.concatenate(list(parts))


def _item(one: Collection, at: int) -> Item:
    codes = one.index.codes
    code = codes.packed[at] if isinstance(codes, BinaryCodes) else codes.indices[at]
    return Item(one.index.ids[at].item(), one.show.titles[at], one.show.pictures[at], code.tobytes())
