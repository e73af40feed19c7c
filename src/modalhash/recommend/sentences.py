"""Sentences of texts, cut where they stand: every sentence is a piece of its text, sign by sign."""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 400  # signs of a sentence; longer ones are cut at a comma or a space
ENDS = ".!?\u2026\u203c\u2047-\u2049\u061f\u06d4\u0964\u0965\u1362\u104a\u104b\u17d4\u17d5"  # with a space behind
FULL = "\u3002\uff01\uff1f\uff0e\uff61"  # Chinese and Japanese, no space behind
CLOSERS = "\"'\u201d\u2019\u00bb)]}\u300d\u300f\u3011\uff09"
CLOSING = re.escape(CLOSERS)
WINDOW = 80  # signs around a stop that decide
_ABBREVIATIONS = """
mr mrs ms dr prof st sr jr vs eg ie cf al approx ca inc ltd co corp dept est fig figs vol vols ed eds pp jan feb mar
apr jun jul aug sep sept oct nov dec tue tues wed thu thurs bzw
"""
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
BEFORE_DIGITS = frozenset({"no", "nos", "nr", "p", "art", "ch"})  # "no. 5", but "I said no. Five of them broke."
# "6 in. long": no end here
_UNITS = """
in ft oz lb lbs mm cm min max hr hrs sec approx etc ect
"""
UNITS = frozenset(_UNITS.split())

_ENDING = re.compile(
    f"(?<![{ENDS}])[{ENDS}]++[{CLOSING}]*+(?=\\s|$)|(?<![{ENDS}{FULL}])[{ENDS}]*+[{FULL}][{ENDS}{FULL}]*+[{CLOSING}]*+"
)
_GLUED = re.compile(f"(?<=[^\\W\\dA-Z_][^\\W\\dA-Z_])[.!?]++[{CLOSING}]*+(?=[A-Z][a-z' ])|(?<=\\))[.!?]++(?=[A-Z])")
_BREAK = re.compile(r"\n\s*\n|\n\s*(?=[-*\u2022\u00b7]\s|\d{1,3}[.)]\s)")
_LAST_WORD = re.compile(r"[^\s(\[\"\u201c]*$")
_INITIAL = re.compile(r"(?:^|[\s.(])(?!I\.)[A-Z]\.$")  # of a name
_ADDRESS = re.compile(r"(?:www\.|https?:|@)\S*$", flags=re.IGNORECASE)
_SOFT = re.compile(r"[,;:\u3001\uff0c\uff1b]\s*|\s[-\u2013\u2014]\s|\s+")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text in order, as they are written, without the white space around them.

    An end is a full stop, an exclamation or a question mark of any script with a space behind it, or in Chinese and
    Japanese without one; a stop between a small and a capital letter ("great.The") where a line was lost; an empty
    line; a bullet.  No end: after an abbreviation or an initial, in a number or an address, and after dots when a
    small letter follows.  A sentence of more than 400 signs is cut at its last comma, else at its last space.
    Without any letter or digit it is no sentence.
    """
    found: list[str] = []
    for part in _BREAK.split(text):
        start = 0
        for end in sorted({match.end() for match in (*_ENDING.finditer(part), *_GLUED.finditer(part))}):
            if _is_end(part, start, end):
                found += _shortened(part, start, end)
                start = end
        found += _shortened(part, start, len(part))
    return [sentence for sentence in found if any(sign.isalnum() for sign in sentence)]


def _is_end(text: str, start: int, end: int) -> bool:
    """Whether a sentence that starts at `start` ends behind the stop that ends at `end`."""
    whole = text[max(start, end - WINDOW) : end]
    stop = whole.rstrip(CLOSERS)
    follows = text[end : end + WINDOW].lstrip()[:1]
    if stop.endswith(("..", "\u2026")):
        return not follows.islower()
    if not stop.endswith("."):
        return not (follows.islower() and len(stop) < len(whole))  # it (really?) goes on
    word = _LAST_WORD.search(stop[:-1])
    last = (word[0] if word else "").casefold()
    if _ADDRESS.search(stop) and follows and not text[end].isspace():
        return False
    if last in ABBREVIATIONS or _INITIAL.search(stop):
        return not follows
    if last in BEFORE_DIGITS:
        return not follows.isdigit()
    if last in UNITS or "." in last:
        return not (follows.islower() or follows.isdigit())
    return not (last.isdigit() and len(last) < 3 and whole.lstrip() == stop.lstrip() == f"{last}.")  # "1. Take it out"


def _shortened(text: str, start: int, end: int) -> Iterator[str]:
    """What stands from `start` to `end`, without the white space around it, in pieces of at most 400 signs."""
    while end - start > LONGEST:
        cuts = [match for match in _SOFT.finditer(text, start, start + LONGEST) if match.start() > start]
        marked = [match for match in cuts if match[0].strip() and match.end() > start + LONGEST // 2]
        at = (marked or cuts)[-1].end() if cuts else start + LONGEST
        yield text[start:at].strip()
        start = at
    yield text[start:end].strip()
