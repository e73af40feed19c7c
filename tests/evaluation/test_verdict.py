"""The verdict follows from the rows by its rules, on rows made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modalhash.evaluation.comparison_rows import Row
from modalhash.evaluation.contenders import family_of
from modalhash.evaluation.verdict import Contest, contest, contests, sentence

WAY = "a → a"
NOISE = np.random.default_rng(0).normal(0, 0.05, 400)
NOISE -= NOISE.mean()


def row(system: str, value: float, bytes_: float, **changes: Any) -> Row:
    """A row whose queries scatter around a value; validation says the same unless told otherwise."""
    queries = changes.pop("queries", value + NOISE)
    given: dict[str, Any] = {
        "direction": WAY,
        "system": system,
        "family": family_of(system),
        "bits": 8 * int(bytes_),
        "rescored": False,
        "bytes": bytes_,
        "total_bytes": bytes_,
        "seeds": 1,
        "mean": {"AP": float(np.mean(queries))},
        "validation": {"AP": value},
        "queries": {"AP": queries},
    }
    return Row(**{**given, **changes})


def again(found: Row, value: float, kept: float = 64.0) -> Row:
    """The same contender with rescoring by floats of `kept` bytes."""
    assert found.bytes is not None
    return row(found.system, value, found.bytes, rescored=True, total_bytes=found.bytes + kept)


def only(rows: list[Row], bits: int = 32) -> Contest:
    (found,) = contests(rows, "AP", [bits])
    return found


@pytest.mark.parametrize(
    ("gain", "spread", "answer"),
    [
        (0.1, 0.05, "train"),
        (-0.1, 0.05, "do not train"),
        (0.0, 0.05, "do not train"),  # equal, and surely less than the margin
        (0.005, 0.01, "do not train"),  # better for sure, by less than is worth it
        (0.02, 1.0, "not settled"),  # the interval holds 0 and the margin
    ],
)
def test_the_answer_follows_from_the_interval(gain: float, spread: float, answer: str) -> None:
    between = np.random.default_rng(1).normal(0, spread, 400)
    between += gain - between.mean()
    found = only([row("A2LH", 0.5 + gain, 4, queries=0.5 + NOISE + between), row("ITQ", 0.5, 4)])
    assert found.answer == answer and found.difference is not None
    assert found.difference.mean == pytest.approx(gain, abs=1e-9)
    low, high = found.difference.low, found.difference.high
    expected = "do not train" if high < 0.01 else "train" if low > 0 else "not settled"
    assert expected == answer


def test_who_meets_is_chosen_on_validation_queries() -> None:
    lucky = row("A2LH", 0.3, 4, queries=0.9 + NOISE)
    chosen = row("ACQH", 0.6, 4, queries=0.5 + NOISE)
    free = [row("ITQ", 0.55, 4), row("sign", 0.2, 4, queries=0.8 + NOISE)]
    found = only([lucky, chosen, *free])
    assert found.learned is chosen and found.free is free[0] and found.answer == "do not train"


def test_a_row_without_validation_is_never_chosen() -> None:
    found = only([row("A2LH", 0.9, 4, validation={}), row("ITQ", 0.5, 4)])
    assert found.learned is None and found.answer == "do not train"
    assert "nothing learned fits" in sentence([found])


def test_codes_alone_meet_within_the_bytes_of_a_code() -> None:
    small, large = row("A2LH", 0.5, 4), row("A2LH", 0.9, 8)
    free = [row("ITQ", 0.4, 4), row("ITQ", 0.45, 8), again(row("ITQ", 0.45, 4), 0.99)]
    four, eight = contests([small, large, *free], "AP", [32, 64])
    assert (four.learned, four.free) == (small, free[0]) and four.kept == 0
    assert (eight.learned, eight.free) == (large, free[1])
    assert contest([small, large], "AP", 8, 0.0, 0.01).learned is large


def test_with_floats_kept_the_floats_compete_and_rescoring_counts() -> None:
    flat = row("float32", 0.8, 64, bits=None)
    codes = [row("A2LH", 0.6, 4), row("ITQ", 0.4, 4)]
    rescored = [again(codes[0], 0.784), again(codes[1], 0.792)]
    alone, kept = contests([flat, *codes, *rescored], "AP", [32])
    assert alone.answer == "train" and alone.free is codes[1]
    assert kept.answer == "do not train" and kept.free is flat and kept.learned is rescored[0]
    assert kept.keeps(kept.learned) == pytest.approx(0.98)
    told = sentence([alone, kept])
    assert told.startswith("It depends.") and "A2LH + rescoring" in told and "keeps 98 % of float32" in told
    assert "do not train: float32 (AP 0.800), of which ITQ + rescoring keeps 99 %" in told
    assert kept.as_dict()["total_bytes"] == 68 and kept.as_dict()["learned"]["rescored"]


def test_a_rescored_code_must_fit_beside_the_float() -> None:
    flat, long = row("float32", 0.7, 64, bits=None), again(row("ITQ", 0.5, 8), 0.9)
    (found,) = (one for one in contests([flat, long, row("A2LH", 0.1, 4)], "AP", [32]) if one.kept)
    assert found.free is flat  # 8 + 64 bytes are more than 4 + 64


def test_one_bit_a_dimension_is_a_budget_of_its_own() -> None:
    flat, own = row("float32", 0.8, 64, bits=None), row("sign", 0.7, 2, bits=None)
    found = contests([flat, own, row("A2LH", 0.5, 1)], "AP", [8])
    assert [(one.bytes, one.kept > 0) for one in found] == [(1, False), (2, False), (1, True), (2, True)]
    assert found[0].free is None and found[0].answer == "train"
    assert found[1].free is own and found[1].answer == "do not train"


def test_the_sentence_says_what_the_contests_say() -> None:
    rows = [row("A2LH", 0.6, 4), row("ITQ", 0.4, 4), row("A2LH", 0.7, 8), row("ITQ", 0.5, 8)]
    told = sentence(contests(rows, "AP", [32, 64]))
    assert told.startswith("Train. a → a, 4 and 8 bytes an item, no floats kept: train A2LH (AP 0.700)")
    assert "+0.200 [+0.200, +0.200] over ITQ (AP 0.500)" in told and told.count("train A2LH") == 1
    leak = {"kind": "equal_rows", "count": 3, "message": "view a: 3 of 20 queries have a row equal"}
    warned = sentence(contests(rows, "AP", [32]), [leak])
    assert "The data leaks" in warned and "3 of 20 queries" in warned
    assert sentence([]) == "Not settled. Nothing was compared."


def test_refused_rows_are_dashes_that_nobody_meets() -> None:
    dash = Row(direction=WAY, system="A2LH", family="learned", bits=32, rescored=False, refused="needs labels")
    found = only([dash, row("ITQ", 0.5, 4)])
    assert found.learned is None and found.answer == "do not train"
    assert dash.as_dict()["mean"] == {} and dash.as_dict()["refused"] == "needs labels"


def test_rankings_without_relevant_items_do_not_count() -> None:
    gaps = NOISE.copy()
    gaps[::2] = np.nan
    found = only([row("A2LH", 0.6, 4, queries=0.6 + gaps, mean={"AP": 0.6}), row("ITQ", 0.4, 4)])
    assert found.difference is not None and found.difference.mean == pytest.approx(0.2)
