"""EDCF: each piece against a naive loop, nothing of a pair's own review in its training, planted words come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import modalhash as mh
from modalhash.recommend.documents import (
    END,
    PAD,
    SPECIAL,
    UNKNOWN,
    Reviews,
    as_sentence,
    check_reviews,
    documents,
    has_words,
    numbered,
    rows_of_words,
    sentences_of,
    tokens,
    vocabulary,
)
from modalhash.recommend.edcf import VARIANTS
from modalhash.recommend.edcf_problem import Pairs, Problem, Sources
from modalhash.recommend.interaction_features import interaction_features
from modalhash.recommend.review_network import attention, review_features, values
from modalhash.recommend.sentence_writer import context, log_likelihood, write

torch = pytest.importorskip("torch")

from modalhash.recommend import edcf_network as net  # noqa: E402 - needs torch
from modalhash.recommend.edcf_training import Objective, Weights, documents_of, squares  # noqa: E402

SMALL: dict[str, Any] = {
    **{"n_bits": 8, "random_state": 0, "epochs": 2, "rank": 4, "word_width": 6, "n_filters": 4, "id_width": 3},
    **{
        "attention_width": 4,
        "hidden": (8,),
        "lstm_width": 6,
        "reviews_each": 4,
        "review_words": 8,
        "sentence_words": 7,
    },
}
THINGS = ["violin", "drum", "flute", "cable", "pedal", "harp"]
FILL = ["the", "a", "it", "is", "very", "nice", "and", "was", "good", "for", "my", "great", "sound", "well", "works"]


def planted(n: int = 30, m: int = 20, kept: float = 0.5, seed: int = 0) -> Any:
    """Ratings 5 where user and item are of one group, else now and then 1; reviews name the item's thing."""
    rng = np.random.default_rng(seed)
    users, items = np.arange(n) % len(THINGS), np.arange(m) % len(THINGS)
    like = users[:, None] == items
    rated = np.where(like, rng.random((n, m)) < kept, rng.random((n, m)) < kept / 10)
    who, what = np.nonzero(rated)

    def fill(k: int) -> str:
        return " ".join(rng.choice(FILL, k))

    texts = [
        f"{fill(3)} {THINGS[items[i]]} {fill(2)}. I {'love' if like[u, i] else 'hate'} the {THINGS[items[i]]}!"
        for u, i in zip(who, what, strict=True)
    ]
    return sp.csr_array(np.where(rated, np.where(like, 5.0, 1.0), 0.0)), (who, what, texts), like, items


def sources(seed: int = 0, **changed: Any) -> Sources:
    """A small problem as `fit` makes it."""
    ratings, reviews, _, _ = planted(seed=seed)
    system = mh.EDCF(**SMALL)
    system.user_ids_, system.item_ids_ = np.arange(30), np.arange(20)
    checked = check_reviews(reviews, system.user_ids_, system.item_ids_, ratings)
    return replace(system._sources(ratings, checked, np.random.default_rng(0)), **changed)


def sizes(words: int = 9, **changed: Any) -> net.Sizes:
    kept = {key: SMALL[key] for key in ("rank", "word_width", "n_filters", "id_width", "attention_width", "hidden")}
    kept |= {key: SMALL[key] for key in ("lstm_width", "reviews_each", "n_bits")}
    return net.Sizes(
        **{
            "words": words,
            "others": (20, 30),
            "windows": (1, 3, 4),
            "dropout": 0.0,
            "attention": True,
            **kept,
            **changed,
        }
    )


# words and documents
def test_words_stops_and_signs() -> None:
    assert tokens("Don’t STOP. It's 5\u00a0mm!") == ["don't", "stop", ".", "it's", "5", "mm", "!"]
    assert tokens("很好。") == ["很", "好", "。"] and tokens("हिन्दी") == ["हिन्दी"] and tokens("  \n") == []
    assert len(tokens("x" * 1000)[0]) == 32


def test_sentences_end_at_stops() -> None:
    assert sentences_of(tokens("One two. Three?! four")) == [["one", "two", "."], ["three", "?", "!"], ["four"]]
    assert sentences_of(tokens("...")) == [] and sentences_of([]) == []
    assert as_sentence(tokens("i love it, and i'm glad. really!")) == "I love it, and I'm glad. Really!"
    assert as_sentence(tokens("很好。")) == "很好。" and as_sentence([]) == ""


