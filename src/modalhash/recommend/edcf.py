"""EDCF: explainable discrete collaborative filtering (section 5.4), codes from ratings and reviews, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.model import check_choice, check_integer, check_real, check_widths
from modalhash.recommend.documents import (
    SPECIAL,
    Reviews,
    Words,
    as_sentence,
    check_documents,
    check_reviews,
    documents,
    first_of_each,
    has_words,
    numbered,
    rows_of_words,
    sentences_of,
    tokens,
    vocabulary,
)
from modalhash.recommend.edcf_problem import Problem, Sources
from modalhash.recommend.explanation import Explanation, Ground
from modalhash.recommend.interaction_features import interaction_features
from modalhash.recommend.quotes import Quotes
from modalhash.recommend.ratings import find_ids
from modalhash.recommend.recommender import Codes, Recommender
from modalhash.recommend.review_network import review_features, values
from modalhash.recommend.sentence_writer import context, log_likelihood, write
from modalhash.views import F64, Array, Matrix, Views

if TYPE_CHECKING:
    from modalhash.recommend.edcf_network import EDCFNetwork, Sizes

SIDES = ("users", "items")
TASKS = ("both", "preference", "explanation")
WEIGHTS = ("learned", "equal", "final")
QUOTES = 3  # sentences of others that an explanation shows

VARIANTS: dict[str, dict[str, Any]] = {
    "EDCF": {},
    "EDCF_SR": {"tasks": "preference"},
    "EDCF_SE": {"tasks": "explanation"},
    "EDCF_WA": {"attention": False},
    "EDCF_EMW": {"weights": "equal"},
    "EDCF_FMW": {"weights": "final"},
}


@dataclass(kw_only=True, eq=False)
class EDCF(Recommender):
    """Codes of users and items from ratings and reviews, and a sentence that says why, written from the codes alone.

    Minimises by Adam e^-s_1 L_PP + e^-s_2 L_EG + λ_1/2 (s_1 + s_2) + λ_2 ‖α⁻¹‖² + λ_3 ‖Θ‖² (5.59), s = log φ², where
    L_PP = - mean of r log H + (1 - r) log(1 - H) over rated and drawn pairs, H = 1/2 + bᵀd / 2r, and
    L_EG = - mean of log p(word | words before it, b, d) over the words of a sentence of the pair's own review.

    | symbol | name | shape |
    |---|---|---|
    | R | ratings over the largest | n × m |
    | P, Q | interaction features, UΣ and V of R (5.48) | n × l, m × l |
    | S | features of a review: largest activation of every filter (5.43) | N_f N_g |
    | a | attention over the reviews of a user or item (5.46) | md |
    | b, d | tanh(α MLP[p; a_1 S_1; …]) of user and item, α grows until they are codes (5.50) | r |
    | C | b, d and the preference as one of six stars (5.55) | 2r + 6 |
    """

    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 2e-3
    rank: int = 8
    word_width: int = 48
    n_filters: int = 32
    windows: tuple[int, ...] = (1, 3, 5)
    id_width: int = 32
    attention_width: int = 32
    hidden: tuple[int, ...] = (128,)
    lstm_width: int = 96
    reviews_each: int = 8
    review_words: int = 20
    sentence_words: int = 20
    max_words: int = 3000
    min_count: int = 3
    negatives: int = 2
    dropout: float = 0.5
    cold: float = 0.1
    lambda1: float = 1.0
    lambda2: float = 1e-2
    lambda3: float = 2e-4
    alpha: float = 1e4
    alpha_rate: float = 1.0
    attention: bool = True
    tasks: str = "both"
    weights: str = "learned"

    needs_reviews: ClassVar[bool] = True
    summary: ClassVar[str] = (
        "ratings and reviews: codes from both, and a sentence that says why, written from the codes"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("epochs", "batch_size", "rank", "word_width", "n_filters", "id_width", "attention_width"):
            check_integer(name, getattr(self, name), low=1)
        for name in ("lstm_width", "reviews_each", "review_words", "sentence_words", "max_words", "min_count"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("negatives", self.negatives, low=0)
        check_widths("windows", self.windows)
        check_widths("hidden", self.hidden)
        if not self.windows:
            raise ValueError("windows: expected at least one, got ()")
        for name in ("lambda1", "lambda2", "lambda3", "dropout", "cold"):
            check_real(name, getattr(self, name), low=0)
        if self.dropout >= 1 or self.cold >= 1:
            raise ValueError(f"dropout, cold: expected less than 1, got {self.dropout} and {self.cold}")
        for name in ("learning_rate", "alpha_rate"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        check_real("alpha", self.alpha, low=1)
        check_choice("tasks", self.tasks, TASKS)
        check_choice("weights", self.weights, WEIGHTS)

    # learning
    def _fit(
        self, ratings: Matrix, user_views: dict[str, Matrix], item_views: dict[str, Matrix], reviews: Any
    ) -> Codes:
        from modalhash.training import new_seed

        if user_views or item_views:
            raise ValueError(f"{self.name}: learns from ratings and reviews, and takes no views of users or items")
        if ratings.data.min() < 0:
            raise ValueError(f"ratings: expected positive ratings, found {ratings.data.min():g}")
        rng = self._rng()
        sources = self._sources(ratings, check_reviews(reviews, self.user_ids_, self.item_ids_, ratings), rng)
        problem = Problem(sources, self.negatives, self.cold, rng)
        seed, start = new_seed(rng), (0.0, 0.0)
        if self.weights == "final":
            start = tuple(self._train(problem, seed, start, learned=True).s.detach().tolist())
        network = self._train(problem, seed, start, learned=self.weights == "learned")
        self._keep(network, problem)
        return self._codes(sources, problem)

    def _sources(self, ratings: Matrix, reviews: Reviews, rng: np.random.Generator) -> Sources:
        """Words, documents and interaction features, from the training pairs alone."""
        texts = [tokens(text) for text in reviews.texts]
        words = vocabulary(texts, min(self.min_count, 1 + len(texts) // 10), self.max_words)
        self.vocabulary_ = np.array(words, dtype=np.str_)
        numbers = numbered(words)
        rows = rows_of_words(texts, numbers, self.review_words)
        kept, (n, m) = has_words(rows), ratings.shape
        told = [sentences_of(text) for text in texts]
        flat = [sentence for text in told for sentence in text]
        scaled = ratings.copy()
        scaled.data = ratings.data / ratings.data.max()
        self._remember(reviews)
        return Sources(
            ratings=scaled,
            reviews=reviews,
            rows=rows,
            documents=(
                documents(reviews.users, n, self.reviews_each, kept, rng),
                documents(reviews.items, m, self.reviews_each, kept, rng),
            ),
            features=interaction_features(scaled, self.rank, rng),
            sentences=rows_of_words(flat, numbers, self.sentence_words, end=True),
            first=np.cumsum([0, *(len(text) for text in told)]),
        )

    def _remember(self, reviews: Reviews) -> None:
        """Keep the reviews, for sentences that are quoted: UTF-8 one after the other, and where each begins."""
        vars(self).pop("quotes", None)
        letters = [text.encode("utf8", "surrogatepass") for text in reviews.texts]
        self.reviews_ = {
            "users": reviews.users,
            "items": reviews.items,
            "starts": np.cumsum([0, *map(len, letters)]),
            "letters": np.frombuffer(b"".join(letters), dtype=np.uint8).copy(),
        }

    def _sizes(self, ratings: Matrix) -> Sizes:
        from modalhash.recommend.edcf_network import Sizes

        n, m = ratings.shape
        return Sizes(
            words=SPECIAL + len(self.vocabulary_),
            others=(m, n),
            n_bits=self.n_bits,
            rank=self.rank,
            word_width=self.word_width,
            n_filters=self.n_filters,
            windows=tuple(self.windows),
            id_width=self.id_width,
            attention_width=self.attention_width,
            hidden=tuple(self.hidden),
            lstm_width=self.lstm_width,
            reviews_each=self.reviews_each,
            dropout=self.dropout,
            attention=self.attention,
        )

    def _train(self, problem: Problem, seed: int, start: tuple[float, ...], *, learned: bool) -> EDCFNetwork:
        """A trained network; `losses_` and `objective_` tell how it went."""
        from modalhash.recommend.edcf_network import EDCFNetwork
        from modalhash.recommend.edcf_training import Objective, Weights
        from modalhash.training import Plan, objective, seeded, train

        ratings = problem.given.ratings
        users = np.flatnonzero(np.diff(ratings.indptr))
        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            title=f"{self.name} {self.n_bits} bits",
            verbose=self.verbose,
        )
        weights = Weights(
            lambda1=self.lambda1, lambda2=self.lambda2, lambda3=self.lambda3, learned=learned, tasks=self.tasks
        )
        steps = self.epochs * max(1, min(-(-len(users) // self.batch_size), len(users) // 2))
        with seeded(seed) as generator:
            network = EDCFNetwork(self._sizes(ratings), (self.alpha_rate, 1.0), (start[0], start[1]))
            network.writer.start_at(problem.given.sentences)
            self.losses_ = train(
                network, Objective(network, problem, weights, self.alpha, steps), users, plan, generator
            )
        self.objective_ = objective(self.losses_)
        return network

    def _keep(self, network: EDCFNetwork, problem: Problem) -> None:
        """The trained network as arrays."""
        self.scales_ = np.array(problem.scales)
        self.alpha_ = network.alpha.detach().double().numpy().copy()
        self.task_weights_ = np.exp(-network.s.detach().double().numpy())
        self.networks_: dict[str, Array] = {}
        for side, name in enumerate(SIDES):
            own = network.side(side).arrays(network.words)
            self.networks_ |= {f"{name}/{key}": array for key, array in own.items() if key != "words"}
        self.writer_ = network.writer.arrays(network.words)

    # codes
    def _codes(self, sources: Sources, problem: Problem) -> Codes:
        found = []
        for side, own in enumerate((sources.features.P, sources.features.Q)):
            slots = sources.documents[side].astype(np.int64)
            others = problem.others[side]
            ids = np.where(slots >= 0, (others[slots] if len(others) else 0) + 1, 0)
            S = review_features(self._network(side), self.windows, sources.rows)
            p = (own / self.scales_[side]).astype(np.float32) * (self.tasks != "explanation")
            whole = values(self._network(side), p, S, slots, ids)
            alone = values(self._network(side), np.zeros_like(p), S, slots, np.zeros_like(ids))
            alone[(slots < 0).all(axis=1)] = whole[(slots < 0).all(axis=1)]
            found.append((whole, alone))
        if self.tasks == "explanation":
            self.user_values_, self.item_values_ = (np.tanh(whole).astype(np.float32) for whole, _ in found)
        (users, alone_users), (items, alone_items) = found
        return Codes(*(BinaryCodes.from_signs(one) for one in (users, items, alone_users, alone_items)))

    def _network(self, side: int) -> dict[str, Array]:
        name = f"{SIDES[side]}/"
        own = {key.removeprefix(name): array for key, array in self.networks_.items() if key.startswith(name)}
        return own | {"words": self.writer_["words"]}

    def encode_users(self, views: Views) -> BinaryCodes:
        """Codes of new users from what they wrote: {"reviews": documents}, each a text or several."""
        return self._encode(0, views)

    def encode_items(self, views: Views) -> BinaryCodes:
        """Codes of new items from what was written about them, as `encode_users`."""
        return self._encode(1, views)

    def _encode(self, side: int, views: Any) -> BinaryCodes:
        self._check_fitted()
        rows, slots = self._read(views)
        S = review_features(self._network(side), self.windows, rows)
        p = np.zeros((len(slots), self.rank), dtype=np.float32)
        return BinaryCodes.from_signs(values(self._network(side), p, S, slots, np.zeros_like(slots)))

    def _read(self, views: Any) -> tuple[Words, NDArray[np.int64]]:
        """Words of the reviews of some documents, and for each the positions of those that are read."""
        texts, owners, n = check_documents(self.name, views)
        rows = rows_of_words([tokens(text) for text in texts], numbered(self.vocabulary_.tolist()), self.review_words)
        kept = has_words(rows)
        without = np.flatnonzero(np.bincount(owners[kept], minlength=n) == 0)
        if len(without):
            raise ValueError(f"{self.name}: row {without[0]} has no view, no review with a word that was learned")
        return rows, first_of_each(owners, n, self.reviews_each, kept).astype(np.int64)

    # reasons
    def score_sentences(self, user: Any, item: Any, sentences: Sequence[str]) -> F64:
        """How likely the writer finds each sentence, given the two codes, (sentences,), larger = likelier.

        The mean log-probability of its known words; -inf without a known word.
        """
        self._check_fitted()
        if self.tasks == "preference":
            raise ValueError(f"{self.name}: was fitted without explanations (tasks='preference')")
        u, i = find_ids("user", self.user_ids_, user)[0], find_ids("item", self.item_ids_, item)[0]
        numbers = numbered(self.vocabulary_.tolist())
        rows = rows_of_words([tokens(text) for text in sentences], numbers, self.sentence_words, end=True)
        return log_likelihood(self.writer_, self._context(u, i), rows)

    def explain(self, user: Any, item: Any) -> Explanation:
        """A sentence written from the two codes, the share of agreeing bits, and three sentences that others wrote.

        The quoted ones come from reviews of the item by others in the fit, those first that share most words with the
        user's other reviews: the writer likes best what could be said of anything (see `score_sentences`).
        """
        self._check_fitted()
        u, i = find_ids("user", self.user_ids_, user)[0], find_ids("item", self.item_ids_, item)[0]
        agree = np.flatnonzero(self.user_codes_[u].signs()[0] == self.item_codes_[i].signs()[0])
        score = len(agree) / self.n_bits
        grounded = [Ground("codes", f"{len(agree)} of {self.n_bits} bits agree", score)]
        grounded += self.quotes.grounds(int(u), int(i), QUOTES)
        return Explanation(self._sentence(u, i), grounded, score, agree)

    @cached_property
    def quotes(self) -> Quotes:
        """The reviews of the fit, ready to quote from; an attribute that is not saved."""
        self._check_fitted()
        kept, n = self.reviews_, len(self.reviews_["users"])
        texts = [self._text(review) for review in range(n)]
        shape = len(self.user_ids_), len(self.item_ids_)
        return Quotes((kept["users"], kept["items"], texts), *shape, self.user_ids_)

    def _sentence(self, user: int, item: int) -> str | None:
        if self.tasks == "preference":
            return None
        numbers = write(self.writer_, self._context(user, item), self.sentence_words)
        return as_sentence([str(self.vocabulary_[number - SPECIAL]) for number in numbers])

    def _context(self, user: int, item: int) -> F64:
        """What the writer is told of a pair: codes and preference, or without that task real values alone."""
        b, d = self.user_codes_[user].signs()[0].astype(float), self.item_codes_[item].signs()[0].astype(float)
        if self.tasks == "explanation":
            b, d = self.user_values_[user].astype(float), self.item_values_[item].astype(float)
        return context(b, d, 0.5 + float(b @ d) / (2 * self.n_bits))

    def _text(self, review: int) -> str:
        """A review of the fit as it was given."""
        starts = self.reviews_["starts"]
        return self.reviews_["letters"][starts[review] : starts[review + 1]].tobytes().decode("utf8", "surrogatepass")
