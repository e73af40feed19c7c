"""Figures in the prose come from result files where they are marked, and are told where they are not."""

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

TOOLS = Path(__file__).parents[2] / "tools"
FACTS = {
    "growth": {"A2LH": 0.9834},
    "items": 1234567,
    "loss": -0.0125,
    "rows": [{"ids": "a b", "s": 0.5}, {"ids": "c"}],
}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOOLS))
    return import_module("figures")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/a.json").write_text(json.dumps(FACTS), encoding="utf8")
    return tmp_path


def run(root: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (root / "docs/page.md").write_text(text, encoding="utf8")
    call = [sys.executable, str(TOOLS / "make_tables.py"), "--docs", str(root / "docs")]
    call += ["--results", str(root / "results"), *options]
    path = str(Path(mh.__file__).parents[1])
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("0.00<!-- = a.json growth/A2LH -->", "0.98<!-- = a.json growth/A2LH -->"),
        (".5<!-- = a.json growth/A2LH -->", "1.0<!-- = a.json growth/A2LH -->"),
        (".500<!-- = a.json growth/A2LH -->", ".983<!-- = a.json growth/A2LH -->"),
        ("7<!-- = a.json items -->", "1,234,567<!-- = a.json items -->"),
        ("+.001<!-- = a.json loss -->", "−.013<!-- = a.json loss -->"),
        ("+0.1<!-- = a.json growth/A2LH -->", "+1.0<!-- = a.json growth/A2LH -->"),
        ("1<!-- = a.json rows/ids=a b/s * 1000 --> ms", "500<!-- = a.json rows/ids=a b/s * 1000 --> ms"),
    ],
)
def test_a_marked_figure_is_that_of_its_place(figures: Any, root: Path, given: str, made: str) -> None:
    assert figures.renewed(f"It took {given}, on paper.", root / "results") == f"It took {made}, on paper."


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("growth/ITQ", "a.json growth/ITQ: has no 'ITQ'"),
        ("growth", "a.json growth: is no number"),
        ("rows/ids=d/s", "a.json rows/ids=d/s: 0 elements with ids=d"),
        ("items/x", "has no 'x'"),
    ],
)
def test_a_place_that_is_not_there_is_refused(root: Path, path: str, told: str) -> None:
    found = run(root, f"0.1<!-- = a.json {path} -->\n", "--check")
    assert found.returncode == 2 and told in found.stderr


def test_the_check_fails_where_a_marked_figure_differs(root: Path) -> None:
    text = "as n to the 0.97<!-- = a.json growth/A2LH -->\n"
    assert run(root, text, "--check").returncode == 1
    assert run(root, text).stdout == "docs/page.md: written\n"
    assert run(root, (root / "docs/page.md").read_text(encoding="utf8"), "--check").returncode == 0
    assert "0.98<!--" in (root / "docs/page.md").read_text(encoding="utf8")


def test_the_check_fails_where_a_measured_figure_has_no_mark(root: Path) -> None:
    found = run(root, "# Page\n\nmAP is .612 here.\n", "--check")
    assert found.returncode == 1 and "docs/page.md:3: '.612' has no mark" in found.stdout


@pytest.mark.parametrize(
    "text",
    [
        "mAP is .612",
        "took 12.5 times",
        "| A2LH | 0.7 |",
        "40 ms of CPU",
        "2 GB",
        "loses 12 % of it",
        "a 3.5 × gain",
        "HR@10 = .3",
        "(0.58)",
    ],
)
def test_measured_figures_are_told_by_line(figures: Any, text: str) -> None:
    (told,) = figures.unmarked("docs/page.md", f"Before.\n\n{text}\n")
    assert told.startswith("docs/page.md:3: ")


@pytest.mark.parametrize(
    "text",
    [
        "Eq. 4.33 and 4.49, section 4.3.4, Table 4.2 and Fig. 4.5, (5.19, 5.20), (5.25) and (5.27), (2.7)",
        "Python 3.11, faiss 1.15, version 2.5.1, `0.5` and `dropout=0.2`, α = 0.6, β = 10⁻² and 1,562 items",
        "```\nmAP 0.612\n```",
        "[a page](results-0.5.md)",
        "<!-- table: small -->\n0.612\n<!-- end of table -->",
        "A2LH of 64 bits, 1,234 items, n × n, seeds 0, 1, 2",
    ],
)
def test_what_no_run_measures_may_stand(figures: Any, text: str) -> None:
    assert list(figures.unmarked("docs/page.md", f"Before.\n{text}\nAfter.\n")) == []


def test_what_is_allowed_may_stand_and_nothing_else(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.ALLOWED, "docs/page.md", {"a 95 % interval": "a rule"})
    assert list(figures.unmarked("docs/page.md", "with a 95 % interval\n")) == []
    assert len(list(figures.unmarked("docs/page.md", "with a 90 % interval\n"))) == 1
    assert len(list(figures.unmarked("docs/other.md", "with a 95 % interval\n"))) == 1


def test_what_is_allowed_is_still_there_and_has_a_reason(figures: Any) -> None:
    for page, fragments in figures.ALLOWED.items():
        text = (TOOLS.parent / page).read_text(encoding="utf8")
        assert [words for words, reason in fragments.items() if words not in text or not reason] == []
