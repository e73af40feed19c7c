"""Protocol: who queries whom, what is relevant, and every convention of the measures; its hash travels with results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import PARTS, Dataset
from modalhash.hasher import Hasher, check_integer
from modalhash.index import Index
from modalhash.index.memory import Queries
from modalhash.metrics import RetrievalResult, SharedLabels, retrieval
from modalhash.metrics.gains import Gain
from modalhash.metrics.retrieval import Denominator, Empty, Ties
from modalhash.views import Matrix, check_labels, missing

CHOICES = {
    "queries": ("query", "validation"),
    "database": ("database", "train"),
    "database_codes": ("encoded", "learned"),
    "denominator": get_args(Denominator),
    "ties": get_args(Ties),
    "empty": get_args(Empty),
    "gain": get_args(Gain),
}
SHARED = "shared_labels"
NEIGHBOURS = "float_neighbours"  # what `compare` asks of data without labels


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a system is measured; equal protocols have equal hashes.

    query_views, database_views: names of views, none for all views that the system was fitted on (fused codes).
    queries: part of the split that queries; database: part that is searched, `train` by default for validation queries
    and for learned codes, else `database`.  relevance: `shared_labels`, or `shared_labels:TEXT` for those label
    columns only whose names start with TEXT.  database_codes: `encoded`, or `learned` (the training items' codes_,
    which may carry the labels).  cuts, denominator, ties, empty, gain: see `metrics.retrieval`.
    An item without any of the views is left out on its side.  Raises ValueError for a value that does not fit.
    """

    query_views: tuple[str, ...] = ()
    database_views: tuple[str, ...] = ()
    queries: str = "query"
    database: str = ""
    relevance: str = SHARED
    database_codes: str = "encoded"
    cuts: tuple[int, ...] = (50,)
    denominator: Denominator = "relevant"
    ties: Ties = "expected"
    empty: Empty = "exclude"
    gain: Gain = "exponential"

    def __post_init__(self) -> None:
        learned = self.database_codes == "learned"
        if not self.database:
            object.__setattr__(self, "database", "train" if learned or self.queries == "validation" else "database")
        for name in ("query_views", "database_views"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        object.__setattr__(self, "cuts", tuple(self.cuts))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)!r}")
        for cut in self.cuts:
            check_integer("cuts", cut, low=1)
        if self.relevance.split(":")[0] != SHARED and self.relevance != NEIGHBOURS:
            raise ValueError(f"relevance: expected {SHARED} or {SHARED}:TEXT, got {self.relevance!r}")
        if learned and self.database != "train":
            raise ValueError("database: learned codes are those of the training items; expected 'train'")

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Protocol:
        """The protocol that `as_dict` wrote; a `hash` in it is not read."""
        return cls(**{name: value for name, value in content.items() if name != "hash"})

    @property
    def hash(self) -> str:
        """The first 12 digits of the SHA-256 of the canonical JSON (keys sorted, no spaces)."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def direction(self) -> str:
        """Who queries whom in words: `image → text`, `all views → all views`."""
        sides = [" + ".join(views) or "all views" for views in (self.query_views, self.database_views)]
        return " → ".join(sides)

    @property
    def words(self) -> str:
        """The protocol as one line of text."""
        prefix = self.relevance.partition(":")[2]
        if self.relevance == NEIGHBOURS:
            return f"{self.direction}; queries: {self.queries}, database: {self.database}; wanted = nearest by floats"
        relevant = "relevant = a label in common" + (f" among {prefix}…" if prefix else "")
        codes = "learned codes of the training items" if self.database_codes == "learned" else "encoded codes"
        return (
            f"{self.direction}; queries: {self.queries}, database: {self.database} ({codes}); {relevant}; "
            f"ties: {self.ties}, AP@K over: {self.denominator}, queries without relevant items: {self.empty}, "
            f"gain: {self.gain}"
        )


@dataclass(frozen=True, eq=False)
class Search:
    """What a protocol comes to for a fitted system and a data set, ready to be measured.

    `queries_left_out`, `items_left_out`: how many lack the views.
    """

    index: Index
    queries: Queries
    relevant: SharedLabels
    queries_left_out: int
    items_left_out: int


def evaluate(hasher: Hasher, data: Dataset, protocol: Protocol) -> RetrievalResult:
    """Measures of a fitted system on a data set as the protocol says; the result carries the protocol's hash.

    Raises ValueError for data without labels, without queries or items with the views, or with other label names.
    """
    return measure(prepare(hasher, data, protocol), protocol)


def prepare(hasher: Hasher, data: Dataset, protocol: Protocol) -> Search:
    """Encode the queries and the database, and say what is relevant."""
    labels = relevant_labels(data, protocol)
    rows, query_views = with_views(data, protocol.queries, hasher, protocol.query_views)
    if protocol.database_codes == "learned":
        found, index = data.split["train"], Index.build(learned_codes(hasher, data))
    else:
        found, item_views = with_views(data, protocol.database, hasher, protocol.database_views)
        index = Index.build(hasher.encode(item_views))
    return Search(
        index,
        hasher.encode_queries(query_views),
        SharedLabels(labels[rows], labels[found]),
        len(data.split[protocol.queries]) - len(rows),
        len(data.split[protocol.database]) - len(found),
    )


def measure(search: Search, protocol: Protocol) -> RetrievalResult:
    """Measures of a prepared search."""
    result = retrieval(
        search.index,
        search.queries,
        search.relevant,
        protocol.cuts,
        ties=protocol.ties,
        denominator=protocol.denominator,
        empty=protocol.empty,
        gain=protocol.gain,
    )
    return replace(result, protocol=protocol.hash)


def relevant_labels(data: Dataset, protocol: Protocol) -> Matrix:
    """The label columns (n, c) or classes (n,) that the protocol counts."""
    if protocol.relevance == NEIGHBOURS:
        raise ValueError(f"relevance: {NEIGHBOURS} is measured by compare only")
    if data.labels is None:
        raise ValueError(f"{data.name}: has no labels")
    prefix = protocol.relevance.partition(":")[2]
    if not prefix:
        return data.labels
    columns = [i for i, name in enumerate(data.label_names or ()) if str(name).startswith(prefix)]
    if not columns or np.ndim(data.labels) == 1:
        raise ValueError(f"{data.name}: has no label columns whose names start with {prefix!r}")
    return data.labels[:, columns]


def labelled(data: Dataset) -> NDArray[np.bool_]:
    """Items whose labels are known (no NaN row), (n,); all of them where the data has no labels."""
    if data.labels is None:
        return np.ones(len(data), dtype=bool)
    return check_labels(data.labels, len(data))[1]


def with_views(
    data: Dataset, part: str, hasher: Hasher | None, views: Sequence[str]
) -> tuple[NDArray[np.int64], dict[str, Matrix]]:
    """Positions (m,) of a part, without items that lack all of the views or are not labelled, and their views."""
    if not len(data.split[part]):
        counts = ", ".join(f"{name} {len(data.split[name])}" for name in PARTS)
        raise ValueError(f"{data.name}: has no {part} items; its split is {counts}")
    known = list(data.views) if hasher is None else hasher.needed_views or hasher.widths_
    names = list(views) or [name for name in known if name in data.views]
    for name in names:
        if name not in data.views:
            raise ValueError(f"{data.name}: has no view {name!r}; its views: {', '.join(map(repr, data.views))}")
    rows = data.split[part]
    matrices = {name: data.views[name][rows] for name in names}
    has = ~np.all([missing(matrix) for matrix in matrices.values()], axis=0) & labelled(data)[rows]
    if not has.any():
        raise ValueError(f"{data.name}: no labelled {part} item has the view {' or '.join(map(repr, names))}")
    if has.all():
        return rows, matrices
    return rows[has], {name: matrix[has] for name, matrix in matrices.items()}


def learned_codes(hasher: Hasher, data: Dataset) -> Any:
    """The codes that the fit gave to the training items; ValueError unless there is one for each."""
    codes = getattr(hasher, "codes_", None)
    if codes is None or len(codes) != len(data.split["train"]):
        found = "none" if codes is None else len(codes)
        raise ValueError(f"{hasher.name}: expected {len(data.split['train'])} learned codes, one an item, got {found}")
    return codes
