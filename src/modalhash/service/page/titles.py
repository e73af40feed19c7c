"""Titles as they are shown."""

from __future__ import annotations

import unicodedata


def plain_title(title: str) -> str:
    """A title without the emoji that it begins with, as a character, unless nothing else is in it."""
    first, _, rest = title.strip().partition(" ")
    kinds = {unicodedata.category(letter) for letter in first}
    symbols = kinds & {"So", "Me"} and not any(kind.startswith("L") for kind in kinds)
    return rest.strip() if symbols and rest.strip() else title
