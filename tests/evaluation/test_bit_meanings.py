"""Bits that were planted for a term are named by it, noise is not, and matches are told by the bits that agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.codes import BinaryCodes
from modalhash.datasets import Dataset
from modalhash.evaluation.bit_meanings import bit_meanings, explain_match, label_terms, tag_terms, word_terms

NAMES = ("food", "animal", "red", "rare")


def planted(n: int = 600, flips: float = 0.1, seed: int = 0) -> tuple[BinaryCodes, np.ndarray[Any, Any]]:
    """Bit 0 is food, bit 1 is no animal, bits 2 to 5 are noise; rare stands on four items."""
    rng = np.random.default_rng(seed)
    terms = rng.random((n, 4)) < [0.3, 0.2, 0.5, 0.0]
    terms[:4, 3] = True
    bits = rng.random((n, 6)) < 0.5
    bits[:, 0], bits[:, 1] = terms[:, 0], ~terms[:, 1]
    bits[:, :2] ^= rng.random((n, 2)) < flips
    return BinaryCodes.from_signs(np.where(bits, 1.0, -1.0)), terms.astype(np.float32)


def test_information_equals_its_definition() -> None:
    codes, terms = planted(80)
    bits = codes.signs() > 0
    found = bit_meanings(codes, terms, NAMES, min_count=2)
    for t in range(4):
        for k in range(6):
            total = 0.0
            for a in (True, False):
                for b in (True, False):
                    both = np.mean(((terms[:, t] > 0) == a) & (bits[:, k] == b))
                    apart = np.mean((terms[:, t] > 0) == a) * np.mean(bits[:, k] == b)
                    total += both * np.log2(both / apart) if both else 0.0
            assert found.information[t, k] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_planted_bits_are_named_with_their_side(form: Any) -> None:
    codes, terms = planted()
    found = bit_meanings(codes, form(terms), NAMES)
    assert [(m.bit, m.value, m.term) for m in found.all()] == [(0, 1, "food"), (1, 0, "animal")]
    food, animal = found.all()
    bits = codes.signs() > 0
    assert food.share == pytest.approx(terms[bits[:, 0], 0].mean()) and food.count == terms[:, 0].sum()
    assert food.share_other == pytest.approx(terms[~bits[:, 0], 0].mean())
    assert animal.share == pytest.approx(terms[~bits[:, 1], 1].mean())
    assert animal.share_other == pytest.approx(terms[bits[:, 1], 1].mean())
    assert found.of_bit(2) == []


def test_noise_is_named_no_more_often_than_the_level_says() -> None:
    named, tried = 0, 150
    for seed in range(tried):
        rng = np.random.default_rng(seed)
        codes = BinaryCodes.from_signs(rng.standard_normal((300, 16)) - rng.standard_normal(16))
        terms = rng.random((300, 40)) < rng.random(40) ** 3
        named += bool(bit_meanings(codes, terms, list(map(str, range(40))), level=0.1).significant.any())
    assert named / tried < 0.17  # 0.1, and three standard errors


def test_few_items_and_constant_bits_name_nothing() -> None:
    codes, terms = planted()
    terms[:, 3] = 0
    terms[:9, 3] = codes.signs()[:9, 2] > 0
    assert not bit_meanings(codes, terms, NAMES).significant[3].any()
    everywhere = np.ones((600, 1))
    assert not bit_meanings(codes, everywhere, ["all"]).significant.any()
    dead = BinaryCodes.from_signs(np.ones((600, 3)))
    found = bit_meanings(dead, terms, NAMES)
    assert not found.significant.any() and not found.information.any() and found.all() == []


def test_more_terms_want_more_evidence() -> None:
    codes, terms = planted(flips=0.42, seed=3)
    few = bit_meanings(codes, terms[:, :1], NAMES[:1])
    many = bit_meanings(codes, np.repeat(terms[:, :1], 200, axis=1), list(map(str, range(200))))
    assert few.significant[0, 0] and few.significant.sum() >= many.significant[0].sum()
    assert few.information[0, 0] == pytest.approx(many.information[0, 0])


def test_a_match_is_told_by_the_bits_that_agree() -> None:
    codes, terms = planted(2000)
    found = bit_meanings(codes, terms, NAMES)
    signs = np.array([[1.0, 1, 1, 1, 1, 1], [1, -1, -1, -1, -1, -1], [-1, -1, 1, 1, 1, 1], [-1, 1, 1, 1, 1, 1]])
    code = BinaryCodes.from_signs(signs)
    both, food, animal, neither = explain_match(found, code[[0, 0, 2, 3]], code[[1, 3, 2, 3]])
    assert both.agree == 1 and [(r.term, r.bits) for r in both.reasons] == [("food", 1)]
    usual, with_it = np.mean(codes.signs()[:, 0] > 0), np.mean(codes.signs()[terms[:, 0] > 0, 0] > 0)
    assert both.reasons[0].evidence == pytest.approx(np.log2(with_it / usual), abs=0.01)
    assert both.words == "1 of 6 bits agree; they speak for food (1 bit)"
    assert food.agree == 5 and food.reasons == ()  # the one bit that says food differs
    assert [r.term for r in animal.reasons] == ["animal"] and animal.words.startswith("6 of 6 bits agree")
    assert neither.words == "6 of 6 bits agree; they stand for nothing that has a name here"


def test_bits_against_a_term_count_against_it() -> None:
    rng = np.random.default_rng(0)
    food = rng.random(800) < 0.4
    bits = np.stack([food ^ (rng.random(800) < 0.1) for _ in range(3)], axis=1)
    found = bit_meanings(BinaryCodes.from_signs(np.where(bits, 1.0, -1.0)), food[:, None], ["food"])
    code = BinaryCodes.from_signs(np.array([[1.0, 1, -1], [1, 1, 1]]))
    against, for_it = explain_match(found, code, code)
    assert against.reasons == () and [(r.term, r.bits) for r in for_it.reasons] == [("food", 3)]


def test_codes_and_terms_that_do_not_fit_are_refused() -> None:
    codes, terms = planted()
    for wrong in (terms[:5], terms[:, :2], terms[:, 0]):
        with pytest.raises(ValueError, match=r"terms: expected shape \(600, "):
            bit_meanings(codes, wrong, NAMES)
    found = bit_meanings(codes, terms, NAMES)
    with pytest.raises(ValueError, match="expected equally many of 6 bits, got 3 of 6 and 2 of 6"):
        explain_match(found, codes[:3], codes[:2])
    with pytest.raises(ValueError, match="2 of 5"):
        explain_match(found, codes[:2], codes.prefix(5)[:2])


def test_terms_come_from_labels_and_from_words() -> None:
    texts = ["red apple", "Red, red pear", "green apple", "…"]
    labels = np.array([[1, 0], [0, 1], [1, 1], [np.nan, np.nan]])
    data = Dataset(name="d", views={"text": np.eye(4)}, labels=labels, label_names=("a", "b"), raw={"text": texts})
    matrix, names, labelled = label_terms(data)
    assert names == ["a", "b"] and labelled.tolist() == [True] * 3 + [False] and matrix.shape == (4, 2)
    words, found = word_terms(data, min_count=2)
    assert found == ["apple", "red"] and words.toarray().tolist() == [[1, 1], [0, 1], [1, 0], [0, 0]]
    bare = Dataset(name="bare", views={"x": np.eye(4)}, labels=labels)
    assert label_terms(bare)[1] == ["label 0", "label 1"]
    with pytest.raises(ValueError, match="bare: has no raw texts"):
        word_terms(bare)
    tagged = Dataset(name="t", views={"x": np.eye(4)}, tags=["red fox|a", "a|a", "", "red fox"])
    tags, found = tag_terms(tagged, min_count=2)
    assert found == ["a", "red fox"] and tags.toarray().tolist() == [[1, 1], [1, 0], [0, 0], [0, 1]]
    with pytest.raises(ValueError, match="bare: has no tags"):
        tag_terms(bare)
    with pytest.raises(ValueError, match="has no labels"):
        label_terms(Dataset(name="none", views={"x": np.eye(4)}))


def test_bits_of_a_learned_system_stand_for_labels() -> None:
    data = mh.datasets.planted("clusters", 400, 0)
    hasher = mh.A2LH(n_bits=8, random_state=0, n_anchors=40).fit(data.part("train"), data.part_labels("train"))
    terms, names, _ = label_terms(data)
    found = bit_meanings(hasher.encode(data.views), terms, names)
    assert len({meaning.bit for meaning in found.all()}) == 8