def test_the_vocabulary_is_the_most_frequent_words() -> None:
    assert vocabulary([["b", "a", "a"], ["b", "c"]], 1, 2) == ["a", "b"]  # ties by the alphabet
    assert vocabulary([["b", "a", "a"]], 2, 9) == ["a"]


def test_rows_of_words_are_padded_cut_and_closed() -> None:
    numbers = numbered(["a", "b"])
    rows = rows_of_words([["a", "x", "b"], [], ["a"] * 9], numbers, 4, end=True)
    assert rows.tolist() == [[3, UNKNOWN, 4, END], [END, PAD, PAD, PAD], [3, 3, 3, 3]]
    assert has_words(rows).tolist() == [True, False, True] and SPECIAL == 3


def test_documents_hold_the_reviews_of_their_owner() -> None:
    rng = np.random.default_rng(0)
    owners = np.array([2, 0, 2, 2, 0, 2, 2])
    kept = np.array([1, 1, 1, 1, 1, 0, 1], dtype=bool)
    rows = documents(owners, 4, 3, kept, rng)
    assert rows[0].tolist() == [1, 4, -1] and (rows[[1, 3]] == -1).all()
    assert set(rows[2]) < {0, 2, 3, 6} and (np.diff(rows[2]) > 0).all()  # three of four, in the order given
    drawn = {tuple(documents(owners, 4, 3, kept, rng)[2]) for _ in range(50)}
    assert len(drawn) == 4  # any of them


# interaction features
def test_interaction_features_are_those_of_the_dense_svd() -> None:
    R, _, _, _ = planted()
    f = interaction_features(R, 4, np.random.default_rng(0))
    U, s, Vt = np.linalg.svd(R.toarray())
    np.testing.assert_allclose(f.P @ f.Q.T, (U[:, :4] * s[:4]) @ Vt[:4], atol=1e-8)
    np.testing.assert_allclose(f.Q.T @ f.Q, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(f.squares, s[:4] ** 2)
    assert (f.Q[np.argmax(np.abs(f.Q), axis=0), np.arange(4)] > 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 1), (3, 2)])
def test_interaction_features_of_few(shape: tuple[int, int]) -> None:
    R = sp.csr_array(np.arange(1.0, 1 + np.prod(shape)).reshape(shape))
    f = interaction_features(R, 5, np.random.default_rng(0))
    assert f.P.shape == (shape[0], 5) and f.Q.shape == (shape[1], 5)
    if 1 in shape:
        np.testing.assert_allclose(f.P @ f.Q.T, R.toarray())


def test_a_pair_reads_interaction_features_without_its_own_rating() -> None:
    R, _, _, _ = planted()
    f = interaction_features(R, 4, np.random.default_rng(0))
    u, i = (axis[:6].astype(np.int64) for axis in R.nonzero())
    r = R.toarray()[u, i]
    p, q = f.without(u, i, r)
    for at in range(6):
        other = R.toarray()
        other[u[at], i[at]] = 0
        np.testing.assert_allclose(p[at], other[u[at]] @ f.Q, atol=1e-5)
        np.testing.assert_allclose(q[at], other[:, i[at]] @ f.P / f.squares, atol=1e-5)
    p, q = f.without(u, i, 0 * r)
    np.testing.assert_allclose(p, f.P[u], atol=1e-6)
    np.testing.assert_allclose(q, f.Q[i], atol=1e-6)


# the terms of the loss
def test_the_preference_loss_is_that_of_the_loop() -> None:
    rng = np.random.default_rng(0)
    b, d = rng.uniform(-1, 1, (2, 7, 5))
    wanted = rng.random(7)
    total = 0.0
    for x, y, r in zip(b, d, wanted, strict=True):
        H = 0.5 + x @ y / 10
        total -= r * np.log(H) + (1 - r) * np.log(1 - H)
    H = net.similarity(torch.tensor(b), torch.tensor(d))
    assert float(net.preference_loss(H, torch.tensor(wanted))) == pytest.approx(total / 7)
    ends = net.preference_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert float(ends) == pytest.approx(-np.log(net.CLIP), rel=1e-3)  # clipped, not infinite


