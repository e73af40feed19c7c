"""Codes, ids and what to show of items, as files that other programs read: Parquet or .npy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.collection import FILE as COLLECTION
from modalhash.collection import Collection
from modalhash.index import Index, Items, Show, Store
from modalhash.index.file_store import FileStore
from modalhash.views import Array, blocks

BATCH = 10_000  # items that are in memory at once, in Parquet
KINDS = (".parquet", ".npy")
IDS = ".ids.npy"  # beside the codes


def export(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Write the items of a collection, a store or a .npz of `encode` to a file; returns how many.

    out: .parquet with the columns id, code (bytes in `np.packbits` order), title and picture, n_bits in the schema's
    metadata; or .npy with the packed codes (n, bytes), and the ids beside it in NAME.ids.npy.  What was written is
    read again and compared before it takes its name.  A store that is being written is exported as of one moment.
    Raises ValueError for other endings and for QuantizedCodes, which mean nothing without their codebooks.
    """
    target = Path(out)
    if target.suffix not in KINDS:
        raise ValueError(f"{target}: expected a file name that ends in {' or '.join(KINDS)}")
    with ExitStack() as opened:
        parts = _items(Path(source), opened)
        write, names = (_write_parquet, [target]) if target.suffix == ".parquet" else (_write_arrays, arrays_of(target))
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent)))
        written = write(parts, [place / name.name for name in names])
        for name in names:
            os.replace(place / name.name, name)
    return written


def arrays_of(target: Path) -> list[Path]:
    """The two files of an export to .npy: codes and ids."""
    return [target, target.with_name(target.stem + IDS)]


def _items(source: Path, opened: ExitStack) -> Iterator[Items]:
    if source.suffix == ".npz":
        return _of_file(source)
    if (source / COLLECTION).is_file():
        collection = opened.enter_context(Collection.open(source))
        if collection.store is None:
            return _of_index(collection.index, collection.show, source)
        source = collection.store.folder
    store = opened.enter_context(Store.open(source, read_only=True))
    copy = Path(opened.enter_context(tempfile.TemporaryDirectory())) / "snapshot"
    store.snapshot(copy)
    frozen = opened.enter_context(Store.open(copy, read_only=True))
    assert isinstance(frozen, FileStore)
    ids = frozen.index().ids
    return (frozen.get(ids[part]) for part in blocks(max(len(ids), 1), BATCH))


def _of_file(path: Path) -> Iterator[Items]:
    with np.load(path, allow_pickle=False) as arrays:
        if not {"packed", "n_bits", "ids"} <= set(arrays):
            raise ValueError(f"{path}: holds no binary codes; it has {', '.join(arrays)}")
        codes, ids = BinaryCodes(arrays["packed"], int(arrays["n_bits"])), arrays["ids"]
    return _of_index(Index.build(codes, ids), Show([""] * len(ids), [b""] * len(ids)), path)


def _of_index(index: Index, show: Show, source: Path) -> Iterator[Items]:
    codes, ids = index.codes, index.ids
    if not isinstance(codes, BinaryCodes):
        raise ValueError(f"{source}: holds QuantizedCodes, which mean nothing without their codebooks; use `encode`")
    return (
        Items(ids[part], codes[part], Show(show.titles[part], show.pictures[part])) for part in blocks(len(ids), BATCH)
    )


def _columns(items: Items) -> list[list[Any]]:
    codes = [row.tobytes() for row in items.codes.packed]
    return [items.ids.tolist(), codes, list(items.show.titles), list(items.show.pictures)]


def _write_parquet(parts: Iterator[Items], names: list[Path]) -> int:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile, ParquetWriter

    (path,) = names
    writer, digest, rows = None, 0, 0
    for items in parts:
        if writer is None:
            kinds = [pa.int64() if items.ids.dtype.kind == "i" else pa.string()]
            kinds += [pa.binary(items.codes.bytes_per_item), pa.string(), pa.binary()]
            schema = pa.schema(zip(("id", "code", "title", "picture"), kinds, strict=True))
            schema = schema.with_metadata({"n_bits": str(items.codes.n_bits)})
            writer = ParquetWriter(path, schema)
        columns = _columns(items)
        writer.write_table(pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], schema=schema))
        digest, rows = _fold(digest, columns), rows + len(items)
    assert writer is not None
    writer.close()
    found = 0
    with ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            found = _fold(found, [column.to_pylist() for column in file.read_row_group(group).columns])
    _check(path, found == digest)
    return rows


def _fold(digest: int, columns: list[list[Any]]) -> int:
    """A number that tells rows apart from others, taken over batch after batch."""
    return hash((digest, *map(tuple, columns)))


def _write_arrays(parts: Iterator[Items], names: list[Path]) -> int:
    found = list(parts)
    arrays: list[Array] = [
        np.concatenate([items.codes.packed for items in found]),
        np.concatenate([items.ids for items in found]),
    ]
    for name, array in zip(names, arrays, strict=True):
        np.save(name, array, allow_pickle=False)
        _check(name, np.array_equal(np.load(name, allow_pickle=False), array))
    return len(arrays[0])


def _check(path: Path, same: bool) -> None:
    if not same:
        raise OSError(f"{path}: what was read again is not what was written")
