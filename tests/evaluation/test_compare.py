"""A whole comparison on small data: rows, verdict, resumption, budget, leaks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets import Dataset, planted
from modalhash.evaluation.compare import Comparison, Setting, compare
from modalhash.evaluation.contenders import FREE, learned_by_default
from modalhash.evaluation.results import COMPARISON_FILE
from modalhash.evaluation.verdict import contests, sentence

QUICK = ("A2LH", "sign", "mean-sign", "rotation", "ITQ", "CCA-ITQ", "int8", "cut", "RaBitQ")
SELF = ((("image",), ("image",)),)


@pytest.fixture(scope="module")
def across() -> Comparison:
    return compare(planted("nuisance", 160, 0), (8, 16), QUICK, seeds=2)


def rows_of(found: Comparison, system: str, **about: Any) -> list[Any]:
    rows = [row for row in found.rows if row.system == system]
    return [row for row in rows if all(getattr(row, name) == value for name, value in about.items())]


def test_labels_help_where_what_the_views_share_misleads(across: Comparison) -> None:
    assert across.verdict.startswith("Train.") and "train A2LH" in across.verdict
    assert {contest.answer for contest in across.contests} == {"train"}
    assert {row.direction for row in across.rows} == {"image → text", "text → image"}


def test_the_verdict_follows_from_the_rows(across: Comparison) -> None:
    again = contests(across.rows, "AP", (8, 16))
    assert [one.as_dict() for one in again] == [one.as_dict() for one in across.contests]
    assert sentence(again) == across.verdict
    for one in across.contests:
        assert one.learned is not None and one.free is not None and one.difference is not None
        gap = one.learned.mean["AP"] - one.free.mean["AP"]
        assert one.difference.mean == pytest.approx(gap, abs=1e-5)
        rivals = [row for row in across.rows if row.direction == one.direction and row.family == "training-free"]
        fitting = [row for row in rivals if not row.refused and not row.rescored and (row.bytes or 0) <= one.bytes]
        if not one.kept:
            assert one.free.validation["AP"] == max(row.validation["AP"] for row in fitting)


def test_rows_count_bytes_with_and_without_floats(across: Comparison) -> None:
    width = next(row for row in across.rows if row.family == "float").bytes or 0
    for row in (row for row in across.rows if not row.refused):
        assert row.total_bytes == (row.bytes or 0) + (width if row.rescored else 0)
        assert row.seeds == (2 if row.family == "learned" or FREE[row.system].chance else 1)
        assert {"AP", "AP@10", "nDCG@10", "P@10", "neighbours@10"} <= set(row.mean)
        assert set(row.seconds) == {"fit", "encode", "search"}
    for row in rows_of(across, "float32"):
        assert row.mean["neighbours@10"] == 1 and not row.rescored
    for row in rows_of(across, "A2LH", bits=16, rescored=True):
        (plain,) = rows_of(across, "A2LH", bits=16, rescored=False, direction=row.direction)
        assert row.mean["neighbours@10"] > plain.mean["neighbours@10"]


def test_what_cannot_be_made_is_a_dash_with_a_reason(across: Comparison) -> None:
    refused = {(row.system, row.bits): row.refused for row in across.rows if row.refused}
    assert "8 bits leave -56" in refused["RaBitQ", 8]
    assert all(not row.mean for row in across.rows if row.refused)


def test_without_labels_floats_are_the_measure_and_nothing_need_be_trained() -> None:
    data = replace(planted("clusters", 160, 0), labels=None, label_names=None)
    found = compare(data, (8,), ("ITQ", "sign", "mean-sign"), seeds=1, setting=Setting(directions=SELF))
    assert found.facts["measure"] == "neighbours@10" and found.verdict.startswith("Do not train.")
    assert "float32" in found.verdict and "+ rescoring keeps" in found.verdict
    assert "wanted = nearest by floats" in next(iter(found.facts["protocols"].values()))["words"]


def test_a_comparison_is_the_same_again_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data, said = planted("clusters", 120, 0), list[str]()
    systems = ("A2LH", "sign", "rotation")
    cut = compare(data, (8,), systems, seeds=2, budget=0.0, out=tmp_path)
    assert not cut.rows and cut.facts["cut"]["cells"] and cut.verdict == "Not settled. Nothing was compared."
    first = compare(data, (8,), systems, seeds=2, out=tmp_path, say=said.append)
    assert said and not first.facts["cut"]["cells"]
    said.clear()
    second = compare(data, (8,), systems, seeds=2, out=tmp_path, say=said.append)
    assert not said and second.as_dict() == first.as_dict()
    fresh = compare(data, (8,), systems, seeds=2)
    assert fresh.verdict == first.verdict
    written = json.loads((tmp_path / COMPARISON_FILE).read_text(encoding="utf8"))
    assert written["verdict"] == first.verdict and len(written["rows"]) == len(first.rows)
    compare(data, (8,), ("sign",), seeds=1, out=tmp_path, say=said.append, setting=Setting(k=5))
    assert said  # another rank is another comparison


def test_a_planted_leak_is_reported_by_name_and_count() -> None:
    clean = planted("clusters", 120, 0)
    views = {name: np.array(matrix) for name, matrix in clean.views.items()}
    taken = clean.split["train"][:7]
    for matrix in views.values():
        matrix[clean.split["query"][:7]] = matrix[taken]
    found = compare(replace(clean, views=views), (8,), ("sign", "ITQ"), seeds=1)
    leaks = {(leak["kind"], leak["count"]) for leak in found.facts["leaks"]}
    assert ("equal_rows", 7) in leaks
    told = f"7 of {len(clean.split['query'])} queries have a row equal to one of the train part"
    assert "The data leaks" in found.verdict and told in found.verdict
    assert not compare(clean, (8,), ("sign",), seeds=1).facts["leaks"]


def test_validation_items_are_held_out_of_training_where_the_data_names_none() -> None:
    data = planted("clusters", 160, 0)
    split = {"query": data.split["query"], "train": np.union1d(data.split["train"], data.split["validation"])}
    found = compare(replace(data, split=split), (8,), ("sign",), seeds=1, setting=Setting(queries=5))
    sizes = found.facts["split"]
    assert sizes["query"] == 5 and sizes["validation"] == 5 and sizes["train"] < len(split["train"])
    assert len(found.facts["notes"]) == 3


def test_all_views_at_once_have_no_floats_and_say_so() -> None:
    found = compare(planted("three_views", 120, 0), (8,), ("A2LH", "ITQ", "rotation", "sign", "CCA-ITQ"), seeds=1)
    assert {row.direction for row in found.rows} == {"all views → all views"}
    refused = {row.system: row.refused for row in found.rows if row.refused and row.bits}
    assert set(refused) == {"sign"} and "no one float space" in refused["sign"]
    assert all(not contest.kept for contest in found.contests)


def test_default_learned_systems_fit_the_data() -> None:
    two = planted("clusters", 80, 0)
    assert learned_by_default(two, [(("image",), ("text",))]) == ["A2LH", "ACQH"]
    assert learned_by_default(two, [((), ())]) == ["A2LH", "ACQH", "SMHOQA", "UMHOQA"]
    assert learned_by_default(replace(two, labels=None), [((), ())]) == ["UMHOQA"]
    one = Dataset(name="one", views={"image": two.views["image"]}, labels=two.labels)
    assert learned_by_default(one, SELF) == ["A2LH", "ACQH"]
    assert learned_by_default(replace(one, labels=None), SELF) == ["UMHOQA"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"systems": ("Nothing",)}, "unknown system 'Nothing'"),
        ({"systems": ()}, "at least one name"),
        ({"bits": ()}, "at least one length"),
        ({"bits": (0,)}, "bits"),
        ({"seeds": 0}, "seeds"),
        ({"setting": Setting(measure="P@7")}, "measure: expected AP"),
        ({"setting": Setting(directions=((("audio",), ("text",)),))}, "no view 'audio'"),
        ({"setting": Setting(shared=("audio",))}, "no view 'audio'"),
        ({"setting": Setting(k=20, shortlist=10)}, "shortlist: expected at least k=20"),
    ],
)
def test_bad_input_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compare(planted("clusters", 60, 0), **{"bits": (8,), "systems": ("sign",), **changes})


def test_data_without_queries_is_refused() -> None:
    with pytest.raises(ValueError, match="has no query items; its split is train 9"):
        mh.compare(Dataset(name="none", views={"a": np.eye(9)}))
