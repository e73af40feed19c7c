"""The store on Milvus, beyond one machine: the calls of `Store` on a collection with BINARY_VECTOR and HAMMING."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.folders import FORMAT
from modalhash.hasher import check_choice, check_integer
from modalhash.index.hits import Hits
from modalhash.index.items import Items, Show
from modalhash.index.milvus_limits import (
    BATCH,
    ID_BYTES,
    MOST,
    TEXT_BYTES,
    check_k,
    check_name,
    check_texts,
    check_width,
    id_of,
    key_of,
    one_of,
)
from modalhash.index.store import KINDS, Ids, Store, check_items, check_kind, check_search, id_array
from modalhash.views import Array

CONSISTENCY = ("Strong", "Session", "Bounded", "Eventually")
KIND_OF = {name: kind for kind, name in KINDS.items()}  # "integers" -> "i"
FIELDS = ["id", "code", "position", "title", "picture"]


class MilvusStore(Store):
    """A store in a collection of Milvus: `milvus://host:port/name`, or `milvus:///path/file.db` for milvus-lite.

    The lists of distances are those of an exact search, and so are the ids below the last distance; among ties at
    the last distance the order is ours as long as no more than `ties` items beyond k need to be fetched to see them
    all.  Items keep their position over updates; any number of writers may be there, and where two insert the same
    id at once the last one wins.  A call with more than `BATCH` items is several writes of the engine: after an error
    some of them may be kept, and the same call again is safe.

    ids: "integers" or "texts", which the engine must know when the store is made.  consistency: "Strong" sees every
    write that has returned, at some 200 ms a search on a cluster; "Session", "Bounded" and "Eventually" are faster
    and may not see the last ones.  token: user:password or a key; tls: encrypt the connection.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        n_bits: int | None = None,
        create: bool = False,
        *,
        model: str | None = None,
        read_only: bool = False,
        **options: Any,
    ) -> None:
        self._set(**options)
        address, self.collection = self._address(os.fspath(where))
        self.where, self.read_only, self._last = os.fspath(where), read_only, 0
        self._client: Any = connect(address, self._token)
        try:
            if not self._client.has_collection(self.collection):
                if not create or read_only:
                    raise FileNotFoundError(f"{self.where}: no such store; create=True makes one")
                self._make(n_bits, model)
            self._begin(n_bits, model)
        except BaseException:
            self.close()
            raise

    def _set(
        self,
        *,
        ids: str = "integers",
        consistency: str = "Strong",
        ties: int = 1024,
        token: str = "",
        tls: bool = False,
    ) -> None:
        check_choice("ids", ids, list(KIND_OF))
        check_choice("consistency", consistency, CONSISTENCY)
        check_integer("ties", ties, low=0, high=MOST)
        self._ids, self.consistency, self.ties, self._token, self._tls = ids, consistency, ties, token, tls

    def _address(self, where: str) -> tuple[str, str]:
        """What the client connects to, and the name of the collection."""
        parts = urlsplit(where)
        if not parts.netloc:
            if not parts.path.endswith(".db"):
                raise ValueError(f"{where}: expected milvus://host:port/name or milvus:///path/file.db")
            return unquote(parts.path), check_name(parts.fragment or "items")
        return f"http{'s' if self._tls else ''}://{parts.netloc}", check_name(parts.path.strip("/"))

    def _make(self, n_bits: int | None, model: str | None) -> None:
        from pymilvus import DataType, MilvusClient

        if n_bits is None:
            raise ValueError(f"{self.where}: to make a store, n_bits is needed")
        check_integer("n_bits", n_bits, low=1)
        about = {"format": FORMAT, "n_bits": int(n_bits), "model": model, "ids": self._ids}
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=json.dumps(about))
        if self._ids == "texts":
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
        else:
            schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=check_width(n_bits))
        schema.add_field("position", DataType.INT64)
        for name in ("title", "picture"):
            schema.add_field(name, DataType.VARCHAR, max_length=TEXT_BYTES)
        index = MilvusClient.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        self._client.create_collection(
            self.collection, schema=schema, index_params=index, consistency_level=self.consistency
        )

    def _begin(self, n_bits: int | None, model: str | None) -> None:
        text = self._client.describe_collection(self.collection)["description"]
        try:
            about = json.loads(text)
            self.n_bits, self.model, self._kind = int(about["n_bits"]), about["model"], KIND_OF[about["ids"]]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self.where}: is not a store of ours (description {text!r})") from None
        if about.get("format") != FORMAT:
            raise ValueError(f"{self.where}: expected format {FORMAT}, found {about.get('format')!r}")
        if n_bits is not None and n_bits != self.n_bits:
            raise ValueError(f"{self.where}: holds codes of {self.n_bits} bits, not of {n_bits}")
        if model is not None and model != self.model:
            raise ValueError(f"{self.where}: holds codes of another model ({self.model}), not of {model}")
        self._client.load_collection(self.collection)

    # writes
    def _writable(self) -> Any:
        if self.read_only:
            raise PermissionError(f"{self.where}: was opened read-only")
        return self._open()

    def _open(self) -> Any:
        if self._client is None:
            raise ValueError(f"{self.where}: the store is closed")
        return self._client

    def upsert(self, ids: Ids, codes: BinaryCodes, show: Show | None = None) -> None:
        """Insert items, and replace those whose ids are there as a whole (see `Store.upsert`).

        Raises ValueError for ids, titles and pictures that are longer than the engine's fields, before any write.
        """
        given = check_items(ids, codes, show, self.n_bits)
        client = self._writable()
        check_kind("ids", given, self._kind)
        titles = list(show.titles) if show else [""] * len(given)
        pictures = [base64.b64encode(picture).decode() for picture in show.pictures] if show else [""] * len(given)
        check_texts(given, titles, pictures)
        for part in parts(len(given)):
            keys = given[part].tolist()
            columns = zip(keys, codes.packed[part], titles[part], pictures[part], self._positions(keys), strict=True)
            rows = [
                {"id": key_of(key), "code": code.tobytes(), "position": position, "title": title, "picture": picture}
                for key, code, title, picture, position in columns
            ]
            client.upsert(self.collection, rows)

    def _positions(self, keys: list[Any]) -> list[int]:
        """Positions of items that are there, new ones for the others: the time in nanoseconds, and then by ones."""
        known = {row["id"]: row["position"] for row in self._rows(keys, ["id", "position"], "Strong")}
        self._last = (
            max(self._last + 1, time.time_ns(), *known.values()) if known else max(self._last + 1, time.time_ns())
        )
        start = self._last
        self._last += len(keys)
        return [known[key] if key in known else start + i for i, key in enumerate(keys)]

    def delete(self, ids: Ids) -> int:
        """Delete items and return how many were there; ids that are not there are passed over."""
        client = self._writable()
        given = unique_ids(ids)
        check_kind("ids", given, self._kind)
        found = [row["id"] for row in self._rows(given.tolist(), ["id"], "Strong")]
        for part in parts(len(found)):
            client.delete(self.collection, filter=one_of(found[part]))
        return len(found)

    # reads
    def _rows(self, keys: Sequence[Any], fields: list[str], consistency: str | None = None) -> list[dict[str, Any]]:
        """Rows of the items that are there, in any order."""
        client, rows = self._open(), []
        for part in parts(len(keys)):
            level = consistency or self.consistency
            found = client.query(
                self.collection, filter=one_of(keys[part]), output_fields=fields, consistency_level=level
            )
            rows += [{**row, "id": id_of(row["id"])} for row in found]
        return rows

    def search(self, queries: BinaryCodes, k: int, allow: Ids | None = None) -> Hits:
        """The k nearest items of every query (see `Store.search`); ValueError for k > 16384, which Milvus refuses."""
        check_search(queries, k, self.n_bits)
        check_k(k)
        condition, allowed = "", self.count() if allow is None else None
        if allow is not None:
            chosen = unique_ids(allow)
            check_kind("allow", chosen, self._kind)
            known = {row["id"] for row in self._rows(chosen.tolist(), ["id"])}
            unknown = [key for key in chosen.tolist() if key not in known]
            if unknown:
                raise ValueError(f"allow: unknown id {unknown[0]!r} ({len(unknown)} unknown)")
            condition, allowed = one_of(chosen.tolist()), len(chosen)
        width = min(k, allowed or 0)
        if not width or not len(queries):
            kind = "U1" if self._kind == "U" else np.int64
            return Hits(np.empty((len(queries), width), kind), np.empty((len(queries), width), np.int32))
        found = self._nearest(list(queries.packed), width, condition)
        width = min(len(row) for row in found)  # less than was counted, if items were deleted since
        ids = np.array([[hit[2] for hit in row[:width]] for row in found])
        return Hits(ids, np.array([[hit[0] for hit in row[:width]] for row in found], dtype=np.int32))

    def _nearest(self, queries: list[Any], k: int, condition: str) -> list[list[tuple[int, int, Any]]]:
        """(distance, position, id) of the k nearest items of every query, more being fetched until ties are seen."""
        answers: list[list[tuple[int, int, Any]]] = [[] for _ in queries]
        open_, wanted, most = list(range(len(queries))), min(MOST, k + 16), min(MOST, k + self.ties)
        wanted = min(wanted, most)
        while open_:
            asked = self._fetch([queries[i] for i in open_], wanted, condition)
            for i, row in zip(open_, asked, strict=True):
                answers[i] = sorted(row)
            still = [i for i in open_ if len(answers[i]) == wanted and answers[i][k - 1][0] == answers[i][-1][0]]
            if wanted == most:
                break
            open_, wanted = still, min(most, 4 * wanted)
        return [row[:k] for row in answers]

    def _fetch(self, queries: list[Any], k: int, condition: str) -> Iterator[list[tuple[int, int, Any]]]:
        """The engine's answers, a few thousand hits a call."""
        step = max(1, min(1000, 200_000 // k))
        for start in range(0, len(queries), step):
            found = self._open().search(
                self.collection,
                data=[query.tobytes() for query in queries[start : start + step]],
                filter=condition,
                limit=k,
                output_fields=["position"],
                search_params={"metric_type": "HAMMING"},
                consistency_level=self.consistency,
            )
            for row in found:
                yield [(int(hit["distance"]), hit["entity"]["position"], id_of(hit["id"])) for hit in row]

    def get(self, ids: Ids) -> Items:
        """Codes of items and what to show of them, in the order of `ids`; ValueError names an id that is not there."""
        given = id_array(ids)
        check_kind("ids", given, self._kind)
        rows = {row["id"]: row for row in self._rows(given.tolist(), FIELDS)}
        absent = [key for key in given.tolist() if key not in rows]
        if absent:
            raise ValueError(f"get: the store has no item {absent[0]!r}")
        return items([rows[key] for key in given.tolist()], given, self.n_bits)

    def count(self) -> int:
        """How many items there are."""
        fields = ["count(*)"]
        level = self.consistency
        rows = self._open().query(self.collection, filter="", output_fields=fields, consistency_level=level)
        return int(rows[0]["count(*)"])

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a store in a folder that holds the items, in their order.

        Items that are written meanwhile may or may not be in it: stop writing for a snapshot of one moment.
        Raises ValueError where `path` is there already.
        """
        target = Path(path)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target}: is there already; nothing was written")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            made = Path(temporary) / "store"
            with Store.open(made, self.n_bits, create=True, model=self.model) as store:
                keys = [key for _, key in sorted(self._everything())]
                for part in parts(len(keys)):
                    rows = {row["id"]: row for row in self._rows(keys[part], FIELDS, "Strong")}
                    there = [key for key in keys[part] if key in rows]
                    if there:
                        found = items([rows[key] for key in there], id_array(there), self.n_bits)
                        store.upsert(found.ids, found.codes, found.show)
            os.replace(made, target)

    def _everything(self) -> Iterator[tuple[int, Any]]:
        """Position and id of every item."""
        rows = self._open().query_iterator(
            self.collection, batch_size=BATCH, filter="", output_fields=["id", "position"], consistency_level="Strong"
        )
        try:
            while batch := rows.next():
                yield from ((row["position"], id_of(row["id"])) for row in batch)
        finally:
            rows.close()

    def close(self) -> None:
        """End the connection; what was written stays."""
        client, self._client = getattr(self, "_client", None), None
        if client is not None:
            client.close()


def connect(address: str, token: str) -> Any:
    """A client; ImportError names the extra, ConnectionError the address that does not answer."""
    try:
        from pymilvus import MilvusClient, MilvusException
    except ImportError as error:
        raise ImportError("milvus://… needs pymilvus: pip install 'modalhash[milvus]'") from error
    try:
        return MilvusClient(address, token=token)
    except MilvusException as error:
        raise ConnectionError(f"{address}: Milvus does not answer ({error.message})") from error


def unique_ids(ids: Ids) -> Array:
    """Ids as an array without repeats; what they are is checked as everywhere."""
    array = np.asarray(ids)
    if array.dtype == bool:
        raise TypeError("allow: Milvus takes ids, not a mask")
    mixed = isinstance(ids, list | tuple) and len({isinstance(value, str) for value in ids}) > 1
    return id_array(ids if mixed or array.ndim != 1 or array.dtype.kind not in "iuU" else np.unique(array))


def items(rows: list[dict[str, Any]], ids: Array, n_bits: int) -> Items:
    """Rows of the engine as items."""
    width: Literal[-1] | int = -(-n_bits // 8)
    raw = b"".join(row["code"][0] if isinstance(row["code"], list) else bytes(row["code"]) for row in rows)
    packed = np.frombuffer(raw, np.uint8).reshape(len(rows), width).copy()
    pictures = [base64.b64decode(row["picture"]) for row in rows]
    return Items(ids, BinaryCodes(packed, n_bits), Show([row["title"] for row in rows], pictures))


def parts(n: int) -> Iterator[slice]:
    """Slices of as many items as one call of the engine takes."""
    for start in range(0, n, BATCH):
        yield slice(start, start + BATCH)
