"""Advice fits the data: what is recommended can be fitted, and every no has its reason."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
import pytest

from contract import SETTINGS
from modalhash.advice import advise, describe
from modalhash.catalog import SYSTEMS, make
from modalhash.datasets import Dataset, planted

DATA = planted("nuisance", 60, 0)
X, Y, L = np.asarray(DATA.views["image"]), np.asarray(DATA.views["text"]), np.asarray(DATA.labels)
UNKNOWN = L.copy()
UNKNOWN[DATA.split["train"][:3]] = np.nan
OF_A_QUERY = L.copy()
OF_A_QUERY[DATA.split["query"][:3]] = np.nan
GAPS = Y.copy()
GAPS[DATA.split["train"][:4]] = np.nan
LATER = Y.copy()
LATER[DATA.split["query"]] = np.nan
NOTHING = X.copy()
NOTHING[DATA.split["train"][0]] = np.nan
NO_TRAINING = L.copy()
NO_TRAINING[DATA.split["train"]] = 0


def changed(**changes: Any) -> Dataset:
    given = {"name": "d", "views": {"image": X, "text": Y}, "labels": L, "split": DATA.split}
    return Dataset(**{**given, **changes})


CASES: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("labels", {}, "A2LH", "has labels"),
    ("no labels", {"labels": None}, "CCAITQ", "two views and no labels"),
    ("three views", {"labels": None, "views": {"a": X, "b": Y, "c": X}}, "CCAITQ", "3 views and no labels"),
    ("one view", {"labels": None, "views": {"a": X}}, "ITQ", "one view and no labels"),
    ("some unlabelled", {"labels": UNKNOWN}, "RDCMH", "labels for some items"),
    ("one view, unlabelled", {"labels": UNKNOWN, "views": {"a": X}}, "ITQ", "no labels for all training items"),
    ("unlabelled queries", {"labels": OF_A_QUERY}, "A2LH", "has labels"),
    ("gaps", {"views": {"image": X, "text": GAPS}}, "A2LH", "has labels"),
    ("gaps in queries", {"labels": None, "views": {"image": X, "text": LATER}}, "CCAITQ", "two views"),
    ("gaps and no labels", {"labels": None, "views": {"image": X, "text": GAPS}}, "UMHOQA", "gaps in training"),
    ("an item without views", {"views": {"image": NOTHING}}, None, "no system can learn"),
    ("a view without items", {"views": {"image": X, "text": np.full_like(Y, np.nan)}}, None, "no system can learn"),
    ("tags and no labels", {"labels": None, "views": {"image": X, "tags": Y}}, "DSTDH", "noisy tags"),
    ("no label in training", {"labels": NO_TRAINING}, "CCAITQ", "no labels"),
    ("no training", {"split": {"train": [], "query": [0]}}, None, "no system can learn"),
    ("narrow", {"labels": None, "views": {"image": X[:, :3], "text": Y}}, "CCAITQ", "two views"),
    ("narrow view", {"labels": None, "views": {"image": X[:, :3]}}, "ITQ", "one view"),
]


@pytest.mark.parametrize(("changes", "choice", "because"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_is_recommended_can_be_fitted(changes: dict[str, Any], choice: str | None, because: str) -> None:
    data = changed(**changes)
    found = advise(data)
    assert found["recommended"] == choice and because in found["because"]
    if choice is None:
        assert found["try"] is None and {row["fits"] for row in found["systems"]} == {"no"}
        return
    words = shlex.split(found["try"])
    bits = int(words[words.index("--bits") + 1])
    hasher = make(choice, n_bits=bits, random_state=0)
    hasher.fit(data.part("train"), data.part_labels("train") if hasher.needs_labels else None)
    assert bits == min(64, bits)


@pytest.mark.parametrize("changes", [c[1] for c in CASES], ids=[c[0] for c in CASES])
def test_yes_and_no_are_what_fit_says(changes: dict[str, Any]) -> None:
    data = changed(**changes)
    for row in advise(data)["systems"]:
        quick = SETTINGS.get(row["name"], {})
        hasher = make(row["name"], n_bits=4 if quick else 2, random_state=0, **quick)
        labels = data.labels if data.labels is None else data.part_labels("train")
        try:
            hasher.fit(data.part("train"), labels if hasher.needs_labels else None)
        except (ValueError, TypeError):
            assert row["fits"] == "no" and row["why"]
        else:
            assert row["fits"] == "yes", row


def test_reasons_say_what_and_how_many() -> None:
    why = {row["name"]: row["why"] for row in advise(changed(labels=UNKNOWN, views={"a": X}))["systems"]}
    assert why["A2LH"] == "needs every training label, 3 are missing"
    assert why["CCAITQ"] == "needs 2 views, the data has 1"
    why = {row["name"]: row["why"] for row in advise(changed(views={"image": X, "text": GAPS}))["systems"]}
    assert why["LSH"] == "cannot train with gaps, view 'text' is missing for 4 training items"


def test_the_command_names_the_data_as_the_user_did() -> None:
    """Regression: it named the file without folder and ending, which is not found."""
    assert "--data 'my data/d.npz' " in advise(changed(), "my data/d.npz")["try"]
    assert "--data d " in advise(changed())["try"]


def test_every_system_is_described() -> None:
    rows = {row["name"]: row for row in describe()}
    assert list(rows) == list(SYSTEMS)
    assert all(
        row["summary"] and row["labels"] in ("needed", "needed for some items", "not used") for row in rows.values()
    )
    assert "A2LH-K" in rows["A2LH"]["variants"] and not rows["LSH"]["variants"]
    for row in rows.values():
        for variant in row["variants"]:
            assert make(variant, n_bits=8).name == row["name"]


def test_names_that_are_unknown_are_refused_with_the_known() -> None:
    for name in ("A2LH-X", "LSHX", "", "a2lh"):
        with pytest.raises(ValueError, match=f"unknown system '{name}'; known: .*A2LH"):
            make(name)
