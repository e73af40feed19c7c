"""Cross-view search on a data set: one protocol a direction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from modalhash.datasets.dataset import Dataset
from modalhash.evaluation import protocol
from modalhash.evaluation.protocol import Protocol
from modalhash.fusion import FusedHasher
from modalhash.hasher import Hasher
from modalhash.metrics import RetrievalResult

ALL = "all views"


def directions(data: Dataset, hasher: Hasher, *, same: bool = False) -> list[tuple[str, str]]:
    """Ordered pairs (query view, database view) of the fitted views that the data has; `same` adds view to itself."""
    views = shared_views(hasher, data)
    return [(a, b) for a, b in product(views, views) if same or a != b or len(views) == 1]


def shared_views(hasher: Hasher, data: Dataset) -> list[str]:
    """Names of the fitted views that the data has; ValueError if there is none."""
    views = [name for name in hasher.needed_views or hasher.widths_ if name in data.views]
    if not views:
        raise ValueError(
            f"{data.name}: has the views {', '.join(map(repr, data.views))}, "
            f"the model knows {', '.join(map(repr, hasher.widths_))}"
        )
    return views


def protocols(
    hasher: Hasher,
    data: Dataset,
    *,
    queries: str = "query",
    cuts: Sequence[int] = (50,),
    same: bool = False,
    fused: bool = False,
    **conventions: Any,
) -> dict[tuple[str, str], Protocol]:
    """The protocol of every direction: `queries` (a part) in one view against the encoded database in another.

    Of a system that fuses views (or with `fused`) also all views against all views, under the name (ALL, ALL).
    Conventions are further fields of the Protocol.
    """
    shared: dict[str, Any] = {"queries": queries, "cuts": tuple(cuts), **conventions}
    ways = {
        (a, b): Protocol(query_views=(a,), database_views=(b,), **shared)
        for a, b in directions(data, hasher, same=same)
    }
    if (fused or isinstance(hasher, FusedHasher)) and len(shared_views(hasher, data)) > 1:
        ways[ALL, ALL] = Protocol(**shared)
    return ways


def evaluate(hasher: Hasher, data: Dataset, **options: Any) -> dict[tuple[str, str], RetrievalResult]:
    """Measures of every direction; options as `protocols` takes them: queries, cuts, same, fused and conventions.

    An item is relevant when it shares a label.  Items that lack the view are left out on their side.  With queries from
    `validation`, the database is the training part, so that no query is in it.
    Queries and items without a label known (a NaN row) are left out, too.
    Raises ValueError for data without labels or without queries, and for a view that no item of a side has.
    """
    ways = protocols(hasher, data, **options)
    return {pair: protocol.evaluate(hasher, data, way) for pair, way in ways.items()}
