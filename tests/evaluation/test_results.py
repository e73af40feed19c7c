"""A result file holds what is needed to read its figures right, is written whole, and names no machine."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.evaluation.health import distance_facts, health
from modalhash.evaluation.protocol import Protocol, evaluate
from modalhash.evaluation.results import machine, measured, read_results, record, summary, write_result

DATA = mh.datasets.planted("clusters", 80, 0)
HASHER = mh.PCASign(n_bits=12, random_state=3).fit(DATA.part("train"))
WAY = Protocol(query_views=("image",), database_views=("text",))


def made() -> dict[str, Any]:
    return record(HASHER, DATA, WAY, evaluate(HASHER, DATA, WAY), {"fit": 0.123456}, 3)


def test_a_record_says_all_that_a_figure_needs() -> None:
    found, result = made(), evaluate(HASHER, DATA, WAY)
    assert found["protocol"] == WAY.as_dict() | {"hash": WAY.hash}
    assert found["data"]["name"] == "planted-clusters" and found["data"]["checksum"] == DATA.checksum
    assert found["data"]["split"] == {part: len(rows) for part, rows in DATA.split.items()}
    assert found["data"]["findings"] and found["seed"] == 3 and found["seconds"] == {"fit": 0.1235}
    assert set(found["versions"]) == {"modalhash", "numpy", "scipy", "python"}
    assert found["parameters"] == HASHER.get_params() and found["bytes_per_item"] == 2
    assert found["mean"] == result.mean and found["n_queries"] == 20 and found["n_without_relevant"] == 0
    assert found["per_query"]["AP"]["count"] == 20
    assert found["per_query"]["AP"]["median"] == pytest.approx(np.median(result.per_query["AP"]))


def test_a_record_is_json_and_names_neither_host_nor_paths() -> None:
    text = json.dumps(made(), allow_nan=False)
    assert socket.gethostname() not in text and str(Path.home()) not in text and str(Path.cwd()) not in text
    assert set(machine()) == {"cpu", "cores"} and machine()["cpu"]


def test_a_result_of_another_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match=f"measured under protocol {WAY.hash}"):
        record(HASHER, DATA, Protocol(), evaluate(HASHER, DATA, WAY), {}, 0)


def test_bytes_are_those_of_the_codes_that_are_searched() -> None:
    hasher = mh.ACQH(n_bits=8, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))
    for codes in ("encoded", "learned"):
        way = Protocol(query_views=("image",), database_views=("text",), database_codes=codes)
        assert record(hasher, DATA, way, evaluate(hasher, DATA, way), {}, 0)["bytes_per_item"] == 4


def test_the_summary_leaves_out_queries_that_do_not_count() -> None:
    values = np.array([np.nan, 1.0, 2, 3, 4, 5])
    expected = {"count": 5, "sd": 2**0.5, "min": 1, "q25": 2, "median": 3, "q75": 4, "max": 5}
    assert summary(values) == pytest.approx(expected)
    assert summary(np.full(3, np.nan)) == {"count": 0}


def test_files_come_back_and_are_written_whole(tmp_path: Path) -> None:
    write_result(tmp_path / "b.json", made())
    write_result(tmp_path / "a.json", {**made(), "seed": 4})
    (tmp_path / "table.json").write_text("{}")
    assert [result["seed"] for result in read_results(tmp_path)] == [4, 3]
    assert read_results(tmp_path)[1] == json.loads(json.dumps(made()))
    before = (tmp_path / "b.json").read_bytes()
    with pytest.raises((ValueError, TypeError)):
        write_result(tmp_path / "b.json", {**made(), "mean": {"AP": float("nan")}})
    assert (tmp_path / "b.json").read_bytes() == before and len(list(tmp_path.iterdir())) == 3
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ValueError, match=r"c\.json: is not valid JSON"):
        read_results(tmp_path)


def test_means_that_do_not_exist_are_null() -> None:
    labels = np.zeros((80, 2))
    labels[DATA.split["train"], 0] = 1  # nothing relevant to any query
    data = mh.datasets.Dataset(name="none", views=DATA.views, labels=labels, split=DATA.split)
    found = record(HASHER, data, WAY, evaluate(HASHER, data, WAY), {}, 0)
    assert found["mean"]["AP"] is None and found["per_query"]["AP"] == {"count": 0}
    json.dumps(found, allow_nan=False)


def test_a_measured_run_tells_curves_and_the_health_of_the_codes_that_were_searched() -> None:
    found, result = measured(HASHER, DATA, WAY, {"fit": 1.0}, 3), evaluate(HASHER, DATA, WAY)
    assert {key: found[key] for key in made() if key != "seconds"} == {
        k: v for k, v in made().items() if k != "seconds"
    }
    assert set(found["seconds"]) == {"fit", "encode", "measure"} and found["items_left_out"] == 0
    assert set(found["curves"]) == set(result.curves)
    for name, values in result.curves.items():
        assert found["curves"][name] == pytest.approx(values.tolist(), rel=1e-5)
    searched = HASHER.encode({"text": DATA.part("database")["text"]})
    own = health(searched)
    assert found["health"]["items"] == len(searched) and found["health"]["balance"] == pytest.approx(own["balance"])
    assert found["health"]["empty_balls"]["r=2"] == pytest.approx(result.mean["empty@radius2"])
    assert found["health"]["distances"] == pytest.approx(distance_facts(result.curves), rel=1e-5)


def test_lists_of_numbers_share_a_line_and_texts_stay(tmp_path: Path) -> None:
    content = {
        "format": 1,
        "numbers": [1, -2.5, 1e-9],
        "texts": ["[ 1, 2 ]", "a\n[\n1\n]"],
        "empty": [],
        "deep": [[1, 2]],
    }
    write_result(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf8")
    assert json.loads(text) == content and '"numbers": [1, -2.5, 1e-09]' in text
