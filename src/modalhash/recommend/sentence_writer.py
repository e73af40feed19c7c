"""The LSTM of EDCF as arrays: writes a sentence from two codes, and says how likely it would have written another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.documents import END, PAD, UNKNOWN, Words, has_words
from modalhash.views import F64

LEVELS = 6  # a preference in [0, 1] becomes one of 0 … 5 stars
Arrays = Mapping[str, NDArray[Any]]


def context(user: F64, item: F64, preference: float) -> F64:
    """C = [b, d, the preference as one of six stars, one-hot], (2r + 6,)."""
    stars = np.zeros(LEVELS)
    stars[min(max(int(np.floor(preference * (LEVELS - 1) + 0.5)), 0), LEVELS - 1)] = 1.0
    return np.concatenate([user, item, stars])


def step(net: Arrays, x: F64, h: F64, c: F64) -> tuple[F64, F64]:
    """Hidden and cell states after one more input (5.54); gates in the order input, forget, cell, output."""
    i, f, g, o = np.split(x @ net["input"] + h @ net["hidden"] + net["bias"], 4, axis=-1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def logits(net: Arrays, h: F64) -> F64:
    """W_e h + b_e, a number for every word (5.56 before the softmax)."""
    return np.asarray(h @ net["output"] + net["output.bias"])


def write(net: Arrays, C: F64, most: int) -> list[int]:
    """The numbers of the likeliest next words, one after the other (5.57), until END or `most` words.

    Neither padding nor the unknown word is ever written.
    """
    h, c = _start(net, C[None])
    found: list[int] = []
    while len(found) < most:
        scores = logits(net, h)[0]
        scores[[PAD, UNKNOWN]] = -np.inf
        word = int(np.argmax(scores))
        if word == END:
            break
        found.append(word)
        h, c = step(net, net["words"][[word]], h, c)
    return found


def log_likelihood(net: Arrays, C: F64, rows: Words) -> F64:
    """Mean log-probability of the known words of each row (n, width) and of its END, -inf for a row without any."""
    totals, counts = np.zeros(len(rows)), np.zeros(len(rows))
    h, c = _start(net, np.repeat(C[None].astype(np.float32), len(rows), axis=0))  # single precision: many sentences
    for word in rows.T:
        at = np.flatnonzero((word != PAD) & (word != UNKNOWN))
        scores = logits(net, h[at])
        totals[at] += scores[np.arange(len(at)), word[at]] - _log_sum(scores)
        counts[at] += 1
        h, c = step(net, net["words"][word], h, c)
    return np.where(has_words(rows), totals / np.maximum(counts, 1), -np.inf)


def _start(net: Arrays, C: F64) -> tuple[F64, F64]:
    x = np.tanh(C @ net["context"] + net["context.bias"])  # (5.55)
    nothing = np.zeros((len(C), net["hidden"].shape[0]), dtype=C.dtype)
    return step(net, x, nothing, nothing)


def _log_sum(scores: F64) -> F64:
    largest = scores.max(axis=1)
    return np.asarray(largest + np.log(np.exp(scores - largest[:, None]).sum(axis=1)))


def _sigmoid(values: F64) -> F64:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
