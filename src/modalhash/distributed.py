"""More items than one machine holds: encode block by block, and fit from sums over blocks, here or on a Ray cluster.

`fit` and `encode` take a `RowBlocks`.  With `workers` they run on Ray (`pip install 'modalhash[ray]'`), without it as a
plain loop in this process.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.folders import FORMAT, read_json
from modalhash.hasher import Hasher, check_integer
from modalhash.parts import InOrder, Parts, Rows, Space, in_memory
from modalhash.quantized import QuantizedCodes
from modalhash.row_blocks import NpyBlocks as NpyBlocks
from modalhash.row_blocks import ParquetBlocks as ParquetBlocks
from modalhash.row_blocks import RowBlocks as RowBlocks
from modalhash.views import Array

CODES = "codes.json"
WORDS = "codebooks.npy"
H = TypeVar("H", bound=Hasher)


# encoding
def encode(hasher: Hasher, items: RowBlocks, folder: str | os.PathLike[str], workers: int | None = None) -> int:
    """Encode all items into a folder, one file a block, in their order; returns how many blocks were encoded.

    A block's file is whole or not there, so that a run that was stopped goes on where it was; `read_codes` reads
    them.  workers: Ray tasks at a time, which need to see the files and the folder; None: a loop in this process.
    Raises ValueError where the folder holds codes of another model or of other files.
    """
    hasher._check_fitted()
    out = Path(folder).absolute()
    left = _begin(hasher, items, out)
    if workers is None:
        for i in left:
            encode_block(hasher, items, i, out)
    else:
        from modalhash.ray_parts import run_tasks

        run_tasks(encode_block, (hasher, items), [(i, out) for i in left], checked_workers(workers))
    return len(left)


def encode_block(hasher: Hasher, items: RowBlocks, block: int, out: Path) -> None:
    """Encode a block and write its file, whole or not at all."""
    with whole_file(block_file(out, block)) as file:
        np.save(file, stored(hasher.encode(items.views(block))))


def stored(codes: BinaryCodes | QuantizedCodes) -> Array:
    """What a file holds of codes: packed bits, or indices of words."""
    return codes.packed if isinstance(codes, BinaryCodes) else codes.indices


def read_codes(folder: str | os.PathLike[str], block: int | None = None) -> BinaryCodes | QuantizedCodes:
    """The codes that `encode` wrote, of one block or of all; ValueError names a block that is not there yet."""
    root = Path(folder)
    header = read_json(root / CODES)
    wanted = range(len(header["sizes"])) if block is None else [block]
    for i in wanted:
        if not _is_there(root, i, header):
            raise ValueError(f"{block_file(root, i)}: is not there or damaged; call encode again")
    values = np.concatenate([np.load(block_file(root, i), allow_pickle=False) for i in wanted])
    if header["codes"] == "binary":
        return BinaryCodes(values, header["n_bits"])
    return QuantizedCodes(values, np.load(root / WORDS, allow_pickle=False), header["score"])


def block_file(folder: Path, block: int) -> Path:
    """The file of a block's codes."""
    return folder / f"{block:06d}.npy"


def _begin(hasher: Hasher, items: RowBlocks, out: Path) -> list[int]:
    """Make the folder, or find it as an earlier run left it; the blocks that are still to do."""
    first = hasher.encode({name: rows[:1] for name, rows in items.views(0).items()})
    header = _header(hasher, items, first)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob(".*.tmp"):
        path.unlink(missing_ok=True)  # of a run that was killed
    if (out / CODES).exists():
        found = read_json(out / CODES)
        other = [name for name in header if found.get(name) != header[name]]
        if other:
            raise ValueError(f"{out}: holds codes of another run ({other[0]} differ); choose another folder")
    elif {path.name for path in out.iterdir()} - {WORDS}:
        raise ValueError(f"{out}: holds other files (no {CODES}); nothing was written")
    else:
        if isinstance(first, QuantizedCodes):
            with whole_file(out / WORDS) as file:
                np.save(file, first.codebooks)
        with whole_file(out / CODES) as file:
            file.write((json.dumps(header, indent=1) + "\n").encode())
    return [i for i in range(len(items)) if not _is_there(out, i, header)]


