"""Quality as views go missing: queries lose some of their views at random, the database keeps all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.protocol import Protocol, measure, prepare, with_views
from modalhash.hasher import Hasher, check_integer
from modalhash.views import F64, Matrix, missing, remove_rows


@dataclass(frozen=True)
class Loss:
    """mAP when every query has lost `lost` of its views: mean and sd (n - 1) over `draws` draws of which ones."""

    lost: int
    mean: float
    sd: float
    draws: int


def missing_views(hasher: Hasher, data: Dataset, protocol: Protocol | None = None, *, draws: int = 5) -> list[Loss]:
    """How mAP falls as each query loses 0, 1 … of its views, a random choice for every query and draw.

    protocol: by default all views against all views.  The draws are the same for every system.  Raises ValueError for
    a system with fewer than two views, and as `evaluate` does.
    """
    check_integer("draws", draws, low=1)
    asked = Asked(hasher, data, protocol or Protocol())
    if len(asked.views) < 2:
        raise ValueError(
            f"{hasher.name}: needs queries with two views or more to lose some, got {', '.join(asked.views)}"
        )
    curve = []
    for lost in range(len(asked.views)):
        scores = [
            float(np.nanmean(asked.scores(asked.without(gone)))) for gone in asked.draws(lost, draws if lost else 1)
        ]
        curve.append(Loss(lost, float(np.mean(scores)), spread(scores), len(scores)))
    return curve


def beside_single_views(
    hasher: Hasher, singles: Mapping[str, Hasher], data: Dataset, *, lost: int, draws: int = 5
) -> dict[str, dict[str, float]]:
    """mAP of a system whose queries have lost `lost` views, and of systems of one view, on the queries that have it.

    singles: view -> a system fitted on that view alone.  All views against all views, and one view against the same
    view.  Returns view -> fused, single: means over draws, and fused_sd, single_sd over draws.  Raises ValueError for a
    view that the system does not have, or that a query lacks.
    """
    asked = Asked(hasher, data, Protocol())
    own = {view: single_scores(single, view, asked, data) for view, single in singles.items()}
    drawn = [(gone, asked.scores(asked.without(gone))) for gone in asked.draws(lost, draws)]
    found = {}
    for view, alone in own.items():
        column = list(asked.views).index(view)
        pairs = [[np.nanmean(values[~gone[:, column]]) for values in (fused, alone)] for gone, fused in drawn]
        (fused_mean, single_mean), sds = np.mean(pairs, axis=0), [spread(values) for values in np.transpose(pairs)]
        found[view] = {"fused": float(fused_mean), "fused_sd": sds[0]}
        found[view] |= {"single": float(single_mean), "single_sd": sds[1]}
    return found


def single_scores(single: Hasher, view: str, asked: Asked, data: Dataset) -> F64:
    """AP of every query (n,) by a system of one view; ValueError for a view that `asked` or some query lacks."""
    if view not in asked.views:
        raise ValueError(f"{asked.hasher.name}: has no view {view!r}; its views: {', '.join(map(repr, asked.views))}")
    alone = Asked(single, data, Protocol(query_views=(view,), database_views=(view,)))
    if alone.n != asked.n:
        raise ValueError(f"{data.name}: some queries lack the view {view!r}")
    return alone.scores(alone.views)


class Asked:
    """The search of a protocol, to be asked again and again with other views of the queries."""

    def __init__(self, hasher: Hasher, data: Dataset, protocol: Protocol) -> None:
        self.hasher, self.protocol = hasher, protocol
        self.search = prepare(hasher, data, protocol)
        rows, self.views = with_views(data, protocol.queries, hasher, protocol.query_views)
        self.n = len(rows)

    def scores(self, views: Mapping[str, Matrix]) -> F64:
        """AP of every query (n,), NaN where nothing is relevant."""
        search = replace(self.search, queries=self.hasher.encode_queries(views))
        return measure(search, self.protocol).per_query["AP"]

    def draws(self, lost: int, draws: int) -> Iterator[NDArray[np.bool_]]:
        """Which views each query loses, (n, views): `lost` of those that it has, but never the last one."""
        has = np.stack([~missing(matrix) for matrix in self.views.values()], axis=1)
        for draw in range(draws):
            chance = np.where(has, np.random.default_rng([lost, draw]).random(has.shape), 2.0)
            ranks = np.argsort(np.argsort(chance, axis=1), axis=1)
            yield ranks < np.minimum(lost, has.sum(axis=1) - 1)[:, None]

    def without(self, gone: NDArray[np.bool_]) -> dict[str, Matrix]:
        """The views of the queries without those that are gone."""
        return {name: remove_rows(matrix, gone[:, i]) for i, (name, matrix) in enumerate(self.views.items())}


def spread(values: Sequence[float] | F64) -> float:
    """Standard deviation (n - 1), 0 for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
