"""Cross-view evaluation: every direction, who is left out, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.datasets import Dataset, planted
from modalhash.evaluation import protocol
from modalhash.evaluation.crossview import ALL, directions, evaluate
from modalhash.evaluation.protocol import Protocol

DATA = planted("nuisance", 80, 0)
HASHER = mh.A2LH(n_bits=16, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))


def changed(**changes: Any) -> Dataset:
    given = {"name": "small", "views": DATA.views, "labels": DATA.labels, "split": DATA.split}
    return Dataset(**{**given, **changes})


def twin(data: Dataset, query_view: str, found_view: str, part: str) -> list[float]:
    """AP of each query over 200 random orders of ties, item by item."""
    target = "database" if part == "query" else "train"
    rows, items = (
        [i for i in data.split[name] if not np.isnan(data.views[view][i]).any()]
        for name, view in ((part, query_view), (target, found_view))
    )
    labels = np.asarray(data.labels)
    queries = HASHER.encode({query_view: data.views[query_view][rows]}).signs()
    database = HASHER.encode({found_view: data.views[found_view][items]}).signs()
    rng, scores = np.random.default_rng(0), []
    for code, row in zip(queries, rows, strict=True):
        distances = (code != database).sum(axis=1)
        relevant, runs = labels[items] @ labels[row] > 0, []
        for _ in range(200):
            hits = relevant[np.lexsort((rng.random(len(items)), distances))]
            runs.append((np.cumsum(hits) / np.arange(1, len(items) + 1))[hits].mean())
        scores.append(float(np.mean(runs)))
    return scores


@pytest.mark.parametrize("part", ["query", "validation"])
def test_measures_agree_with_a_slow_twin(part: str) -> None:
    results = evaluate(HASHER, DATA, queries=part, cuts=(5,))
    assert set(results) == {("image", "text"), ("text", "image")}
    for (view, found), result in results.items():
        np.testing.assert_allclose(result.per_query["AP"], twin(DATA, view, found, part), atol=0.02)
        assert {"AP", "AP@5", "P@5", "R@5", "nDCG@5"} <= set(result.mean)


def test_directions() -> None:
    assert directions(DATA, HASHER) == [("image", "text"), ("text", "image")]
    assert len(directions(DATA, HASHER, same=True)) == 4
    one = mh.ITQ(n_bits=4, random_state=0).fit({"text": DATA.views["text"]})
    assert directions(DATA, one) == [("text", "text")] == list(evaluate(one, DATA))
    with pytest.raises(ValueError, match="sounds: has the views 'audio', the model knows 'image', 'text'"):
        directions(Dataset(name="sounds", views={"audio": np.ones((2, 1))}), HASHER)


def test_items_without_the_view_are_left_out_on_their_side() -> None:
    text = DATA.views["text"].copy()
    text[DATA.split["query"][0]] = text[DATA.split["database"][3]] = np.nan
    data = changed(views={"image": DATA.views["image"], "text": text})
    results = evaluate(HASHER, data)
    assert results["image", "text"].n_queries == 20 and results["text", "image"].n_queries == 19
    for (view, found), result in results.items():
        np.testing.assert_allclose(result.per_query["AP"], twin(data, view, found, "query"), atol=0.02)


@pytest.mark.parametrize("form", [sp.csr_matrix, lambda labels: np.argmax(labels, axis=1)])
def test_labels_of_every_form_give_the_same(form: Any) -> None:
    expected = evaluate(HASHER, DATA)["image", "text"].per_query["AP"]
    found = evaluate(HASHER, changed(labels=form(np.asarray(DATA.labels))))["image", "text"].per_query["AP"]
    np.testing.assert_array_equal(found, expected)


def test_items_whose_labels_are_unknown_are_left_out() -> None:
    """Regression: in the database they counted as not relevant, though nobody knows."""
    labels = np.array(DATA.labels, dtype=float)
    labels[DATA.split["query"][:4]] = labels[DATA.split["database"][:5]] = np.nan
    split = {**DATA.split, "query": DATA.split["query"][4:], "database": DATA.split["database"][5:]}
    found, expected = evaluate(HASHER, changed(labels=labels)), evaluate(HASHER, changed(split=split))
    for pair in expected:
        np.testing.assert_array_equal(found[pair].per_query["AP"], expected[pair].per_query["AP"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "small: has no labels"),
        ({"split": {}}, "small: has no query items; its split is train 80, validation 0, query 0, database 80"),
        ({"split": {"query": np.arange(80), "train": []}}, "small: has no database items"),
        ({"views": {"image": np.full((80, 40), np.nan)}}, "small: no labelled query item has the view 'image'"),
    ],
)
def test_data_that_cannot_be_measured_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(HASHER, changed(**changes))


def test_a_part_that_cannot_query_is_refused() -> None:
    with pytest.raises(ValueError, match="queries: expected query or validation, got 'train'"):
        evaluate(HASHER, DATA, queries="train")


def test_fused_systems_are_measured_with_all_views() -> None:
    fused = mh.SMHOQA(n_bits=16, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))
    results, expected = evaluate(fused, DATA, cuts=(5,)), protocol.evaluate(fused, DATA, Protocol(cuts=(5,)))
    assert list(results) == [("image", "text"), ("text", "image"), (ALL, ALL)]
    assert results[ALL, ALL].mean == expected.mean and results[ALL, ALL].protocol == expected.protocol
    assert (ALL, ALL) not in evaluate(HASHER, DATA) and (ALL, ALL) in evaluate(HASHER, DATA, fused=True)
    alone = mh.SMHOQA(n_bits=16, only="text", random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))
    assert list(evaluate(alone, DATA)) == [("text", "text")]
