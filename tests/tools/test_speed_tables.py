"""Tables of speed come from result files only, and never mix machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import modalhash as mh
from modalhash.evaluation.protocol import Protocol

TOOL = Path(__file__).parents[2] / "tools/make_tables.py"
NAMES = ("search", "lookup", "evaluation", "scale", "missing-views")
SCAN, BUCKETS = "scan, vectors", "multi_index, scan where cheaper"
PRODUCTS, RESIDUAL = "faiss product quantizer", "faiss residual quantizer, tables"
LOOPS = ("numpy loop, packed bits", "numpy loop, product of signs")


def machine(processor: str = "zen", load: float = 0.4) -> dict[str, Any]:
    versions = {"modalhash": "0.1.0", "numpy": "2.4"}
    features = ["avx", "avx512f"]
    return {
        "processor": processor,
        "features": features,
        "cores": 2,
        "load_at_start": [load, 1.0, 1.0],
        "versions": versions,
    }


def about(**values: Any) -> dict[str, Any]:
    return {"machine": machine(), "k": 100, "rounds": 5, "threads": 1, **values}


SEARCH = about(
    cells=[
        {
            "n": 1000,
            "bits": 64,
            "queries": 1,
            "flips": 0.5,
            "microseconds": {"faiss flat": 1669.7, SCAN: 234.5},
            "ratio": {"faiss flat": 1.0, SCAN: 7.12, BUCKETS: 6.42, "numpy": 0.11},
            "spread": {"faiss flat": 0.57, SCAN: 0.6},
        }
    ]
)
LOOKUP = about(
    cells=[
        {
            "n": 2000,
            "codebooks": 4,
            "score": "dot",
            "queries": 100,
            "microseconds": {RESIDUAL: 7041.98},
            "ratio": {RESIDUAL: 1.0, "vector": 43.8, PRODUCTS: 2.17},
            "spread": {RESIDUAL: 0.05, "vector": 0.12},
        }
    ]
)
EVALUATION = {
    "machine": machine(),
    "result": {
        "n": 184577,
        "queries": 2000,
        "bits": 16,
        "threads": 1,
        "rounds": 7,
        "cpu_seconds": {"modalhash": 0.307, LOOPS[0]: 5.957, LOOPS[1]: 17.583},
        "cpu_ratio": {"modalhash": 1.0, LOOPS[0]: 19.4, LOOPS[1]: 57.3},
        "cpu_spread": {"modalhash": 0.11, LOOPS[0]: 0.3},
        "largest_difference_of_ap": 1.1e-16,
    },
}
CURVE = [{"lost": 0, "mean": 0.9914, "sd": 0.0}, {"lost": 1, "mean": 0.75, "sd": 0.0123}]
WAY = Protocol().as_dict() | {"hash": Protocol().hash}
MISSING = {"data": "digits", "checksum": "ab" * 32, "draws": 5, "systems": {"A2LH": {"bits": 64, "curve": CURVE}}}
MISSING["protocol"] = WAY


def scaled(n: int, threads: int = 1, flips: float = 0.12) -> dict[str, Any]:
    """A cell in which flat grows as n, lists as its square root, and a graph stops at 1e5."""

    def contender(family: str, seconds: float, build: float, **facts: Any) -> dict[str, Any]:
        times = {"1": 2 * seconds, "100": seconds}
        wall = {"1": 20 * seconds, "100": 5 * seconds}
        common: dict[str, Any] = {"family": family, "settings": f"settings of {family}"}
        common |= {"microseconds": times, "wall_microseconds": wall, "ratio": times, "build_seconds": build}
        return common | {"bytes_per_item": 8.0, "resident_bytes_per_item": 8.1, "exact": False} | facts

    contenders = {
        "faiss flat": contender("faiss flat", n / 100, n**2 / 1e9, exact=True, recall=1.0),
        "lists, 4": contender("lists", n**0.5, n / 1e6, recall=0.91234, resident_bytes_per_item=None),
    }
    cut = {"graph": "minutes to build"} if n > 100_000 else {}
    if not cut:
        contenders["graph, 9"] = contender("graph", 50.0, 7.0, recall=0.5)
    cell = {"kind": "codes", "n": n, "bits": 64, "flips": flips, "queries": 100}
    return about(threads=threads, cell=cell, base="faiss flat", contenders=contenders, cut=cut)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    text = "".join(f"## {name}\n<!-- table: {name} -->\nold\n<!-- end of table -->\n" for name in NAMES)
    (tmp_path / "docs/speed.md").write_text(text, encoding="utf8")
    for name, content in {
        "search-1e3": SEARCH,
        "lookup-1e3": LOOKUP,
        "evaluation-16": EVALUATION,
        "missing-views": MISSING,
        **{f"scale/codes-n{n}": scaled(n) for n in (100_000, 1_000_000, 10_000_000)},
    }.items():
        put(tmp_path, name, content)
    return tmp_path


def put(root: Path, name: str, content: Any) -> None:
    path = root / f"results/{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf8")


def run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, str(TOOL), "--docs", str(root / "docs"), "--results", str(root / "results"), *options]
    path = str(Path(mh.__file__).parents[1])
    return subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})


def made(root: Path, name: str) -> str:
    """The text of one marker, after the page was written."""
    found = run(root)
    assert found.returncode == 0, found.stderr
    page = (root / "docs/speed.md").read_text(encoding="utf8")
    return page.split(f"<!-- table: {name} -->\n")[1].split("<!-- end of table -->")[0]


def test_the_page_is_written_and_checked(root: Path) -> None:
    assert run(root, "--check").returncode == 1
    assert run(root).stdout == "docs/speed.md: written\n"
    assert run(root, "--check").returncode == 0
    path = root / "docs/speed.md"
    for figure in ("1,670", "43.8 ×", "5.96", "0.912", "0.750"):
        text = path.read_text(encoding="utf8")
        assert text.count(figure) >= 1, figure
        path.write_text(text.replace(figure, "123456", 1), encoding="utf8")
        assert run(root, "--check").returncode == 1, figure
        path.write_text(text, encoding="utf8")
    put(root, "scale/codes-n1000", scaled(1000))
    assert run(root, "--check").returncode == 1


def test_the_table_of_search(root: Path) -> None:
    text = made(root, "search")
    assert "| 1,000 | 64 | random | one by one | 1,670 | 7.12 × |  | 6.42 × | 0.11 × | 0.6 |" in text
    told = (
        "zen with AVX-512, 2 cores, one thread; modalhash 0.1.0, numpy 2.4; top 100; CPU time, median over the rounds."
    )
    assert f"{told} Load at the start: `search-1e3` 0.4 (5 rounds)." in text


def test_the_tables_of_lookup_evaluation_and_missing_views(root: Path) -> None:
    assert "| 2,000 | 4 | dot | batch of 100 | 7,042 | 43.8 × |  | 2.17 × |  |  | 0.12 |" in made(root, "lookup")
    text = made(root, "evaluation")
    assert "| 16 | 2,000 | 184,577 | 0.307 | 5.96 (19.4 ×) | 17.6 (57.3 ×) | 0.3 | 1e-16 |" in text
    assert "`evaluation-16` 0.4 (7 rounds)" in text and "one thread" in text and "top" not in text
    text = made(root, "missing-views")
    assert "| system | bits | 0 lost | 1 lost |" in text and "| A2LH | 64 | 0.991 ± 0.000 | 0.750 ± 0.012 |" in text
    assert "5 draws" in text and f"Protocol `{Protocol().hash}`. Data digits, abababababab." in text


def test_lost_views_under_another_protocol_than_they_say_are_refused(root: Path) -> None:
    put(root, "missing-views", {**MISSING, "protocol": {**WAY, "ties": "position"}})
    found = run(root, "--check")
    assert found.returncode == 2 and "missing-views: the hash" in found.stderr
    put(root, "missing-views", {name: value for name, value in MISSING.items() if name != "protocol"})
    assert "missing-views: a result file lacks 'protocol'" in run(root).stderr


def test_systems_stand_beside_themselves_on_one_view(root: Path) -> None:
    pair = {"fused": 0.9876, "fused_sd": 0.0, "single": 0.9, "single_sd": 0.0}
    system = {"bits": 64, "curve": CURVE, "singles": {"fou": pair}}
    put(root, "missing-views", {**MISSING, "lost_beside_singles": 1, "systems": {"A2LH": system, "ITQ": system}})
    text = made(root, "missing-views")
    assert "1 views lost" in text and "| system | fou |" in text and "| ITQ | 0.988 \\| 0.900 |" in text


def test_the_table_of_noisy_tags(root: Path) -> None:
    page = root / "docs/speed.md"
    page.write_text(page.read_text(encoding="utf8") + "<!-- table: noisy-tags -->\n<!-- end of table -->\n")
    rows = [{"system": "DSTDH", "share": share, "mean": 0.3 - share / 10, "sd": 0.01} for share in (0.0, 0.5)]
    facts = {"data": "tagged", "checksum": "cd" * 32, "bits": 32, "seeds": 3, "protocol": WAY, "rows": rows}
    put(root, "noisy-tags", facts)
    text = made(root, "noisy-tags")
    assert "| system | 0% moved | 50% moved |" in text and "| DSTDH | 0.3000 ± 0.0100 | 0.2500 ± 0.0100 |" in text
    assert "3 seeds" in text and "Data tagged, cdcdcdcdcdcd." in text


def test_the_table_of_fits(root: Path) -> None:
    page = root / "docs/speed.md"
    page.write_text(page.read_text(encoding="utf8") + "<!-- table: fit -->\n<!-- end of table -->\n")
    row = {"system": "HMAH", "n": 1200, "widths": [128, 200], "bits": 32, "seconds": 9.0, "cpu_seconds": 16.04}
    row |= {"rounds": 0, "peak_gb": 0.444, "inputs_gb": 0.1, "threads": "1"}
    put(root, "fit", {"machine": machine(), "rows": [row]})
    text = made(root, "fit")
    assert "| HMAH | 1,200 | 128 + 200 | 32 | 9 | 16 |  | 0.444 | 0.1 |" in text
    assert "Threads: 1. zen with AVX-512, 2 cores" in text and "load 0.4" in text


def test_the_table_of_lost_labels(root: Path) -> None:
    page = root / "docs/speed.md"
    page.write_text(page.read_text(encoding="utf8") + "<!-- table: partly-labelled -->\n<!-- end of table -->\n")
    ways = {"image → text": {"mean": 0.5, "sd": 0.01, "protocol": "abc"}}
    rows = [
        {"system": "RDCMH", "share": share, "ones": ones, "directions": ways} for share, ones in ((0.3, 1), (1, 0.6))
    ]
    put(root, "partly-labelled", {"bits": 32, "seeds": 2, "sets": {"emoji": {"checksum": "ef" * 32, "rows": rows}}})
    text = made(root, "partly-labelled")
    assert "| RDCMH | 30% of the items | 0.5000 ± 0.0100 |" in text and "| RDCMH | 60% of the ones | 0.5000" in text
    assert "*emoji*" in text and "Data emoji, efefefefefef." in text and "2 seeds" in text


def test_machines_and_versions_are_not_mixed(root: Path) -> None:
    put(root, "search-1e3-b", {**SEARCH, "machine": machine(load=3.0)})
    text = made(root, "search")
    assert text.count("| n |") == 1 and "`search-1e3` 0.4 (5 rounds), `search-1e3-b` 3.0 (5 rounds)" in text
    put(root, "search-1e3-b", {**SEARCH, "machine": machine("skylake")})
    text = made(root, "search")
    assert text.count("| n |") == 2 and text.count("| 1,000 |") == 2 and "skylake with AVX-512" in text
    put(root, "scale/codes-n1000000", {**scaled(1_000_000), "machine": machine("skylake")})
    assert made(root, "scale").count("| contender | answers |") == 2


def test_the_table_of_growth(root: Path) -> None:
    text = made(root, "scale")
    assert text.startswith("*64 bits, clustered codes, batches of 100, one thread; × is faiss flat over the contender*")
    assert "| faiss flat | exact | 1,000,000 | 20,000 | 1 × | 10,000 | 1 × | 1.000 | 1,000 | 8 | 8.1 |" in text
    assert "| lists, 4 | approximate | 1,000,000 | 2,000 | 10 × | 1,000 | 10 × | 0.912 | 1 | 8 | — |" in text
    assert "| faiss flat | 1.00 | 1.00 | 2.00 |" in text and "| lists, 4 | 0.50 | 0.50 | 1.00 |" in text
    assert "| graph, 9 | — | — | — |" in text
    assert "Cut: graph at 1,000,000: minutes to build; graph at 10,000,000: minutes to build." in text
    assert "lists: settings of lists; graph: settings of graph." in text
    places = [text.index(f"| faiss flat | exact | {n:,} |") for n in (10**5, 10**6, 10**7)]
    assert places == sorted(places)


def test_threads_and_kinds_have_tables_of_their_own(root: Path) -> None:
    put(root, "scale/codes-n100000-threads2", scaled(100_000, threads=2))
    put(root, "scale/codes-n100000-random", scaled(100_000, flips=0.5))
    text = made(root, "scale")
    assert text.count("| contender | answers |") == 3 and "*64 bits, random codes" in text
    part = text[text.index("batches of 100, 2 threads") :]
    assert "| faiss flat | exact | 100,000 | 20,000 | 1 × | 5,000 | 1 × |" in part and "time that passes" in part


def test_what_a_budget_cut_is_told_and_nothing_run_is_no_error(root: Path) -> None:
    put(root, "scale/cut", {"cells": ["codes-n100000000"]})
    assert "Cut to keep the time: `codes-n100000000`." in made(root, "scale")
    for path in (root / "results/scale").iterdir():
        path.unlink()
    assert made(root, "scale") == "Not run yet.\n"


def test_broken_or_absent_results_are_errors_that_name_them(root: Path) -> None:
    put(root, "lookup-1e3", {**LOOKUP, "cells": [{"n": 5}]})
    found = run(root)
    assert found.returncode == 2 and "lookup: a result file lacks" in found.stderr and "Traceback" not in found.stderr
    (root / "results/lookup-1e3.json").write_text("{", encoding="utf8")
    found = run(root)
    assert found.returncode == 2 and "lookup-1e3.json" in found.stderr
    (root / "results/lookup-1e3.json").unlink()
    found = run(root)
    assert found.returncode == 2 and "no file lookup-*.json" in found.stderr
