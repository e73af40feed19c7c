"""One query, answered in columns: by float vectors, by codes, by codes and then floats.  Plain data, no HTML."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.fusion import FusedHasher
from modalhash.service.page import floats
from modalhash.service.page.floats import F32
from modalhash.service.page.moment import Moment
from modalhash.service.page.strips import Strip, strip
from modalhash.views import Array

SHORTLIST = 10  # times k codes are rescored
TIMES = 3  # searches of which the quickest counts, where ways are compared
WAYS = ("float", "code", "code + rescoring")


@dataclass(frozen=True)
class Asked:
    """What is searched with: words, an uploaded picture, an item of the moment, or several of these."""

    words: str = ""
    picture: bytes = b""
    item: int | None = None  # a position
    only: str = ""  # words that the titles of found items must hold

    def __bool__(self) -> bool:
        return bool(self.words or self.picture or self.item is not None)


@dataclass(frozen=True)
class Found:
    """A found item: its position, its distance as told, how many bits agree and which, where codes are binary."""

    at: int
    distance: str
    agree: int | None = None
    strip: Strip | None = None


@dataclass(frozen=True)
class Column:
    """The answer of one way to search, or why there is none."""

    way: str
    told: str
    found: Sequence[Found] = ()
    seconds: float = 0.0
    why_not: str = ""

    def shared(self, other: Column) -> int:
        """How many of the found items another column has found, too."""
        return len({hit.at for hit in self.found} & {hit.at for hit in other.found})


@dataclass(frozen=True, eq=False)
class Query:
    """A query as the ways to search take it: its code, its float vector if there is one, weights of its views."""

    code: Any
    vector: F32 | None
    weights: Sequence[tuple[str, float]] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What was asked, and what each way found."""

    asked: Asked
    columns: Sequence[Column]
    query: Query
    among: int


def answer(
    moment: Moment, asked: Asked, k: int, *, ways: Sequence[str] = ("code",), vectors: Array | None = None
) -> Answer:
    """Search in each of the ways; vectors: (n, K) float32 rows of length 1 of the items, where they are kept.

    Raises ValueError where nothing in the query is known to the collection.
    """
    query = prepare(moment, asked, vectors)
    allowed = allowed_rows(moment, asked.only)
    among = len(moment) if allowed is None else len(allowed)
    times = TIMES if len(ways) > 1 else 1
    columns = [fastest(times, partial(search, moment, query, way, k, allowed, vectors)) for way in ways if among]
    return Answer(asked, columns, query, among)


def fastest(times: int, column: Callable[[], Column]) -> Column:
    """The quickest of some equal searches: the others waited for something else."""
    return min((column() for _ in range(times)), key=lambda one: one.seconds)


def prepare(moment: Moment, asked: Asked, vectors: Array | None = None) -> Query:
    """The query's code and float vector; an item that is asked for alone searches with its stored code."""
    started = time.perf_counter()
    hasher = moment.hasher
    if asked.item is not None and not asked.words and not asked.picture:
        vector = None if vectors is None else vectors[asked.item]
        return Query(moment.codes[asked.item], vector, seconds=time.perf_counter() - started)
    given = views_of(moment, asked)
    code = hasher.encode_queries(given)
    vector = floats.unit(hasher.outputs(given))[0] if hasher.has_outputs else None
    seconds = time.perf_counter() - started
    weights: list[tuple[str, float]] = []
    if isinstance(hasher, FusedHasher) and len(given) > 1:
        weights = list(zip(hasher.widths_, hasher.view_weights(given)[0].tolist(), strict=True))
    return Query(code, vector, weights, seconds)


def views_of(moment: Moment, asked: Asked) -> dict[str, Any]:
    """The matrices (1, d) of words and picture; of an item asked for with words, its picture counts."""
    picture = asked.picture
    if asked.item is not None and not picture:
        picture = moment.picture(asked.item)
        if not picture:
            raise ValueError("this item has no picture to search with beside words")
    return moment.raw_views(asked.words, picture)


