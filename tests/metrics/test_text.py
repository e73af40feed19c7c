"""Measures of texts against cases that were computed by hand, and what is refused."""

from __future__ import annotations

import builtins
from math import exp, isnan
from typing import Any

import numpy as np
import pytest

from modalhash.metrics.text import bleu, distinct, grounded, rouge, word_coverage

pytest.importorskip("rouge_score")
pytest.importorskip("sacrebleu")


def test_rouge_by_hand() -> None:
    # common words: the, cat, on, mat; the longest common run with gaps: the cat on mat; pairs: the cat
    found = rouge(["The cat sat on the mat", "", "dogs"], ["the cat lay on a mat today", "a", ""])
    p, r = 4 / 6, 4 / 7
    assert found["ROUGE-1 P"][0] == pytest.approx(p) and found["ROUGE-1 R"][0] == pytest.approx(r)
    assert found["ROUGE-1 F1"][0] == pytest.approx(2 * p * r / (p + r))
    assert found["ROUGE-2 P"][0] == pytest.approx(1 / 5) and found["ROUGE-2 R"][0] == pytest.approx(1 / 6)
    assert found["ROUGE-L P"][0] == pytest.approx(4 / 6) and found["ROUGE-L R"][0] == pytest.approx(4 / 7)
    assert len(found) == 9 and all(values.shape == (3,) and not values[1:].any() for values in found.values())


def test_rouge_counts_a_word_as_often_as_the_reference_has_it() -> None:
    found = rouge(["good good good"], ["good string"])
    assert found["ROUGE-1 P"][0] == pytest.approx(1 / 3) and found["ROUGE-1 R"][0] == pytest.approx(1 / 2)


def test_rouge_of_ascii_is_that_of_rouge_score_and_other_scripts_count() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    texts = ["It's a 12-string, no_name guitar!", "buy; this (now) e.g. here"]
    references = ["its 12 string guitar isn't no name", "e.g. now: buy-this"]
    for kind, name in (("rouge1", "ROUGE-1"), ("rougeL", "ROUGE-L")):
        own = RougeScorer([kind])
        wanted = [own.score(b, a)[kind].fmeasure for a, b in zip(texts, references, strict=True)]
        assert rouge(texts, references)[f"{name} F1"].tolist() == pytest.approx(wanted)
    assert rouge(["очень хорошая гитара"], ["хорошая гитара"])["ROUGE-1 R"].tolist() == [1.0]
    assert rouge([], [])["ROUGE-1 P"].shape == (0,)


def test_bleu_by_hand() -> None:
    # 5 words against 6: of 1- to 4-grams match 5 of 5, 3 of 4, 1 of 3 and 1/2 of 2 (none: sacrebleu's smoothing);
    # brevity penalty exp(1 - 6/5)
    found = bleu(["a b c e f"], [["a b c x e f"]])
    assert found == pytest.approx(100 * exp(1 - 6 / 5) * (1 * 3 / 4 * 1 / 3 * 1 / 4) ** 0.25)
    assert bleu(["a b c d", "e f g h"], [["a b c d"], ["e f g h"]]) == pytest.approx(100)


def test_bleu_with_several_references_takes_the_nearest_length() -> None:
    assert bleu(["a b c d", "w x y z"], [["q", "a b c d", "a b c d e f"], ["w x y z"]]) == pytest.approx(100)
    assert bleu(["", "a b c d"], [["a b"], ["a b c d"]]) < 100
    assert isnan(bleu([], []))


def test_distinct_by_hand() -> None:
    texts = ["good strings", "Good strings!", "warm"]
    assert distinct(texts, 1) == 3 / 5 and distinct(texts, 2) == 1 / 2
    assert isnan(distinct(texts, 3)) and isnan(distinct([], 1))


def test_word_coverage_by_hand() -> None:
    texts = ["The strings sound warm", "It is what it is", "warm lasers"]
    found = word_coverage(texts, [["warm strings", "a sound!"], ["what is it"], ["Warm."]])
    assert found.tolist() == [1.0, 0.0, 0.5]


def test_what_is_quoted_is_a_whole_sentence_of_its_own_item() -> None:
    sentences = [["Good  strings.", "Warm."]] * 5
    texts = ["Good strings.", "Warm. ", "Good", "good strings.", " "]
    assert grounded(texts, sentences).tolist() == [True, True, False, False, False]
    assert grounded(["Warm."], [["Cold."]]).tolist() == [False] and grounded(["  "], [[" "]]).tolist() == [False]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="references: expected 2, one a text, got 1"):
        rouge(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="sources: expected 1"):
        word_coverage(["a"], [])
    with pytest.raises(TypeError, match="references: text 0 has a str"):
        bleu(["a"], ["a"])
    with pytest.raises(ValueError, match="references: text 1 has none"):
        bleu(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match="references: expected 1, one list a text, got 0"):
        bleu(["a"], [])
    with pytest.raises(TypeError, match="texts: expected a sequence, got a str"):
        rouge("a", ["a"])
    with pytest.raises(ValueError, match="n: expected"):
        distinct(["a"], 0)


@pytest.mark.parametrize(
    ("package", "call"), [("rouge_score", lambda: rouge(["a"], ["a"])), ("sacrebleu", lambda: bleu(["a"], [["a"]]))]
)
def test_the_extra_is_asked_for_by_name(package: str, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith(package):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'modalhash\[text\]'"):
        call()


def test_inputs_stay_as_they_were() -> None:
    texts, references = ["a b"], [["a", "b c"]]
    bleu(texts, references)
    rouge(texts, ["a"])
    assert texts == ["a b"] and references == [["a", "b c"]]
    assert isinstance(word_coverage(texts, references), np.ndarray)
