"""Health of codes equals its definition by loops; codes that are healthy and sick are told apart."""

from __future__ import annotations

import numpy as np
import pytest

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.evaluation.health import ball_facts, distance_facts, entropy, health
from modalhash.metrics import retrieval

RNG = np.random.default_rng(0)
SIGNS = np.where(RNG.random((90, 5)) < [0.5, 0.2, 0.5, 0.9, 0.5], 1.0, -1.0)
SIGNS[:, 4] = SIGNS[:, 2] * np.where(RNG.random(90) < 0.1, -1, 1)
CODES = BinaryCodes.from_signs(SIGNS)


def test_bits_equal_their_definition() -> None:
    found = health(CODES)
    assert found["balance"] == pytest.approx((SIGNS > 0).mean(axis=0).tolist())
    pairs = np.abs(np.corrcoef(SIGNS.T))[np.triu_indices(5, 1)]
    assert found["correlation_mean"] == pytest.approx(pairs.mean())
    assert found["correlation_max"] == pytest.approx(pairs.max()) and found["correlated_bits"] == [2, 4]
    shares = (SIGNS > 0).mean(axis=0)
    each = [-(p * np.log2(p) + (1 - p) * np.log2(1 - p)) for p in shares]
    assert found["bit_entropy"] == pytest.approx(np.mean(each)) and found["constant"] == 0
    assert 3 < found["effective_bits"] < 5


def test_collisions_equal_a_count_of_texts() -> None:
    texts = ["".join(map(str, row)) for row in CODES.signs().tolist()]
    sizes = [texts.count(text) for text in texts]
    counts = np.array([texts.count(text) for text in sorted(set(texts))])
    found = health(CODES)
    assert found["items"] == 90 and found["distinct"] == len(set(texts)) and found["largest"] == max(sizes)
    assert found["collisions"] == pytest.approx(np.mean([size > 1 for size in sizes]))
    assert found["entropy"] == pytest.approx(-(counts / 90 * np.log2(counts / 90)).sum())


def test_dead_and_copied_bits_show() -> None:
    dead = health(BinaryCodes.from_signs(np.ones((8, 3))))
    assert dead["constant"] == 3 and dead["effective_bits"] == 0 and dead["correlation_max"] == 0
    assert dead["collisions"] == 1 and dead["entropy"] == 0 and dead["bit_entropy"] == 0 and dead["largest"] == 8
    copied = health(BinaryCodes.from_signs(np.repeat(SIGNS[:, :1], 4, axis=1)))
    assert copied["effective_bits"] == pytest.approx(1) and copied["correlation_mean"] == pytest.approx(1)
    free = np.array([[i >> j & 1 for j in range(4)] for i in range(16)]) - 0.5
    whole = health(BinaryCodes.from_signs(free))
    assert whole["effective_bits"] == pytest.approx(4) and whole["entropy"] == pytest.approx(4)
    assert whole["collisions"] == 0 and whole["correlation_max"] == pytest.approx(0)
    one = health(BinaryCodes.from_signs(SIGNS[:, :1]))
    assert one["correlation_mean"] == 0 and one["correlated_bits"] == []


def test_many_rows_are_counted_in_blocks() -> None:
    signs = RNG.standard_normal((5000, 3))
    assert health(BinaryCodes.from_signs(signs))["balance"] == pytest.approx((signs >= 0).mean(axis=0).tolist())


def test_quantised_codes_tell_how_their_words_are_used() -> None:
    books = RNG.standard_normal((2, 4, 3)).astype(np.float32)
    indices = np.stack([np.arange(40) % 4, np.zeros(40, int)], axis=1).astype(np.uint8)
    found = health(mh.QuantizedCodes(indices, books, "dot"))
    assert found["word_entropy"] == pytest.approx([1, 0]) and found["distinct"] == 4 and "balance" not in found


def test_balls_and_distances_come_from_the_curves() -> None:
    database = BinaryCodes.from_signs(np.array([[1.0, 1, 1, 1], [1, 1, 1, -1], [-1, -1, -1, -1]]))
    asked = BinaryCodes.from_signs(np.array([[1.0, 1, 1, 1], [-1, -1, 1, 1]]))
    relevant = np.array([[True, True, False], [True, False, False]])
    curves = retrieval(mh.Index.build(database), asked, relevant, (1,)).curves
    assert ball_facts(curves) == {"r=0": 0.5, "r=1": 0.5, "r=2": 0.0}
    found = distance_facts(curves)
    assert found["relevant"] == pytest.approx((0 + 1 + 2) / 3) and found["irrelevant"] == pytest.approx((4 + 3 + 2) / 3)
    assert found["overlap"] == pytest.approx(1 / 3)
    assert ball_facts({}) == {} and distance_facts({}) == {}
    assert distance_facts({"relevant_pairs": np.zeros(3), "irrelevant_pairs": np.ones(3)}) == {}


def test_entropy_counts_bits() -> None:
    assert entropy(np.full(8, 1 / 8)) == pytest.approx(3) and entropy(np.array([1.0, 0])) == 0
