"""Items in files, read a block of rows at a time: `.npy` arrays that are memory-mapped, or row groups of Parquet."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Array, blocks, check_views

ROWS = 65_536  # of a block
PathLike: TypeAlias = str | os.PathLike[str]


class RowBlocks(ABC):
    """Views of items, and labels where there are any, in blocks of rows.

    `sizes` are the rows of the blocks, `widths` the columns of the views, `n` is the number of items.  A missing view
    is a row of NaN (in Parquet also a null).  Objects are small and read files only when asked.
    """

    sizes: list[int]
    widths: dict[str, int]
    labelled: bool

    @property
    def n(self) -> int:
        """Number of items."""
        return sum(self.sizes)

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.sizes)

    @abstractmethod
    def files(self) -> list[Path]:
        """All files that are read."""

    @abstractmethod
    def views(self, block: int) -> dict[str, Array]:
        """The views of a block, (rows, d) each."""

    @abstractmethod
    def raw_labels(self, block: int) -> Array:
        """The labels of a block as they are stored."""

    def classes(self) -> Array | None:
        """All classes in ascending order where labels are integers (n,), None where they are a 0/1 matrix."""
        if self.raw_labels(0).ndim == 2:
            return None
        return np.unique(np.concatenate([np.unique(self.raw_labels(i)) for i in range(len(self))]))

    def labels(self, block: int, classes: Array | None) -> F64:
        """The labels of a block as 0/1, (rows, c); ValueError or TypeError name what is wrong."""
        found = self.raw_labels(block)
        if found.ndim not in (1, 2) or len(found) != self.sizes[block]:
            raise ValueError(f"labels of block {block}: expected ({self.sizes[block]}, c), got {found.shape}")
        if classes is not None:
            if found.dtype.kind not in "iu":
                raise TypeError(f"labels of block {block}: classes must be integers, got dtype {found.dtype}")
            return np.asarray(found[:, None] == classes, dtype=np.float64)
        if found.dtype.kind not in "fiub":
            raise TypeError(f"labels of block {block}: expected numbers, got dtype {found.dtype}")
        if not np.isin(found, (0, 1)).all():
            raise ValueError(f"labels of block {block}: expected only 0 and 1, every item labelled")
        return np.asarray(found, dtype=np.float64)

    def checked(self, block: int) -> dict[str, Any]:
        """The views of a block as systems take them; errors name the view."""
        return check_views(self.views(block))


class NpyBlocks(RowBlocks):
    """Views in `.npy` files, one or more a view, whose rows follow one another; cut into blocks of `rows`.

    views: name -> file or files, (n, d) in all; labels: files of (n, c) 0/1 or (n,) integer classes.
    Raises ValueError for unequal row counts or widths, and names the view.
    """

    def __init__(
        self,
        views: Mapping[str, PathLike | Sequence[PathLike]],
        labels: PathLike | Sequence[PathLike] | None = None,
        rows: int = ROWS,
    ) -> None:
        if rows < 1:
            raise ValueError(f"rows: expected at least 1, got {rows}")
        self._columns = {f"view {name!r}": Column(name, listed(given)) for name, given in views.items()}
        self.widths = {column.name: column.width(2) for column in self._columns.values()}
        self.labelled = labels is not None
        if labels is not None:
            self._columns["labels"] = Column("labels", listed(labels))
        counts = {name: column.n for name, column in self._columns.items()}
        if not self.widths or len(set(counts.values())) > 1 or not min(counts.values()):
            raise ValueError(f"views: expected views of equally many items, got {counts}")
        self._slices = list(blocks(next(iter(counts.values())), rows))
        self.sizes = [part.stop - part.start for part in self._slices]

    def files(self) -> list[Path]:
        """All files, views first."""
        return [path for column in self._columns.values() for path in column.paths]

    def views(self, block: int) -> dict[str, Array]:
        """The views of a block; no copy where it lies in one file."""
        part = self._slices[block]
        return {name: self._columns[f"view {name!r}"].read(part) for name in self.widths}

    def raw_labels(self, block: int) -> Array:
        """The labels of a block."""
        if not self.labelled:
            raise ValueError("labels: this data has none")
        return self._columns["labels"].read(self._slices[block])


class Column:
    """One array in several `.npy` files."""

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.name, self.paths = name, paths
        self.shapes = [mapped(path).shape for path in paths]
        self.edges = np.cumsum([0, *(shape[0] if shape else 0 for shape in self.shapes)])
        self.n = int(self.edges[-1])

    def width(self, ndim: int) -> int:
        """Columns; ValueError unless all files agree."""
        found = {shape[1:] for shape in self.shapes}
        if len(found) != 1 or len(self.shapes[0]) != ndim:
            raise ValueError(f"view {self.name!r}: expected (n, d) of one width in every file, got {self.shapes}")
        return int(self.shapes[0][1])

    def read(self, rows: slice) -> Array:
        """Some rows."""
        parts = []
        for path, low, high in zip(self.paths, self.edges[:-1], self.edges[1:], strict=True):
            start, stop = max(rows.start, low), min(rows.stop, high)
            if start < stop:
                parts.append(mapped(path)[start - low : stop - low])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class ParquetBlocks(RowBlocks):
    """Views in columns of Parquet files, a block a row group: lists of numbers, null where an item lacks a view.

    views: names of the columns; labels: a column of integers, or of lists of 0 and 1.
    """

    def __init__(self, files: PathLike | Sequence[PathLike], views: Sequence[str], labels: str | None = None) -> None:
        from pyarrow.parquet import ParquetFile

        self._files, self._labels, self.labelled = listed(files), labels, labels is not None
        self._groups: list[tuple[Path, int]] = []
        self.sizes = []
        for path in self._files:
            with ParquetFile(path) as file:
                lacking = {*views, *([labels] if labels else [])} - set(file.schema_arrow.names)
                if lacking:
                    raise ValueError(f"{path}: has no column {sorted(lacking)[0]!r}")
                sizes = [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)]
            self._groups += [(path, g) for g, size in enumerate(sizes) if size]
            self.sizes += [size for size in sizes if size]
        if not self.sizes:
            raise ValueError(f"{', '.join(map(str, self._files))}: no rows")
        self.widths = {name: self._width(name) for name in views}

    def _width(self, name: str) -> int:
        for block in range(len(self)):
            found = self._lists(block, name)[0]
            if found.shape[1]:
                return int(found.shape[1])
        raise ValueError(f"view {name!r}: every row is missing")

    def files(self) -> list[Path]:
        """All files."""
        return self._files

    def _column(self, block: int, name: str) -> Any:
        from pyarrow.parquet import ParquetFile

        path, group = self._groups[block]
        with ParquetFile(path) as file:
            return file.read_row_group(group, columns=[name]).column(0).combine_chunks()

    def _lists(self, block: int, name: str) -> tuple[Array, NDArray[np.bool_]]:
        """The lists of a column that are there, (rows, d), and which rows they are, (rows of the block,)."""
        column = self._column(block, name)
        if not hasattr(column, "flatten") or not hasattr(column.type, "value_type"):
            raise TypeError(f"column {name!r}: expected lists of numbers, got {column.type}")
        there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
        values, count = column.flatten().to_numpy(zero_copy_only=False), int(there.sum())
        lengths = column.drop_null().value_lengths().to_numpy(zero_copy_only=False)
        if count and (lengths != lengths[0]).any():
            raise ValueError(
                f"column {name!r}: block {block} holds lists of {lengths.min()} and {lengths.max()} values"
            )
        return values.reshape(count, -1) if count else np.empty((0, 0), np.float32), there

    def views(self, block: int) -> dict[str, Array]:
        """The views of a block; rows of NaN where there is a null."""
        found = {}
        for name, width in self.widths.items():
            values, there = self._lists(block, name)
            if len(values) and values.shape[1] != width:
                raise ValueError(f"view {name!r}: expected {width} columns, block {block} has {values.shape[1]}")
            found[name] = values
            if not there.all():
                found[name] = np.full(
                    (len(there), width), np.nan, np.float64 if values.dtype == np.float64 else np.float32
                )
                if len(values):
                    found[name][there] = values
        return found

    def raw_labels(self, block: int) -> Array:
        """The labels of a block."""
        if self._labels is None:
            raise ValueError("labels: this data has none")
        column = self._column(block, self._labels)
        if hasattr(column.type, "value_type") and hasattr(column, "flatten"):
            values, there = self._lists(block, self._labels)
            if not there.all():
                raise ValueError(f"labels of block {block}: row {np.argmin(there)} is not labelled")
            return values
        return np.asarray(column.to_numpy(zero_copy_only=False))


def listed(given: PathLike | Sequence[PathLike]) -> list[Path]:
    """One file or several, as absolute paths."""
    many = [given] if isinstance(given, str | os.PathLike) else list(given)
    if not many:
        raise ValueError("files: expected at least one, got none")
    return [Path(path).absolute() for path in many]


def mapped(path: Path) -> Array:
    """A `.npy` file, memory-mapped; errors name it."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not found") from None
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: is not a readable .npy file ({error})") from error
