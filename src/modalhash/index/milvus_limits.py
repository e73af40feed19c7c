"""What Milvus takes at most, as errors that say so before a call."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, unquote

from modalhash.views import Array

MOST = 16_384  # hits of a query, and rows of an answer
BATCH = 8_192  # items of a write
DIM = 262_144  # bits of a binary vector
ID_BYTES = 4_096  # of a text, as in a URL
TEXT_BYTES = 65_535
LEAST = -(2**63)
LOST = 2**63 - 1  # written, and then in no answer of 2.3.5


def check_k(k: int) -> None:
    """ValueError for more hits than the engine gives."""
    if k > MOST:
        raise ValueError(f"k: Milvus gives at most {MOST} hits a query, got {k}")


def check_width(n_bits: int) -> int:
    """The length of the vector, a multiple of 8: pad bits are 0 and add nothing to a distance."""
    width = -(-n_bits // 8) * 8
    if width > DIM:
        raise ValueError(f"n_bits: Milvus holds at most {DIM} bits a code, got {n_bits}")
    return width


def check_name(name: str) -> str:
    """The name of a collection; ValueError where Milvus would refuse it."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,254}", name):
        raise ValueError(f"milvus://host:port/name: a name is letters, digits and _, got {name!r}")
    return name


def check_texts(ids: Array, titles: Sequence[str], pictures: Sequence[str]) -> None:
    """ValueError for an id that the engine loses, and for ids, titles and pictures (as base64) beyond their fields."""
    if ids.dtype.kind == "i" and (ids == LOST).any():
        raise ValueError(f"ids: Milvus does not find the id {LOST} again")
    if ids.dtype.kind == "U":
        for value in ids.tolist():
            if len(str(key_of(value))) > ID_BYTES:
                raise ValueError(f"ids: Milvus holds texts of {ID_BYTES} bytes as in a URL, {value[:20]!r}… is longer")
    for title in titles:
        if len(title.encode()) > TEXT_BYTES:
            raise ValueError(f"show: Milvus holds titles of {TEXT_BYTES} bytes, {title[:20]!r}… is longer")
    for i, picture in enumerate(pictures):
        if len(picture) > TEXT_BYTES:
            most = TEXT_BYTES // 4 * 3
            raise ValueError(f"show: Milvus holds pictures of {most} bytes, that of item {i} is longer")


def one_of(keys: Sequence[Any]) -> str:
    """The condition that an item has one of these ids.

    The engine reads the least integer as minus a number that does not fit, so that it needs a comparison.
    """
    plain = [json.dumps(key_of(key)) for key in keys if key != LEAST]
    conditions = [f"id in [{', '.join(plain)}]"] if plain or not keys else []
    return " or ".join(conditions + [f"id < {LEAST + 1}"] * (len(plain) < len(keys)))


def key_of(value: Any) -> Any:
    """An id as the engine keeps it: texts as in a URL, so that no quote or backslash ends up in a condition."""
    return quote(value, safe="") if isinstance(value, str) else value


def id_of(key: Any) -> Any:
    """The id of what the engine keeps."""
    return unquote(key) if isinstance(key, str) else key
