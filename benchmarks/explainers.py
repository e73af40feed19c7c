"""Systems of benchmarks/explain.py: EDCF and its variants, and peers that rank, quote, or write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from listening import listening

from modalhash.recommend.explanation import Ground
from modalhash.recommend.peers import popularity
from modalhash.recommend.text_peers import (
    accidental_sentence,
    central_sentence,
    helpful_sentence,
    longest_sentence,
    usual_sentence,
    usual_words,
)

if TYPE_CHECKING:
    from explain import Task

EDCF_SETTINGS: dict[str, Any] = {"n_bits": 64}
ORDER = {  # system -> seeds; what matters most first
    "popularity": 1,
    "EDCF": 3,
    "EDCF_SR": 1,
    "EDCF_SE": 1,
    "EDCF_WA": 1,
    "EDCF_EMW": 1,
    "EDCF_FMW": 1,
    "EDCF without reviews": 3,
    "NRT-like": 1,
    "words in common": 1,
    "LexRank": 1,
    "most helpful review": 1,
    "longest sentence": 1,
    "usual words": 1,
    "by chance": 1,
    "MDCF": 3,
}


@dataclass
class Told:
    """What a system says: distances (users, items), small = near; texts by kind, one a pair, "" for none; sources."""

    distances: Any = None
    texts: dict[str, list[str]] = field(default_factory=dict)
    sources: list[str] | None = None
    seconds: float = 0.0  # CPU of the fit
    told_seconds: float = 0.0  # and of all texts
    parameters: dict[str, Any] = field(default_factory=dict)
    listening: dict[str, Any] | None = None


def tell(task: Task, name: str, seed: int) -> Told:
    """A system by its name in ORDER, fitted on the training part and asked for every pair."""
    return OWN[name](task, seed) if name in OWN else edcf(task, name, seed)


def edcf(task: Task, name: str, seed: int) -> Told:
    """EDCF or a variant: codes, the sentence that it writes, and the sentence of others that it quotes first."""
    from modalhash.catalog import make_recommender

    model = make_recommender(name, random_state=seed, **EDCF_SETTINGS)
    started = process_time()
    model.fit(task.split.train, reviews=task.reviews, item_ids=task.source.item_ids)
    told = Told(model.user_codes_.hamming(model.item_codes_), seconds=process_time() - started)
    told.parameters = model.get_params()
    if name == "EDCF_SR":  # it writes nothing
        return told
    ids = task.source.item_ids
    assert ids is not None
    started = process_time()
    found = [model.explain(u, ids[i].item()) for u, i in pairs(task)]
    told.told_seconds = process_time() - started
    told.texts["written"] = [one.generated or "" for one in found]
    if name != "EDCF":  # its variants quote the same: quotes go by words in common
        return told
    told.listening = listening(model, task) if seed == 0 else None
    return with_quotes(told, [[ground for ground in one.grounded if ground.quoted] for one in found])


def with_quotes(told: Told, grounds: list[list[Ground]]) -> Told:
    """The best quote of every pair, with its source."""
    best = [own[0] if own else None for own in grounds]
    told.texts["quoted"] = [ground.text if ground else "" for ground in best]
    told.sources = [f"{g.source}; words in common: {', '.join(g.words) or 'none'}" if g else "" for g in best]
    return told


def in_common(task: Task, seed: int) -> Told:
    """Quotes ranked by the words that the user writes elsewhere, without a model."""
    started = process_time()
    grounds = [task.quotes.grounds(u, i, 1) for u, i in pairs(task)]
    return with_quotes(Told(told_seconds=process_time() - started), grounds)


def pairs(task: Task) -> list[tuple[int, int]]:
    return list(zip(task.users.tolist(), task.items.tolist(), strict=True))


def popular(task: Task, seed: int) -> Told:
    """How many rated each item, and for everybody the sentence that most reviews hold."""
    counts = popularity(task.split.train)
    text = usual_sentence(task.quotes)
    distances = np.tile(-counts.astype(np.float32), (task.split.train.shape[0], 1))
    return Told(distances, {"written": [text] * len(task.users)})


def mdcf(task: Task, seed: int) -> Told:
    """MDCF without views: codes of ratings alone, as long as those of EDCF."""
    from modalhash.recommend.mdcf import MDCF

    started = process_time()
    model = MDCF(n_bits=EDCF_SETTINGS["n_bits"], random_state=seed).fit(task.split.train)
    return Told(model.user_codes_.hamming(model.item_codes_), seconds=process_time() - started)


def without_reviews(task: Task, seed: int) -> Told:
    """EDCF that reads and writes nothing: what the reviews are worth to the codes."""
    from modalhash.recommend.edcf import EDCF

    model = EDCF(**EDCF_SETTINGS, tasks="preference", random_state=seed)
    started = process_time()
    model.fit(task.split.train, reviews=([], [], []))
    seconds = process_time() - started
    return Told(model.user_codes_.hamming(model.item_codes_), seconds=seconds, parameters=model.get_params())


def quoted(choose: Callable[[Any, int, int, int], Any]) -> Callable[[Task, int], Told]:
    """A peer that quotes one sentence: choose(task, user, item, seed) gives it, or None."""

    def told(task: Task, seed: int) -> Told:
        started = process_time()
        found = [choose(task, u, i, seed) for u, i in pairs(task)]
        texts = [sentence.text if sentence else "" for sentence in found]
        return Told(texts={"quoted": texts}, told_seconds=process_time() - started)

    return told


def helpful(task: Task, user: int, item: int, seed: int) -> Any:
    reviews = task.source.reviews
    assert reviews is not None
    return helpful_sentence(task.quotes, user, item, reviews.of(task.split.train).helpful)


def words_of_item(task: Task, seed: int) -> Told:
    return Told(texts={"written": [usual_words(task.quotes, u, i) for u, i in pairs(task)]})


def nrt(task: Task, seed: int) -> Told:
    """A generator without reviews, see nrt.py."""
    from nrt import write_all

    started = process_time()
    reviews = task.source.reviews
    assert reviews is not None
    known = reviews.of(task.split.train)
    texts, seconds = write_all(task.users, task.items, task.split.train, known.triple, seed)
    return Told(texts={"written": texts}, seconds=seconds, told_seconds=process_time() - started - seconds)


OWN: dict[str, Callable[[Any, int], Told]] = {
    "popularity": popular,
    "MDCF": mdcf,
    "EDCF without reviews": without_reviews,
    "words in common": in_common,
    "LexRank": quoted(lambda task, u, i, seed: central_sentence(task.quotes, u, i)),
    "most helpful review": quoted(helpful),
    "longest sentence": quoted(lambda task, u, i, seed: longest_sentence(task.quotes, u, i)),
    "by chance": quoted(lambda task, u, i, seed: accidental_sentence(task.quotes, u, i, seed)),
    "usual words": words_of_item,
    "NRT-like": nrt,
}
