"""Reviews as documents: words and vocabulary, the reviews that a user wrote or an item received, padded rows of words.

A row of words is int32: 0 pads, 1 is a word that is not in the vocabulary, 2 ends a sentence that is written.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.ratings import Positions, find_ids
from modalhash.views import Array, Matrix
from modalhash.words import SPACELESS

PAD, UNKNOWN, END = 0, 1, 2
SPECIAL = 3  # words begin here
LONGEST = 32  # letters of a word; longer runs are cut
STOPS = ".!?。！？"
Words = NDArray[np.int32]

_MARK = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_TOKEN = re.compile(
    rf"[{SPACELESS}]|(?:[^\W_{SPACELESS}]|[{_MARK}])+(?:['\u2019\u2018](?:[^\W_{SPACELESS}]|[{_MARK}])+)*|[.,;:!?\u3002\uff01\uff1f]"
)
_NO_SPACE_BEFORE = set(".,;:!?。！？")


@dataclass(frozen=True, eq=False)
class Reviews:
    """Who wrote (positions), about what (positions), and the text, one a review."""

    users: Positions
    items: Positions
    texts: list[str]


def check_reviews(reviews: Any, user_ids: Array, item_ids: Array, ratings: Matrix) -> Reviews:
    """Reviews by position, in the order given; those of pairs without a rating are left out with a warning.

    reviews: users, items and texts, three sequences of one length.  Raises TypeError or ValueError for anything else
    and for unknown ids.
    """
    if isinstance(reviews, str) or not isinstance(reviews, Sequence) or len(reviews) != 3:
        raise TypeError(f"reviews: expected users, items and texts, got {type(reviews).__name__}")
    users, items, texts = reviews
    given = [len(column) for column in (users, items, texts)]
    if len(set(given)) > 1:
        raise ValueError(f"reviews: expected as many users as items and texts, got {', '.join(map(str, given))}")
    found = []
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"reviews: text {i} is {type(text).__name__}, expected str")
        found.append(str(text))
    if not found:
        nobody = np.empty(0, dtype=np.int64)
        return Reviews(nobody, nobody, [])
    who, what = find_ids("reviews: users", user_ids, users), find_ids("reviews: items", item_ids, items)
    rated = np.isin(who * ratings.shape[1] + what, pairs_of(ratings))
    if not rated.all():
        left = int((~rated).sum())
        warnings.warn(f"reviews: {left} of pairs without a rating are left out", stacklevel=4)
    return Reviews(who[rated], what[rated], [text for text, kept in zip(found, rated.tolist(), strict=True) if kept])


def pairs_of(ratings: Matrix) -> Positions:
    """user * items + item of every rating in CSR form, in rising order."""
    users = np.repeat(np.arange(ratings.shape[0], dtype=np.int64), np.diff(ratings.indptr))
    return np.sort(users * ratings.shape[1] + ratings.indices)


def tokens(text: str) -> list[str]:
    """Words and stops of a text in order: one form (NFKC), case folded, "don't" is one word, a sign of Chinese too."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'").replace("\u2018", "'")
    return [word[:LONGEST] for word in _TOKEN.findall(folded)]


def vocabulary(texts: Iterable[Sequence[str]], least: int, most: int) -> list[str]:
    """The `most` most frequent words that stand at least `least` times in tokenised texts; ties go by the alphabet."""
    counts = Counter(word for text in texts for word in text)
    kept = sorted((-count, word) for word, count in counts.items() if count >= least)[:most]
    return [word for _, word in kept]


def rows_of_words(texts: Sequence[Sequence[str]], numbers: dict[str, int], width: int, *, end: bool = False) -> Words:
    """Tokenised texts as padded rows (n, width), cut where they are longer; `end`: a whole text is closed by END."""
    rows = np.full((len(texts), width), PAD, dtype=np.int32)
    for row, text in zip(rows, texts, strict=True):
        found = [numbers.get(word, UNKNOWN) for word in text[:width]]
        if end and len(found) < width:
            found.append(END)
        row[: len(found)] = found
    return rows