def _header(hasher: Hasher, items: RowBlocks, first: BinaryCodes | QuantizedCodes) -> dict[str, Any]:
    """What tells one run from another: the model, the files, how they are cut, and what codes there will be."""
    from modalhash.collection import model_checksum

    with tempfile.TemporaryDirectory() as folder:
        hasher.write(Path(folder))
        model = model_checksum(Path(folder))
    facts = [(path.stat(), path) for path in items.files()]
    files = [[path.name, stat.st_size, stat.st_mtime_ns] for stat, path in facts]
    header: dict[str, Any] = {"format": FORMAT, "model": model, "files": files, "sizes": items.sizes}
    header["width"] = int(stored(first).shape[1])
    if isinstance(first, BinaryCodes):
        return header | {"codes": "binary", "n_bits": first.n_bits}
    return header | {"codes": "quantized", "score": first.score}


def _is_there(out: Path, block: int, header: dict[str, Any]) -> bool:
    """Whether a block's file holds as many codes as it should."""
    path = block_file(out, block)
    if not path.is_file():
        return False
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return False
    return bool(found.shape == (header["sizes"][block], header["width"]) and found.dtype == np.uint8)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the name `path` when all of it is on disk."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:  # Ctrl-C, too
            Path(file.name).unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# fitting
def fit(hasher: H, items: RowBlocks, scratch: str | os.PathLike[str] | None = None, workers: int | None = None) -> H:
    """Fit a system from sums over blocks: what it learns equals `hasher.fit` of all rows to rounding.  Returns it.

    Codes and what else a row has live with its block; only sums and small matrices travel, and sums are added in the
    order of the blocks, whoever made them: the same blocks give the same bits.  scratch: a folder (of every worker's
    machine) for the features of the rows, which are kept in memory without it.  workers: Ray actors; None: a loop
    in this process.  Raises TypeError for a system that is not fitted from sums, ValueError as `fit` does.
    """
    if not hasattr(hasher, "_fit_parts"):
        raise TypeError(f"{hasher.name}: is not fitted from sums over rows; A2LH and SMHOQA are")
    hasher._check_parameters()
    if not items.labelled:
        raise ValueError(f"{hasher.name}: needs labels, and the files have none")
    if workers is not None:
        from modalhash.ray_parts import RayParts

        with RayParts(hasher, items, scratch, checked_workers(workers)) as parts:
            return _fit_parts(hasher, parts, items)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        space = None if scratch is None else Path(folder)
        classes = items.classes()
        return _fit_parts(
            hasher, InOrder([rows_of(hasher, items, i, classes, space) for i in range(len(items))]), items
        )


def rows_of(hasher: Any, items: RowBlocks, block: int, classes: Array | None, folder: Path | None) -> Rows:
    """A block as the system keeps it, its features in a folder or in memory."""
    views, labels = items.checked(block), items.labels(block, classes)
    rows: Rows = hasher._rows(views, labels, in_memory if folder is None else on_disk(folder, block))
    return rows


def on_disk(folder: Path, block: int) -> Space:
    """Room for the features of a block in files, which nobody needs after the fit."""

    def space(name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        path = folder / f"{block:06d}-{name}.npy"
        return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)

    return space


def _fit_parts(hasher: H, parts: Parts, items: RowBlocks) -> H:
    """Check what needs all rows, and fit."""
    hasher._check_gaps({name: ~rows for name, rows in parts.who_has().items()})
    if not parts.total("n_ones"):
        raise ValueError("labels: hold no 1 at all")
    hasher._forget()
    vars(hasher)["widths_"] = dict(items.widths)
    try:
        vars(type(hasher))["_fit_parts"](hasher, parts)
    except BaseException:  # Ctrl-C, too: half a model must not pass for a fitted one
        hasher._forget()
        raise
    return hasher


def checked_workers(workers: int) -> int:
    """The number of workers, at least 1."""
    check_integer("workers", workers, low=1)
    return workers
