"""The benchmark of growth keeps the cells it has, stops at its budget, and says how times grow."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from test_benchmarks import BENCHMARKS, read, run


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("growth")


def test_cells_are_run_once_and_none_is_begun_beyond_the_budget(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    options = ["--systems", "ITQ", "--out", str(out)]
    run("growth.py", "--n", "400", "800", *options)
    found = read(out)
    assert [(cell["system"], cell["n"]) for cell in found["cells"]] == [("ITQ", 400), ("ITQ", 800)]
    assert all(cell["peak_gb"] >= cell["inputs_gb"] > 0 for cell in found["cells"])
    found["cells"][0]["fit_cpu_seconds"] = 123.0  # it would be another number if it were run again
    out.write_text(json.dumps(found), encoding="utf8")
    run("growth.py", "--n", "400", "900", "--budget", "0", *options)
    assert read(out)["cells"] == found["cells"]


def test_the_power_of_n_is_that_of_the_two_largest_sizes(growth: Any) -> None:
    def cell(n: int, fit: float, encode: float) -> dict[str, Any]:
        return {"system": "A2LH", "n": n, "fit_cpu_seconds": fit, "encode_cpu_seconds": encode}

    rows = [cell(400, 32.0, 0.5), cell(100, 2.0, 0.0), cell(10, 9.0, 9.0)]
    assert growth.exponents(rows) == {"A2LH": {"fit": 2.0}}  # no power of a time of zero
    assert growth.exponents([*rows, cell(800, 64.0, 1.0)]) == {"A2LH": {"fit": 1.0, "encode": 1.0}}
    assert growth.exponents(rows[:1]) == {}


def test_simulated_items_have_classes(growth: Any) -> None:
    views, labels = growth.simulated(500)
    assert {name: matrix.shape for name, matrix in views.items()} == {"image": (500, 64), "text": (500, 32)}
    assert (labels.sum(axis=1) == 1).all() and views["image"].dtype == "float32"
    means = [views["image"][labels[:, c] == 1].mean(axis=0) for c in range(2)]
    assert abs(means[0] - means[1]).max() > 1
