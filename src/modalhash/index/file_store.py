"""The store in a folder: items.sqlite is the truth, a mapped file of codes is what is scanned."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from pathlib import Path

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.hasher import check_integer
from modalhash.index import code_cache, truth
from modalhash.index.code_cache import flush_folder
from modalhash.index.hits import Hits
from modalhash.index.items import Items, Show
from modalhash.index.lock import FILE as LOCK
from modalhash.index.lock import WriterLock
from modalhash.index.memory import Index
from modalhash.index.segments import State
from modalhash.index.store import Ids, Store, check_items, check_kind, check_search, id_array
from modalhash.index.truth import About, Truth
from modalhash.views import Array

BACKLOG = 32_768  # changes since the cache, or a quarter of the items if that is more, that begin a compaction
WORTH_A_CACHE = 1024  # changes that a writer which closes does not leave to the next one
MADE = (LOCK, *(truth.FILE + end for end in ("", "-wal", "-shm", "-journal")))


class FileStore(Store):
    """A store in a folder, for one writer and many readers, threads or processes.

    A write is one SQLite transaction, flushed to the disk before it returns.  Searches look first whether anything
    was committed since the last one, and take it into memory beside the mapped codes; a thread of the writer
    writes a new file of codes when that has become much.  `lock` makes a writer of a store opened read-only.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        n_bits: int | None = None,
        create: bool = False,
        *,
        model: str | None = None,
        read_only: bool = False,
    ) -> None:
        self.folder = Path(where)
        self._writer: Truth | None = None
        self._lock: WriterLock | None = None
        self._closed, self._process = True, os.getpid()
        self._writing, self._reading, self._compacting = threading.RLock(), threading.RLock(), threading.Lock()
        self._compaction: threading.Thread | None = None
        if create and not read_only:
            _make(self.folder, n_bits, model)
        self._reader = Truth(self.folder, read_only=True)
        self._closed = False
        try:
            self._begin(n_bits, model)
            if not read_only:
                self.lock()
        except BaseException:
            self.close()
            raise

    def _begin(self, n_bits: int | None, model: str | None) -> None:
        with self._reader.reading() as about:
            self.n_bits, self.model, self._kind = about.n_bits, about.model, about.kind
            if n_bits is not None and n_bits != about.n_bits:
                raise ValueError(f"{self.folder}: holds codes of {about.n_bits} bits, not of {n_bits}")
            if model is not None and model != about.model:
                raise ValueError(f"{self.folder}: holds codes of another model ({about.model}), not of {model}")
            self._about, self._commits = about, -1  # -1: never looked
            self._state = self._load(about)

    def lock(self) -> None:
        """Become the writer, if it is not already; StoreLocked names another one, PermissionError a folder."""
        with self._writing:
            self._check_open()
            if self._lock is not None:
                return
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(f"{self.folder}: cannot be written; read_only=True reads it")
            self._lock = WriterLock(self.folder)
            try:
                self._write_by(Truth(self.folder, read_only=False))
                cache = self._truth().about().cache
                code_cache.clean(self.folder, cache)
            except BaseException:
                self._unlock()
                raise
        if cache is not None and self._refreshed().cache is None:  # damaged or gone
            with contextlib.suppress(OSError):
                self.compact()

    def _write_by(self, writer: Truth | None) -> None:
        with self._reading:
            self._writer, self._commits = writer, -1  # commits are counted anew

    def _unlock(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._write_by(None)
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def close(self) -> None:
        """Let go of files and of the lock; a writer first writes the codes for the next one to open."""
        if self._closed or os.getpid() != self._process:
            return
        try:
            if self._compaction is not None:
                self._compaction.join()
            if self._writer is not None and self._writer.about().backlog > WORTH_A_CACHE:
                self._compact_quietly()
        finally:
            with self._writing, self._reading:
                self._closed = True
                self._reader.close()
                self._unlock()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and os.getpid() == self._process:
            self._closed = True
            self._reader.close()
            self._unlock()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.folder}: the store is closed")
        if os.getpid() != self._process:
            raise ValueError(f"{self.folder}: was opened by another process; open it again in this one")

    def _truth(self) -> Truth:
        self._check_open()
        if self._writer is None:
            raise PermissionError(f"{self.folder}: was opened read-only")
        return self._writer

    def upsert(self, ids: Ids, codes: BinaryCodes, show: Show | None = None) -> None:
        """Insert items, and replace those whose ids are there as a whole (see `Store.upsert`)."""
        given = check_items(ids, codes, show, self.n_bits)
        with self._writing:
            kept = self._truth()
            check_kind("ids", given, kept.about().kind)
            if len(given):
                kept.upsert(given, codes, show)
                self._look_after(kept.about())

    def delete(self, ids: Ids) -> int:
        """Delete items, all or none, and return how many were there; ids that are not there are passed over."""
        with self._writing:
            kept = self._truth()
            given = np.unique(id_array(_unique(ids)))
            check_kind("ids", given, kept.about().kind)
            found = kept.delete(given)
            self._look_after(kept.about())
            return found

    def _look_after(self, about: About) -> None:
        """Begin a compaction in the background when much has changed since the last."""
        busy = self._compaction is not None and self._compaction.is_alive()
        if not busy and about.backlog > max(BACKLOG, about.next_position // 4):
            self._compaction = threading.Thread(target=self._compact_quietly, name="modalhash-compaction")
            self._compaction.start()

    def _compact_quietly(self) -> None:
        with contextlib.suppress(OSError):  # no room: the items are safe without, the next write tries again
            self.compact()

    def compact(self) -> None:
        """Write all codes into a new file of codes; the answers stay the same.  OSError where it cannot be kept."""
        with self._compacting:
            kept = self._truth()
            with self._reading:
                state, about = self._refreshed(), self._about
            name = code_cache.write(self.folder, about.version, state.rows())
            with self._writing:
                kept.adopt(name, about)
            self._refreshed()
            if about.cache is not None:
                (self.folder / about.cache).unlink(missing_ok=True)

    def _refreshed(self) -> State:
        """The state that holds everything that was committed before the call."""
        with self._reading:
            self._check_open()
            commits = (self._writer or self._reader).commits()
            if commits != self._commits:
                with self._reader.reading() as about:
                    self._state = self._caught_up(about)
                self._commits = commits
            return self._state

    def _caught_up(self, about: About) -> State:
        state = self._state
        self._kind = about.kind
        if about.cache != self._about.cache:  # what led to it may no longer be noted
            state = self._load(about)
        self._about = about
        if about.version == state.version:
            return state
        last = about.next_position - 1
        return state.after(self._reader.news(about, state.version, state.last), about.version, last)

    def _load(self, about: About) -> State:
        """The state of the mapped cache, which is older than the truth; of the truth itself without one."""
        if about.cache is not None:
            rows = code_cache.read(self.folder, about.cache, about.trimmed, about.n_bits)
            if rows is not None:
                return State.of(rows, about.trimmed, int(rows.positions[-1]) if len(rows) else -1, about.cache)
        return State.of(self._reader.everything(about.n_bits), about.version, about.next_position - 1)

    def search(self, queries: BinaryCodes, k: int, allow: Ids | None = None) -> Hits:
        """The k nearest items of every query (see `Store.search`).

        allow: ids, or a boolean mask of the items in order of position.
        """
        check_search(queries, k, self.n_bits)
        if allow is None:
            return self._refreshed().search(queries, k)
        with self._reading:
            self._check_open()
            with self._reader.reading() as about:  # items and their positions are of one moment
                state = self._state = self._caught_up(about)
                positions = self._allowed(state, allow)
        return state.search(queries, k, positions)

    def _allowed(self, state: State, allow: Ids) -> Array:
        chosen = np.asarray(allow)
        if chosen.dtype == bool:
            if chosen.shape != (len(state),):
                raise ValueError(f"allow: expected a mask of shape ({len(state)},), got {chosen.shape}")
            return np.asarray(state.rows().positions[chosen])
        chosen = np.unique(id_array(_unique(allow)))
        check_kind("allow", chosen, self._kind)
        found = self._reader.positions(chosen)
        if len(found) < len(chosen):
            unknown = [value for value in chosen.tolist() if value not in found]
            raise ValueError(f"allow: unknown id {unknown[0]!r} ({len(unknown)} unknown)")
        return np.sort(np.fromiter(found.values(), np.int64, len(found)))

    def get(self, ids: Ids) -> Items:
        """Codes of items and what to show of them, in the order of `ids`; ValueError names an id that is not there."""
        given = id_array(ids)
        self._check_open()
        with self._reading, self._reader.reading() as about:
            check_kind("ids", given, about.kind)
            return self._reader.get(given, self.n_bits)

    def titles(self) -> dict[int | str, str]:
        """The titles of all items that were stored with one, by id, without their pictures."""
        self._check_open()
        with self._reading:
            return self._reader.titles()

    def index(self) -> Index:
        """The items of this moment as an in-memory index, in order of position."""
        return self._refreshed().index

    def version(self) -> int:
        """A number that every write increases."""
        return self._refreshed().version

    def count(self) -> int:
        """How many items there are."""
        return len(self._refreshed())

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a store of its own that holds the items of one moment; writes go on meanwhile.

        Raises ValueError where `path` is there already (an empty folder may be).
        """
        self._check_open()
        target = Path(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target}: is there already; nothing was written")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            made = Path(temporary) / "store"
            made.mkdir()
            source = Truth(self.folder, read_only=True)
            try:
                source.copy(made / truth.FILE)
            finally:
                source.close()
            flush_folder(made)
            os.replace(made, target)
        flush_folder(target.parent)


def _make(folder: Path, n_bits: int | None, model: str | None) -> None:
    """Make a store where there is none; an empty folder, or one that was not finished, becomes one."""
    path = folder / truth.FILE
    if path.is_file() and path.stat().st_size:
        return
    if n_bits is None:
        raise ValueError(f"{folder}: to make a store, n_bits is needed")
    check_integer("n_bits", n_bits, low=1)
    if folder.is_dir() and not {entry.name for entry in folder.iterdir()} <= set(MADE):
        raise ValueError(f"{folder}: holds other files (no {truth.FILE}); nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(folder)
    try:
        Truth.create(folder, n_bits, model)
        flush_folder(folder)
        flush_folder(folder.parent)
    finally:
        lock.release()


def _unique(ids: Ids) -> Ids:
    """Ids without repeats; what they are is checked later."""
    array = np.asarray(ids)
    mixed = isinstance(ids, list | tuple) and len({isinstance(value, str) for value in ids}) > 1
    return ids if mixed or array.ndim != 1 or array.dtype.kind not in "iuU" else np.unique(array)