def test_the_explanation_loss_is_that_of_the_loop_over_words() -> None:
    rng = np.random.default_rng(0)
    rows = np.array([[3, 4, UNKNOWN, END], [5, END, PAD, PAD]])
    logits = rng.standard_normal((2, 4, 9))
    total, count = 0.0, 0
    for row, own in zip(rows, logits, strict=True):
        for word, scores in zip(row, own, strict=True):
            if word not in (PAD, UNKNOWN):
                total -= np.log(np.exp(scores[word]) / np.exp(scores).sum())
                count += 1
    kept = torch.tensor(logits)[net.counted(torch.tensor(rows))]
    assert float(net.explanation_loss(kept, torch.tensor(rows))) == pytest.approx(total / count)


def test_tasks_are_weighed_by_their_uncertainty() -> None:
    losses, s = [torch.tensor(0.7), torch.tensor(4.0)], torch.tensor([0.3, -0.2])
    found = [float(term) for term in net.weighted(losses, s, 0.5)]
    phi2 = np.exp([0.3, -0.2])
    assert found == pytest.approx([0.7 / phi2[0], 4.0 / phi2[1], 0.5 * np.log(np.sqrt(phi2[0] * phi2[1]))])


def test_all_terms_of_a_batch() -> None:
    given = sources()
    problem = Problem(given, 2, 0.0, np.random.default_rng(0))
    torch.manual_seed(0)
    network = net.EDCFNetwork(sizes(SPECIAL + 40), (1.0, 1.0), (0.4, -0.1))
    weights = Weights(lambda1=0.5, lambda2=0.01, lambda3=0.1, learned=True, tasks="both")
    graph = Objective(network, problem, weights, 1e4, 10)(np.arange(30))
    terms = {name: term.detach() for name, term in graph.items()}
    alpha = 1e4 ** (0.1**4)
    assert float(terms["alpha"]) == pytest.approx(0.01 * 2 / alpha**2, rel=1e-5)
    assert float(terms["uncertainty"]) == pytest.approx(0.25 * 0.3, rel=1e-5)
    own = [p for name, p in network.named_parameters() if not name.endswith("by_rate")]
    assert float(squares(network).detach()) == pytest.approx(sum(float((p.detach() ** 2).sum()) for p in own), rel=1e-5)
    again = Problem(given, 2, 0.0, np.random.default_rng(0))
    pairs = again.pairs(np.arange(30))
    b, d = (network.codes(side, documents_of(again, side, pairs, interactions=True)) for side in (0, 1))
    wanted = net.preference_loss(net.similarity(b, d), torch.from_numpy(pairs.wanted))
    assert float(terms["preference"]) == pytest.approx(float(wanted.detach()) * np.exp(-0.4), rel=1e-4)
    torch.autograd.backward(torch.stack(list(graph.values())).sum())
    assert all(p.grad is not None for p in network.parameters())


def test_alpha_only_rises_to_its_floor() -> None:
    network = net.EDCFNetwork(sizes(), (5.0, 1.0))
    assert network.alpha.tolist() == [1.0, 1.0]
    network.raise_alpha(100.0)
    assert network.alpha.detach().numpy() == pytest.approx([100.0, 100.0], rel=1e-5)
    network.raise_alpha(10.0)
    assert network.alpha.detach().numpy() == pytest.approx([100.0, 100.0], rel=1e-5)


# pairs and what they read
def test_a_pair_never_reads_its_own_review() -> None:
    given = sources()
    problem = Problem(given, 2, 0.0, np.random.default_rng(0))
    pairs = problem.pairs(np.arange(30))
    for side in (0, 1):
        slots, ids = problem.reads(side, pairs)
        for u, i, own, who in zip(pairs.users, pairs.items, slots, ids, strict=True):
            read = own[own >= 0]
            owners = (given.reviews.users, given.reviews.items)[side][read]
            others = (given.reviews.items, given.reviews.users)[side][read]
            assert (owners == (u, i)[side]).all() and (others != (i, u)[side]).all()
            assert who[own >= 0].tolist() == (others + 1).tolist() and (who[own < 0] == 0).all()