def allowed_rows(moment: Moment, only: str) -> NDArray[np.int64] | None:
    """Positions of the items whose titles hold all the words of a filter; None without a filter."""
    words = only.casefold().split()
    if not words:
        return None
    titles = enumerate(moment.folded_titles)
    return np.array([i for i, title in titles if all(word in title for word in words)], dtype=np.int64)


def search(
    moment: Moment, query: Query, way: str, k: int, allowed: NDArray[np.int64] | None, vectors: Array | None
) -> Column:
    """One column of the answer."""
    if way == "float":
        return _by_floats(moment, query, k, allowed, vectors)
    if way == "code":
        return _by_codes(moment, query, k, allowed)
    return _rescored(moment, query, k, allowed, vectors)


def _by_codes(moment: Moment, query: Query, k: int, allowed: NDArray[np.int64] | None) -> Column:
    seconds, near, distances = _nearest_codes(moment, query, k, allowed)
    codes = moment.codes
    binary = isinstance(codes, BinaryCodes)
    told = [bits_told(d) if binary else f"distance {d:.3f}" for d in distances.tolist()]
    return Column("code", f"{codes.bytes_per_item} bytes an item", _found(query, codes, near, told), seconds)


def bits_told(count: int) -> str:
    """A Hamming distance in words."""
    return "1 bit differs" if count == 1 else f"{count} bits differ"


def _nearest_codes(
    moment: Moment, query: Query, k: int, allowed: NDArray[np.int64] | None
) -> tuple[float, NDArray[np.int64], Array]:
    started = time.perf_counter()
    near, distances = moment.search(query.code, k, allowed)
    return time.perf_counter() - started, near, distances


def _by_floats(
    moment: Moment, query: Query, k: int, allowed: NDArray[np.int64] | None, vectors: Array | None
) -> Column:
    width = 4 * moment.hasher.n_bits
    told = f"{width} bytes an item, cosine distance"
    if vectors is None:
        kept = moment.codes.bytes_per_item
        why_not = f"This collection keeps codes only, {kept} bytes an item, and no floats; the demo keeps both."
        return Column("float", told, why_not=why_not)
    assert query.vector is not None
    started = time.perf_counter()
    near, distances = floats.nearest(query.vector, vectors, allowed, k)
    seconds = time.perf_counter() - started
    shown = [f"distance {d:.3f}" for d in distances.tolist()]
    return Column("float", told, _found(query, moment.codes, near, shown), seconds)


def _rescored(moment: Moment, query: Query, k: int, allowed: NDArray[np.int64] | None, vectors: Array | None) -> Column:
    """The nearest codes in the order of the query's floats: against the items' floats, or else against their bits."""
    codes = moment.codes
    way = "code + rescoring"
    if query.vector is None or not isinstance(codes, BinaryCodes):
        return Column(way, "", why_not="There is no float vector of this query to rescore with.")
    seconds, shortlist, _ = _nearest_codes(moment, query, SHORTLIST * k, allowed)
    started = time.perf_counter()
    rows = np.sort(shortlist)
    values = floats.unit(codes[rows].signs()) if vectors is None else vectors[rows]
    near, distances = floats.nearest(query.vector, values, None, k)
    seconds += time.perf_counter() - started
    against = "their bits" if vectors is None else "their floats"
    told = f"{len(shortlist)} nearest codes, then the query's floats and {against}"
    shown = [f"distance {d:.3f}" for d in distances.tolist()]
    return Column(way, told, _found(query, codes, rows[near], shown), seconds)


def _found(query: Query, codes: Any, near: NDArray[np.int64], told: Sequence[str]) -> list[Found]:
    if not isinstance(codes, BinaryCodes):
        return [Found(int(i), text) for i, text in zip(near.tolist(), told, strict=True)]
    agreeing = codes[near].signs() == query.code.signs()
    return [
        Found(int(i), text, int(same.sum()), strip(same))
        for i, text, same in zip(near.tolist(), told, agreeing, strict=True)
    ]
