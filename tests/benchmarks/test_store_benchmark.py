"""The benchmark of the store runs at a small size and says what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import modalhash as mh

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "store.py"


def test_it_runs_and_counts_bytes(tmp_path: Path) -> None:
    out = tmp_path / "store.json"
    call = [sys.executable, str(SCRIPT), "--n", "2000", "--rounds", "1", "--out", str(out), "--folder", str(tmp_path)]
    found = subprocess.run(
        call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(mh.__file__).parents[1])}
    )
    assert found.returncode == 0, found.stderr
    cells = json.loads(out.read_text(encoding="utf8"))["cells"]
    assert [cell["ids"] for cell in cells] == ["integers", "texts"]
    for cell in cells:
        assert cell["upsert"]["items_per_cpu_second"] > 0 and cell["bytes_per_item"]["code"] == 8
        assert 24 <= cell["bytes_per_item"]["cache"] < 60
        for state in ("search", "search after changes"):
            assert set(cell[state]) == {"scan", "default"}
            for figures in (cell[state][way][asked] for way in cell[state] for asked in ("batch", "one by one")):
                assert set(figures["ratio"]) == {"index", "store", "reader"} and figures["ratio"]["index"] == 1
    assert list(tmp_path.iterdir()) == [out]