def test_the_number_of_reviews_does_not_tell_which_pairs_were_drawn() -> None:
    given = sources()
    problem = Problem(given, 2, 0.0, np.random.default_rng(0))
    pairs = problem.pairs(np.repeat(np.arange(30), 1))
    for side in (0, 1):
        slots, _ = problem.reads(side, pairs)
        owner = (pairs.users, pairs.items)[side]
        whole = (given.documents[side][owner] >= 0).sum(axis=1)
        lost = whole - (slots >= 0).sum(axis=1)
        few = np.bincount((given.reviews.users, given.reviews.items)[side])[owner] <= 4  # all are in the document
        assert (lost[few & (whole > 0)] == 1).all() and lost.max() == 1


def test_pairs_are_the_ratings_and_two_drawn_ones_each() -> None:
    given = sources()
    problem = Problem(given, 2, 0.0, np.random.default_rng(0))
    users = np.array([4, 7])
    pairs = problem.pairs(users)
    R = given.ratings.toarray()
    rated = pairs.wanted > 0
    assert rated.sum() == (R[users] > 0).sum() and len(pairs) == 3 * rated.sum()
    np.testing.assert_allclose(pairs.wanted, R[pairs.users, pairs.items], rtol=1e-6)
    assert (pairs.sentences[~rated] == -1).all()
    for u, i, s in zip(pairs.users[rated], pairs.items[rated], pairs.sentences[rated], strict=True):
        review = int(np.flatnonzero((given.reviews.users == u) & (given.reviews.items == i))[0])
        assert given.first[review] <= s < given.first[review + 1]


def test_a_planted_leak_is_not_learned_from() -> None:
    """A review of a pair outside the ratings changes nothing; nor does a pair's own review change what it reads."""
    ratings, (who, what, texts), _, _ = planted()
    held = int(ratings.indptr[3])  # the first rating of user 3
    user, item = 3, int(ratings.indices[held])
    kept = ratings.copy()
    kept.data[held] = 0
    kept.eliminate_zeros()
    without = [(u, i, t) for u, i, t in zip(who, what, texts, strict=True) if (u, i) != (user, item)]
    first = mh.EDCF(**SMALL).fit(kept, reviews=tuple(zip(*without, strict=True)))
    leaky = [*texts]
    leaky[held] = "secret secret secret"
    with pytest.warns(UserWarning, match="1 of pairs without a rating are left out"):
        second = mh.EDCF(**SMALL).fit(kept, reviews=(who, what, leaky))
    np.testing.assert_array_equal(first.user_codes_.packed, second.user_codes_.packed)
    np.testing.assert_array_equal(first.item_codes_.packed, second.item_codes_.packed)
    assert "secret" not in second.vocabulary_ and b"secret" not in second.reviews_["letters"].tobytes()

    given = sources()
    changed = given.rows.copy()
    changed[held] = SPECIAL + 1
    own = Pairs(np.array([user]), np.array([item]), np.array([1.0], dtype=np.float32), np.array([-1]))
    for side in (0, 1):
        read = [
            documents_of(Problem(one, 2, 0.0, np.random.default_rng(0)), side, own, interactions=True)
            for one in (given, replace(given, rows=changed))
        ]
        np.testing.assert_array_equal(read[0].rows, read[1].rows)


# arrays against torch
def both(attend: bool = True) -> tuple[net.EDCFNetwork, net.Documents]:
    torch.manual_seed(1)
    network = net.EDCFNetwork(sizes(attention=attend), (1.0, 1.0)).eval()
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 9, (7, 8)).astype(np.int32)
    slots = np.array([[0, 1, -1, -1], [2, 3, 4, 5], [-1, -1, -1, -1], [6, -1, 0, -1]])
    ids = np.where(slots >= 0, rng.integers(1, 20, slots.shape), 0)
    return network, net.Documents(rows, slots, ids, rng.standard_normal((4, 4)).astype(np.float32))


