"""The file of codes that a store scans in place of its items.sqlite: mapped into memory, and checked first.

32 bytes of SHA-256 over all that follows, a line of JSON padded to HEADER bytes, then positions, codes and ids as
arrays that start at multiples of ALIGNED.  A file is never changed: a new one gets a new name, which items.sqlite
learns once the file is safe on the disk.
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.index.columns import WIDTHS, IdColumn, Rows
from modalhash.views import Array

DIGEST = 32
HEADER = 512
ALIGNED = 64
FORMAT = 1
KINDS: dict[str, Any] = {np.dtype(kind).name: np.dtype(kind) for kind in (np.int64, *WIDTHS)}
PREFIX, SUFFIX, TEMPORARY = "codes-", ".cache", ".tmp"


def write(folder: Path, version: int, rows: Rows) -> str:
    """Write rows as a new file that is safe on the disk, and return its name."""
    name = f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
    arrays = [rows.positions, rows.codes.packed, rows.ids.values]
    arrays += [rows.ids.letters] if rows.ids.letters is not None else []
    shapes = [[str(array.dtype), list(array.shape)] for array in arrays]
    facts = {"format": FORMAT, "name": name, "version": version, "n_bits": rows.codes.n_bits, "arrays": shapes}
    temporary = folder / (name + TEMPORARY)
    try:
        with temporary.open("xb") as file:
            digest = sha256()
            file.write(bytes(DIGEST))
            for piece in [json.dumps(facts).encode().ljust(HEADER - DIGEST), *_padded(arrays)]:
                digest.update(piece)
                file.write(piece)
            file.seek(0)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    flush_folder(folder)
    return name


def read(folder: Path, name: str, version: int, n_bits: int) -> Rows | None:
    """The rows of a file, mapped; None where it is absent, damaged or not what items.sqlite names.

    FileNotFoundError is not raised: what is not there can be made again.
    """
    try:
        with (folder / name).open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # writable arrays are what kernels know
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    view = memoryview(whole)
    if len(view) < HEADER or sha256(view[DIGEST:]).digest() != view[:DIGEST]:
        return None
    expected = {"format": FORMAT, "name": name, "version": version, "n_bits": n_bits}
    try:
        facts = json.loads(bytes(view[DIGEST:HEADER]))
        if {key: facts.get(key) for key in expected} != expected:
            return None
        return _rows(n_bits, *_arrays(view, facts["arrays"]))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):  # not written by us
        return None


def _rows(n_bits: int, positions: Array, packed: Array, values: Array, letters: Array | None = None) -> Rows:
    """Arrays as rows; ValueError where they do not belong together."""
    rows = Rows(positions, BinaryCodes(packed, n_bits), IdColumn(values, letters))
    if not len(positions) == len(packed) == len(rows.ids) or positions.ndim != 1 or values.ndim != 1:
        raise ValueError("cache: the arrays differ in length")
    if letters is not None and (values[0] < 0 or values[-1] > letters.size or (np.diff(values) < 0).any()):
        raise ValueError("cache: ids reach beyond their letters")
    return rows


def _padded(arrays: list[Array]) -> Iterator[bytes]:
    for array in arrays:
        yield array.tobytes()
        yield bytes(-array.nbytes % ALIGNED)


def _arrays(view: memoryview, shapes: list[Any]) -> list[Array]:
    start, found = HEADER, []
    for kind, shape in shapes:
        dtype = KINDS[kind]
        array = np.frombuffer(view, dtype, int(np.prod(shape)), start).reshape(shape)
        found.append(array)
        start += array.nbytes + -array.nbytes % ALIGNED
    return found


def clean(folder: Path, but: str | None) -> None:
    """Remove our files that are not in use: temporary ones and caches that items.sqlite does not name."""
    for path in folder.glob(PREFIX + "*"):
        ours = path.name.endswith((SUFFIX, SUFFIX + TEMPORARY)) and path.name != but
        if ours and path.is_file():
            path.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    if not hasattr(os, "O_DIRECTORY"):
        return  # a system where folders are not opened
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
