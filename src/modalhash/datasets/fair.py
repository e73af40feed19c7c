"""Texts without the words of the labels, so that text does not hand over what is asked of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modalhash.words import words

IRREGULAR = {"man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet", "mouse": "mice"}
SHORTEST_PART = 4  # letters of a label word that is also found inside a compound


def forms(named: Iterable[str]) -> frozenset[str]:
    """Every word of the names, in its singular and plural forms (English, with more forms than there are words)."""
    found = {word for name in named for word in words(name) if len(word) > 1}
    found |= {form for word in found for form in _singulars(word)}
    found |= {many for one, many in IRREGULAR.items() if one in found}
    found |= {form for word in found for form in _plurals(word)}  # of irregular plurals, too: "womens"
    return frozenset(found)


def _singulars(word: str) -> set[str]:
    found = {one for one, many in IRREGULAR.items() if word == many}
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and not word.endswith("ss") and len(stem) > 2:
            found.add(stem)
    return found


def _plurals(word: str) -> set[str]:
    found = {word + "s", word + "es"}
    for ending, instead in (("y", "ies"), ("f", "ves"), ("fe", "ves")):
        if word.endswith(ending):
            found.add(word.removesuffix(ending) + instead)
    return found


def tells(word: str, told: frozenset[str], *, compounds: bool = False) -> bool:
    """True if a word is one of `told` or a single letter; with `compounds`, also if it begins or ends with one.

    Only words of four letters and more count inside a compound.
    """
    if len(word) < 2 or word in told:
        return True
    cuts = range(SHORTEST_PART, len(word)) if compounds else ()
    return any(word[:cut] in told or word[-cut:] in told for cut in cuts)


def without(texts: Sequence[str], told: frozenset[str], *, compounds: bool = False) -> list[str]:
    """The words of each text that do not tell, in order, between spaces; "" where none is left."""
    known: dict[str, bool] = {}
    return [" ".join(word for word in words(text) if not _told(word, told, compounds, known)) for text in texts]


def _told(word: str, told: frozenset[str], compounds: bool, known: dict[str, bool]) -> bool:
    if word not in known:
        known[word] = tells(word, told, compounds=compounds)
    return known[word]
