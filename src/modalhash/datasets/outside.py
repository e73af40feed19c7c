"""Data that is not shipped: .npz files in the folder that MODALHASH_DATA names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

VARIABLE = "MODALHASH_DATA"


def data_file(name: str) -> Path:
    """The path of a file in the folder that MODALHASH_DATA names; FileNotFoundError names both if it is not there."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise FileNotFoundError(f"{name}: is not shipped; set {VARIABLE} to the folder that holds it")
    path = Path(folder).expanduser() / name
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; {VARIABLE} names the folder {folder}")
    return path


def read_outside(name: str, keys: Sequence[str]) -> dict[str, Any]:
    """Arrays of `name`.npz by key, and long texts (NAME__utf8: UTF-8 with \\x1e between texts) as lists.

    Raises FileNotFoundError or ValueError that name the file.
    """
    path = data_file(f"{name}.npz")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {key: _column(file, key) for key in keys}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise ValueError(f"{path}: is not the data set {name} ({error})") from error


def _column(file: Any, key: str) -> Any:
    if f"{key}__utf8" in file.files:
        return file[f"{key}__utf8"].tobytes().decode("utf8").split("\x1e")
    return file[key]
