"""The tables of recommendation come from result files only, and never mix data or settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import modalhash as mh

TOOL = Path(__file__).parents[2] / "tools/make_tables.py"


def row(kind: str, value: float) -> dict[str, Any]:
    whole = {"HR@10": 0.5, "nDCG@10": value, "R@10": 0.2, "AP": 0.1}
    sampled = {"HR@10": 0.6, "nDCG@10": value}
    return {"kind": kind, "seconds": 1.5, "sampled": sampled, "whole": whole, "coverage": 0.25, "popularity": 2.0}


def cell(split: int, task: str = "cold items", shift: float = 0.0) -> dict[str, Any]:
    rows = {"ridge → ALS": row("real", 0.5), "signs": row("codes", 0.2), "ITQ": row("codes", 0.3)}
    rows |= {"MDCF": row("ours", 0.35 + shift), "MDCF-zero": row("variant", 0.1)}
    low = {"sampled": [0.05, 0.01 - split / 100, 0.09], "whole": [0.04, 0.02, 0.06 + split / 100]}
    against = {"ITQ": low, "signs": {"sampled": [9, 9, 9], "whole": [9, 9, 9]}}
    content: dict[str, Any] = {"cell": {"bits": 32, "kept": int(task == "cold items"), "split": split}}
    content |= {"data": "ml1m", "checksum": "abcdef0123456789", "settings": {"unrated": 5.0}}
    content |= {"tasks": {task: {"rows": rows, "against": against}}, "tested": {task: {"users": 40, "pairs": 90}}}
    if task == "one left out":
        content["two_stages"] = [{"recalled": k, "HR@10": k / 1000, "nDCG@10": k / 2000} for k in (10, 100, 500)]
    return content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text("<!-- table: recommend -->\n<!-- end of table -->\n", encoding="utf8")
    folder = tmp_path / "results/recommend"
    folder.mkdir(parents=True)
    for name, content in {"a": cell(0), "b": cell(1, shift=0.02), "c": cell(0, "one left out")}.items():
        (folder / f"bits32-{name}.json").write_text(json.dumps(content), encoding="utf8")
    speed = {"items": 1000, "bits": 32, "microseconds": {"all": 100.0, "10": 25.0, "50": 50.0}}
    (folder / "speed.json").write_text(json.dumps(speed), encoding="utf8")
    return tmp_path


def run(root: Path) -> tuple[str, str]:
    call = [sys.executable, str(TOOL), "--docs", str(root / "docs"), "--results", str(root / "results")]
    path = str(Path(mh.__file__).parents[1])
    found = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    return (root / "docs/page.md").read_text(encoding="utf8"), found.stderr


def test_tables_show_the_best_peer_the_interval_the_ceiling_and_every_contender(root: Path) -> None:
    text, errors = run(root)
    assert not errors
    line = next(line for line in text.splitlines() if line.startswith("| cold items, 1 kept"))
    parts = [part.strip() for part in line.strip("|").split("|")]
    assert parts[1:5] == ["32", "2", "0.360", "ITQ 0.300"]
    assert parts[5:] == ["+0.050 [+0.000, +0.090]", "+0.040 [+0.020, +0.070]", "0.500 (-0.140)"]
    assert "| MDCF | codes | 0.600 | 0.360 ± 0.014 | 0.500 | 0.360 | 0.200 | 0.100 | 0.250 | 2.00 | 1.5 |" in text
    assert "| ALS | real |" in text and "| ridge → ALS | real |" in text and "| MDCF-zero | codes |" in text
    assert "Cut to keep the time: 24 of 27 cells" in text
    assert "2 splits of 40 users, 90 pairs" in text


def test_variants_of_fewer_splits_say_so(root: Path) -> None:
    content = cell(1, shift=0.02)
    del content["tasks"]["cold items"]["rows"]["MDCF-zero"]
    (root / "results/recommend/bits32-b.json").write_text(json.dumps(content), encoding="utf8")
    assert "| MDCF-zero (1 of 2 splits) | codes |" in run(root)[0]


def test_two_stages_and_their_speed_are_shown(root: Path) -> None:
    text, _ = run(root)
    assert "| films recalled by codes | 10 | 100 | all 500 |" in text and "| HR@10 | 0.010 | 0.100 | 0.500 |" in text
    assert "| times faster | 4.0 | 2.0 | 1 |" in text
    (root / "results/recommend/speed.json").unlink()
    assert "times faster" not in run(root)[0]


def test_cells_of_other_data_or_settings_are_refused(root: Path) -> None:
    path = root / "results/recommend/bits32-a.json"
    for key, value in (("checksum", "f" * 16), ("settings", {"unrated": 1.0})):
        path.write_text(json.dumps({**cell(0), key: value}), encoding="utf8")
        assert f"more than one {key}" in run(root)[1]
    for file in path.parent.iterdir():
        file.unlink()
    assert "no result file" in run(root)[1]


def test_the_curve_of_two_stages_shows_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    folder = tmp_path / "recommend"
    folder.mkdir()
    stages = [{"recalled": size, "HR@10": rate} for size, rate in ((10, 0.1), (50, 0.15), (99, 0.2))]
    (folder / "bits32-kept0-split0.json").write_text(json.dumps({"two_stages": stages}))
    facts = {"items": 4000, "microseconds": {"10": 5.0, "50": 10.0, "all": 100.0}}
    (folder / "speed.json").write_text(json.dumps(facts))
    drawn = import_module("drawings").two_stages(tmp_path)
    for text in (">50%<", ">75%<", ">20×<", ">10×<", ">times faster, 4,000 items<"):
        assert text in drawn
    assert drawn.count("<circle") == 4 and "<script" not in drawn
