"""An NRT-like peer of benchmarks/explain.py: ratings and sentences from embeddings of user and item (Li et al. 2017).

Two embeddings, of user and of item, go through an MLP to a rating, and with that rating as one of five stars to the
first state of a GRU that writes a sentence word by word.  It reads no review but those that it learns to write: each
epoch one sentence of every training review.  Decoding is greedy.  Sizes are small, as those of EDCF here.
"""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPOCHS, BATCH, RATE, DECAY = 15, 128, 2e-3, 1e-5
WIDTH, WORD, STATE, WORDS, LONGEST = 32, 64, 128, 3000, 20
Rows = NDArray[np.int64]


def write_all(users: Rows, items: Rows, train: Any, texts: Any, seed: int) -> tuple[list[str], float]:
    """Sentences for pairs, by position, and the CPU seconds of the fit.

    train: ratings (users, items); texts: users, items and texts of the training reviews, by position.
    """
    from modalhash.networks import torch
    from modalhash.recommend.documents import SPECIAL, as_sentence, numbered, rows_of_words, tokens, vocabulary
    from modalhash.recommend.sentences import split_sentences
    from modalhash.training import seeded

    started = process_time()
    said = [[tokens(sentence) for sentence in split_sentences(text)] or [[]] for text in texts[2]]
    words = vocabulary((sentence for own in said for sentence in own), 2, WORDS)
    rows = rows_of_words([sentence for own in said for sentence in own], numbered(words), LONGEST, end=True)
    first = np.cumsum([0, *map(len, said)])
    stars = np.asarray(train[texts[0], texts[1]]).ravel()
    given = (np.asarray(texts[0]), np.asarray(texts[1]), stars)
    with seeded(seed):
        network = make(train.shape, SPECIAL + len(words))
        fit(network, given, (rows, first), np.random.default_rng(seed))
    seconds = process_time() - started
    with torch.no_grad():
        numbers = written(network, users, items)
    return [as_sentence([words[n - SPECIAL] for n in row if n >= SPECIAL]) for row in numbers], seconds


def make(shape: tuple[int, int], n_words: int) -> Any:
    """The layers by name."""
    from modalhash.networks import torch

    nn = torch.nn
    return nn.ModuleDict(
        {
            "user": nn.Embedding(shape[0], WIDTH),
            "item": nn.Embedding(shape[1], WIDTH),
            "rating": nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.Sigmoid(), nn.Linear(WIDTH, 1)),
            "start": nn.Sequential(nn.Linear(2 * WIDTH + 5, STATE), nn.Tanh()),
            "word": nn.Embedding(n_words, WORD, padding_idx=0),
            "gru": nn.GRU(WORD, STATE, batch_first=True),
            "out": nn.Linear(STATE, n_words),
        }
    )


def begin(network: Any, users: Any, items: Any) -> tuple[Any, Any]:
    """Ratings and first states of pairs."""
    from modalhash.networks import torch

    nn = torch.nn
    both = torch.cat([network["user"](users), network["item"](items)], dim=1)
    rating = 3.0 + network["rating"](both)[:, 0]
    stars = nn.functional.one_hot(rating.detach().round().clamp(1, 5).long() - 1, 5).float()
    return rating, network["start"](torch.cat([both, stars], dim=1))[None]


def fit(network: Any, given: tuple[Any, Any, Any], sentences: tuple[Any, Rows], rng: np.random.Generator) -> None:
    """Squared error of ratings plus log-likelihood of the words, by Adam."""
    from modalhash.networks import torch

    nn = torch.nn
    (rows, first), (users, items, stars) = sentences, given
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        order = rng.permutation(len(users))
        drawn = first[:-1] + (rng.random(len(users)) * np.diff(first)).astype(np.int64)
        for at in np.array_split(order, -(-len(order) // BATCH)):
            words = torch.from_numpy(rows[drawn[at]].astype(np.int64))
            rating, state = begin(network, torch.from_numpy(users[at]), torch.from_numpy(items[at]))
            inputs = nn.functional.pad(words[:, :-1], (1, 0), value=2)  # END begins a sentence, too
            logits = network["out"](network["gru"](network["word"](inputs), state)[0])
            wanted = words.masked_fill(words == 1, 0)  # unknown words are not learned
            told = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=0)
            loss = told + ((rating - torch.from_numpy(stars[at]).float()) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def written(network: Any, users: Rows, items: Rows) -> list[list[int]]:
    """Numbers of words, greedy, up to the end of each sentence."""
    from modalhash.networks import torch

    _, state = begin(network, torch.from_numpy(users), torch.from_numpy(items))
    word = torch.full((len(users), 1), 2)
    found = []
    for _ in range(LONGEST):
        output, state = network["gru"](network["word"](word), state)
        logits = network["out"](output[:, 0])
        logits[:, :2] = -torch.inf
        word = logits.argmax(dim=1, keepdim=True)
        found.append(word[:, 0].numpy())
    rows = np.stack(found, axis=1)
    ends = np.where((rows == 2).any(axis=1), (rows == 2).argmax(axis=1), LONGEST)
    return [row[:end].tolist() for row, end in zip(rows, ends.tolist(), strict=True)]
