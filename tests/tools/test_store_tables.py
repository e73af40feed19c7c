"""Tables of the store and of growth come from their result files only."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from test_speed_tables import about, machine, put

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(TOOLS))
    found: dict[str, Any] = importlib.import_module("store_tables").STORE
    return found


def spent(cpu: float, wall: float, items: int = 0) -> dict[str, float]:
    return {"cpu_seconds": cpu, "wall_seconds": wall, "items_per_cpu_second": items}


def figures(store: float, reader: float, spread: float = 0.1) -> dict[str, Any]:
    ratio = {"index": 1.0, "store": store, "reader": reader}
    return {"microseconds": {"index": 123.4}, "ratio": ratio, "spread": {"index": 0.05, "store": spread}}


def stored(bits: int, ids: str) -> dict[str, Any]:
    found = {"batch": figures(1.01, 1.02), "one by one": figures(0.97, 0.91, 0.3)}
    changed = {"batch": figures(0.81, 0.82), "one by one": figures(0.51, 0.52)}
    cell: dict[str, Any] = {"n": 1000, "bits": bits, "ids": ids}
    cell |= {"search": {"scan": found}, "search after changes": {"scan": changed}}
    cell |= {"upsert": spent(9.5, 21.2, 105_776), "update all": spent(12.3, 40.2), "open": spent(0.0151, 0.0203)}
    cell |= {"upsert one by one": spent(0.1, 0.2, 2500), "open without cache": spent(2.29, 14.2)}
    return cell | {"bytes_per_item": {"truth": 34.3, "cache": 24.0, "code": bits // 8}}


def test_the_tables_of_the_store(tables: dict[str, Any], tmp_path: Path) -> None:
    run = about(queries=300, cells=[stored(64, "integers"), stored(128, "texts")])
    put(tmp_path, "store-1e3", run)
    text = tables["store-writes"](tmp_path / "results")
    assert "| items, bits, ids | 1,000, 64, integers | 1,000, 128, texts |" in text
    assert "| upsert of all, s: CPU / passed | 9.5 / 21.2 | 9.5 / 21.2 |" in text
    assert "| one upsert alone, CPU ms | 0.4 | 0.4 |" in text
    assert "| open, ms: CPU / passed | 15.1 / 20.3 | 15.1 / 20.3 |" in text
    assert "one thread" in text and "`store-1e3` 0.4 (5 rounds)" in text
    text = tables["store-searches"](tmp_path / "results")
    assert "| 64 | integers | scan | batch of 300 | 123 | 1.01 × | 1.02 × | 0.81 × | 0.82 × | 0.1 |" in text
    assert "| 128 | texts | scan | one by one | 123 | 0.97 × | 0.91 × | 0.51 × | 0.52 × | 0.3 |" in text


def test_the_tables_of_growth(tables: dict[str, Any], tmp_path: Path) -> None:
    def cell(system: str, n: int, fit: float) -> dict[str, Any]:
        return {"system": system, "n": n, "fit_cpu_seconds": fit, "encode_cpu_seconds": 0.25, "peak_gb": 1.9}

    cells = [cell("A2LH", 1000, 0.5), cell("A2LH", 20_000, 10.0), cell("ITQ", 1000, 0.125)]
    growth = {name: {"fit": 0.98, "encode": 1.1} for name in ("A2LH", "ITQ")}
    ray = {"n": 20_000, "block_rows": 5000, "workers": 2, "one_process_seconds": 2.9, "ray_seconds": 24.4}
    ray |= {"ray_start_seconds": 42.0, "one_process_cpu_seconds": 0.9}
    facts = {"machine": machine(), "bits": 64, "anchors": 100, "iterations": 5, "widths": {"a": 64, "b": 32}}
    put(tmp_path, "growth", facts | {"cells": cells, "growth": growth, "ray": ray})
    text = tables["growth"](tmp_path / "results")
    assert "| items | A2LH fit / encode, peak GB | ITQ fit / encode, peak GB |" in text
    assert "| 20,000 | 10 / 0.25, 1.9 | — |" in text and "| power of n | 0.98 / 1.10 | 0.98 / 1.10 |" in text
    assert "views of 64 and 32 columns, 100 anchors, 5 iterations" in text
    text = tables["growth-ray"](tmp_path / "results")
    assert "| 20,000 | 5,000 | 2.9 | 0.9 | 2 | 24.4 | 42 |" in text
