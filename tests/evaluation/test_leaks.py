"""The leak check finds what was planted, and nothing in clean data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.cli_text import dataset_facts, facts_text
from modalhash.datasets import Dataset
from modalhash.evaluation.leaks import Finding, leaks

rng = np.random.default_rng(0)
IMAGE = rng.standard_normal((40, 6)).astype(np.float32)
TEXT = np.abs(rng.standard_normal((40, 5)))
LABELS = np.eye(3)[np.arange(40) % 3]
SPLIT = {"query": np.arange(8), "train": np.arange(10, 25), "database": np.arange(20, 40)}


def data(image: Any = IMAGE, text: Any = TEXT, labels: Any = LABELS, **split: Any) -> Dataset:
    return Dataset(name="d", views={"image": image, "text": text}, labels=labels, split={**SPLIT, **split})


def kinds(found: list[Finding]) -> dict[str, int]:
    return {finding.kind: finding.count for finding in found if finding.severity == "leak"}


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix])
def test_clean_data_has_no_leak_and_the_overlap_of_training_and_database_is_told(form: Any) -> None:
    text = TEXT.copy()
    text[[1, 2, 12, 30]] = 0  # no words: rows of zeros are not copies of each other
    found = leaks(data(text=form(text)))
    assert kinds(found) == {}
    assert [(one.kind, one.count, one.severity) for one in found] == [("train_in_database", 5, "note")]
    assert leaks(data(database=np.arange(25, 40))) == []
    assert kinds(leaks(data(labels=None))) == {}


def test_queries_in_the_database() -> None:
    found = leaks(data(database=np.arange(5, 40)))
    assert kinds(found) == {"queries_in_database": 3} and "3 of 8 queries are in the database" in found[0].message


def test_queries_that_train() -> None:
    changed = data()
    changed.split = {**changed.split, "train": np.arange(6, 25)}  # a Dataset refuses this at its door
    assert kinds(leaks(changed)) == {"queries_in_train": 2}


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix])
def test_equal_rows_are_found_in_each_part_and_view(form: Any) -> None:
    text, image = TEXT.copy(), IMAGE.copy()
    text[3] = text[11]  # train
    text[4] = text[39]  # database
    text[5] = text[6]  # another query: no leak
    image[2] = image[22]  # both parts
    messages = [one.message for one in leaks(data(image, form(text))) if one.kind == "equal_rows"]
    assert messages == [
        "view image: 1 of 8 queries have a row equal to one of the train part",
        "view image: 1 of 8 queries have a row equal to one of the database part",
        "view text: 1 of 8 queries have a row equal to one of the train part",
        "view text: 1 of 8 queries have a row equal to one of the database part",
    ]
    image[:] = np.nan
    assert kinds(leaks(data(image))) == {}  # missing rows are equal to nothing


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix])
def test_labels_that_stand_in_a_view(form: Any) -> None:
    text = TEXT.copy()
    text[:, 2] = np.where(LABELS[:, 1] == 1, rng.random(40) + 0.1, 0)  # a word that only this label's items have
    text[:, 4] = 1  # constant columns say nothing
    found = [one for one in leaks(data(text=form(text))) if one.kind == "label_columns"]
    assert [one.message for one in found] == ["view text: 1 of 3 labels are columns of the view (1)"]
    classes = data(text=form(text), labels=np.arange(40) % 3)
    assert kinds(leaks(classes)) == {"label_columns": 1}
    text[0, 2] = 1 - (text[0, 2] > 0)
    assert kinds(leaks(data(text=form(text)))) == {}


def test_labels_in_a_shifted_column_and_beside_gaps() -> None:
    image = IMAGE.copy()
    image[:, 1] = np.where(LABELS[:, 2] == 1, 7.0, -3.0)
    image[[9, 14]] = np.nan
    labels = LABELS.copy()
    labels[15] = np.nan
    image[15, 1] = 7.0
    found = [one for one in leaks(data(image, labels=labels)) if one.kind == "label_columns"]
    assert [one.count for one in found] == [1]


def test_findings_are_printed_by_data_check() -> None:
    facts = dataset_facts(data(database=np.arange(5, 40)))
    assert facts["findings"][0]["kind"] == "queries_in_database"
    text = facts_text(facts)
    assert "  leak: 3 of 8 queries are in the database\n" in text and "  note: " in text


def test_the_shipped_pack_has_no_leaked_split() -> None:
    found = kinds(leaks(mh.load_dataset("emoji")))
    assert not {"queries_in_database", "queries_in_train"} & found.keys()
