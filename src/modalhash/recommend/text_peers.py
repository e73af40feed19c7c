"""What written and ranked explanations are measured against: central, helpful, usual and accidental sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from modalhash.model import check_integer, check_real
from modalhash.recommend.quotes import Quotes, Sentence
from modalhash.views import F64, Array, Matrix, blocks
from modalhash.words import content_words, words

ROWS = 1024  # sentences that are compared with all others at once


def lexrank(
    texts: Sequence[str], k: int = 30, *, damping: float = 0.85, least: float = 0.1, max_iter: int = 100
) -> F64:
    """How central each sentence is among all, (n,), sums to 1: LexRank with weights (Erkan & Radev 2004).

    The stationary distribution of a walk that goes on, with chance `damping`, to one of the k nearest sentences by
    the cosine of their tf-idf (at least `least`), in proportion to it, else anywhere.  Memory is O(n k + 1024 n).
    """
    check_integer("k", k, low=1)
    check_integer("max_iter", max_iter, low=1)
    check_real("damping", damping, low=0)
    if damping >= 1:
        raise ValueError(f"damping: expected less than 1, got {damping}")
    n = len(texts)
    if not n:
        return np.empty(0)
    steps = _steps(texts, k, least)
    p = np.full(n, 1.0 / n)
    for _ in range(max_iter):
        old = p
        p = damping * (steps.T @ p) + (1.0 - damping) / n
        if np.abs(p - old).sum() < 1e-9:
            break
    return np.asarray(p / p.sum())  # what comes to sentences without neighbours goes anywhere: a matter of scale


def _steps(texts: Sequence[str], k: int, least: float) -> Matrix:
    """Chances of a step from each sentence (row) to its nearest others, rows sum to 1 or 0."""
    import scipy.sparse as sp

    X = tf_idf(texts)
    kept = []
    for rows in blocks(len(texts), ROWS):
        cosines = (X[rows] @ X.T).tocoo()
        ok = np.flatnonzero((cosines.col != cosines.row + rows.start) & (cosines.data >= least))
        row, column, value = cosines.row[ok], cosines.col[ok], cosines.data[ok]
        order = np.lexsort((column, -value, row))
        _, starts, counts = np.unique(row[order], return_index=True, return_counts=True)
        order = order[np.arange(len(order)) - np.repeat(starts, counts) < k]
        kept.append(sp.csr_array((value[order], (row[order], column[order])), shape=cosines.shape))
    near = sp.csr_array(sp.vstack(kept))
    sums = np.asarray(near.sum(axis=1)).ravel()
    return sp.csr_array(sp.diags_array(1.0 / np.where(sums > 0, sums, 1.0)) @ near)


def tf_idf(texts: Sequence[str]) -> Matrix:
    """tf-idf of content words, sparse (texts, words), rows of length 1 or 0."""
    import scipy.sparse as sp

    counts = [Counter(content_words(text)) for text in texts]
    column = {word: j for j, word in enumerate(dict.fromkeys(word for own in counts for word in own))}
    held = Counter(word for own in counts for word in own)
    entries = [
        (i, column[word], count * (np.log((1 + len(texts)) / (1 + held[word])) + 1.0))
        for i, own in enumerate(counts)
        for word, count in own.items()
    ]
    rows, columns, values = (np.array(part) for part in zip(*entries, strict=True)) if entries else ([], [], [])
    X = sp.csr_array((np.asarray(values, dtype=np.float64), (rows, columns)), shape=(len(texts), max(1, len(column))))
    length = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    return sp.csr_array(sp.diags_array(1.0 / np.where(length > 0, length, 1.0)) @ X)


def central_sentence(quotes: Quotes, user: int, item: int) -> Sentence | None:
    """The sentence about an item that is most central by `lexrank`, others' reviews only; None where there is none."""
    found = quotes.candidates(user, item)
    return found[int(np.argmax(lexrank([sentence.text for sentence in found])))] if found else None


def helpful_sentence(quotes: Quotes, user: int, item: int, helpful: Array | None = None) -> Sentence | None:
    """The first sentence of the review of an item that most found helpful; of equal ones, and without votes, the first.

    helpful: (reviews,) votes; reviews without a sentence, and the user's own, do not count.
    """
    written = [review for review in quotes.others(user, item) if quotes.sentences(review)]
    if not written:
        return None
    votes = np.zeros(len(written)) if helpful is None else np.asarray(helpful)[written]
    return quotes.sentences(written[int(np.argmax(votes))])[0]


def longest_sentence(quotes: Quotes, user: int, item: int) -> Sentence | None:
    """The sentence about an item with most words, the first of equal ones: what length alone is worth to a measure."""
    return max(quotes.candidates(user, item), key=lambda sentence: len(words(sentence.text)), default=None)


def accidental_sentence(quotes: Quotes, user: int, item: int, seed: int = 0) -> Sentence | None:
    """A sentence about an item drawn at random; the same for the same seed, user and item."""
    found = quotes.candidates(user, item)
    return found[int(np.random.default_rng([seed, user, item]).integers(len(found)))] if found else None


def usual_sentence(quotes: Quotes, least: int = 2) -> str:
    """The sentence of at least so many words that most reviews hold, case and signs aside; "" where there is none.

    It is given as it is first written; among equal ones the first wins.
    """
    check_integer("least", least, low=1)
    held: Counter[str] = Counter()
    first: dict[str, str] = {}
    for review in range(len(quotes.texts)):
        own = {" ".join(words(sentence.text)): sentence.text for sentence in reversed(quotes.sentences(review))}
        held.update(key for key in own if key.count(" ") + 1 >= least)
        for key, text in own.items():
            first.setdefault(key, text)
    return first[held.most_common(1)[0][0]] if held else ""


def usual_words(quotes: Quotes, user: int, item: int, k: int = 8) -> str:
    """The k content words that most of others' reviews of an item hold, in that order, separated by spaces."""
    check_integer("k", k, low=1)
    held = Counter(
        word for review in quotes.others(user, item) for word in dict.fromkeys(content_words(quotes.texts[review]))
    )
    return " ".join(word for word, _ in held.most_common(k))
