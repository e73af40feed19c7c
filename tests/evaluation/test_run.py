"""Tables run cell by cell: one file each, none twice, refusals recorded, what the budget cuts told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.catalog import make
from modalhash.datasets import Dataset
from modalhash.evaluation import run
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.evaluation.results import read_results
from modalhash.evaluation.run import run_table
from modalhash.evaluation.tables import TABLES, Source, Table, both_ways, with_settings

TABLE = Table(
    title="small",
    sources=(Source(name="clusters", options={"n": 60}), Source(name="nuisance", label="Nuisance")),
    systems=("PCASign", "CCAITQ", "A2LH-K"),
    bits=(8, 36),
    seeds=2,
    protocols=both_ways(cuts=(5,)),
)


class Shelf:
    """Loads planted data by kind and counts."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, name: str, n: int = 80) -> Dataset:
        self.loaded.append(name)
        if name == "away":
            raise FileNotFoundError("/somewhere/away: not found")
        return mh.datasets.planted(name, n, 0)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_cell_has_a_file_and_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, said, fits = Shelf(), list[str](), list[Any]()
    fit = run.fit
    monkeypatch.setattr(run, "fit", lambda cell, data: fits.append(cell.fit_key) or fit(cell, data))  # type: ignore[func-returns-value]
    content = run_table(TABLE, tmp_path, load=shelf, say=said.append)
    cells = list(TABLE.cells())
    assert len(cells) == 2 * 3 * 2 * 2 * 2 == len({cell.name for cell in cells}) == len(said)
    assert set(files(tmp_path)) == {"table.json", *(f"{cell.name}.json" for cell in cells)}
    assert shelf.loaded == ["clusters", "nuisance"] and len(fits) == len(set(fits)) == 24
    assert content["cut"]["cells"] == [] and content["absent"] == {}
    before, again = files(tmp_path), Shelf()
    run_table(TABLE, tmp_path, load=again)
    assert files(tmp_path) == before and again.loaded == []
    (tmp_path / f"{cells[5].name}.json").unlink()
    run_table(TABLE, tmp_path, load=again)
    assert set(files(tmp_path)) == set(before) and again.loaded == ["clusters"] and len(fits) == 25


def test_a_cell_holds_what_the_system_scores(tmp_path: Path) -> None:
    run_table(dataclasses.replace(TABLE, systems=("A2LH-K",), seeds=1), tmp_path, load=Shelf())
    data = mh.datasets.planted("nuisance", 80, 0)
    hasher = make("A2LH-K", n_bits=36, random_state=0)
    hasher.fit(data.part("train"), data.part_labels("train"))
    expected = evaluate(hasher, data, TABLE.protocols[1])
    same = {"system": "A2LH-K", "source": "Nuisance", "n_bits": 36, "seed": 0, "protocol": expected.protocol}
    found = [r for r in read_results(tmp_path) if r["cell"] == same | {"options": {}}]
    assert len(found) == 1 and found[0]["mean"] == expected.mean
    assert set(found[0]["seconds"]) == {"fit", "fit_cpu", "encode", "measure"}
    assert found[0]["system"] == "A2LH" and found[0]["parameters"]["kernel"] is False


def test_a_system_that_refuses_is_recorded_with_its_reason(tmp_path: Path) -> None:
    run_table(dataclasses.replace(TABLE, seeds=1), tmp_path, load=Shelf())
    refused = [r for r in read_results(tmp_path) if "refused" in r]
    assert {(r["system"], r["cell"]["n_bits"]) for r in refused} == {("CCAITQ", 36)} and len(refused) == 4
    assert "view 'text' has 30" in refused[0]["refused"] and "mean" not in refused[0]
    assert refused[0]["protocol"]["hash"] == refused[0]["cell"]["protocol"] and refused[0]["data"]["checksum"]


def test_a_budget_cuts_the_end_of_the_table_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    cells, said = list(TABLE.cells()), list[str]()
    monkeypatch.setattr("modalhash.evaluation.run.time.perf_counter", lambda: next(clock))
    content = run_table(TABLE, tmp_path, budget_seconds=60, load=Shelf(), say=said.append)
    done = len(files(tmp_path)) - 1
    assert 1 < done < len(cells)
    assert content["cut"]["cells"] == [cell.name for cell in cells[done:]]
    assert said[-1] == f"cut after 60 s: {len(cells) - done} cells (rows, then lengths, then seeds)"
    assert json.loads((tmp_path / "table.json").read_text())["cut"] == content["cut"]
    monkeypatch.undo()
    assert run_table(TABLE, tmp_path, load=Shelf())["cut"]["cells"] == []
    assert run_table(TABLE, tmp_path / "new", budget_seconds=0, load=Shelf())["cut"]["cells"] == [c.name for c in cells]


def test_rows_are_cut_before_lengths_and_lengths_before_seeds() -> None:
    order = [(cell.source.title, cell.system, cell.n_bits, cell.seed) for cell in TABLE.cells()][::2]
    sources, systems = [source.title for source in TABLE.sources], list(TABLE.systems)
    assert order == sorted(order, key=lambda k: (sources.index(k[0]), systems.index(k[1]), k[2], k[3]))


def test_data_that_is_not_here_is_told_without_its_path(tmp_path: Path) -> None:
    shelf = Shelf()
    sources = (Source(name="away", label="Far"), TABLE.sources[0])
    content = run_table(dataclasses.replace(TABLE, sources=sources, seeds=1), tmp_path, load=shelf)
    assert content["absent"] == {"Far": "away: is not here"} and shelf.loaded == ["away", "clusters"]
    assert len(files(tmp_path)) == 1 + 12


