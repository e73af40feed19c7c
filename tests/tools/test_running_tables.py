"""Tables of the store, the service and growing fits say what their result files hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = {"store": "store-1e6.json", "serve": "serve-1e6.json", "growth": "growth.json"}


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[Path], str]]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    tables: dict[str, Callable[[Path], str]] = import_module("running_tables").RUNNING
    return tables


def changed(name: str, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A folder with the stored result of a table, edited."""
    content = json.loads((ROOT / "benchmarks/results" / FILES[name]).read_text(encoding="utf8"))
    edit(content)
    (folder / FILES[name]).write_text(json.dumps(content), encoding="utf8")
    return folder


def test_the_store_has_a_column_a_kind_of_ids(running: Any, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["cells"][1]["upsert"]["items_per_cpu_second"] = 123456
        content["cells"][0]["search after changes"]["one by one"]["ratio"]["store"] = 0.375

    text = running["store"](changed("store", tmp_path, edit))
    assert "|  | integers | texts |" in text and "| 123,456 |\n" in text and "| 0.375 × (" in text
    assert "1,000,000 items, 64 bits, top 100" in text and "cores, load " in text


def test_the_service_has_a_row_a_number_of_clients(running: Any, tmp_path: Path) -> None:
    text = running["serve"](changed("serve", tmp_path, lambda content: content["rows"][4].update(p99_ms=4321.0)))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 6 and [row[1] for row in rows] == ["no"] * 3 + ["yes"] * 3 and rows[4][4] == "4,321"


def test_growth_tells_what_was_not_run(running: Any, tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["cells"] = [cell for cell in content["cells"] if (cell["system"], cell["n"]) != ("ITQ", 30_000)]
        content["growth"]["ITQ"]["fit"] = 7.5

    text = running["growth"](changed("growth", tmp_path, edit))
    (row,) = [line for line in text.splitlines() if line.startswith("| 30,000 |")]
    assert row.count("not run") == 1 and "| 7.50 / " in text


def test_a_table_without_its_file_is_not_there_yet(running: Any, tmp_path: Path) -> None:
    for make in running.values():
        with pytest.raises(FileNotFoundError):
            make(tmp_path)
