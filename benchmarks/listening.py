"""Does the writer of EDCF listen to the codes?  Part of benchmarks/explain.py.

How likely it finds withheld reviews given the codes of the pair, and given the mean codes of everybody, in nats a
word; and quotes of every fourth pair by chance, by length, by words in common, by the writer's likelihood a word, and
by how much likelier the pair's codes make it than the mean codes (pointwise mutual information).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modalhash.metrics.text import rouge
from modalhash.recommend.documents import END, has_words, numbered, rows_of_words, tokens
from modalhash.recommend.sentence_writer import context, log_likelihood
from modalhash.recommend.sentences import split_sentences
from modalhash.views import F64

if TYPE_CHECKING:
    from explain import Task

STEP = 4  # every so many pairs are ranked


class Listener:
    """What the writer of a fitted model finds likely."""

    def __init__(self, model: Any) -> None:
        self.model, self.numbers = model, numbered(model.vocabulary_.tolist())
        self.codes = [one.signs().astype(float) for one in (model.user_codes_, model.item_codes_)]
        self.anyone = self._context(*(one.mean(axis=0) for one in self.codes))

    def _context(self, b: F64, d: F64) -> F64:
        return context(b, d, 0.5 + float(b @ d) / (2 * len(b)))

    def likelihoods(self, user: int, item: int, sentences: list[str]) -> tuple[F64, F64, F64]:
        """Mean log-probability of the words of each sentence given its codes, given mean codes; and how many count."""
        texts = [tokens(sentence) for sentence in sentences]
        rows = rows_of_words(texts, self.numbers, self.model.sentence_words, end=True)
        own = self._context(self.codes[0][user], self.codes[1][item])
        found = (log_likelihood(self.model.writer_, C, rows) for C in (own, self.anyone))
        given, anyhow = (np.where(has_words(rows), scores, -1e9) for scores in found)
        return given, anyhow, np.where(has_words(rows), (rows >= END).sum(axis=1), 0)


def listening(model: Any, task: Task) -> dict[str, Any]:
    """Nats a word of the withheld reviews, and the measures of each ranking."""
    listener, sums = Listener(model), np.zeros(3)
    chosen: dict[str, list[str]] = {}
    references = []
    asked = zip(task.users.tolist(), task.items.tolist(), task.references, strict=True)
    for n, (user, item, reference) in enumerate(asked):
        if sentences := split_sentences(reference):
            given, anyhow, words = listener.likelihoods(user, item, sentences)
            sums += (given @ words, anyhow @ words, words.sum())
        quotes = task.quotes.candidates(user, item)
        if n % STEP or not sentences or not quotes:
            continue
        references.append(reference)
        texts = [quote.text for quote in quotes]
        for name, scores in rankings(listener, task, user, item, texts).items():
            chosen.setdefault(name, []).append(texts[int(np.argmax(scores))])
    nats = {"codes": round(-sums[0] / sums[2], 4), "mean codes": round(-sums[1] / sums[2], 4)}
    return {"nats": nats, "pairs": len(references), "ranked": {k: measures(v, references) for k, v in chosen.items()}}


def rankings(listener: Listener, task: Task, user: int, item: int, texts: list[str]) -> dict[str, F64]:
    """Scores of the sentences about an item, by every rule."""
    given, anyhow, _ = listener.likelihoods(user, item, texts)
    return {
        "by chance": np.random.default_rng([0, user, item]).random(len(texts)),
        "length": np.array([float(len(text.split())) for text in texts]),
        "words in common": task.quotes.overlaps(task.quotes.candidates(user, item), user, item)[:, 0],
        "likelihood": given,
        "mutual information": given - anyhow,
    }


def measures(texts: list[str], references: list[str]) -> dict[str, float]:
    found = rouge(texts, references)
    kept = {name: round(float(found[name].mean()), 4) for name in ("ROUGE-1 P", "ROUGE-1 F1")}
    return kept | {"words": round(float(np.mean([len(text.split()) for text in texts])), 2)}
