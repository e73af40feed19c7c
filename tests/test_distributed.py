"""Fits from sums over blocks equal the fit of all rows; blocks are encoded once, whole, and in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash import distributed
from modalhash.composite.smh_oqa import VARIANTS as SMH_VARIANTS
from modalhash.crossmodal.a2lh import VARIANTS as A2LH_VARIANTS
from modalhash.datasets import planted
from modalhash.distributed import NpyBlocks, RowBlocks

pytestmark = pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")

N = 330


def views_and_labels(*, gaps: bool = False, n: int = N) -> tuple[dict[str, Any], Any]:
    data = planted("multilabel", n, 1)
    views = {name: np.asarray(matrix, dtype=np.float32) for name, matrix in data.views.items()}
    if gaps:
        views["image"][:110] = np.nan  # more than the first block
        views["text"][-20:] = np.nan
    return views, np.asarray(data.labels, dtype=np.int8)


def written(folder: Path, views: dict[str, Any], labels: Any, rows: int = 100) -> NpyBlocks:
    folder.mkdir(exist_ok=True)
    for name, array in {**views, "labels": labels}.items():
        np.save(folder / f"{name}.npy", array)
    return NpyBlocks({name: folder / f"{name}.npy" for name in views}, folder / "labels.npy", rows=rows)


def assert_equal_to_rounding(found: Any, wanted: Any, tolerance: float = 1e-7) -> None:
    np.testing.assert_array_equal(found.codes_.packed, wanted.codes_.packed)
    state = {name: value for name, value in vars(wanted).items() if name.endswith("_")}
    assert {name for name in vars(found) if name.endswith("_")} == set(state)
    for name, value in state.items():
        for key, part in (value if isinstance(value, dict) else {"": value}).items():
            if name != "codes_":
                other = vars(found)[name][key] if isinstance(value, dict) else vars(found)[name]
                scale = max(np.abs(np.asarray(part)).max(), 1e-300)
                np.testing.assert_allclose(
                    np.asarray(other) / scale, np.asarray(part) / scale, rtol=0, atol=tolerance, err_msg=name
                )


CASES = [("A2LH", {"ridge": 1e-2, **params}) for params in A2LH_VARIANTS.values()]
CASES += [("SMHOQA", params) for params in SMH_VARIANTS.values()]
CASES += [("SMHOQA", {"solver": "alm"}), ("SMHOQA", {"concatenate": True, "kernel": False})]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_a_fit_from_blocks_equals_the_fit_of_all_rows(
    name: str, params: dict[str, Any], gaps: bool, tmp_path: Path
) -> None:
    views, labels = views_and_labels(gaps=gaps and not params.get("only"))
    system = getattr(mh, name)
    settings = {"n_bits": 12, "random_state": 0, "n_anchors": 30, "max_iter": 4, **params}
    whole = system(**settings).fit(views, labels)
    parts = distributed.fit(system(**settings), written(tmp_path / "data", views, labels), scratch=tmp_path)
    assert_equal_to_rounding(parts, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]  # nothing is left behind


def test_a_small_ridge_lets_rounding_grow_but_no_code_changes(tmp_path: Path) -> None:
    """UUᵀ of the few common directions is nearly singular, and its inverse carries the last places of the sums."""
    views, labels = views_and_labels()
    whole = mh.A2LH(n_bits=12, random_state=0, max_iter=4).fit(views, labels)
    parts = distributed.fit(mh.A2LH(n_bits=12, random_state=0, max_iter=4), written(tmp_path / "data", views, labels))
    assert_equal_to_rounding(parts, whole, 1e-3)


def test_the_same_blocks_give_the_same_bits_and_one_block_those_of_fit(tmp_path: Path) -> None:
    views, labels = views_and_labels(gaps=True)
    data = written(tmp_path / "data", views, labels)
    for system in (mh.A2LH, mh.SMHOQA):
        first, again = (distributed.fit(system(n_bits=12, random_state=0, max_iter=3), data) for _ in range(2))
        whole = system(n_bits=12, random_state=0, max_iter=3).fit(views, labels)
        one = written(tmp_path / "data", views, labels, rows=N)
        alone = distributed.fit(system(n_bits=12, random_state=0, max_iter=3), one)
        for a, b in ((first, again), (whole, alone)):
            np.testing.assert_array_equal(a.codes_.packed, b.codes_.packed)
            for name, W in a.functions_.items():
                np.testing.assert_array_equal(W, b.functions_[name])


__all__ = ["RowBlocks"]
