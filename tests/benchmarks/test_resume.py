"""Cells of a benchmark: each is run once, in the order given, and none is begun over the budget."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def run_missing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("resume").run_missing


def test_only_what_has_no_file_is_run(run_missing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def run(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"found": name.upper()}

    cells = [(tmp_path / f"{name}.json", {"name": name}) for name in "abc"]
    run_missing(cells[1:2], run, {"data": "d"})
    run_missing(cells, run, {"data": "d"}, budget=1e9)
    assert asked == ["b", "a", "c"] and "b: is there" in capsys.readouterr().out
    kept = json.loads((tmp_path / "a.json").read_text(encoding="utf8"))
    assert kept.pop("cpu_seconds") >= 0
    assert kept == {"cell": {"name": "a"}, "data": "d", "found": "A"}


def test_a_spent_budget_cuts(run_missing: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_missing([(tmp_path / "a.json", {})], lambda: {}, {}, budget=0)
    assert "a: cut" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_a_cell_that_fails_leaves_no_file(run_missing: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run_missing([(tmp_path / "a.json", {})], lambda: {"found": 1 / 0}, {})
    assert not list(tmp_path.iterdir())