@pytest.mark.parametrize("attend", [True, False])
def test_the_arrays_compute_what_the_network_does(attend: bool) -> None:
    network, given = both(attend)
    with torch.no_grad():
        expected = network.values(0, given).numpy()
    side = network.side(0).arrays(network.words)
    S = review_features(side, (1, 3, 4), given.rows)
    np.testing.assert_allclose(values(side, given.p, S, given.slots, given.ids), expected, atol=1e-5)


def test_review_features_are_the_largest_of_the_loop() -> None:
    network, given = both()
    side = network.side(0).arrays(network.words)
    S = review_features(side, (3,), given.rows)
    for row, found in zip(given.rows, S, strict=True):
        V = np.vstack([np.zeros((1, 6)), side["words"][row], np.zeros((1, 6))])
        z = [[(side["filters.3"][:, :, f] * V[t : t + 3]).sum() for t in range(8)] for f in range(4)]
        np.testing.assert_allclose(found, np.maximum(np.max(z, axis=1) + side["filters.3.bias"], 0), atol=1e-5)


def test_some_of_what_is_read_is_dropped_in_training_only() -> None:
    """Without hidden layers there is no other dropout: p goes through whole, reviews do not."""
    problem = Problem(sources(), 2, 0.0, np.random.default_rng(0))
    given = documents_of(problem, 0, problem.pairs(np.arange(6)), interactions=True)
    for dropout, same in ((0.0, True), (0.5, False)):
        torch.manual_seed(0)
        words = torch.nn.Embedding(300, SMALL["word_width"])
        side = net.SideNetwork(sizes(words=300, hidden=(), dropout=dropout), 20)
        assert bool(torch.equal(side(words, given), side(words, given))) is same
        bare = replace(given, slots=np.full_like(given.slots, -1))
        assert torch.equal(side(words, bare), side(words, bare))
        side.eval()
        assert torch.equal(side(words, given), side(words, given))


def test_attention_sums_to_one_over_what_is_seen() -> None:
    network, _ = both()
    side = network.side(0).arrays(network.words)
    rng = np.random.default_rng(0)
    S = rng.standard_normal((3, 4, 12)).astype(np.float32)
    ids = rng.integers(0, 20, (3, 4))
    seen = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    a = attention(side, S, ids, seen)
    np.testing.assert_allclose(a.sum(axis=1), [1, 1, 0], atol=1e-6)
    assert (a[~seen] == 0).all()
    other = S.copy()
    other[0, 3] = 99.0  # what is not seen counts nowhere
    np.testing.assert_array_equal(attention(side, other, ids, seen)[0], a[0])
    scores = [
        side["attention.scores"]
        @ np.maximum(
            S[1, k] @ side["attention.reviews"]
            + side["ids"][ids[1, k]] @ side["attention.ids"]
            + side["attention.bias"],
            0,
        )
        for k in range(4)
    ]
    np.testing.assert_allclose(a[1], np.exp(scores) / np.exp(scores).sum(), atol=1e-5)


def test_the_writer_on_arrays_is_the_lstm() -> None:
    network, _ = both()
    writer = network.writer.arrays(network.words)
    rng = np.random.default_rng(0)
    b, d = rng.choice([-1.0, 1.0], (2, 2, 8))
    rows = np.array([[3, 4, UNKNOWN, 5, END], [6, END, PAD, PAD, PAD]], dtype=np.int32)
    C = net.contexts(torch.tensor(b).float(), torch.tensor(d).float())
    for k in range(2):
        own = context(b[k], d[k], 0.5 + b[k] @ d[k] / 16)
        np.testing.assert_allclose(own, C[k].numpy())
        one = torch.from_numpy(rows[k : k + 1].astype(np.int64))
        with torch.no_grad():
            expected = -float(net.explanation_loss(network.writer(network.words, C[k : k + 1], one), one))
        assert log_likelihood(writer, own, rows)[k] == pytest.approx(expected, abs=1e-5)
    nothing = np.array([[PAD] * 5, [UNKNOWN] * 5], dtype=np.int32)
    assert (log_likelihood(writer, own, nothing) == -np.inf).all()


