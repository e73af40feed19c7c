"""Runs one cell of a comparison: fits a contender, ranks by its codes and by floats, and measures both."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.contenders import FREE, ON_VIEWS
from modalhash.evaluation.float_codes import MAKERS, Codes
from modalhash.evaluation.protocol import NEIGHBOURS, Protocol, relevant_labels, with_views
from modalhash.evaluation.rescoring import Asked, Floats, Measures, measures, rank
from modalhash.evaluation.results import machine, versions
from modalhash.evaluation.run import Fitted, Runner
from modalhash.evaluation.spaces import F32, Space, space_of
from modalhash.evaluation.tables import Cell
from modalhash.evaluation.vectors import float_neighbours
from modalhash.folders import FORMAT
from modalhash.index import Index
from modalhash.metrics import SharedLabels
from modalhash.views import Matrix, missing

DIGITS = 6  # of values a query in the files


@dataclass(frozen=True, eq=False)
class Arena:
    """What a protocol comes to on the data, whoever competes: views of queries and items, and how they are measured.

    left_out: queries and items without the views.
    """

    asked: dict[str, Matrix]
    found: dict[str, Matrix]
    measured: Asked
    left_out: tuple[int, int]


@dataclass(eq=False)
class Comparer(Runner):
    """Runs the cells of a comparison; keeps the float spaces, and what each protocol comes to.

    shared: views of one space; k: rank of the measures with a cut; shortlist: items that are rescored.
    """

    shared: tuple[str, ...] = ()
    k: int = 10
    shortlist: int = 100
    _spaces: dict[tuple[Any, ...], Space | str] = field(default_factory=dict, init=False)
    _rows: dict[tuple[Any, ...], F32] = field(default_factory=dict, init=False)
    _arenas: dict[str, Arena] = field(default_factory=dict, init=False)
    _free: tuple[tuple[Any, ...], Fitted] | None = field(default=None, init=False)

    def fitted(self, cell: Cell, data: Dataset) -> Fitted:
        """The fit of a cell; one that fails for want of a package or a space becomes a refusal."""
        name = cell.system
        space = self.space(cell.protocol, data)
        on_views = name not in FREE or name == "CCA-ITQ" or (name in ON_VIEWS and not in_space(name, space))
        if on_views and not (name == "CCA-ITQ" and len(data.views) < 2):
            try:
                if cell.n_bits == 0:
                    return Fitted(None, refused="has no length of its own without a float space")
                return super().fitted(replace(cell, system=ON_VIEWS.get(name, name)), data)
            except ImportError as error:
                return Fitted(None, refused=str(error))
        if name == "CCA-ITQ":
            return Fitted(None, refused="needs two views")
        if isinstance(space, str):
            return Fitted(None, refused=space)
        key = (*cell.fit_key, cell.protocol.query_views, cell.protocol.database_views)
        if self._free is None or self._free[0] != key:
            self._free = key, self.fit_free(cell, data, space)
        return self._free[1]

    def fit_free(self, cell: Cell, data: Dataset, space: Space) -> Fitted:
        """A training-free code of a float space, fitted on the training rows of the views that meet there."""
        train = self.training_rows(cell.protocol, data, space)
        started, worked = time.perf_counter(), time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                codes = MAKERS[cell.system](train, cell.n_bits, cell.seed)
            except (ValueError, ImportError) as error:
                return Fitted(None, refused=str(error))
        seconds = time.perf_counter() - started, time.process_time() - worked
        return Fitted(codes, *seconds, tuple(dict.fromkeys(str(warning.message) for warning in caught)))

    def measured(self, cell: Cell, data: Dataset, facts: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
        """The record of a cell: measures by codes and by floats after them, a value a query where a test needs it."""
        arena = self.arena(cell.protocol, data)
        content = {"format": FORMAT, "system": cell.system, "seed": cell.seed, "versions": versions()}
        content |= {"machine": machine(), "protocol": cell.protocol.as_dict() | {"hash": cell.protocol.hash}}
        content |= {"data": facts, "warnings": list(fitted.warned)}
        content |= {"queries_left_out": arena.left_out[0], "items_left_out": arena.left_out[1]}
        started = time.process_time()
        try:
            index, queries = self.encoded(fitted.hasher, arena)
        except ValueError as error:
            return content | {"refused": str(error)}
        encoded = time.process_time() - started
        ranking = rank(index, queries, arena.measured, rescore=cell.system != "float32")
        plain, again = measures(ranking, arena.measured)
        floats = arena.measured.floats
        seconds = {"fit": fitted.cpu_seconds, "encode": encoded, "search": ranking.seconds[0]}
        return content | {
            "bytes_per_item": float(stored_bytes(index)),
            "float_bytes": None if floats is None else 4.0 * floats.items.shape[1],
            "space": self.space_words(cell.protocol, data),
            "n_queries": len(ranking.places),
            "n_items": len(index),
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "rescore_seconds": round(ranking.seconds[1], 4),
            "codes": summary(plain),
            "rescored": None if again is None else summary(again),
        }

    def encoded(self, codes: Any, arena: Arena) -> tuple[Any, Any]:
        """The index over the items, and the queries as it takes them."""
        if not isinstance(codes, Codes):
            return Index.build(codes.encode(arena.found)), codes.encode_queries(arena.asked)
        floats = arena.measured.floats
        assert floats is not None
        return codes.index(floats.items), codes.queries(floats.queries)

    def space(self, protocol: Protocol, data: Dataset) -> Space | str:
        """The float space of a direction; one for both ways."""
        key = tuple(sorted({protocol.query_views, protocol.database_views}))
        if key not in self._spaces:
            self._spaces[key] = space_of(data, protocol, self.shared)
        return self._spaces[key]

    def space_words(self, protocol: Protocol, data: Dataset) -> str:
        """The space of a direction in words, or why there is none."""
        space = self.space(protocol, data)
        return space if isinstance(space, str) else space.words

    def unit_rows(self, protocol: Protocol, data: Dataset, space: Space, view: str) -> F32:
        """Unit rows of all items in a view; made once a space."""
        key = (view, space.kind, *sorted({protocol.query_views, protocol.database_views}) * (space.kind == "cca"))
        if key not in self._rows:
            self._rows[key] = space.rows(view, data.views[view])
        return self._rows[key]

    def training_rows(self, protocol: Protocol, data: Dataset, space: Space) -> F32:
        """Unit rows of the training items that have the views, view under view."""
        rows = []
        for view in dict.fromkeys((*protocol.query_views, *protocol.database_views)):
            has = data.split["train"][~missing(data.views[view][data.split["train"]])]
            rows.append(self.unit_rows(protocol, data, space, view)[has])
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    def arena(self, protocol: Protocol, data: Dataset) -> Arena:
        """What a protocol comes to on the data."""
        if protocol.hash not in self._arenas:
            asking, asked = with_views(data, protocol.queries, None, protocol.query_views)
            finding, found = with_views(data, protocol.database, None, protocol.database_views)
            labels = None
            if protocol.relevance != NEIGHBOURS:
                known = relevant_labels(data, protocol)
                labels = SharedLabels(known[asking], known[finding])
            floats = self.floats(protocol, data, asking, finding)
            left_out = (
                len(data.split[protocol.queries]) - len(asking),
                len(data.split[protocol.database]) - len(finding),
            )
            measured = Asked(labels, floats, self.k, self.shortlist)
            self._arenas[protocol.hash] = Arena(asked, found, measured, left_out)
        return self._arenas[protocol.hash]

    def floats(
        self, protocol: Protocol, data: Dataset, asking: NDArray[np.int64], finding: NDArray[np.int64]
    ) -> Floats | None:
        """Floats of a direction and the true neighbours; None where there is no space."""
        space = self.space(protocol, data)
        if isinstance(space, str):
            return None
        queries = self.unit_rows(protocol, data, space, protocol.query_views[0])[asking]
        items = self.unit_rows(protocol, data, space, protocol.database_views[0])[finding]
        return Floats(queries, items, float_neighbours(queries, items, self.k))


def in_space(name: str, space: Space | str) -> bool:
    """Whether a contender that also hashes views is made in the float space; across views ITQ is CCA-ITQ there."""
    return isinstance(space, Space) and not (name == "ITQ" and space.kind == "cca")


def stored_bytes(index: Any) -> float:
    """Bytes an item of what is searched."""
    return float((index if index.codes is None else index.codes).bytes_per_item)


def summary(found: Measures) -> dict[str, Any]:
    """Means over the queries that count, and the values of every query (None where nothing is relevant)."""
    counting = {name: values[~np.isnan(values)] for name, values in found.items()}
    return {
        "mean": {name: float(values.mean()) if len(values) else None for name, values in counting.items()},
        "queries": {
            name: [None if value != value else round(value, DIGITS) for value in values.tolist()]
            for name, values in found.items()
            if name.split("@")[0] in ("AP", "nDCG", "P", "neighbours")
        },
    }
