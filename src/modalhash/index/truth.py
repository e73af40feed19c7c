"""items.sqlite: what a store on disk knows.  One transaction a write, flushed to the disk before it returns."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.index.columns import IdColumn, Rows
from modalhash.index.items import Items, Show
from modalhash.index.store import StoreLocked
from modalhash.views import Array, blocks

FILE = "items.sqlite"
FORMAT = 1
OURS = 0x6D686173  # SQLite's application id: "mhas"
PATIENCE = 30  # seconds to wait while another process has the file for itself
VARIABLES = 1000  # ids of one question
READ = 50_000  # rows that are Python objects at once
TABLES = """
CREATE TABLE about (n_bits INTEGER, model TEXT, kind TEXT, version INTEGER, next_position INTEGER,
  cache TEXT, trimmed INTEGER, backlog INTEGER);
CREATE TABLE items (position INTEGER PRIMARY KEY, id NOT NULL UNIQUE, code BLOB NOT NULL);
CREATE TABLE shown (position INTEGER PRIMARY KEY, title TEXT NOT NULL, picture BLOB NOT NULL);
CREATE TABLE changes (version INTEGER, position INTEGER, PRIMARY KEY (version, position)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class About:
    """The one row about a store.

    version counts commits of items; kind is "i" or "U" once there are ids; cache names the file of codes that holds
    everything up to version `trimmed`; backlog counts what was inserted, updated or deleted since then.
    """

    n_bits: int
    model: str | None
    kind: str | None
    version: int
    next_position: int
    cache: str | None
    trimmed: int
    backlog: int


@dataclass(frozen=True, eq=False)
class News:
    """What happened between two versions: `gone` positions were updated or deleted, `updated` and `fresh` are rows."""

    gone: Array
    updated: Rows
    fresh: Rows


class Truth:
    """A connection to items.sqlite, for reading only, or for writing: there is one of those (WriterLock)."""

    def __init__(self, folder: Path, read_only: bool) -> None:
        self.path = folder / FILE
        self._begun: int | None = None if read_only else 0
        with told(self.path):
            self.connection = _connect(self.path, read_only)
            self._check()

    @classmethod
    def create(cls, folder: Path, n_bits: int, model: str | None) -> None:
        """Make the file; one that was not finished is finished."""
        path = folder / FILE
        with told(path):
            connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN IMMEDIATE")
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute("INSERT INTO about VALUES (?, ?, NULL, 0, 0, NULL, 0, 0)", (n_bits, model))
                connection.execute(f"PRAGMA application_id={OURS}")
                connection.execute(f"PRAGMA user_version={FORMAT}")
                connection.execute("COMMIT")
            finally:
                connection.close()

    def _check(self) -> None:
        (ours,), (version,) = (
            self.connection.execute(f"PRAGMA {p}").fetchone() for p in ("application_id", "user_version")
        )
        if ours != OURS or version < 1:
            raise ValueError(f"{self.path}: is not a store of ours")
        if version > FORMAT:
            raise ValueError(
                f"{self.path}: has format {version}, this version of modalhash reads up to {FORMAT}; use a newer one"
            )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def about(self) -> About:
        """The row about the store."""
        with told(self.path):
            return About(*self.connection.execute("SELECT * FROM about").fetchone())

    def commits(self) -> int:
        """A number that is another one after every commit; nobody but the writer itself commits beside it."""
        if self._begun is not None:
            return self._begun
        try:
            return int(self.connection.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            with told(self.path):
                raise

    @contextmanager
    def reading(self) -> Iterator[About]:
        """Everything inside the block is read from one moment."""
        with told(self.path):
            self.connection.execute("BEGIN")
            try:
                yield self.about()
            finally:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[About]:
        """The block is kept as a whole when it ends, and not at all after an error."""
        with told(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.about()
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            finally:
                self._begun = (self._begun or 0) + 1

    def positions(self, ids: Array) -> dict[Any, int]:
        """The positions of those ids that are there."""
        found: dict[Any, int] = {}
        values = ids.tolist()
        for part in blocks(len(values), VARIABLES):
            asked = values[part]
            marks = ",".join("?" * len(asked))
            with told(self.path):
                found.update(self.connection.execute(f"SELECT id, position FROM items WHERE id IN ({marks})", asked))
        return found

    def upsert(self, ids: Array, codes: BinaryCodes, show: Show | None) -> None:
        """Insert or replace items, in one transaction."""
        with self.writing() as about:
            known = self.positions(ids) if about.next_position else {}
            values = ids.tolist()
            new = iter(range(about.next_position, about.next_position + len(values)))
            places = [known[value] if value in known else next(new) for value in values]
            rows = list(zip(places, values, _bytes_of(codes), strict=True))
            if known:
                self._many("UPDATE items SET code=? WHERE position=?", [(c, p) for p, v, c in rows if v in known])
                self._note(about.version + 1, known.values())
                rows = [row for row in rows if row[1] not in known]
            self._many("INSERT INTO items VALUES (?, ?, ?)", rows)
            if show is not None:
                self._show(places, show)
            self._count(about, ids.dtype.kind, about.next_position + len(rows), len(values))

    def _show(self, places: Sequence[int], show: Show) -> None:
        rows = [(p, t, b) for p, t, b in zip(places, show.titles, show.pictures, strict=True) if t or b]
        self._many("INSERT INTO shown VALUES (?, ?, ?)", rows)

    def delete(self, ids: Array) -> int:
        """Delete those items that are there, in one transaction, and return how many."""
        with self.writing() as about:
            known = self.positions(ids)
            if known:
                self._many("DELETE FROM items WHERE position=?", [(position,) for position in known.values()])
                self._note(about.version + 1, known.values())
                self._count(about, about.kind, about.next_position, len(known))
        return len(known)

    def _note(self, version: int, positions: Any) -> None:
        """Note changes of items that readers may have seen; what they showed goes."""
        self._many("INSERT INTO changes VALUES (?, ?)", [(version, position) for position in positions])
        self._many("DELETE FROM shown WHERE position=?", [(position,) for position in positions])

    def _count(self, about: About, kind: str | None, next_position: int, changed: int) -> None:
        self.connection.execute(
            "UPDATE about SET kind=?, version=version+1, next_position=?, backlog=backlog+?",
            (kind, next_position, changed),
        )

    def _many(self, statement: str, rows: Sequence[Any]) -> None:
        if rows:
            self.connection.executemany(statement, rows)

    def adopt(self, cache: str, seen: About) -> None:
        """From now on `cache` is the file of codes; it holds everything up to the version that was seen."""
        with self.writing():
            self.connection.execute("DELETE FROM changes WHERE version<=?", (seen.version,))
            self.connection.execute(
                "UPDATE about SET cache=?, trimmed=?, backlog=backlog-?", (cache, seen.version, seen.backlog)
            )

    def everything(self, n_bits: int) -> Rows:
        """All items, in order of position."""
        return self._rows(n_bits, "")

    def news(self, about: About, version: int, last: int) -> News:
        """What changed since a version that knew the positions up to `last`."""
        chosen = "SELECT DISTINCT position FROM changes WHERE version>? AND position<=?"
        gone = [position for (position,) in self.connection.execute(f"{chosen} ORDER BY position", (version, last))]
        updated = self._rows(about.n_bits, f"WHERE position IN ({chosen})", version, last) if gone else None
        return News(
            np.array(gone, np.int64),
            Rows.none(about.n_bits) if updated is None else updated,
            self._rows(about.n_bits, "WHERE position>?", last),
        )

    def _rows(self, n_bits: int, where: str, *values: int) -> Rows:
        cursor = self.connection.execute(f"SELECT position, id, code FROM items {where} ORDER BY position", values)
        parts = [Rows.none(n_bits)]
        while found := cursor.fetchmany(READ):
            positions, ids, codes = zip(*found, strict=True)
            packed = np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1).copy()
            parts.append(Rows(np.array(positions, np.int64), BinaryCodes(packed, n_bits), IdColumn.of(ids)))
        return Rows.joined(parts)

    def get(self, ids: Array, n_bits: int) -> Items:
        """Items in the order of ids; ValueError names one that is not there."""
        values, found = ids.tolist(), {}
        for part in blocks(len(values), VARIABLES):
            asked = values[part]
            question = "SELECT id, code, title, picture FROM items LEFT JOIN shown USING (position) WHERE id IN "
            for id_, *row in self.connection.execute(question + f"({','.join('?' * len(asked))})", asked):
                found[id_] = row
        absent = next((value for value in values if value not in found), None)
        if absent is not None:
            raise ValueError(f"get: the store has no item {absent!r}")
        rows = [found[value] for value in values]
        packed = np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(len(rows), -(-n_bits // 8)).copy()
        show = Show([row[1] or "" for row in rows], [row[2] or b"" for row in rows])
        return Items(ids, BinaryCodes(packed, n_bits), show)

    def titles(self) -> dict[Any, str]:
        """The titles of all items that have something to show, by id; no picture is read."""
        with told(self.path):
            return dict(self.connection.execute("SELECT id, title FROM items JOIN shown USING (position)"))

    def copy(self, path: Path) -> None:
        """Write the items of one moment to another file, without a cache."""
        with told(self.path):
            self.connection.execute("PRAGMA query_only=0")  # it guards other files than ours, too
            self.connection.execute("VACUUM INTO ?", (str(path),))
        with told(path):
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("BEGIN")
                connection.execute("DELETE FROM changes")
                connection.execute("UPDATE about SET cache=NULL, trimmed=version, backlog=0")
                connection.execute("COMMIT")
            finally:
                connection.close()


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; create=True makes a store")
    address = path.absolute().as_uri()
    if not read_only:
        found = _settled(f"{address}?mode=rw")
        found.execute("PRAGMA journal_mode=WAL")  # a snapshot comes without
        return found
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        found = _settled(f"{address}?mode=rw")  # readers too note in the file's index what they are reading
        found.execute("PRAGMA query_only=1")
        return found
    try:
        found = _settled(f"{address}?mode=ro")
        found.execute("SELECT 1 FROM sqlite_master").fetchone()
        return found
    except sqlite3.OperationalError:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        return _settled(f"{address}?mode=ro&immutable=1")  # nobody can be writing it


def _settled(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-65536")  # 64 MB: ids come in any order
    return connection


def _bytes_of(codes: BinaryCodes) -> list[bytes]:
    """Every code as bytes."""
    raw, width = codes.packed.tobytes(), codes.bytes_per_item
    return [raw[i : i + width] for i in range(0, len(raw), width)]


@contextmanager
def told(path: Path) -> Iterator[None]:
    """SQLite's errors as the errors that a store promises."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: takes no text with half a character in it ({error})") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        said = f"{path}: {error}"
        if name.startswith("SQLITE_FULL"):
            raise OSError(errno.ENOSPC, f"{said}; nothing of this write was kept") from error
        if name.startswith(("SQLITE_IOERR", "SQLITE_NOLFS")):
            raise OSError(errno.EIO, f"{said}; nothing of this write was kept") from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "SQLITE_AUTH")):
            raise PermissionError(errno.EACCES, f"{said}; can the folder be written?") from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreLocked(errno.EAGAIN, f"{said}; another process has it") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")):
            raise ValueError(f"{path}: is damaged ({error})") from error
        raise
