"""The table of the service says what its result file holds."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_service_has_a_row_a_number_of_clients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    make = import_module("service_tables").SERVICE["serve"]
    with pytest.raises(FileNotFoundError):
        make(tmp_path)
    content = json.loads((ROOT / "benchmarks/results/serve-1e6.json").read_text(encoding="utf8"))
    content["rows"][-1].update(p99_ms=4321.0)
    (tmp_path / "serve-1e6.json").write_text(json.dumps(content), encoding="utf8")
    text = make(tmp_path)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[1] for row in rows] == ["yes" if run["hog"] else "no" for run in content["rows"]]
    assert rows[-1][4] == "4,321"
    assert "1,000,000 items, 64 bits" in text and "Load at the start: " in text
