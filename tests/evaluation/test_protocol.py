"""A protocol fixes every convention, its hash follows every field, and `evaluate` does what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets import Dataset
from modalhash.evaluation.crossview import evaluate as evaluate_directions
from modalhash.evaluation.protocol import Protocol, evaluate, prepare
from modalhash.metrics import SharedLabels, retrieval
from modalhash.views import missing

DATA = mh.datasets.planted("multilabel", 160, 0)
HASHER = mh.A2LH(n_bits=16, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))
WAY = Protocol(query_views=("image",), database_views=("text",), cuts=(5, 20))

CHANGES: list[dict[str, Any]] = [
    {"query_views": ("text",)},
    {"database_views": ()},
    {"queries": "validation", "database": "train"},
    {"database": "train"},
    {"relevance": "shared_labels:a"},
    {"database_codes": "learned", "database": "train"},
    {"cuts": (5, 21)},
    {"denominator": "min"},
    {"ties": "position"},
    {"empty": "zero"},
    {"gain": "linear"},
]


def test_the_hash_follows_every_field_and_nothing_else() -> None:
    assert {name for change in CHANGES for name in change} == {field.name for field in dataclasses.fields(Protocol)}
    hashes = [dataclasses.replace(WAY, **change).hash for change in CHANGES]
    assert len({WAY.hash, *hashes}) == len(CHANGES) + 1
    assert Protocol(query_views=["image"], database_views="text", cuts=[5, 20]).hash == WAY.hash  # type: ignore[arg-type]
    assert len(WAY.hash) == 12


def test_the_hash_stays_the_same_over_versions() -> None:
    assert Protocol().hash == "13ef5b043292"


@pytest.mark.parametrize("change", CHANGES)
def test_a_protocol_comes_back_from_its_values(change: dict[str, Any]) -> None:
    changed = dataclasses.replace(WAY, **change)
    assert Protocol.from_dict(changed.as_dict() | {"hash": changed.hash}) == changed
    assert changed.words != WAY.words or "cuts" in change


def test_the_searched_part_follows_from_who_queries_and_whose_codes() -> None:
    assert Protocol().database == "database"
    assert Protocol(queries="validation").database == "train"
    assert Protocol(database_codes="learned").database == "train"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": "train"}, r"queries: expected query or validation, got 'train'"),
        ({"database": "query"}, r"database: expected database or train"),
        ({"database_codes": "stored"}, r"database_codes"),
        ({"database_codes": "learned", "database": "database"}, r"expected 'train'"),
        ({"denominator": "mean"}, r"denominator.*'mean'"),
        ({"relevance": "same_class"}, r"relevance.*'same_class'"),
        ({"ties": "random"}, r"ties"),
        ({"empty": "skip"}, r"empty"),
        ({"gain": "log"}, r"gain"),
        ({"cuts": (0,)}, r"cuts"),
    ],
)
def test_values_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Protocol(**change)


def by_hand(queries: Any, items: Any, query_part: str, item_part: str, **conventions: Any) -> Any:
    relevant = SharedLabels(DATA.part_labels(query_part), DATA.part_labels(item_part))
    return retrieval(mh.Index.build(items), queries, relevant, (5, 20), **conventions)


@pytest.mark.parametrize(
    ("change", "query_views", "item_views"),
    [
        ({}, ["image"], ["text"]),
        ({"query_views": (), "database_views": ()}, ["image", "text"], ["image", "text"]),
        ({"queries": "validation"}, ["image"], ["text"]),
        ({"database": "train", "ties": "position", "denominator": "min", "empty": "zero"}, ["image"], ["text"]),
        ({"gain": "linear"}, ["image"], ["text"]),
    ],
)
def test_evaluate_equals_the_steps_by_hand(change: dict[str, Any], query_views: Any, item_views: Any) -> None:
    protocol = dataclasses.replace(WAY, **({"database": ""} | change))
    found = evaluate(HASHER, DATA, protocol)
    queries, items = DATA.part(protocol.queries), DATA.part(protocol.database)
    expected = by_hand(
        HASHER.encode_queries({name: queries[name] for name in query_views}),
        HASHER.encode({name: items[name] for name in item_views}),
        protocol.queries,
        protocol.database,
        **{name: value for name, value in change.items() if name in ("ties", "denominator", "empty", "gain")},
    )
    assert found.mean == expected.mean and found.protocol == protocol.hash and found.conventions == expected.conventions


@pytest.mark.parametrize("name", ["A2LH", "ACQH"])
def test_learned_codes_are_those_of_the_fit(name: str) -> None:
    hasher: Any = getattr(mh, name)(n_bits=16, random_state=0).fit(DATA.part("train"), DATA.part_labels("train"))
    learned = dataclasses.replace(WAY, database_codes="learned", database="")
    found = evaluate(hasher, DATA, learned)
    queries = hasher.encode_queries({"image": DATA.part("query")["image"]})
    assert found.mean == by_hand(queries, hasher.codes_, "query", "train").mean
    encoded = evaluate(hasher, DATA, dataclasses.replace(WAY, database="train"))
    assert not np.array_equal(found.per_query["nDCG"], encoded.per_query["nDCG"])
    other = mh.datasets.planted("multilabel", 120, 0)
    with pytest.raises(ValueError, match=r"expected 78 learned codes, one an item, got 104"):
        evaluate(hasher, other, learned)


def with_gaps() -> Dataset:
    views = {name: np.array(matrix) for name, matrix in DATA.views.items()}
    views["image"][DATA.split["query"][:3]] = np.nan
    views["text"][DATA.split["query"][:1]] = np.nan
    views["text"][DATA.split["database"][5]] = np.nan
    return Dataset(name="gaps", views=views, labels=DATA.labels, split=DATA.split)


def test_items_without_the_view_are_left_out_and_counted() -> None:
    data = with_gaps()
    search = prepare(HASHER, data, WAY)
    assert (search.queries_left_out, search.items_left_out) == (3, 1)
    kept = ~missing(data.part("query")["image"])
    found = evaluate(HASHER, data, dataclasses.replace(WAY, database="train"))
    expected = evaluate(HASHER, DATA, dataclasses.replace(WAY, database="train"))
    assert found.n_queries == kept.sum() == len(kept) - 3
    if data.split["database"][5] not in data.split["train"]:
        np.testing.assert_array_equal(found.per_query["AP"], expected.per_query["AP"][kept])
    fused = prepare(HASHER, data, Protocol())
    assert (fused.queries_left_out, fused.items_left_out) == (1, 0)  # one query has no view at all


def test_label_columns_can_be_chosen_by_name() -> None:
    names = [f"{'kind' if i < 4 else 'colour'} {i}" for i in range(8)]
    named = Dataset(name="named", views=DATA.views, labels=DATA.labels, label_names=names, split=DATA.split)
    found = prepare(HASHER, named, dataclasses.replace(WAY, relevance="shared_labels:colour"))
    labels = np.asarray(DATA.part_labels("query"))[:, 4:], np.asarray(DATA.part_labels("database"))[:, 4:]
    np.testing.assert_array_equal(found.relevant.rows(slice(None)), labels[0] @ labels[1].T > 0)
    with pytest.raises(ValueError, match=r"named: has no label columns whose names start with 'size'"):
        prepare(HASHER, named, dataclasses.replace(WAY, relevance="shared_labels:size"))


def test_data_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="has no labels"):
        evaluate(HASHER, Dataset(name="bare", views=DATA.views, split=DATA.split), WAY)
    with pytest.raises(ValueError, match="has no query items"):
        evaluate(HASHER, Dataset(name="bare", views=DATA.views, labels=DATA.labels), WAY)
    with pytest.raises(ValueError, match="has no view 'audio'; its views: 'image', 'text'"):
        evaluate(HASHER, DATA, dataclasses.replace(WAY, query_views=("audio",)))
    views = {**DATA.views, "image": np.array(DATA.views["image"])}
    views["image"][DATA.split["query"]] = np.nan
    with pytest.raises(ValueError, match="no labelled query item has the view 'image'"):
        evaluate(HASHER, Dataset(name="gap", views=views, labels=DATA.labels, split=DATA.split), WAY)


def test_directions_are_one_protocol_each() -> None:
    found = evaluate_directions(HASHER, DATA, cuts=(5, 20), same=True, ties="position")
    assert list(found) == [(a, b) for a in ("image", "text") for b in ("image", "text")]
    way = dataclasses.replace(WAY, ties="position")
    assert found["image", "text"].protocol == way.hash
    assert found["image", "text"].mean == evaluate(HASHER, DATA, way).mean
