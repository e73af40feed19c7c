"""The verbs report and bits, and the cards that evaluate writes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modalhash.datasets import planted, write_dataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set that has names of labels and raw texts."""
    root = tmp_path_factory.mktemp("report")
    data = planted("clusters", 120, 0)
    labels = np.asarray(data.labels)
    words = [" ".join(f"word{j}" for j in np.flatnonzero(row)) for row in labels]
    names = [f"kind {i}" for i in range(labels.shape[1])]
    tags = ["|".join(f"tag {j}" for j in np.flatnonzero(row)) for row in labels]
    given = dataclasses.replace(data, name="d", raw={"text": words}, label_names=names, tags=tags)
    write_dataset(given, root / "d")
    return root


def test_from_a_model_to_cards_to_a_report(run: Run, place: Path) -> None:
    pytest.importorskip("matplotlib")
    for seed in ("0", "1"):
        assert run("fit", "ITQ", "--data", "d", "--bits", "8", "--seed", seed, "--out", f"m{seed}")[0] == 0
        code, text, error = run("evaluate", f"m{seed}", "--data", "d", "--fused", "--cards", "cards")
        assert (code, error) == (0, "") and "result cards: cards/d-ITQ-8-seed" in text
    assert len(list((place / "cards").iterdir())) == 6
    code, text, error = run("report", "cards", "--out", "out", "--title", "Mine")
    assert (code, error) == (0, "") and text.startswith("3 cards, written to out/report.html")
    assert "<h1>Mine</h1>" in (place / "out/report.html").read_text(encoding="utf8")
    told = json.loads(run("report", "cards", "--out", "out", "--measure", "nDCG", "--json")[1])
    assert told == {"cards": 3, "files": [f"out/report.{kind}" for kind in ("html", "md", "tex")]}
    facts = json.loads(run("evaluate", "m0", "--data", "d", "--cards", "more", "--json")[1])
    assert len(facts["cards"]) == 2 and all(Path(path).is_file() for path in facts["cards"])


def test_report_refuses_what_is_no_card(run: Run, place: Path) -> None:
    (place / "empty").mkdir(exist_ok=True)
    code, _, error = run("report", "empty", "--out", "none")
    assert code == 2 and error == "modalhash: no result cards in empty\n" and not (place / "none").exists()
    (place / "empty" / "x.json").write_text("{}")
    code, _, error = run("report", "empty", "--out", "none")
    assert code == 2 and "x.json: expected format 1" in error
    code, _, error = run("report", "nowhere", "--out", "none")
    assert code == 2 and "nowhere" in error


def test_bits_are_told_with_labels_and_words(run: Run, place: Path) -> None:
    assert run("fit", "A2LH", "--data", "d", "--bits", "8", "--out", "a")[0] == 0
    code, text, error = run("bits", "a", "--data", "d", "--top", "1")
    assert (code, error) == (0, "") and "kind" in text and "bits stand for one of" in text
    told = json.loads(run("bits", "a", "--data", "d", "--json")[1])
    assert told["bits"] == 8 and told["of"] == "labels" and {row["bit"] for row in told["rows"]} <= set(range(8))
    words = json.loads(run("bits", "a", "--data", "d", "--of", "words", "--views", "image", "--json")[1])
    assert words["rows"] and all(row["term"].startswith("word") for row in words["rows"])
    tags = json.loads(run("bits", "a", "--data", "d", "--of", "tags", "--views", "image", "--json")[1])
    assert tags["of"] == "tags" and tags["rows"] and all(" " in row["term"] for row in tags["rows"])
    match = json.loads(run("bits", "a", "--data", "d", "--match", "3", "3", "--json")[1])["match"]
    assert match["agree"] == 8 and match["words"].startswith("8 of 8 bits agree")
    assert "8 of 8 bits agree" in run("bits", "a", "--data", "d", "--match", "3", "3")[1]


def test_bits_refuse_what_they_cannot_tell(run: Run, place: Path) -> None:
    run("fit", "A2LH", "--data", "d", "--bits", "8", "--out", "a")
    run("fit", "ACQH", "--data", "d", "--bits", "8", "--out", "q")
    cases = {
        ("a", "--of", "colours"): "--of: expected labels, tags or words, got 'colours'",
        ("a", "--match", "3", "no"): "--match: d has no item 'no'",
        ("q",): "ACQH: has quantised codes",
        ("a", "--views", "sound"): "view 'sound' is not in the data",
    }
    for words, message in cases.items():
        code, _, error = run("bits", words[0], "--data", "d", *words[1:])
        assert code == 2 and message in error and error.count("\n") == 1
