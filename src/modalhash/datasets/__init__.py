"""Data: the shipped packs, files of the user's, planted problems."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from modalhash.datasets.dataset import Dataset, random_split
from modalhash.datasets.files import read_dataset, write_dataset
from modalhash.datasets.make import make_dataset
from modalhash.datasets.planted import planted

NAMED = {"emoji": "1,562 pictures with keywords, names in 11 languages, 9 groups and 95 subgroups (shipped)"}

__all__ = [
    "NAMED",
    "Dataset",
    "load_dataset",
    "make_dataset",
    "planted",
    "random_split",
    "read_dataset",
    "write_dataset",
]


def load_dataset(name: str | os.PathLike[str]) -> Dataset:
    """A data set by its name (see NAMED) or from a path (`.npz` or folder); FileNotFoundError lists the names."""
    if str(name) in NAMED:
        found = getattr(import_module(f"modalhash.datasets.{name}"), f"load_{name}")()
        assert isinstance(found, Dataset)
        return found
    if not Path(name).exists():
        raise FileNotFoundError(f"{name}: is neither a data set ({', '.join(NAMED)}) nor an existing path")
    return read_dataset(name)
