"""Measures of texts: ROUGE and BLEU against what was written, variety, and whether a text is true to its source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from modalhash.hasher import check_integer
from modalhash.views import F64
from modalhash.words import content_words, words

ROUGE = ("rouge1", "rouge2", "rougeL")
PARTS = ("P", "R", "F1")
NAMES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


def rouge(texts: Sequence[str], references: Sequence[str]) -> dict[str, F64]:
    """ROUGE-1, -2 and -L of each text against its reference, by rouge-score: "ROUGE-1 P" and so on, (texts,) each.

    P: share of the text's words (pairs of words, longest common run with gaps) that the reference has; R: share of the
    reference's; F1: their harmonic mean.  No stemming; words as in `modalhash.words`, which for ASCII are
    rouge-score's own.  An empty text or reference gives 0.  ImportError with the remedy without the extra `text`.
    """
    _check_pairs(texts, references)
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise ImportError("ROUGE comes from the package rouge-score: pip install 'modalhash[text]'") from None
    scorer = RougeScorer(list(ROUGE), tokenizer=_Words())
    scores = [scorer.score(reference, text) for text, reference in zip(texts, references, strict=True)]
    found = np.array([[one[kind][:3] for kind in ROUGE] for one in scores], dtype=np.float64).reshape(-1, 3, 3)
    return {f"{NAMES[kind]} {part}": found[:, i, j] for i, kind in enumerate(ROUGE) for j, part in enumerate(PARTS)}


class _Words:
    """What rouge-score asks of a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of all texts together, 0 to 100, by sacrebleu with its defaults; each text has one or more references.

    Of several references the one nearest in length counts for the brevity penalty.  An empty text counts with length
    0; ValueError for a text without a reference.  ImportError with the remedy without the extra `text`.
    """
    if len(texts) != len(references):
        raise ValueError(f"references: expected {len(texts)}, one list a text, got {len(references)}")
    for i, own in enumerate(references):
        if isinstance(own, str):
            raise TypeError(f"references: text {i} has a str, expected a list of texts")
        if not own:
            raise ValueError(f"references: text {i} has none")
    if not len(texts):
        return float("nan")
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise ImportError("BLEU comes from the package sacrebleu: pip install 'modalhash[text]'") from None
    most = max(map(len, references))
    streams: Any = [[own[i] if i < len(own) else None for own in references] for i in range(most)]
    return float(BLEU().corpus_score(list(texts), streams).score)


def distinct(texts: Iterable[str], n: int) -> float:
    """Distinct n-grams of words over all n-grams of the texts, 1 where none stands twice; NaN where there is none."""
    check_integer("n", n, low=1)
    found = [tuple(own[i : i + n]) for own in map(words, texts) for i in range(len(own) - n + 1)]
    return len(set(found)) / len(found) if found else float("nan")


def word_coverage(texts: Sequence[str], sources: Sequence[Sequence[str]]) -> F64:
    """The share of each text's content words that stand in its sources, such as the item's reviews, (texts,).

    A text without any content word says nothing and gets 0.
    """
    _check_pairs(texts, sources, "sources")
    shares = np.zeros(len(texts))
    for i, (text, own) in enumerate(zip(texts, sources, strict=True)):
        said = set(content_words(text))
        known = set(chain.from_iterable(map(content_words, own)))
        shares[i] = len(said & known) / len(said) if said else 0.0
    return shares


def grounded(texts: Sequence[str], sentences: Sequence[Iterable[str]]) -> Any:
    """Whether each text is one of its sentences, sign by sign but for the white space between words, (texts,) bool."""
    _check_pairs(texts, sentences, "sentences")
    return np.array(
        [
            bool(text.strip()) and _spaced(text) in set(map(_spaced, own))
            for text, own in zip(texts, sentences, strict=True)
        ],
        dtype=bool,
    )


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _check_pairs(texts: Sequence[str], others: Sequence[Any], name: str = "references") -> None:
    for what, given in (("texts", texts), (name, others)):
        if isinstance(given, str):
            raise TypeError(f"{what}: expected a sequence, got a str")
    if len(texts) != len(others):
        raise ValueError(f"{name}: expected {len(texts)}, one a text, got {len(others)}")
