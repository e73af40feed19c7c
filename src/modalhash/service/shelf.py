"""Shelf: the collection as the service uses it; the one place that knows how items are stored."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.collection import FILE, STORE, Collection
from modalhash.folders import written_whole
from modalhash.index import Hits
from modalhash.index.scan import SMALL
from modalhash.index.store import StoreLocked

log = logging.getLogger("modalhash.service")
Ids = list[Any]  # integers or texts, one kind
AT_ONCE = 64  # queries of a warm-up
TRIALS, QUICK = 5, 0.003  # searches that are measured; seconds that other requests may be kept waiting by one
AGAIN = 3  # searches that are repeated where items went away before they were shown


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
        self.collection, self.version = collection, 0
        self.is_quick, self._measured = False, 0
        self._texts = collection.index.ids.dtype.kind == "U" if len(collection) else None  # the kind of the ids
        if collection.store is not None:
            try:
                collection.store.lock()
            except (StoreLocked, PermissionError) as error:
                log.warning("%s; items are read, writes will be refused", error)
        self._look()

    def __len__(self) -> int:
        return len(self.collection)

    @property
    def n_bits(self) -> int:
        """Length of the codes."""
        return int(self.collection.n_bits)

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
        views = {name: np.asarray([row], np.float32) for name, row in (seen.views or {}).items()}
        hasher = self.collection.hasher
        return (hasher.encode_queries if query else hasher.encode)(self.collection.views(seen.text, seen.image, views))

    def warm(self) -> None:
        """Search by words and by codes, so that no request waits for what is loaded at first use."""
        scans = SMALL // max(len(self), 1) + 1  # after these the scan loads its kernels
        codes = [Seen(code=bytes(-(-self.n_bits // 8)))] * (scans if scans <= AT_ONCE else 1)
        for seen in ([Seen(text="a")], codes):
            with contextlib.suppress(ValueError, TypeError):  # a collection without words, or of other codes
                self.search(seen, 1)
        self._measure()

    def _measure(self) -> None:
        """Find out whether searches take little: by words and by codes, the least of some, of a processor's time."""
        self._measured, least = len(self), 0.0
        for seen in (Seen(text="a"), Seen(code=bytes(-(-self.n_bits // 8)))):
            times = []
            for _ in range(TRIALS):
                started = thread_time()
                with contextlib.suppress(ValueError, TypeError):
                    self.search([seen], 10)
                times.append(thread_time() - started)
            least = max(least, min(times))
        self.is_quick = least < QUICK

    def _code(self, packed: bytes) -> BinaryCodes:
        width = -(-self.n_bits // 8)
        if len(packed) != width:
            raise ValueError(f"code: expected {width} bytes ({self.n_bits} bits), got {len(packed)}")
        return BinaryCodes(np.frombuffer(packed, np.uint8).reshape(1, -1), self.n_bits)

    def search(self, seen: Sequence[Seen], k: int, allow: Ids | None = None) -> list[list[tuple[Item, float]]]:
        """The k nearest items of every query with their distances, nearest first; what was deleted is not shown."""
        codes = joined([self.encode(one, query=True) for one in seen])
        source = self.collection.store or self.collection.index
        for attempt in range(AGAIN):
            hits = source.search(codes, k, allow)
            found = self._shown(hits)
            if attempt + 1 == AGAIN or all(item is not None for row in found for item, _ in row):
                break
        self._look()
        return [[(item, distance) for item, distance in row if item is not None] for row in found]

    def _shown(self, hits: Hits) -> list[list[tuple[Item | None, float]]]:
        unique = np.unique(hits.ids).tolist()
        items = dict(zip(unique, self.get(unique), strict=True))
        pairs = zip(hits.ids.tolist(), hits.distances.tolist(), strict=True)
        return [[(items[id_], distance) for id_, distance in zip(*row, strict=True)] for row in pairs]

    def get(self, ids: Ids) -> list[Item | None]:
        """The items of these ids, None for each that is not there."""
        if self.collection.store is None:
            place = {id_: i for i, id_ in enumerate(self.collection.index.ids.tolist())}
            return [self._loaded(place[id_]) if id_ in place else None for id_ in ids]
        known = [id_ for id_ in dict.fromkeys(ids) if isinstance(id_, str) == self._texts and _fits(id_)]
        found = self._stored(known)
        return [found.get(id_) if isinstance(id_, str) == self._texts else None for id_ in ids]

    def _stored(self, ids: Ids) -> dict[Any, Item]:
        """Items of the store by id, without those that are not there."""
        assert self.collection.store is not None
        if not ids:
            return {}
        try:
            found = self.collection.store.get(list(ids))
        except ValueError:  # one of them is not there: halves, until it is alone
            half = len(ids) // 2
            return {**self._stored(ids[:half]), **self._stored(ids[half:])} if half else {}
        show = zip(found.show.titles, found.show.pictures, found.codes.packed, strict=True)
        return {
            id_: Item(id_, title, picture, code.tobytes())
            for id_, (title, picture, code) in zip(ids, show, strict=True)
        }

    def _loaded(self, at: int) -> Item:
        """An item of a collection that lies in memory."""
        one = self.collection
        codes = one.index.codes
        code = codes.packed[at] if isinstance(codes, BinaryCodes) else codes.indices[at]
        return Item(one.index.ids[at].item(), one.show.titles[at], one.show.pictures[at], code.tobytes())

    def id_of(self, text: str) -> int | str:
        """The id that a word of an address stands for; ValueError where ids are integers and it is none."""
        if self._texts:
            return text
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise ValueError("id: the ids of this collection are integers")
        return int(text)

    def upsert(self, items: Sequence[NewItem]) -> int:
        """Store items, whole or not at all, and return how many; those whose id is there keep their position."""
        ids: Ids = [item.id for item in items]
        self._check_kind(ids)
        codes = joined([self.encode(item.seen, query=False) for item in items])
        pictures = [item.picture for item in items]
        self.collection.add(ids, codes=codes, titles=[item.title for item in items], pictures=pictures)
        self._texts = isinstance(ids[0], str)
        self._look()
        return len(items)

    def delete(self, ids: Ids) -> int:
        """Remove items and return how many were there, after the removal is kept."""
        self._check_kind(ids)
        count = self.collection.delete([id_ for id_ in ids if _fits(id_)])
        self._look()
        return count

    def snapshot(self, folder: Path) -> None:
        """Write a collection of its own that holds the items of one moment."""
        one = self.collection
        if one.store is None:
            Collection.create(folder, one.hasher, one.index, one.features, one.show)
            return
        root = one.store.folder.parent
        with written_whole(folder, marker=FILE) as temporary:
            for name in ("model", "features"):
                if (root / name).is_dir():
                    shutil.copytree(root / name, temporary / name)
            shutil.copy(root / FILE, temporary / FILE)
            one.store.snapshot(temporary / STORE)

    def close(self) -> None:
        """Let go of files and locks."""
        self.collection.close()

    def _look(self) -> None:
        if self.collection.store is None:
            return
        before, self.version = self.version, self.collection.store.version()
        if self._measured and self.version != before and len(self) > 2 * self._measured:
            self._measure()

    def _check_kind(self, ids: Ids) -> None:
        texts = isinstance(ids[0], str) if self._texts is None else self._texts
        if any(isinstance(id_, str) != texts for id_ in ids):
            raise ValueError(f"id: the ids of this collection are {'texts' if texts else 'integers'}")


def _fits(id_: int | str) -> bool:
    return isinstance(id_, str) or -(2**63) <= id_ < 2**63


def joined(parts: Sequence[Any]) -> Any:
    """Codes, or query vectors, behind one another; ValueError for both kinds at once."""
    if all(isinstance(part, BinaryCodes) for part in parts):
        return BinaryCodes(np.concatenate([part.packed for part in parts]), parts[0].n_bits)
    if not all(isinstance(part, np.ndarray) for part in parts):
        raise ValueError("codes and vectors cannot be searched with at once")
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError("vector: expected one length")
    return np.concatenate(list(parts))
