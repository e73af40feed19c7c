"""placeholder"""

from __future__ import annotations

from dataclasses import replace

from modalhash.datasets.dataset import Dataset


def centred(data: Dataset) -> Dataset:
    """TODO."""
    return replace(data)
