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
    views = shared_views(hasher, data)
    return [(a, b) for a, b in product(views, views) if same or a != b or len(views) == 1]


def shared_views(hasher: Hasher, data: Dataset) -> list[str]:
    """Names of the fitted views that the data has; ValueError if there is none."""
    views = [name for name in hasher.widths_ if name in data.views]
    if not views:
        raise ValueError(
            f"{data.name}: has the views {', '.join(map(repr, data.views))}, "
            f"the model knows {', '.join(map(repr, hasher.widths_))}"
        )
    return views


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
    Queries and items without a label known (a NaN row) are left out, too.
    Raises ValueError for data without labels or without queries, and for a view that no item of a side has.
    """
    if queries not in ("query", "validation"):
        raise ValueError(f"queries: expected query or validation, got {queries!r}")
    target = "train" if queries == "validation" else "database"
    for part in (queries, target):
        if not len(data.split[part]):
            counts = ", ".join(f"{name} {len(rows)}" for name, rows in data.split.items())
            raise ValueError(f"{data.name}: has no {part} items; its split is {counts}")
    results = {}
    for source, found in directions(data, hasher, same=same):
        query_views, query_labels = with_view(data, queries, source)
        item_views, item_labels = with_view(data, target, found)
        index = Index.build(hasher.encode(item_views))
        relevant = SharedLabels(query_labels, item_labels)
        results[source, found] = retrieval(index, hasher.encode_queries(query_views), relevant, cuts, **conventions)
    return results


def with_view(data: Dataset, part: str, view: str) -> tuple[Views, Matrix]:
    """One view of a part of the split and its labels, without the items that lack the view or whose labels are unknown.

    Raises ValueError where no item is left.
    """
    matrix, labels = data.part(part)[view], data.part_labels(part)
    has = ~missing(matrix)
    if len(labels.shape) == 2 and labels.dtype.kind == "f":
        has &= ~missing(labels)
    if not has.any():
        raise ValueError(f"{data.name}: no labelled {part} item has view {view!r}")
    return {view: matrix[has]}, labels[has]
