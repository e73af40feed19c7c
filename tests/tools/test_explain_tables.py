"""Tables and examples of explanations come from result files only, as they are, and never mix data or protocols."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import modalhash as mh

TOOL = Path(__file__).parents[2] / "tools/make_tables.py"
TABLES = "explain", "explain-writer", "explanations"
ROUGE = {f"ROUGE-{kind} {part}": 0.125 for kind in "12L" for part in ("P", "R", "F1")}


def texts(value: float, grounded: float | None = 1.0) -> dict[str, Any]:
    found: dict[str, Any] = {**ROUGE, "ROUGE-1 P": value, "BLEU": 1.5, "BLEU sentences": 2.5}
    found |= {"distinct-1": 0.1, "distinct-2": 0.2, "covered": 0.5, "covered words": 0.75, "words": 9.5}
    return found | {"grounded": grounded, "explained": 0.975}


def cell(system: str, seed: int, shift: float = 0.0) -> dict[str, Any]:
    ranks = {f"{m}@{k}": 0.4 + shift for m in ("HR", "nDCG") for k in (1, 5, 10, 20)}
    content: dict[str, Any] = {
        "cell": {"system": system, "seed": seed},
        "data": "amazon",
        "checksum": "abcdef0123456789",
    }
    protocol = {"users": 40, "items": 30, "train": 90, "test": "the latest", "others": 9, "references": 39}
    content |= {"protocol": protocol, "settings": {"n_bits": 64}, "fit_cpu": 123.4, "told_cpu": 0.0}
    content |= {"preference": {"sampled": ranks, "whole": ranks}, "texts": {"written": texts(0.2 + shift)}}
    row = {"user": 7, "item": "B1", "written_then": "Fine *as* it is", "written": "i <b>love it & | _more_"}
    content["examples"] = [{**row, "quoted": "Warm `tone`.", "source": "review by user 3, sentence 1 of 2"}]
    ranked = {
        name: {"ROUGE-1 P": 0.25, "ROUGE-1 F1": 0.125, "words": words} for name, words in (("length", 40.0), ("x", 9.0))
    }
    if seed == 0:
        content["listening"] = {"nats": {"codes": 4.5, "mean codes": 4.5012}, "pairs": 10, "ranked": ranked}
    if system != "EDCF":
        content |= {"preference": None, "texts": {"quoted": texts(0.3, None)}}
        content["examples"][0].pop("written")
    return content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    marks = "".join(f"<!-- table: {name} -->\n<!-- end of table -->\n" for name in TABLES)
    (tmp_path / "docs/page.md").write_text(marks, encoding="utf8")
    folder = tmp_path / "results/explain"
    folder.mkdir(parents=True)
    cells = {"a": cell("EDCF", 0), "b": cell("EDCF", 1, 0.02), "c": cell("words in common", 0)}
    for name, content in cells.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf8")
    return tmp_path


def run(root: Path) -> tuple[str, str]:
    call = [sys.executable, str(TOOL), "--docs", str(root / "docs"), "--results", str(root / "results")]
    path = str(Path(mh.__file__).parents[1])
    found = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    return (root / "docs/page.md").read_text(encoding="utf8"), found.stderr


def test_every_measure_is_shown_with_its_spread(root: Path) -> None:
    text, errors = run(root)
    assert not errors
    mean = "0.410 ± 0.014"
    assert (
        "| EDCF | 2 | " + " | ".join([mean] * 6) + " | 123 |" in text
    )  # preference; peers that only quote are not in it
    assert text.count("| words in common |") == 2 and "| words in common | quotes | 0.300 | 0.125 |" in text
    assert "| EDCF | written | 0.210 ± 0.014 | 0.125 ± 0.000 |" in text and "| 1.50 ± 0.00 | 2.50 ± 0.00 |" in text
    assert "| words in common | quotes | 0.100 | 0.200 | 0.750 | 0.500 | — | 0.975 | 9.5 |  |" in text
    assert "Cut to keep the time: 19 of 22 cells" in text and "Data amazon, abcdef012345." in text
    assert "1 + 9" in text and "40 users, 30 items, 90 training ratings" in text


def test_examples_are_shown_as_they_are(root: Path) -> None:
    text = run(root)[0]
    assert "**1.** User 7, item B1" in text
    assert "- written by EDCF: i \\<b\\>love it &amp; \\| \\_more\\_" in text
    assert text.count("“Warm \\`tone\\`.” (review by user 3, sentence 1 of 2)") == 1
    assert "“Fine \\*as\\* it is”" in text


def test_what_the_writer_hears_is_shown(root: Path) -> None:
    text = run(root)[0]
    assert "4.5000 nats a word" in text and "and 4.5012 given the mean codes" in text and "; 10 pairs*" in text
    assert "| length | 0.250 | 0.125 | 40.0 |" in text and "| x | 0.250 | 0.125 | 9.0 |" in text
    (root / "results/explain/a.json").unlink()
    assert "Not run yet." in run(root)[0]


def test_what_does_not_belong_together_is_refused(root: Path) -> None:
    path = root / "results/explain/a.json"
    for key, value in (("checksum", "f" * 16), ("settings", {"n_bits": 8}), ("protocol", {"users": 1})):
        path.write_text(json.dumps({**cell("EDCF", 0), key: value}), encoding="utf8")
        assert f"more than one {key}" in run(root)[1]
    path.write_text(json.dumps({**cell("EDCF", 0), "cell": {"system": "XDCF", "seed": 0}}), encoding="utf8")
    assert "unknown systems XDCF" in run(root)[1]
    for file in path.parent.iterdir():
        file.unlink()
    assert "no result file" in run(root)[1]
    path.parent.rmdir()
    assert run(root)[0].count("Not run yet.") == 3
