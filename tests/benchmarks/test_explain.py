"""The benchmark of explanations on simulated reviews: nothing withheld leaks, and measures say what they should."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.datasets.ratings import Ratings
from modalhash.datasets.reviews import Reviews

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WORDS = ("warm", "bright", "cheap", "sturdy")
N, M = 24, 40


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def simulated() -> Ratings:
    """Users who like one of four words; every item carries one of them, and reviews name it and a withheld mark."""
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(N) for i in sorted(rng.permutation(M)[:8].tolist())]
    users, items = (np.array(column) for column in zip(*pairs, strict=True))
    texts = [f"It is {WORDS[i % 4]}. I like {WORDS[u % 4]} ones. Mark{u}x{i} is here." for u, i in pairs]
    values = np.where(users % 4 == items % 4, 5.0, 2.0)
    ratings = sp.csr_array((values, (users, items)), shape=(N, M))
    reviews = Reviews(users, items, texts, times=rng.permutation(len(pairs)), helpful=rng.integers(0, 9, len(pairs)))
    return Ratings(name="s", ratings=ratings, item_ids=np.array([f"i{i}" for i in range(M)]), reviews=reviews)


def task(load: Any) -> Any:
    return load("explain").make_task(simulated(), others=20)


def test_nothing_of_a_withheld_pair_is_known(load: Any) -> None:
    t = task(load)
    assert len(t.users) == N and t.split.train[t.users, t.items].sum() == 0
    known = " ".join(t.quotes.texts) + " ".join(t.reviews[2])
    for (u, i), text, drawn in zip(load("explain").pairs(t), t.references, t.drawn, strict=True):
        assert f"Mark{u}x{i} " in text and f"Mark{u}x{i} " not in known
        assert drawn[0] == i and len(set(drawn.tolist())) == 21
        assert not set(drawn[1:].tolist()) & set(simulated().ratings[[u]].indices.tolist())
        reviews = simulated().reviews
        assert reviews is not None and reviews.times is not None
        when = {
            int(j): int(time) for j, v, time in zip(reviews.items, reviews.users, reviews.times, strict=True) if v == u
        }
        assert when[i] == max(when.values())


@pytest.mark.parametrize("name", ["words in common", "LexRank", "most helpful review", "longest sentence", "by chance"])
def test_peers_quote_and_are_grounded(load: Any, name: str) -> None:
    content = load("explain").run_cell(task(load), name, 0)
    found = content["texts"]["quoted"]
    assert found["grounded"] == 1 and found["covered words"] > 0.6 and content["preference"] is None
    assert found["explained"] > 0.9 and 0 < found["ROUGE-1 F1"] < 1
    assert all(f"Mark{row['user']}x" not in row["quoted"] for row in content["examples"])
    assert content == {**load("explain").run_cell(task(load), name, 0), "told_cpu": content["told_cpu"]}  # same seed


def test_words_in_common_name_what_the_user_likes(load: Any) -> None:
    t = task(load)
    told = load("explainers").tell(t, "words in common", 0)
    own = []
    for (u, i), text, source in zip(load("explain").pairs(t), told.texts["quoted"], told.sources, strict=True):
        if any(WORDS[u % 4] in sentence.text for sentence in t.quotes.candidates(u, i)):
            own.append(WORDS[u % 4] in text)
            assert not own[-1] or WORDS[u % 4] in source.partition("words in common: ")[2]
    assert len(own) > 10 and np.mean(own) > 0.6  # by chance: about 0.3


def test_what_everybody_gets_is_not_grounded(load: Any) -> None:
    content = load("explain").run_cell(task(load), "popularity", 0)
    assert content["texts"]["written"]["grounded"] < 0.5 and set(content["preference"]) == {"sampled", "whole"}
    words = load("explain").run_cell(task(load), "usual words", 0)["texts"]["written"]
    assert words["grounded"] == 0 and words["covered"] == 1 and content["texts"]["written"]["distinct-1"] < 0.1
    codes = load("explain").run_cell(task(load), "MDCF", 0)
    assert codes["texts"] == {} and codes["fit_cpu"] > 0


def test_the_ends_of_every_measure(load: Any) -> None:
    explain, t = load("explain"), task(load)
    perfect = explain.text_measures(t, t.references)
    assert perfect["ROUGE-L F1"] == 1 and perfect["BLEU"] == pytest.approx(100) and perfect["grounded"] == 0
    nothing = explain.text_measures(t, [""] * len(t.users))
    assert nothing["ROUGE-1 P"] == 0 and nothing["BLEU"] == 0 and nothing["explained"] == 0
    assert nothing["grounded"] is None and nothing["distinct-1"] is None
    D = np.ones((N, M))
    D[t.users, t.items] = 0
    best = explain.preference(t, D)
    assert best["sampled"]["HR@1"] == best["whole"]["nDCG@10"] == 1
    worst = explain.preference(t, -D)
    assert worst["sampled"]["HR@10"] == worst["whole"]["HR@10"] == 0
    assert explain.preference(t, np.ones((N, M)))["sampled"]["HR@1"] == pytest.approx(1 / 21, abs=1e-4)


class Stub:
    """A recommender that knows nothing: popularity as one bit, no sentence of its own; it likes long quotes."""

    def __init__(self, **_: Any) -> None:
        self.user_ids_, self.item_ids_ = np.arange(N), np.array([f"i{i}" for i in range(M)])

    def fit(self, ratings: Any, *, reviews: Any, item_ids: Any) -> Stub:
        from modalhash.codes import BinaryCodes

        assert all(text.count("Mark") == 1 for text in reviews[2]) and set(reviews[1].tolist()) <= set(
            item_ids.tolist()
        )
        from modalhash.recommend.quotes import Quotes

        self.quotes = Quotes((reviews[0], np.array([int(i[1:]) for i in reviews[1]]), reviews[2]), N, M)
        self.user_codes_ = BinaryCodes.from_signs(np.ones((N, 8)))
        self.item_codes_ = BinaryCodes.from_signs(np.ones((M, 8)))
        return self

    def get_params(self) -> dict[str, Any]:
        return {"n_bits": 8}

    def explain(self, user: Any, item: Any) -> Any:
        from modalhash.recommend.explanation import Explanation, Ground

        quotes = self.quotes.grounds(user, int(item[1:]), 1)
        return Explanation(None if user == 0 else f"For {user}.", [Ground("x", "y", 0.5), *quotes], 0.5, np.arange(0))


def test_a_recommender_writes_and_quotes(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modalhash.catalog.make_recommender", lambda name, **given: Stub(**given))
    t = task(load)
    monkeypatch.setattr(load("explainers"), "listening", lambda model, task: {"pairs": len(task.users)})
    told = load("explainers").tell(t, "EDCF", 0)
    assert told.texts["written"][:2] == ["", "For 1."] and told.distances.shape == (N, M)
    for (u, i), text in zip(load("explain").pairs(t), told.texts["quoted"], strict=True):
        assert [text] == [ground.text for ground in t.quotes.grounds(u, i, 1)] or not text
    assert load("explainers").tell(t, "EDCF_SR", 0).texts == {} and told.parameters == {"n_bits": 8}
    cell = load("explain").run_cell(t, "EDCF", 0)
    assert cell["texts"]["quoted"]["grounded"] == 1 and cell["listening"] == {"pairs": N}
    assert set(load("explainers").tell(t, "EDCF_WA", 0).texts) == {"written"}


@pytest.mark.skipif(not find_spec("torch"), reason="pip install 'modalhash[deep]'")
def test_codes_without_reviews_are_those_of_the_ratings(load: Any) -> None:
    t = task(load)
    told = load("explainers").tell(t, "EDCF without reviews", 0)
    assert told.distances.shape == (N, M) and not told.texts and told.parameters["tasks"] == "preference"
    t.source.reviews.texts[:] = ["changed"] * len(t.source.reviews.texts)
    assert (load("explainers").tell(t, "EDCF without reviews", 0).distances == told.distances).all()


@pytest.mark.skipif(not find_spec("torch"), reason="pip install 'modalhash[deep]'")
def test_what_the_writer_hears(load: Any) -> None:
    import modalhash as mh

    t = task(load)
    model = mh.EDCF(n_bits=8, epochs=2, random_state=0, sentence_words=8)
    model.fit(t.split.train, reviews=t.reviews, item_ids=t.source.item_ids)
    found = load("listening").listening(model, t)
    assert found["pairs"] == N // 4 and 0 < found["nats"]["codes"] < 10 and found["nats"]["mean codes"] > 0
    ranked = found["ranked"]
    assert ranked["length"]["words"] == max(row["words"] for row in ranked.values())
    listener = load("listening").Listener(model)
    sentences = ["It is warm.", "zzzz", "Nobody knows this many words."]
    given, anyhow, words = listener.likelihoods(0, 3, sentences)
    scores = model.score_sentences(0, "i3", sentences)
    assert given[0] == pytest.approx(scores[0]) and (given[1], words[1]) == (-1e9, 0) and scores[1] == -np.inf
    assert words[0] == 5 and anyhow[0] != given[0]  # it is warm . END
    said = [sentence.text for sentence in t.quotes.candidates(0, 3)]
    given, anyhow, _ = listener.likelihoods(0, 3, said)
    scores = load("listening").rankings(listener, t, 0, 3, said)
    assert len(said) > 1 and (scores["mutual information"] == given - anyhow).all()
    assert (scores["likelihood"] == given).all() and scores["length"][0] == len(said[0].split())


@pytest.mark.skipif(not find_spec("torch"), reason="pip install 'modalhash[deep]'")
@pytest.mark.skipif(not find_spec("modalhash.recommend.documents"), reason="needs EDCF")
def test_the_generator_is_seeded_and_learns_what_is_usual(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nrt, t = load("nrt"), task(load)
    monkeypatch.setattr(nrt, "EPOCHS", 10)
    monkeypatch.setattr(nrt, "BATCH", 32)
    reviews = t.source.reviews.of(t.split.train).triple
    first, seconds = nrt.write_all(t.users, t.items, t.split.train, reviews, 0)
    again, _ = nrt.write_all(t.users, t.items, t.split.train, reviews, 0)
    assert first == again and seconds > 0 and len(first) == N
    assert np.mean([any(word in text for word in WORDS) for text in first]) > 0.5


def test_what_matters_most_is_run_first(load: Any) -> None:
    cells = load("explain").cells(False)
    assert len(set(cells)) == len(cells) == 22 and cells[1] == ("EDCF", 0) and ("EDCF", 2) in cells
    assert load("explain").cells(True) == [cell for cell in cells if cell[1] == 0]
    assert load("explain").first_users(simulated(), 5).ratings.shape == (5, M)


def test_examples_are_drawn_once_and_shortened(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    explain = load("explain")
    t = task(load)
    rows = [explain.run_cell(t, name, 0)["examples"] for name in ("LexRank", "by chance")]
    assert [row["user"] for row in rows[0]] == [row["user"] for row in rows[1]] and len(rows[0]) == 20
    assert explain.shortened("a\nb") == "a b" and explain.shortened("word " * 100).endswith("word …")
