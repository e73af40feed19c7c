"""Tables of one system: its own rows and its peers' from result files, the figures of its text from the published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import modalhash as mh
from modalhash.catalog import SYSTEMS
from modalhash.evaluation.published import published
from modalhash.evaluation.results import read_results
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import TABLES, Source, Table, both_ways, to_all_views

TOOL = Path(__file__).parents[2] / "tools/make_tables.py"
DOCS = Path(__file__).parents[2] / "docs"
TABLE = Table(
    title="Small data",
    sources=(Source(name="clusters", label="Clusters"),),
    systems=("ITQ", "CCAITQ", "ACQH", "A2LH-K", "A2LH"),
    bits=(8, 36),
    seeds=2,
    protocols=(*both_ways(), *to_all_views()[:1]),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run_table(TABLE, folder / "deep", load=lambda name: mh.datasets.planted(name, 80, 0))
    for path in (folder / "deep").glob("*-A2LH-8-seed*"):  # a row of one view
        content = json.loads(path.read_text(encoding="utf8"))
        content["cell"]["system"] = "A2LH:image"
        path.with_name(f"image-{path.name}").write_text(json.dumps(content), encoding="utf8")
    table = folder / "deep/table.json"
    content = json.loads(table.read_text(encoding="utf8"))
    table.write_text(json.dumps(content | {"systems": [*content["systems"], "A2LH:image"]}), encoding="utf8")
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "results/deep").mkdir(parents=True)
    for path in (made / "deep").iterdir():
        (tmp_path / "results/deep" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(TOOL), "--docs", str(root / "docs"), "--results", str(root / "results"), *options]
    path = str(Path(mh.__file__).parents[1])
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


def page(root: Path, *names: str) -> None:
    text = "".join(f"<!-- table: {name} -->\nold\n<!-- end of table -->\n" for name in names)
    (root / "docs/page.md").write_text(text, encoding="utf8")


def text_of(root: Path, name: str) -> str:
    """The Markdown of one marker."""
    page(root, name)
    found = run(root)
    assert found.returncode == 0, found.stderr
    assert run(root, "--check").returncode == 0
    text = (root / "docs/page.md").read_text(encoding="utf8")
    return text.removeprefix(f"<!-- table: {name} -->\n").removesuffix("<!-- end of table -->\n")


def rows_of(text: str, *start: str) -> list[list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in rows if tuple(row[: len(start)]) == start]


def test_a_system_stands_with_its_variants_and_peers_in_every_direction(root: Path) -> None:
    text = text_of(root, "deep/A2LH")
    rows = rows_of(text, "Clusters")
    order = [row[1] for row in rows[::4]]
    assert order == ["image → text", "text → image", "image → all views"]
    for direction, protocol in zip(order, TABLE.protocols, strict=True):
        mine = rows_of(text, "Clusters", direction)
        assert [row[2] for row in mine] == ["A2LH-K", "A2LH", "A2LH (image)", "CCAITQ"]  # HMAH is not in the folder
        assert {row[-1] for row in mine} == {f"`{protocol.hash}`"}
    cells = [r for r in read_results(root / "results/deep") if r["system"] == "A2LH" and "mean" in r]
    cells = [r for r in cells if r["cell"]["n_bits"] == 8 and r["cell"]["system"] == "A2LH"]
    values = [r["mean"]["AP"] for r in cells if r["protocol"]["hash"] == TABLE.protocols[0].hash]
    assert len(values) == 2
    expected = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    assert rows_of(text, "Clusters", "image → text", "A2LH")[0][3] == expected
    assert rows_of(text, "Clusters", "image → text", "A2LH (image)")[0][3:5] == [expected, "…"]
    assert "**Small data**" in text and "AP, mean ± sd over 2 seeds." in text
    assert f"Data Clusters, {cells[0]['data']['checksum'][:12]}: " in text and "train" in text
    assert "— CCAITQ at 36 bits: n_bits=36 needs views" in text


def test_an_absent_folder_is_told_and_a_wrong_name_is_an_error(root: Path) -> None:
    for name in ("deep-variants/A2LH", "deep-variants", "fused-digits/SMHOQA", "social"):
        assert name.split("/")[0] in TABLES and text_of(root, name) == "Not run yet.\n"
    for name, words in (("deep/HMAH", "no row of HMAH"), ("deeper/A2LH", "deeper"), ("published/Nobody", "no figures")):
        page(root, name)
        found = run(root)
        assert found.returncode == 2 and words in found.stderr and "Traceback" not in found.stderr


def test_a_folder_that_lacks_the_system_so_far_is_no_error(root: Path) -> None:
    for path in (root / "results/deep").glob("*A2LH*"):
        path.unlink()
    assert text_of(root, "deep/A2LH") == "Not run yet.\n"


def test_other_data_and_forged_protocols_are_refused(root: Path) -> None:
    paths = sorted((root / "results/deep").glob("*A2LH-8-seed*"))
    old = paths[0].read_text(encoding="utf8")
    content = json.loads(old)
    page(root, "deep/A2LH")
    for key, value, words in (
        ("data", content["data"] | {"checksum": "f" * 64}, "data checksums"),
        ("protocol", content["protocol"] | {"ties": "position"}, "2 protocols in one table"),
        ("protocol", content["protocol"] | {"hash": "0" * 12}, "protocol hashes"),
    ):
        paths[0].write_text(json.dumps(content | {key: value}), encoding="utf8")
        found = run(root)
        assert found.returncode == 2 and words in found.stderr
    paths[0].write_text(old, encoding="utf8")
    for path in (root / "results/deep").glob("*-seed*"):
        content = json.loads(path.read_text(encoding="utf8"))
        path.write_text(json.dumps(content | {"protocol": content["protocol"] | {"cuts": [7]}}), encoding="utf8")
    assert "is not that of its protocol" in run(root).stderr


def test_one_data_set_is_one_version_in_all_directions(root: Path) -> None:
    for path in (root / "results/deep").glob(f"*-{TABLE.protocols[0].hash}.json"):
        content = json.loads(path.read_text(encoding="utf8"))
        content["data"]["checksum"] = "f" * 64
        path.write_text(json.dumps(content), encoding="utf8")
    page(root, "deep/A2LH")
    assert "Clusters: cells of 2 data checksums" in run(root).stderr


def test_published_figures_stand_once_with_tables_and_protocols(root: Path) -> None:
    text = text_of(root, "published/HMAH")
    row = rows_of(text, "MIRFlickr25K", "I→T", "HMAH")
    assert row == [
        ["MIRFlickr25K", "I→T", "HMAH", "0.960", "0.965", "0.969", "0.971", "0.971", "3.1, 3.5"],
    ]
    assert [row[2] for row in rows_of(text, "NUS-WIDE", "T→I")] == [
        *("HMAH", *(f"HMAH-{i}" for i in range(1, 7)), "BATCH", "SCRATCH"),
    ]
    assert "\n\nPrinted in L. Zhu, J. Li and W. Guan, Multi-modal Hash Learning (2023).  \n" in text
    assert "MIRFlickr25K, 3.1, 3.5: mAP@500; " in text and text.count("mAP@500") == 3


def test_only_the_two_strongest_others_of_a_table_stay(root: Path) -> None:
    text = text_of(root, "published/A2LH")
    assert {row[2] for row in rows_of(text, "MIRFlickr25K")} == {"A2LH", "TECH", "LESGH"}
    assert {row[2] for row in rows_of(text, "NUS-WIDE (VGG-19 features)")} == {"A2LH-D", "DCHUC", "RDCMH"}
    assert rows_of(text, "NUS-WIDE (VGG-19 features)", "I→T", "A2LH-D")[0][3:] == [
        "0.7509",
        "0.7712",
        "0.8023",
        "",
        "4",
    ]


def test_a_name_that_only_starts_alike_is_another_system(root: Path) -> None:
    assert "| ACQ |" in text_of(root, "published/ACQ") and "ACQH" not in text_of(root, "published/ACQ")


def test_rows_of_other_protocols_stay_apart(root: Path) -> None:
    text = text_of(root, "published/DCSH")
    rows = rows_of(text, "MIRFlickr25K", "I→T", "DCSH")
    assert [row[-1] for row in rows] == ["III", "V"] and [row[3] for row in rows] == ["0.7320", "0.7248"]
    assert rows_of(text, "MIRFlickr25K", "T→T", "DCSH")[0][-1] == "IV"


@pytest.mark.parametrize("name", [name for name in SYSTEMS if published(method=name) and name not in ("ITQ", "ACQH")])
def test_every_page_of_a_system_shows_what_its_text_prints(name: str) -> None:
    """ACQH's figures stand in its own table of results; ITQ is only a peer."""
    text = (DOCS / f"systems/{SYSTEMS[name].split('.')[1]}.md").read_text(encoding="utf8")
    assert f"<!-- table: published/{name} -->" in text and "not comparable" in text
