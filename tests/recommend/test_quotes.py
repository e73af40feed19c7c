"""Quotes are sentences of others about the item, ranked by words in common, with their source."""

from __future__ import annotations

from collections import Counter
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.metrics.text import grounded
from modalhash.recommend.explanation import Ground
from modalhash.recommend.quotes import Quotes, explain_with_quotes
from modalhash.words import content_words

WORDS = ("warm", "bright", "cheap", "sturdy")
REVIEWS: list[tuple[int, int, str]] = [
    (0, 0, "Lovely warm tone. They stay in tune."),
    (1, 0, "Shipping was slow. A warm sound, and cheap. Cheap!"),
    (2, 0, "Sturdy box... and that is it."),
    (0, 1, "Cheap picks. Cheap and fine."),
    (2, 1, ""),
    (3, 1, "¿Qué? Muy bien."),
    (0, 0, "Second thoughts: warm again."),
]


def quotes(reviews: list[tuple[int, int, str]] = REVIEWS, shape: tuple[int, int] = (5, 3), **given: Any) -> Quotes:
    users, items, texts = zip(*reviews, strict=True) if reviews else ([], [], [])
    return Quotes((np.array(users, dtype=int), np.array(items, dtype=int), list(texts)), *shape, **given)


def planted(n: int = 24, m: int = 16, seed: int = 0) -> list[tuple[int, int, str]]:
    """Users who like one word and say so everywhere; reviews of an item name each word in a sentence of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for u in range(n):
        for i in rng.permutation(m)[:6].tolist():
            others = " ".join(f"It looked {word} to my friend number {rng.integers(100)}." for word in WORDS)
            found.append((u, i, f"For me {WORDS[u % 4]} is what counts, so {WORDS[u % 4]}. {others}"))
    return found


def test_only_sentences_of_others_about_the_item() -> None:
    q = quotes()
    assert [s.text for s in q.candidates(0, 0)] == [
        "Shipping was slow.", "A warm sound, and cheap.", "Cheap!", "Sturdy box... and that is it.",
    ]  # fmt: skip
    assert [(s.review, s.place, s.of) for s in q.candidates(0, 0)] == [(1, 1, 3), (1, 2, 3), (1, 3, 3), (2, 1, 1)]
    assert len(q.candidates(4, 0)) == 7 and q.candidates(4, 2) == [] and q.others(2, 1) == [3, 5]


def test_words_in_common_come_first_and_are_named() -> None:
    found = quotes().grounds(0, 0)
    assert [g.words for g in found][:2] == [
        ("cheap",),
        ("cheap",),
    ]  # of item 1: that of the pair's own review is not read
    assert {g.text for g in found[:2]} == {"Cheap!", "A warm sound, and cheap."}
    assert found[0].source == "review by user 1, sentence 3 of 3" and found[0].quoted and found[0].share == 0
    assert quotes(user_ids=["ann", "bob", "cid", "dan", "eve"]).grounds(0, 0)[0].source.startswith("review by user bob")


def test_the_score_is_what_it_says() -> None:
    q = quotes()
    sentences = q.candidates(0, 0)
    texts = [text for _, _, text in REVIEWS]
    known = Counter(content_words(texts[3]))
    for sentence, row in zip(sentences, q.overlaps(sentences, 0, 0), strict=True):
        own = content_words(sentence.text)
        wanted = 0.0
        for word in set(own) & set(known):
            held = sum(word in content_words(text) for text in texts)
            wanted += (log((1 + len(texts)) / (1 + held)) + 1) * (1 + log(known[word]))
        assert row[0] == pytest.approx(wanted / sqrt(len(own) + 8))
    assert (q.overlaps(sentences, 0, 0)[:, 0] > 0).tolist() == [False, True, True, False]


def test_a_user_without_words_gets_what_others_agree_on() -> None:
    found = quotes().grounds(4, 0, k=2)
    assert all("warm" in g.text for g in found) and all(g.words == () for g in found)
    assert quotes().grounds(4, 2) == [] and quotes().grounds(1, 1, k=0) == []
    assert quotes([]).grounds(0, 0) == []


def test_the_own_review_of_the_pair_reaches_nothing() -> None:
    """Whatever a user wrote about the item, words and order of what is quoted for the pair stay as they are."""
    before = quotes().grounds(0, 0)
    changed = [(u, i, "Sturdy sturdy box. Shipping slow!") if (u, i) == (0, 0) else (u, i, t) for u, i, t in REVIEWS]
    after = quotes(changed).grounds(0, 0)
    assert [(g.text, g.words) for g in after] == [(g.text, g.words) for g in before]
    assert not {g.text for g in after} & {"Sturdy sturdy box.", "Shipping slow!"}


def test_planted_words_are_quoted_and_grounded() -> None:
    reviews = planted()
    q = quotes(reviews, (24, 16))
    texts, sentences = [], []
    for u, i, _ in reviews:
        found = q.grounds(u, i, k=2)
        others = [s.text for s in q.candidates(u, i)]
        if found:
            assert WORDS[u % 4] in found[0].words and WORDS[u % 4] in found[0].text
        texts += [g.text for g in found]
        sentences += [others] * len(found)
    assert len(texts) > 150 and grounded(texts, sentences).mean() == 1.0


def test_none_is_quoted_twice() -> None:
    q = quotes([(1, 0, "Warm tone. It is a WARM tone!"), (2, 0, "The warm tone."), (3, 0, "Cheap.")])
    assert [g.text for g in q.grounds(0, 0)] == ["Warm tone.", "Cheap."]


def test_mdcf_says_its_views_and_quotes() -> None:
    rng = np.random.default_rng(0)
    ratings = sp.random_array((5, 3), density=0.8, rng=rng, format="csr")
    model = mh.MDCF(n_bits=8, random_state=0).fit(ratings, None, {"tags": np.eye(3)}, user_ids=list("abcde"))
    plain = model.explain("a", 0)
    found = explain_with_quotes(model, quotes(user_ids=list("abcde")), "a", 0, k=2)
    assert [g.text for g in found.grounded[: len(plain.grounded)]] == [g.text for g in plain.grounded]
    more = found.grounded[len(plain.grounded) :]
    assert len(more) == 2 and all(g.quoted for g in more) and not any(g.quoted for g in plain.grounded)
    assert sum(g.share for g in found.grounded) == pytest.approx(found.score) and found.score == plain.score
    with pytest.raises(ValueError, match="expected those of 5 users and 3 items, got 5 and 4"):
        explain_with_quotes(model, quotes(shape=(5, 4)), "a", 0)
    with pytest.raises(ValueError, match="unknown ids"):
        explain_with_quotes(model, quotes(), "z", 0)


def test_what_a_model_quotes_itself_is_not_said_again() -> None:
    ratings = sp.csr_array(np.ones((5, 3)))
    model = mh.MDCF(n_bits=8, random_state=0).fit(ratings)
    own = Ground("review by user 1, sentence 2 of 3", "Cheap!", 0.0, True)
    plain = model.explain

    def quoting(user: Any, item: Any) -> Any:
        from dataclasses import replace

        found = plain(user, item)
        return replace(found, grounded=[*found.grounded, own])

    model.explain = quoting  # type: ignore[method-assign]
    found = [g.text for g in explain_with_quotes(model, quotes(), 0, 0, k=3).grounded if g.quoted]
    assert len(found) == 3 and found.count("Cheap!") == 1


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0, 1], [0], "expected as many items as texts, 2"),
        ([0], [0, 1], "expected as many users as texts, 2"),
        ([0, 5], [0, 1], "users must lie in 0…4, got 0…5"),
        ([0, 1], [-1, 1], "items must lie in 0…2, got -1…1"),
    ],
)
def test_bad_reviews_are_refused(users: list[int], items: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quotes((np.array(users), np.array(items), ["a", "b"]), 5, 3)


def test_inputs_stay_as_they_were() -> None:
    users, items = np.array([0, 1]), np.array([0, 0])
    users.flags.writeable = items.flags.writeable = False
    q = Quotes((users, items, ("One.", "Two.")), 2, 1)
    assert [g.text for g in q.grounds(0, 0)] == ["Two."]
    with pytest.raises(ValueError, match="k: expected"):
        q.grounds(0, 0, k=-1)