def numbered(words: Iterable[str]) -> dict[str, int]:
    """The number of every word of a vocabulary."""
    return {word: SPECIAL + i for i, word in enumerate(words)}


def has_words(rows: Words) -> NDArray[np.bool_]:
    """Rows in which a word of the vocabulary stands, (n,)."""
    return np.asarray((rows >= SPECIAL).any(axis=1))


def documents(
    owners: Positions, n: int, size: int, kept: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int32]:
    """Positions of the reviews of each of n owners, (n, size), -1 where there is none; those `kept` only.

    Of an owner with more than `size` reviews some are drawn; they stand in the order given.
    """
    order = rng.permutation(np.flatnonzero(kept))
    order = order[np.argsort(owners[order], kind="stable")]
    _, starts, counts = np.unique(owners[order], return_index=True, return_counts=True)
    drawn = np.zeros(len(owners), dtype=bool)
    drawn[order[np.arange(len(order)) - np.repeat(starts, counts) < size]] = True
    return first_of_each(owners, n, size, drawn)


def sentences_of(text: Sequence[str]) -> list[list[str]]:
    """The sentences of a tokenised text, with their stops; repeated stops stay with the sentence that they end."""
    found: list[list[str]] = []
    ended = True
    for word in text:
        stop = word in STOPS
        if ended and not stop:
            found.append([])
        if found:
            found[-1].append(word)
        ended = stop
    return found


def as_sentence(words: Sequence[str]) -> str:
    """Words as they are written: no space before stops or between signs, a capital after a stop, "I"."""
    text, capital = "", True
    for word in words:
        shown = word
        if capital and word not in _NO_SPACE_BEFORE:
            shown, capital = word[:1].upper() + word[1:], False
        elif word == "i" or word.startswith("i'"):
            shown = "I" + word[1:]
        glued = not text or word in _NO_SPACE_BEFORE or (_is_sign(word) and _is_sign(text[-1]))
        text += shown if glued else f" {shown}"
        capital = capital or word in STOPS
    return text


def _is_sign(word: str) -> bool:
    return re.match(f"[{SPACELESS}。！？]", word) is not None


def first_of_each(owners: Positions, n: int, size: int, kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """As `documents`, but the first `size` reviews of each, so that nothing is drawn."""
    rows = np.full((n, size), -1, dtype=np.int32)
    at = np.flatnonzero(kept)
    at = at[np.argsort(owners[at], kind="stable")]
    _, starts, counts = np.unique(owners[at], return_index=True, return_counts=True)
    place = np.arange(len(at)) - np.repeat(starts, counts)
    first = place < size
    rows[owners[at][first], place[first]] = at[first]
    return rows


def check_documents(name: str, views: Any) -> tuple[list[str], Positions, int]:
    """All texts of the documents of {"reviews": documents}, the row of each, and how many rows there are.

    A document is a text or a sequence of texts.  Raises TypeError or ValueError for anything else.
    """
    if not isinstance(views, Mapping):
        raise TypeError(f"{name}: expected a mapping {{'reviews': documents}}, got {type(views).__name__}")
    unknown = [key for key in views if key != "reviews"]
    if unknown:
        raise ValueError(f"{name}: view {unknown[0]!r} is unknown; users and items are known by their 'reviews'")
    if "reviews" not in views or not len(views["reviews"]):
        raise ValueError(f"{name}: expected at least one view: 'reviews', with at least one document")
    texts: list[str] = []
    owners: list[int] = []
    given = views["reviews"]
    if isinstance(given, str):
        raise TypeError(f"{name}: reviews: expected a sequence of documents, got one text")
    for row, document in enumerate(given):
        own = [document] if isinstance(document, str) else list(document)
        for text in own:
            if not isinstance(text, str):
                raise TypeError(f"{name}: reviews: row {row} holds {type(text).__name__}, expected texts")
        texts += map(str, own)
        owners += [row] * len(own)
    return texts, np.array(owners, dtype=np.int64), len(given)
