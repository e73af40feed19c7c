"""The verb compare: a table and a verdict as text, an object with `verdict` and `rows` as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modalhash.cli_compare import direction
from modalhash.datasets import planted, write_dataset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of two views and one of embeddings."""
    root = tmp_path_factory.mktemp("compare")
    data = planted("nuisance", 100, 0)
    write_dataset(data, root / "two")
    np.save(root / "own.npy", np.asarray(data.views["image"]))
    np.save(root / "own.labels.npy", np.asarray(data.labels).argmax(axis=1))
    return root


def test_compare_prints_a_table_and_a_verdict(run: Run) -> None:
    words = (
        "compare",
        "--data",
        "two",
        "--bits",
        "8",
        "--systems",
        "A2LH,sign,RaBitQ",
        "--seeds",
        "1",
        "--out",
        "kept",
    )
    code, text, error = run(*words)
    assert (code, error) == (0, "")
    assert "image → text (floats: canonical correlations" in text and "A2LH + rescoring" in text
    assert "not run: RaBitQ at 8 bits: 8 bits leave -56" in text
    assert text.splitlines()[-1].startswith("verdict: Train. ")
    code, told, error = run(*words, "--json")
    assert (code, error) == (0, "") and told.count("\n") == 1
    found = json.loads(told, parse_constant=lambda constant: pytest.fail(constant))
    assert text.splitlines()[-1] == f"verdict: {found['verdict']}"
    assert {row["system"] for row in found["rows"]} == {"float32", "A2LH", "sign", "RaBitQ"}
    assert (Path("kept") / "comparison.json").is_file()


def test_compare_reads_embeddings_and_settings(run: Run) -> None:
    base = ("compare", "--data", "own.npy", "--bits", "8", "--systems", "sign,mean-sign", "--seeds", "1", "--json")
    code, told, _ = run(*base, "--set", "measure=neighbours@5", "--set", "k=5", "--set", "centre=True")
    found = json.loads(told)
    assert code == 0 and found["facts"]["measure"] == "neighbours@5" and found["verdict"].startswith("Do not train.")
    assert "each view's training mean is subtracted" in found["facts"]["notes"]
    code, told, _ = run(*base, "--set", "views=vectors", "--set", "budget=0")
    assert code == 0 and json.loads(told)["facts"]["cut"]["cells"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "two", "--ways", "image"), "--ways: expected A>B, got 'image'"),
        (("--data", "two", "--ways", "image>audio"), "has no view 'audio'"),
        (("--data", "two", "--bits", "none"), "--bits: expected numbers"),
        (("--data", "two", "--systems", "Nothing"), "unknown system 'Nothing'"),
        (("--data", "two", "--set", "nothing=1"), "has no option 'nothing'"),
        (("--data", "two", "--set", "shared=image,audio"), "no view 'audio'"),
        (("--data", "none.npy"), "none.npy: is neither a data set"),
    ],
)
def test_bad_input_ends_with_one_line(run: Run, words: tuple[str, ...], told: str) -> None:
    code, out, error = run("compare", *words)
    assert (code, out) == (2, "") and told in error and error.count("\n") == 1


def test_directions_are_read() -> None:
    assert direction("image>text") == (("image",), ("text",)) and direction("all > all") == ((), ())
