"""Tables of the docs come from result files only; a page that differs fails the check."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import modalhash as mh
from modalhash.evaluation.results import read_results
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import Source, Table, both_ways

TOOL = Path(__file__).parents[2] / "tools/make_tables.py"
TABLE = Table(
    title="Small data",
    sources=(Source(name="clusters", label="Wiki"),),
    systems=("PCASign", "CCAITQ", "ACQH"),
    bits=(8, 36),
    seeds=2,
    protocols=both_ways(database_codes="learned"),
    published=True,
)
PAGE = "# Results\n\nText before.\n<!-- table: small -->\nold\n<!-- end of table -->\nText after.\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run_table(TABLE, folder / "small", load=lambda name: mh.datasets.planted(name, 80, 0))
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "docs/deep").mkdir(parents=True)
    (tmp_path / "docs/deep/page.md").write_text(PAGE, encoding="utf8")
    (tmp_path / "docs/other.md").write_text("nothing here\n", encoding="utf8")
    (tmp_path / "results/small").mkdir(parents=True)
    for path in (made / "small").iterdir():
        (tmp_path / "results/small" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(TOOL), "--docs", str(root / "docs"), "--results", str(root / "results"), *options]
    path = str(Path(mh.__file__).parents[1])
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf8")), **values}), encoding="utf8")


def files(root: Path, word: str) -> list[Path]:
    return sorted(path for path in (root / "results/small").iterdir() if word in path.name)


def test_a_page_is_written_checked_and_left_alone(root: Path) -> None:
    assert run(root, "--check").returncode == 1
    assert (root / "docs/deep/page.md").read_text(encoding="utf8") == PAGE
    written = run(root)
    assert written.returncode == 0 and written.stdout == "docs/deep/page.md: written\n", written.stderr
    text = (root / "docs/deep/page.md").read_text(encoding="utf8")
    assert text.startswith("# Results\n\nText before.\n<!-- table: small -->\n**Small data**\n")
    assert text.endswith("\n<!-- end of table -->\nText after.\n") and "\nold\n" not in text
    assert run(root, "--check").returncode == 0
    (root / "docs/deep/page.md").write_text(text.replace("0.", "1.", 1), encoding="utf8")
    assert run(root, "--check").returncode == 1


def test_a_table_shows_means_refusals_published_figures_and_its_protocol(root: Path) -> None:
    run(root)
    text = (root / "docs/deep/page.md").read_text(encoding="utf8")
    way = TABLE.protocols[0]
    results = read_results(root / "results/small")
    cells = [r for r in results if r["cell"]["protocol"] == way.hash and r["cell"]["n_bits"] == 8]
    values = [r["mean"]["AP"] for r in cells if r["system"] == "PCASign"]
    part = text[text.index("image → text") : text.index("text → image")]
    row = next(line for line in part.splitlines() if line.startswith("| PCASign"))
    assert f"| {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} |" in row and "| 1–5 |" in row
    assert next(line for line in part.splitlines() if line.startswith("| CCAITQ")).split("|")[3] == " — "
    assert "— CCAITQ at 36 bits: n_bits=36 needs views" in part
    assert "| ACQH as printed (Table I) | 0.3126 |  |" in part
    assert f"Protocol `{way.hash}`: {way.words}." in part and "learned" in part
    assert f"Data {cells[0]['data']['checksum'][:12]}" in part
    assert f"{cells[0]['n_queries']} queries, 0 of them without" in part


def test_a_refusal_names_the_row_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TOOL.parent))
    tool = import_module("cells")
    told = {
        "A2LH-K": "A2LH: needs labels, got None",
        "ITQ:image": "ITQ: n_bits: expected at most 4",
        "LSH": "view 'image': every row is missing",
    }
    results = [{"cell": {"system": name, "n_bits": 8}, "refused": reason} for name, reason in told.items()]
    assert tool.refusals(results) == [
        "— A2LH-K at 8 bits: needs labels, got None.",
        "— ITQ:image at 8 bits: n_bits: expected at most 4.",
        "— LSH at 8 bits: view 'image': every row is missing.",
    ]


def test_cells_of_two_protocols_are_refused(root: Path) -> None:
    path = files(root, "PCASign")[0]
    content = json.loads(path.read_text(encoding="utf8"))
    other = dataclasses.replace(TABLE.protocols[0], ties="position")
    change(path, protocol=content["protocol"] | {"ties": "position", "hash": other.hash})
    found = run(root)
    assert found.returncode == 2 and "cells of 2 protocols in one table" in found.stderr
    change(path, protocol=content["protocol"] | {"hash": "0" * 12})
    found = run(root)
    assert found.returncode == 2 and "cells of 2 protocol hashes" in found.stderr
    assert (root / "docs/deep/page.md").read_text(encoding="utf8") == PAGE


def test_a_hash_that_is_not_that_of_its_protocol_is_refused(root: Path) -> None:
    for path in files(root, "-seed"):
        content = json.loads(path.read_text(encoding="utf8"))
        change(path, protocol=content["protocol"] | {"cuts": [7]})
    found = run(root)
    assert found.returncode == 2 and "is not that of its protocol" in found.stderr


def test_cells_of_two_versions_of_the_data_are_refused(root: Path) -> None:
    path = files(root, "PCASign")[0]
    change(path, data=json.loads(path.read_text(encoding="utf8"))["data"] | {"checksum": "f" * 64})
    assert "cells of 2 data checksums" in run(root).stderr


def test_missing_cells_and_what_was_cut_are_told(root: Path) -> None:
    for path in files(root, "PCASign-36"):
        path.unlink()
    for path in files(root, "PCASign-8-seed1"):
        path.unlink()
    table = root / "results/small/table.json"
    change(table, cut={"order": "rows, then lengths, then seeds", "cells": ["a", "b"]}, absent={"Far": "not here"})
    assert run(root).returncode == 0
    text = (root / "docs/deep/page.md").read_text(encoding="utf8")
    row = next(line for line in text.splitlines() if line.startswith("| PCASign"))
    assert "(1 of 2) | … |" in row
    assert "Cut to keep the time: 2 cells (rows, then lengths, then seeds)." in text
    assert "Not measured, for want of the data: Far." in text


def test_a_table_without_results_is_an_error(root: Path) -> None:
    (root / "docs/other.md").write_text("<!-- table: none -->\n<!-- end of table -->\n", encoding="utf8")
    found = run(root)
    assert found.returncode == 2 and "none" in found.stderr and "Traceback" not in found.stderr
