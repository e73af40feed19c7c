"""Data sets that are not shipped, for tests: a skip that names the variable, or a small stand-in on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip unless the folder that MODALHASH_DATA names holds the files NAME.npz."""
    folder = os.environ.get("MODALHASH_DATA")
    absent = [name for name in names if not folder or not (Path(folder) / f"{name}.npz").is_file()]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)}.npz is not in the folder of MODALHASH_DATA")


def lines(values: list[str]) -> np.ndarray:
    """Texts as they stand in a NAME__utf8 array."""
    return np.frombuffer("\x1e".join(values).encode(), dtype=np.uint8)