def test_names_of_cells_tell_options_and_protocols_apart() -> None:
    cell = next(TABLE.cells())
    changes: list[dict[str, Any]] = [{"source": Source(name="clusters")}, {"protocol": Protocol()}, {"seed": 7}]
    changes += [{"n_bits": 9}, {"system": "LSH"}, {"source": Source(name="clusters", options={"n": 61})}]
    names = {dataclasses.replace(cell, **change).name for change in changes}
    assert len(names | {cell.name}) == 7 and not any("/" in name or " " in name for name in names)


def test_two_sources_of_one_title_are_refused() -> None:
    first, second = (Source(name="clusters", options={"n": n}, label="Clusters") for n in (60, 80))
    with pytest.raises(ValueError, match="sources: expected a title of its own for each, got Clusters, Clusters"):
        dataclasses.replace(TABLE, sources=(first, second))


def test_the_tables_of_the_benchmark() -> None:
    acqh, cross = TABLES["wiki-acqh"], TABLES["crossmodal"]
    assert len(list(acqh.cells())) == 5 * 5 * 4 and {p.database_codes for p in acqh.protocols} == {"learned", "encoded"}
    assert len(list(cross.cells())) == 3 * 6 * 4 * 3 * 2
    assert cross.sources[2].options == {"fair": True, "n_train": 5000, "n_database": 20000}


def test_a_system_may_have_settings_of_its_own(tmp_path: Path) -> None:
    systems = with_settings("A2LH", "n_anchors=9;max_iter=2")
    assert systems == ("A2LH", "A2LH{n_anchors=9;max_iter=2}")
    table = dataclasses.replace(TABLE, sources=TABLE.sources[1:], systems=systems, bits=(8,), seeds=1)
    run_table(table, tmp_path, load=Shelf())
    found = {
        (r["cell"]["system"], r["parameters"]["n_anchors"], r["parameters"]["max_iter"]) for r in read_results(tmp_path)
    }
    assert found == {("A2LH", None, make("A2LH").get_params()["max_iter"]), ("A2LH{n_anchors=9;max_iter=2}", 9, 2)}
    cell = next(cell for cell in table.cells() if "{" in cell.system)
    assert cell.parameters == {"n_anchors": 9, "max_iter": 2} and "{" not in cell.name
    text = dataclasses.replace(cell, system="RDCMH{similarity='clipped';hidden=(8, 4)}")
    assert text.parameters == {"similarity": "clipped", "hidden": (8, 4)}


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("settings")])
def test_the_settings_of_tables_are_parameters_of_their_systems(name: str) -> None:
    for cell in TABLES[name].cells():
        made = make(cell.system.partition("{")[0].partition(":")[0], **cell.parameters)
        assert cell.protocol.queries == "validation" and cell.parameters.items() <= made.get_params().items()


def test_parts_share_a_folder_and_no_fit(tmp_path: Path) -> None:
    said = [list[str](), list[str]()]
    for i in range(2):
        run_table(TABLE, tmp_path, load=Shelf(), part=(i, 2), say=said[i].append)
    cells = [{line.split(" s  ", 1)[1].rsplit(",", 1)[0] for line in part} for part in said]
    assert len(cells[0]) == len(cells[1]) == 12 and not cells[0] & cells[1]
    assert len(files(tmp_path)) == 1 + 48


def test_a_system_may_learn_from_one_view(tmp_path: Path) -> None:
    table = dataclasses.replace(TABLE, systems=("ITQ:text",), bits=(8,), seeds=1, protocols=(Protocol(cuts=(5,)),))
    run_table(table, tmp_path, load=Shelf())
    result = read_results(tmp_path)[0]
    data = mh.datasets.planted("clusters", 60, 0)
    hasher = make("ITQ", n_bits=8, random_state=0).fit({"text": data.part("train")["text"]})
    expected = evaluate(hasher, data, Protocol(query_views=("text",), database_views=("text",), cuts=(5,)))
    assert result["cell"]["system"] == "ITQ:text" and result["mean"]["AP"] == expected.mean["AP"]


def test_items_without_the_view_of_a_row_do_not_train(tmp_path: Path) -> None:
    def load(name: str, n: int = 80) -> Dataset:
        data = mh.datasets.planted("multilabel", 80, 0)
        data.views["text"][data.split["train"][:3]] = np.nan
        return data

    table = dataclasses.replace(TABLE, systems=("SMHOQA:text", "ITQ:text"), bits=(8,), seeds=1, protocols=(Protocol(),))
    run_table(table, tmp_path, load=load)
    assert len(read_results(tmp_path)) == 4 and all("mean" in result for result in read_results(tmp_path))


def test_nested_codes_are_fitted_once_and_cut_to_each_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = list[Any]()
    fit = run.fit
    monkeypatch.setattr(run, "fit", lambda cell, data: fits.append(cell.fit_key) or fit(cell, data))  # type: ignore[func-returns-value]
    table = dataclasses.replace(TABLE, sources=TABLE.sources[:1], systems=("ITQ@16",), bits=(4, 8, 16))
    run_table(table, tmp_path, load=Shelf())
    assert sorted(fits) == [("ITQ@16", "clusters (n=60)", 16, seed) for seed in (0, 1)]
    data = mh.datasets.planted("clusters", 60, 0)
    hasher = mh.ITQ(n_bits=16, random_state=1, nested=True).fit(data.part("train"))
    for result in read_results(tmp_path):
        way = Protocol.from_dict(result["protocol"])
        if result["seed"] == 1:
            cut = hasher.prefix(result["cell"]["n_bits"])
            assert result["mean"]["AP"] == evaluate(cut, data, way).mean["AP"] and result["parameters"]["nested"]
        assert result["bytes_per_item"] == -(-result["cell"]["n_bits"] // 8) and result["curves"] and result["health"]
