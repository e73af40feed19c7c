"""The benchmarks run at small sizes; what they share counts, compares and writes as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.codes import BinaryCodes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
needs_faiss = pytest.mark.skipif(not find_spec("faiss"), reason="faiss is not installed: pip install faiss-cpu")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def run(script: str, *options: str) -> str:
    path = str(Path(mh.__file__).parents[1])
    call = [sys.executable, str(BENCHMARKS / script), *options]
    found = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert found.returncode == 0, found.stderr
    return found.stdout


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf8"))


def test_contenders_take_turns_and_figures_are_medians(load: Any) -> None:
    timing, seen = load("timing"), []
    turns = {name: (lambda name=name: seen.append(name), 2) for name in ("a", "b")}
    seconds = timing.take_turns(turns, 3)
    assert seen == ["a", "b"] * 3 and seconds["a"].shape == (3, 2)
    known = {"a": np.array([[1.0, 9], [3, 9], [2, 9]]), "b": np.array([[4.0, 1], [8, 1], [9, 1]])}
    found = timing.figures(known, "b")
    assert found["microseconds"] == {"a": 2e6, "b": 8e6} and found["wall_microseconds"] == {"a": 9e6, "b": 1e6}
    assert found["ratio"] == {"a": 4.0, "b": 1.0} and found["spread"] == {"a": 1.0, "b": 0.62}


def test_a_turn_counts_for_its_queries(load: Any) -> None:
    timing = load("timing")

    def work() -> None:
        sum(range(300_000))

    seconds = timing.take_turns({"one": (work, 1), "hundred": (work, 100)}, 3)
    assert 10 < timing.medians(seconds)["one"] / timing.medians(seconds)["hundred"] < 1000


def test_results_are_written_whole(load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("timing").write({"a": 1}, tmp_path / "new/file.json")
    assert read(tmp_path / "new/file.json") == {"a": 1} == json.loads(capsys.readouterr().out)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file.json"]


def test_recall_is_by_distance(load: Any) -> None:
    contenders = load("contenders")
    rng = np.random.default_rng(0)
    codes = BinaryCodes(rng.integers(0, 4, (40, 1), dtype=np.uint8), 8)  # many ties

    def distances(j: int, ids: Any) -> Any:
        return codes[j].hamming(codes[ids])[0].astype(float)

    order = np.argsort(codes[:2].hamming(codes), axis=1, kind="stable")
    truth = contenders.truth_of(distances, [order[:, :5]])
    assert truth.recall(order[:, :5]) == 1.0
    ties = np.flatnonzero(distances(0, np.arange(40)) <= truth.last[0])[::-1][:5]
    assert set(ties) != set(order[0, :5]) and truth.recall(ties[None]) == 1.0
    assert truth.recall(order[:, -5:]) == 0.0
    repeated = np.repeat(order[:, :1], 5, axis=1)
    assert truth.recall(repeated) == 0.2  # an item found five times is one
    assert truth.recall(np.array([[order[0, 0], -1, -1, -1, order[0, 39]]])) == 0.2


def test_the_truth_is_the_nearest_of_all_exact_answers(load: Any) -> None:
    contenders = load("contenders")
    truth = contenders.truth_of(lambda j, ids: ids.astype(float), [np.array([[0, 1, 9]]), np.array([[0, 1, 2]])])
    assert truth.last.tolist() == [2.0]
    assert truth.recall(np.array([[0, 1, 9]])) == pytest.approx(2 / 3)


def test_memory_behind_views_counts_once(load: Any) -> None:
    contenders = load("contenders")
    base = np.zeros(1000, np.uint8)
    codes = BinaryCodes(base.reshape(-1, 8), 64)
    assert contenders.array_bytes(codes, (base[10:], [np.zeros(3, np.uint64)])) == 1024


def test_resident_memory_grows_with_what_is_held(load: Any) -> None:
    contenders = load("contenders")
    before = contenders.resident()
    if before is None:
        pytest.skip("no /proc: resident memory is not measured")
    held = np.ones(40_000_000, np.uint8)
    assert 0.9 * held.nbytes < contenders.resident() - before < 1.5 * held.nbytes


def test_evaluation_runs(tmp_path: Path) -> None:
    sizes = ("--n", "600", "--queries", "6", "--sample", "3", "--rounds", "2")
    run("evaluation.py", *sizes, "--out", str(tmp_path / "evaluation-64.json"))
    content = read(tmp_path / "evaluation-64.json")
    assert content["machine"]["versions"]["modalhash"] == mh.__version__ and "load_at_start" in content["machine"]
    result = content["result"]
    assert result["largest_difference_of_ap"] < 1e-12 and result["cpu_ratio"]["modalhash"] == 1.0
    assert {"cpu_seconds", "wall_seconds", "wall_ratio", "cpu_spread", "peak_mb", "mean_ap"} <= set(result)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_tags_goes_to_other_pictures(load: Any, share: float) -> None:
    tags = np.arange(40).reshape(20, 2)
    found = load("noisy_tags").shuffled(tags, share, 3)
    moved = (found != tags).any(axis=1).sum()
    assert 0.8 * share * 20 <= moved <= share * 20 and np.array_equal(np.sort(found, axis=0), tags)
    assert np.array_equal(load("noisy_tags").shuffled(tags, share, 3), found)


@pytest.mark.parametrize("unlabelled", [False, True])
def test_labels_go_item_by_item_or_one_by_one(load: Any, unlabelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    partly, given = load("partly_labelled"), []

    class Taker:
        takes_unlabelled = unlabelled

        def fit(self, views: Any, labels: Any) -> Any:
            given.append((len(views["image"]), labels))
            return self

    monkeypatch.setattr(partly, "make", lambda *_, **__: Taker())
    data = mh.datasets.planted("nuisance", 100, 0)
    n, before = len(data.split["train"]), np.array(data.part_labels("train"))
    for share, ones in ((1.0, 1.0), (0.3, 1.0), (1.0, 0.6)):
        partly.fitted("X", 8, data, share, ones, 0)
    (_, whole), (items, some), (_, thin) = given
    assert np.array_equal(whole, before) and np.array_equal(before, data.part_labels("train"))
    assert (~np.isnan(some).any(axis=1)).sum() == round(0.3 * n) and items == (n if unlabelled else round(0.3 * n))
    assert len(thin) == n and (thin <= before).all() and 0.4 < thin.sum() / before.sum() < 0.8


def test_lost_views_are_written_with_their_protocol(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losing, out = load("missing_views"), tmp_path / "missing-views.json"
    monkeypatch.setattr(losing, "load_dataset", lambda name: mh.datasets.planted("three_views", 80, 0))
    monkeypatch.setattr(sys, "argv", ["missing_views.py", "--systems", "LSH", "--bits", "8", "--out", str(out)])
    monkeypatch.setattr(losing, "LOST", 1)
    losing.main()
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "tools"))
    assert f"Protocol `{losing.WAY.hash}`" in import_module("curve_tables").CURVES["missing-views"](tmp_path)


@pytest.mark.slow
def test_benchmarks_of_quality_run_and_have_their_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--bits", "8", "--seeds", "1", "--out")
    run("noisy_tags.py", "--systems", "ITQ", "--shares", "0", *few, str(tmp_path / "new" / "noisy-tags.json"))
    sizes = ("--systems", "LSH", "--data", "emoji", "--shares", "1", *few)
    run("partly_labelled.py", *sizes, str(tmp_path / "new" / "partly-labelled.json"))
    monkeypatch.syspath_prepend(str(BENCHMARKS.parent / "tools"))
    tables = import_module("curve_tables").CURVES
    assert "| ITQ | 0." in tables["noisy-tags"](tmp_path / "new")
    assert "| LSH | 60% of the ones | 0." in tables["partly-labelled"](tmp_path / "new")


@needs_faiss
def test_search_runs_and_answers_as_faiss_does(tmp_path: Path) -> None:
    sizes = ("--n", "1000", "--bits", "16", "64", "--queries", "1", "30", "--rounds", "1")
    run("search.py", *sizes, "--out", str(tmp_path / "search.json"))
    content = read(tmp_path / "search.json")
    assert content["k"] == 100 and content["machine"]["versions"]["faiss"] and len(content["cells"]) == 4
    for cell in content["cells"]:
        assert cell["ratio"]["faiss flat"] == 1.0 and "scan, vectors" in cell["microseconds"]
        assert (cell["scan_gb_per_second"] is None) == (cell["queries"] == 30)


@needs_faiss
@pytest.mark.slow
def test_lookup_runs(tmp_path: Path) -> None:
    run("lookup.py", "--n", "1000", "--queries", "5", "--rounds", "1", "--out", str(tmp_path / "lookup.json"))
    cells = read(tmp_path / "lookup.json")["cells"]
    assert [cell["score"] for cell in cells] == ["dot", "l2"]
    assert all(cell["ratio"]["faiss residual quantizer, tables"] == 1.0 for cell in cells)


@needs_faiss
def test_scale_cuts_openly_and_goes_on_where_it_was(tmp_path: Path) -> None:
    options = ("--n", "1200", "--queries", "30", "--rounds", "1", "--out", str(tmp_path))
    name = "codes-n1200-bits64-flips0.12-queries30"
    assert f"{name}: cut, 0 s are spent" in run("scale.py", *options, "--budget", "0")
    assert read(tmp_path / "cut.json")["cells"] == [name]
    run("scale.py", *options)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json"]
    before = (tmp_path / f"{name}.json").read_bytes()
    assert run("scale.py", *options) == f"{name}: is there\n"
    assert (tmp_path / f"{name}.json").read_bytes() == before
    check_cell(json.loads(before), "30")
    absent = json.loads(before)["cut"].get("usearch HNSW", "")
    assert absent == ("" if find_spec("usearch") else "not installed: pip install usearch")


def check_cell(content: Any, batch: str) -> None:
    """Every contender has every figure; exact ones find everything, and hold at least the codes."""
    base = content["contenders"][content["base"]]
    assert base["ratio"] == {"1": 1.0, batch: 1.0}
    for name, facts in content["contenders"].items():
        assert set(facts["microseconds"]) == set(facts["spread"]) == {"1", batch}, name
        assert facts["recall"] == 1.0 if facts["exact"] else 0 < facts["recall"] <= 1, name
        assert facts["bytes_per_item"] >= 4 and facts["build_seconds"] >= 0, name


@needs_faiss
@pytest.mark.slow
@pytest.mark.parametrize("score", ["dot", "l2"])
def test_scale_of_words_runs(tmp_path: Path, score: str) -> None:
    sizes = ("--n", "2000", "--queries", "20", "--rounds", "1", "--scores", score, "--out", str(tmp_path))
    run("scale.py", "--kind", "words", *sizes)
    content = read(next(tmp_path.glob("words-*.json")))
    check_cell(content, "20")
    assert {facts["truth"] for facts in content["contenders"].values()} == {"residual", "product"}


LISTS = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np, scale_codes as c, scale_words as w
from contenders import truth_of
from search import draw
database, asked = draw(3000, 10, 64, 0.12)
exact = c.flat(database).asks["faiss flat"](asked)
truth = truth_of(c.distances(database, asked), [exact])
lists, graph = c.inverted_lists(database, 5), c.graph(database)
print(truth.recall(list(lists.asks.values())[1](asked)), truth.recall(list(graph.asks.values())[1](asked)))
for score in ("dot", "l2"):
    vectors, asked, product = w.draw(3000, 2), w.draw(10, 1), w.empty(4, score)[0]
    product.train(vectors)
    exact = w.filled("exact", product, product.sa_encode(vectors)).asks["exact"](asked)
    truth = truth_of(w.of_product(asked, product, score), [exact])
    print(*(truth.recall(ask(asked)) for ask in w.lists_of(product, vectors, 10).asks.values()))
"""


@needs_faiss
@pytest.mark.slow
def test_lists_that_are_all_looked_at_give_the_exact_answer() -> None:
    path = str(Path(mh.__file__).parents[1])
    call = [sys.executable, "-c", LISTS, str(BENCHMARKS)]
    found = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert found.returncode == 0, found.stderr
    codes, *words = (list(map(float, line.split())) for line in found.stdout.splitlines()[-3:])
    assert codes[0] == 1.0 and codes[1] > 0.9
    for some, all_lists in words:
        assert 0.3 < some < 1.0 and all_lists == 1.0
