"""Words of a text in any language: lower case, Latin without accents, pairs of signs where no spaces are written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SPACELESS = (  # Thai and Lao, Burmese, Khmer, kana, Han
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"([{SPACELESS}]+)")
# vowel signs of Hebrew, Arabic and the Indic scripts are marks, not letters, yet belong to the word
_WORDS = re.compile(r"(?:[^\W_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff])+")
_ACCENTS = re.compile(r"([a-z])[\u0300-\u036f]+")


def words(text: str, ngrams: tuple[int, int] | None = None) -> list[str]:
    """The words of a text, in order, with repeats.

    Text is brought to one form (NFKC), case is folded, Latin letters lose their accents.  Runs of a script written
    without spaces give each sign and each pair of neighbours.  With ngrams = (shortest, longest) every word
    also gives its pieces of that many letters, with "<" and ">" at its ends.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENTS.sub(r"\1", unicodedata.normalize("NFD", text)))
    found: list[str] = []
    for position, run in enumerate(_RUNS.split(text)):
        if position % 2:
            found += run
            found += (run[i : i + 2] for i in range(len(run) - 1))
        else:
            for word in _WORDS.findall(run):
                found.append(word)
                if ngrams is not None:
                    found += _pieces(word, *ngrams)
    return found


def _pieces(word: str, shortest: int, longest: int) -> Iterator[str]:
    closed = f"<{word}>"  # "<" and "#" never occur in a word, so no piece is mistaken for one
    for length in range(shortest, min(longest, len(closed)) + 1):
        yield from (f"#{closed[i : i + length]}" for i in range(len(closed) - length + 1))


# English words that say nothing of a thing; parts of "don't", "it's" … among them
_FUNCTION_WORDS = """
a about above after again against ain all also although always am an and another any anybody anyone anything are
aren around as at away back be became because been before being below between both but by can cannot cant could
couldn d did didn do does doesn doing don done dont down during each either else enough etc even ever every
everybody everyone everything few for from further get gets getting go goes going gone got had hadn has hasn have
haven having he her here hers herself him himself his how however i if im in into is isn it its itself ive just ll
less let like ll m many may maybe me might mine more most much must my myself neither never no nobody none nor not
nothing now of off often on once one only onto or other others our ours ourselves out over own perhaps quite rather
re really s same say see seem seems shall she should shouldn since so some somebody someone something sometimes
still such t than that thats the their theirs them themselves then there these they thing things this those though
through thus to too toward towards under until up upon us ve very was wasn way we well were weren what whatever when
where whether which while who whom whose why will with within without won would wouldn yes yet you your yours
yourself yourselves
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())


def content_words(text: str) -> list[str]:
    """The words of a text that may say something of a thing: no function words of English, numbers or single letters.

    A single sign of a script that is written without spaces counts.
    """
    return [word for word in words(text) if _has_content(word)]


def _has_content(word: str) -> bool:
    return word not in FUNCTION_WORDS and not word.isdigit() and (len(word) > 1 or bool(_RUNS.fullmatch(word)))