def test_the_writer_starts_at_the_frequencies_of_words() -> None:
    network, _ = both()
    rows = np.array([[3, 3, END], [3, 4, END]], dtype=np.int32)
    network.writer.start_at(rows)
    p = np.exp(network.writer.output.bias.detach().numpy())
    assert p.sum() == pytest.approx(1.0, rel=1e-5) and p[3] == pytest.approx(2 * p[4], rel=1e-5)  # 3 + 1 to 1 + 1


def test_the_preference_becomes_one_of_six_stars() -> None:
    one = np.ones(1)
    for preference, stars in ((0.0, 0), (0.34, 2), (0.5, 3), (0.69, 3), (0.71, 4), (1.0, 5)):
        assert np.argmax(context(one, one, preference)[2:]) == stars


def test_no_unknown_word_is_written() -> None:
    network, _ = both()
    writer = network.writer.arrays(network.words)
    writer["output.bias"][[PAD, UNKNOWN]] = 100.0
    found = write(writer, context(np.ones(8), np.ones(8), 1.0), 6)
    assert len(found) <= 6 and not {PAD, UNKNOWN, END} & set(found)


# the whole
def auc(near: NDArray[Any], like: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float:
    parts = []
    for row, own, free in zip(near, like, hidden, strict=True):
        good, bad = row[own & free], row[~own & free]
        if len(good) and len(bad):
            parts.append(np.mean((good[:, None] < bad) + 0.5 * (good[:, None] == bad)))
    return float(np.mean(parts))


@pytest.mark.slow
def test_planted_words_are_recovered_and_named() -> None:
    ratings, reviews, like, items = planted(180, 60)
    free = {"dropout": 0.2, "lambda3": 1e-6}  # the words are all that there is to learn: little restraint
    sizes = {"n_bits": 32, "rank": 16, "review_words": 12, "sentence_words": 12}
    r = mh.EDCF(**sizes, **free, random_state=0, epochs=30, learning_rate=5e-3)  # type: ignore[arg-type]
    r.fit(ratings, reviews=reviews)
    hidden = ratings.toarray() == 0
    assert auc(r.user_codes_.hamming(r.item_codes_), like, hidden) > 0.85
    assert auc(r.encoded_user_codes_.hamming(r.encoded_item_codes_), like, hidden) > 0.75  # from texts alone
    pairs = [(u, int(np.flatnonzero(like[u] & hidden[u])[0])) for u in range(0, 180, 9)]
    named = [THINGS[items[i]] in str(r.explain(u, i).generated).lower() for u, i in pairs]
    assert np.mean(named) > 0.8
    user, item = pairs[0]
    own = THINGS[items[item]]
    scores = r.score_sentences(
        user, item, [f"i love the {own}!", "i hate the cable." if own != "cable" else "the drum."]
    )
    assert scores[0] > scores[1]
    new = mh_texts([f"i love the {own}!"] * 3)
    near = r.encode_users(new).hamming(r.item_codes_)[0]
    assert near[items == items[item]].mean() < near[items != items[item]].mean()


def mh_texts(*own: Any) -> dict[str, Any]:
    return {"reviews": [*own]}


@pytest.fixture(scope="module")
def fitted() -> mh.EDCF:
    ratings, reviews, _, _ = planted()
    return mh.EDCF(**SMALL).fit(ratings, reviews=reviews)


def trained(**changed: Any) -> tuple[mh.EDCF, net.EDCFNetwork]:
    """A fitted system and the network that it was trained as."""
    ratings, reviews, _, _ = planted()
    kept: list[net.EDCFNetwork] = []

    class Watched(mh.EDCF):
        def _train(self, *given: Any, **more: Any) -> net.EDCFNetwork:
            kept.append(super()._train(*given, **more))
            return kept[-1]

    return Watched(**{**SMALL, **changed}).fit(ratings, reviews=reviews), kept[-1]


def test_alpha_reaches_codes() -> None:
    r, network = trained(epochs=8)
    assert (r.alpha_ >= 0.999e4).all()
    problem = Problem(sources(), 2, 0.0, np.random.default_rng(0))
    with torch.no_grad():
        given = documents_of(problem, 0, problem.pairs(np.arange(30)), interactions=True)
        assert float((network.codes(0, given).abs() > 0.99).float().mean()) > 0.97


def test_the_codes_of_a_fit_are_those_of_the_network_for_whole_documents() -> None:
    r, network = trained(epochs=4)
    given = sources()
    features = given.features.P, given.features.Q
    others = given.reviews.items, given.reviews.users
    for side, codes in enumerate((r.user_codes_, r.item_codes_)):
        slots = given.documents[side].astype(np.int64)
        ids = np.array([[1 + others[side][k] if k >= 0 else 0 for k in row] for row in slots])
        p = (features[side] / np.sqrt((features[side] ** 2).mean())).astype(np.float32)
        with torch.no_grad():
            found = network.values(side, net.Documents(given.rows, slots, ids, p)).numpy()
        sure = np.abs(found) > 1e-4
        assert sure.mean() > 0.99 and (np.sign(found) == codes.signs())[sure].all()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs(name: str) -> None:
    from modalhash.catalog import make_recommender

    ratings, reviews, _, _ = planted()
    r = make_recommender(name, **SMALL)
    r.fit(ratings, reviews=reviews)
    why = r.explain(0, 1)
    assert (why.generated is None) == (name == "EDCF_SR")
    assert any(ground.quoted for ground in why.grounded)
    assert isinstance(r, mh.EDCF)
    if name == "EDCF_EMW":
        assert r.task_weights_.tolist() == [1.0, 1.0]
    elif name == "EDCF_FMW":
        full = mh.EDCF(**SMALL).fit(ratings, reviews=reviews)
        np.testing.assert_allclose(r.task_weights_, full.task_weights_, rtol=1e-6)
    if name == "EDCF_WA":
        assert not any("attention" in key for key in r.networks_)
    if name == "EDCF_SR":
        with pytest.raises(ValueError, match="without explanations"):
            r.score_sentences(0, 1, ["one"])


def test_same_seed_same_sentences(fitted: mh.EDCF) -> None:
    ratings, reviews, _, _ = planted()
    again = mh.EDCF(**SMALL).fit(ratings, reviews=reviews)
    for user, item in ((0, 1), (5, 7), (29, 19)):
        one, two = fitted.explain(user, item), again.explain(user, item)
        assert one.generated == two.generated
        assert [g.text for g in one.grounded] == [g.text for g in two.grounded]
    other = mh.EDCF(**{**SMALL, "random_state": 1}).fit(ratings, reviews=reviews)
    assert any((other.networks_[key] != array).any() for key, array in fitted.networks_.items())


def test_quotes_are_of_others_and_most_words_in_common_come_first(fitted: mh.EDCF) -> None:
    _, (who, what, texts), _, _ = planted()
    for user, item in ((int(who[0]), int(what[0])), (1, 7)):
        quoted = [ground for ground in fitted.explain(user, item).grounded if ground.quoted]
        others = [t for u, i, t in zip(who, what, texts, strict=True) if i == item and u != user]
        assert quoted and all(any(ground.text in text for text in others) for ground in quoted)
        ranked = fitted.quotes.rank(user, item)
        scores = fitted.quotes.overlaps(ranked, user, item)[:, 0]
        assert (np.diff(scores) <= 0).all() and quoted[0].text == ranked[0].text


def test_odd_reviews_are_defined() -> None:
    """Empty, endless, Chinese, without letters; users and items without reviews; a pair reviewed twice."""
    ratings, (who, what, texts), _, _ = planted()
    odd = ["", "word " * 20_000, "非常好的小提琴。", "!!! ... ???", "\x00 \ud800", *texts[5:]]
    some = who != 4
    some &= what != 2
    users, items = [*who[some].tolist(), int(who[some][9])], [*what[some].tolist(), int(what[some][9])]
    told = [*(text for text, kept in zip(odd, some, strict=True) if kept), "twice told."]
    r = mh.EDCF(**SMALL).fit(ratings, reviews=(users, items, told))
    assert r.recommend([4], k=3).ids.shape == (1, 3)
    why = r.explain(4, 2)
    assert why.generated is not None and [ground.source for ground in why.grounded] == ["codes"]
    np.testing.assert_array_equal(r.user_codes_[4].packed, r.encoded_user_codes_[4].packed)
    assert r.score_sentences(0, 0, ["zzzz", ""]).tolist() == [-np.inf] * 2
    assert r.encode_users(mh_texts(["", "zzzz", texts[9]]))[0].packed.shape == (1, 1)
    empty = mh.EDCF(**SMALL).fit(ratings, reviews=([], [], []))
    assert empty.explain(0, 0).generated == "" and len(empty.vocabulary_) == 0


def test_documents_of_new_users_are_texts_or_several(fitted: mh.EDCF) -> None:
    one, several = "I love the violin!", ["I love the violin!", "I hate the drum."]
    codes = fitted.encode_users(mh_texts(one, several, [one]))
    np.testing.assert_array_equal(codes[0].packed, codes[2].packed)
    np.testing.assert_array_equal(fitted.encode_users(mh_texts(several)).packed, codes[1].packed)
    many = fitted.encode_items(mh_texts(*[several, one] * 80))
    for row in (0, 1, 159):
        np.testing.assert_array_equal(many[row].packed, fitted.encode_items(mh_texts([several, one][row % 2])).packed)
    longer = fitted.encode_users(mh_texts([*several, *several, "the flute.", "the harp."]))
    np.testing.assert_array_equal(longer.packed, fitted.encode_users(mh_texts([*several, *several])).packed)


@pytest.mark.parametrize(
    ("views", "message", "kind"),
    [
        ({"reviews": ["zzzz"]}, "row 0 has no view", ValueError),
        ({"reviews": ["the violin", []]}, "row 1 has no view", ValueError),
        ({"reviews": []}, "at least one document", ValueError),
        ({"text": np.eye(3)}, "'text' is unknown", ValueError),
        ({"reviews": "the violin"}, "got one text", TypeError),
        ({"reviews": [[3]]}, "row 0 holds int", TypeError),
        (["the violin"], "mapping", TypeError),
    ],
)
def test_bad_documents_are_refused(fitted: mh.EDCF, views: Any, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=message):
        fitted.encode_users(views)


@pytest.mark.parametrize(
    ("reviews", "message", "kind"),
    [
        (None, "needs reviews", ValueError),
        ("text", "users, items and texts", TypeError),
        (([0], [0]), "users, items and texts", TypeError),
        (([0], [0], []), "1, 1, 0", ValueError),
        (([0], [0], [3]), "text 0 is int", TypeError),
        (([99], [0], ["a"]), "reviews: users: unknown ids 99", ValueError),
        (([0], ["x"], ["a"]), "reviews: items.*integers", TypeError),
    ],
)
def test_bad_reviews_are_refused(reviews: Any, message: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=message):
        mh.EDCF(**SMALL).fit(planted()[0], reviews=reviews)


def test_views_and_negative_ratings_are_refused() -> None:
    ratings, reviews, _, _ = planted()
    with pytest.raises(ValueError, match="takes no views"):
        mh.EDCF(**SMALL).fit(ratings, {"age": np.eye(30)}, reviews=reviews)
    with pytest.raises(ValueError, match="positive ratings, found -5"):
        mh.EDCF(**SMALL).fit(-ratings, reviews=reviews)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *[("epochs", 0), ("windows", ()), ("windows", [3]), ("dropout", 1.0), ("cold", -0.1), ("alpha", 0.5)],
        *[("tasks", "all"), ("weights", "mine"), ("hidden", (0,)), ("negatives", -1), ("learning_rate", 0)],
    ],
)
def test_wrong_parameters_are_refused(name: str, wrong: Any) -> None:
    ratings, reviews, _, _ = planted()
    with pytest.raises((ValueError, TypeError), match=name):
        mh.EDCF(**{**SMALL, name: wrong}).fit(ratings, reviews=reviews)


def test_reviews_by_position_come_from_ids() -> None:
    ratings = sp.csr_array(np.array([[5.0, 0.0], [1.0, 2.0]]))
    given = (["b", "a", "b"], [9, 7, 7], ["x", "y", "z"])
    found = check_reviews(given, np.array(["a", "b"]), np.array([7, 9]), ratings)
    assert isinstance(found, Reviews) and found.users.tolist() == [1, 0, 1] and found.items.tolist() == [1, 0, 0]
