"""Cross-view search on a data set: queries in one view against a database in another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from modalhash.datasets.dataset import Dataset
from modalhash.hasher import Hasher
from modalhash.index import Index
from modalhash.metrics import RetrievalResult, SharedLabels, retrieval
from modalhash.views import Matrix, Views, missing


def directions(data: Dataset, hasher: Hasher, *, same: bool = False) -> list[tuple[str, str]]:
    """Ordered pairs (query view, database view) of the fitted views that the data has; `same` adds view to itself."""
    views = [name for name in hasher.widths_ if name in data.views]
    return [(a, b) for a, b in product(views, views) if same or a != b or len(views) == 1]


def evaluate(
    hasher: Hasher,
    data: Dataset,
    *,
    queries: str = "query",
    cuts: Sequence[int] = (50,),
    same: bool = False,
    **conventions: Any,
) -> dict[tuple[str, str], RetrievalResult]:
    """Measures of every direction: `queries` (a part) in one view against the encoded database in another.

    An item is relevant when it shares a label.  Items that lack the view are left out on their side.  Conventions
    are passed to `metrics.retrieval`.  With queries from `validation`, the database is the training part, so that
    no query is in it.
    Raises ValueError for data without labels or without queries.
    """
    target = "train" if queries == "validation" else "database"
    if not len(data.split[queries]):
        raise ValueError(
            f"{data.name}: has no {queries} items; its split is { ({k: len(v) for k, v in data.split.items()}) }"
        )
    results = {}
    for source, found in directions(data, hasher, same=same):
        query_views, query_labels = with_view(data, queries, source)
        item_views, item_labels = with_view(data, target, found)
        index = Index.build(hasher.encode(item_views))
        relevant = SharedLabels(query_labels, item_labels)
        results[source, found] = retrieval(index, hasher.encode_queries(query_views), relevant, cuts, **conventions)
    return results


def with_view(data: Dataset, part: str, view: str) -> tuple[Views, Matrix]:
    """One view of a part of the split and its labels, without the items that lack the view."""
    matrix, labels = data.part(part)[view], data.part_labels(part)
    has = ~missing(matrix)
    return {view: matrix[has]}, labels[has]
