"""Handwritten digits in six views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outside_data import needs

from modalhash.datasets import load_dataset
from modalhash.datasets.uci_mfeat import VIEWS


def test_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.repeat(np.arange(10), 20).astype(np.uint8)
    arrays: dict[str, Any] = {
        name: (np.arange(200 * (i + 1)).reshape(200, i + 1)).astype(np.float32) for i, name in enumerate(VIEWS)
    }
    np.savez(tmp_path / "uci_mfeat.npz", y=y, **arrays)
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))
    data = load_dataset("uci_mfeat")
    for name in VIEWS:
        np.testing.assert_array_equal(data.views[name], arrays[name])
    labels = np.asarray(data.labels)
    np.testing.assert_array_equal(labels.argmax(axis=1), y)
    for part, count in (("query", 4), ("validation", 2), ("train", 14), ("database", 16)):
        assert labels[data.split[part]].sum(axis=0).tolist() == [count] * 10
    assert data.checksum == load_dataset("uci_mfeat").checksum


@needs("uci_mfeat")
def test_the_real_one() -> None:
    data = load_dataset("uci_mfeat")
    widths = {name: matrix.shape[1] for name, matrix in data.views.items()}
    assert widths == {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47} and len(data) == 2000
    assert {part: len(rows) for part, rows in data.split.items()} == {
        "query": 400,
        "validation": 200,
        "train": 1400,
        "database": 1600,
    }
    assert (np.asarray(data.labels).sum(axis=0) == 200).all()
