"""Peers of explanations: LexRank against a dense twin, and the helpful, usual and accidental sentence."""

from __future__ import annotations

import numpy as np
import pytest
from test_quotes import REVIEWS, planted, quotes

from modalhash.recommend.sentences import split_sentences
from modalhash.recommend.text_peers import (
    accidental_sentence,
    central_sentence,
    helpful_sentence,
    lexrank,
    longest_sentence,
    tf_idf,
    usual_sentence,
    usual_words,
)

TEXTS = [s for _, _, text in planted(8, 6) for s in split_sentences(text)] + ["", "the of", "warm", "unrelated noise"]


def twin(texts: list[str], k: int, damping: float, least: float) -> np.ndarray:
    """LexRank with every n x n matrix written out, by the leading left eigenvector."""
    X = tf_idf(texts).toarray()
    n = len(texts)
    M = np.zeros((n, n))
    for i in range(n):
        cosines = [(-float(X[i] @ X[j]), j) for j in range(n) if j != i and X[i] @ X[j] >= least]
        for negative, j in sorted((round(c, 12), j) for c, j in cosines)[:k]:
            M[i, j] = -negative
    for i in range(n):
        M[i] = M[i] / M[i].sum() if M[i].sum() else 1 / n
    G = damping * M + (1 - damping) / n
    values, vectors = np.linalg.eig(G.T)
    p = np.real(vectors[:, np.argmax(np.real(values))])
    return np.asarray(p / p.sum())


@pytest.mark.parametrize(("k", "damping", "least"), [(500, 0.85, 0.1), (500, 0.5, 0.3), (500, 0.0, 0.1)])
def test_lexrank_is_the_eigenvector_of_its_twin(k: int, damping: float, least: float) -> None:
    found = lexrank(TEXTS, k, damping=damping, least=least, max_iter=500)
    np.testing.assert_allclose(found, twin(TEXTS, k, damping, least), atol=1e-7)
    assert found.sum() == pytest.approx(1)


def test_few_neighbours_are_the_nearest_ones() -> None:
    texts = ["warm tone", "warm tone here", "warm", "cold tone box", "box"]
    np.testing.assert_allclose(lexrank(texts, 1, max_iter=500), twin(texts, 1, 0.85, 0.1), atol=1e-7)


def test_blocks_of_sentences_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lexrank(TEXTS, 5)
    monkeypatch.setattr("modalhash.recommend.text_peers.ROWS", 7)
    np.testing.assert_allclose(lexrank(TEXTS, 5), whole, rtol=1e-12)


def test_lexrank_at_its_edges() -> None:
    assert lexrank([]).shape == (0,) and lexrank(["one"]).tolist() == [1.0]
    assert lexrank(["", "", ""]).tolist() == pytest.approx([1 / 3] * 3)
    found = lexrank(["warm tone", "warm tone box", "tone warm sound", "other matter"])
    assert found.argmin() == 3 and found.max() < 0.5
    with pytest.raises(ValueError, match="k: expected"):
        lexrank(["a"], 0)
    with pytest.raises(ValueError, match="damping: expected less than 1"):
        lexrank(["a"], damping=1)


def test_tf_idf_by_hand() -> None:
    X = tf_idf(["warm warm tone", "tone", "the"]).toarray()
    warm, tone = 2 * (np.log(4 / 2) + 1), np.log(4 / 3) + 1
    assert X[0].tolist() == pytest.approx([warm / np.hypot(warm, tone), tone / np.hypot(warm, tone)])
    assert X[1].tolist() == [0, 1] and not X[2].any()


def test_the_central_sentence_is_what_most_say() -> None:
    q = quotes([(1, 0, "Warm tone. Late."), (2, 0, "A warm tone, really. Blue."), (3, 0, "So warm a tone! It hums.")])
    found = central_sentence(q, 0, 0)
    assert found is not None and "warm" in found.text.lower() and central_sentence(q, 0, 1) is None


def test_the_helpful_sentence_opens_the_review_of_most_votes() -> None:
    q = quotes()
    votes = np.array([9, 1, 5, 0, 7, 0, 3])
    assert (found := helpful_sentence(q, 0, 0, votes)) is not None and found.text == "Sturdy box... and that is it."
    assert (found := helpful_sentence(q, 4, 0, votes)) is not None and found.review == 0
    assert (
        found := helpful_sentence(q, 0, 0)
    ) is not None and found.text == "Shipping was slow."  # no votes: the first
    assert (found := helpful_sentence(q, 0, 1, votes)) is not None and found.review == 5  # review 4 is empty
    assert helpful_sentence(q, 0, 2) is None


def test_the_longest_sentence_has_most_words() -> None:
    q = quotes([(0, 0, "My own words count for nothing."), (1, 0, "One two. Three four five."), (2, 0, "A b c.")])
    found = longest_sentence(q, 0, 0)
    assert found is not None and found.text == "Three four five." and longest_sentence(q, 1, 1) is None


def test_a_sentence_by_chance_is_the_same_for_the_same_seed() -> None:
    q = quotes()
    drawn = {s.text for seed in range(40) if (s := accidental_sentence(q, 0, 0, seed)) is not None}
    assert drawn == {s.text for s in q.candidates(0, 0)} and accidental_sentence(q, 0, 2) is None
    assert accidental_sentence(q, 0, 0, 3) == accidental_sentence(quotes(), 0, 0, 3)


def test_the_usual_sentence_is_that_of_most_reviews_as_it_is_first_written() -> None:
    reviews = [
        (0, 0, "Works great! works great. Works great!"),
        (1, 0, "Fine. I love it"),
        (2, 1, "I LOVE it! Fine."),
        (3, 1, "Fine."),
    ]
    assert usual_sentence(quotes(reviews)) == "I love it"  # once a review; one word is no sentence
    assert usual_sentence(quotes(reviews), least=1) == "Fine."
    assert usual_sentence(quotes([])) == "" and usual_sentence(quotes([(0, 0, "One")])) == ""


def test_usual_words_come_from_most_reviews_of_others() -> None:
    assert usual_words(quotes(), 4, 0, k=1) == "warm" and usual_words(quotes(), 0, 2) == ""
    assert usual_words(quotes(), 0, 0, k=2) == "shipping slow" and "lovely" not in usual_words(quotes(), 0, 0)
    assert len(REVIEWS) == 7
