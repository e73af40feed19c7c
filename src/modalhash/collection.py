"""Collection: one folder that finds items from raw words and raw pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from modalhash.catalog import load
from modalhash.codes import BinaryCodes
from modalhash.datasets.dataset import Dataset
from modalhash.datasets.files import join_pictures, split_pictures
from modalhash.evaluation.crossview import shared_views
from modalhash.folders import ARRAYS, FORMAT, read_json, read_state, write_json, write_state, written_whole
from modalhash.hasher import MODEL, Hasher
from modalhash.index import Hits, Index
from modalhash.views import Array, Views, missing

FILE = "collection.json"
SHOW = "show.json"


@dataclass(frozen=True, eq=False)
class Show:
    """What to show of the items, in the order of the index: titles and encoded pictures (empty bytes for none)."""

    titles: Sequence[str]
    pictures: Sequence[bytes]


class Collection:
    """A fitted model, the extractors of its views, an index over codes and what to show of each item.

    Make one with `Collection.create`, open it with `Collection.open`.
    """

    def __init__(self, hasher: Hasher, index: Index, features: Mapping[str, Any], show: Show) -> None:
        self.hasher, self.index, self.features, self.show = hasher, index, features, show

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        hasher: Hasher,
        index: Index,
        features: Mapping[str, Any] | None = None,
        show: Show | None = None,
    ) -> Self:
        """Write a collection to a folder, whole or not at all, and return it.

        index: codes that `hasher` made; features: view -> fitted extractor, for search by raw words and pictures;
        show: titles and pictures in the order of the index.  An existing collection is replaced; any other folder that
        holds files is refused with ValueError, as are counts or code lengths that do not fit.
        """
        titles = [str(value) for value in index.ids]
        made = cls(hasher, index, dict(features or {}), show or Show(titles, [b""] * len(index)))
        made._check()
        with written_whole(folder, marker=FILE) as temporary:
            for name in ("model", "index", "show"):
                (temporary / name).mkdir()
            hasher.write(temporary / "model")
            index.write(temporary / "index")
            pictures = join_pictures(made.show.pictures)
            write_state(temporary / "show", SHOW, {"class": "Show"}, {"titles": list(made.show.titles), **pictures})
            for name, extractor in made.features.items():
                extractor.save(temporary / "features" / name)
            write_json(temporary / FILE, _description(temporary / "model", made))
        return made

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a collection; FileNotFoundError or ValueError name the file that is absent, damaged or foreign."""
        from modalhash.features import load_extractor

        root = Path(folder)
        description = read_json(root / FILE)
        hasher = load(root / "model")
        if description.get("model") != model_checksum(root / "model"):
            raise ValueError(f"{root / FILE}: was made with another model than the one in {root / 'model'}")
        parts = sorted(path for path in (root / "features").glob("*") if path.is_dir())
        features = {part.name: load_extractor(part) for part in parts}
        made = cls(hasher, Index.load(root / "index"), features, _read_show(root / "show"))
        try:
            made._check()
        except ValueError as error:
            raise ValueError(f"{root}: {error}") from error
        if description.get("items") != len(made):
            raise ValueError(
                f"{root / FILE}: was made with {description.get('items')} items, the index has {len(made)}"
            )
        return made

    def _check(self) -> None:
        codes = self.index.codes
        n_bits = codes.n_bits if isinstance(codes, BinaryCodes) else codes.width
        if n_bits != self.hasher.n_bits:
            raise ValueError(f"an index of {n_bits} bits does not fit a model of {self.hasher.n_bits}")
        for name, column in (("titles", self.show.titles), ("pictures", self.show.pictures)):
            if len(column) != len(self.index):
                raise ValueError(f"show: {len(column)} {name} for {len(self.index)} items")
        for name in self.features:
            if name not in self.hasher.widths_:
                raise ValueError(f"features: view {name!r} is unknown to the model; it has {list(self.hasher.widths_)}")

    def __len__(self) -> int:
        return len(self.index)

    def search(
        self,
        text: str | None = None,
        image: Any = None,
        views: Views | None = None,
        k: int = 10,
        allow: Array | list[int] | list[str] | None = None,
    ) -> Hits:
        """The k nearest items to words, a picture (path, bytes or PIL image), view matrices, or several at once.

        Returns Hits of shape (1, k), or (rows, k) for view matrices.  Raises ValueError where nothing is given,
        where the model has no such view, or where no word of the text is known.
        """
        given: dict[str, Any] = dict(views or {})
        for kind, value in (("text", text), ("image", image)):
            if value is not None:
                name = self._view_of(kind)
                if name in given:
                    raise ValueError(f"search: view {name!r} is given twice, as {kind} and in views")
                given[name] = self._extract(kind, value)
        if not given:
            raise ValueError("search: give text, image or views")
        return self.index.search(self.hasher.encode_queries(given), k, allow)

    def _extract(self, kind: str, value: Any) -> Any:
        matrix = self.features[self._view_of(kind)].transform([value])
        values = matrix.data if hasattr(matrix, "indptr") else np.asarray(matrix)
        if np.isnan(values).any():
            shown = f": {value[:80]!r}" if isinstance(value, str) else ""
            raise ValueError(f"search: nothing in this {kind} is known to the collection{shown}")
        return matrix

    def _view_of(self, kind: str) -> str:
        if kind in self.features:
            return kind
        found = [name for name, extractor in self.features.items() if extractor.takes == kind]
        if not found:
            known = ", ".join(map(repr, self.features)) or "none"
            raise ValueError(f"search: this collection takes no {kind}; it has extractors for: {known}")
        return found[0]

    def titles(self, hits: Hits) -> list[list[str]]:
        """The titles of found items, in the shape of `hits.ids`."""
        return [[self.show.titles[i] for i in row] for row in self.positions(hits)]

    def positions(self, hits: Hits) -> Array:
        """Positions of found items in the index, in the shape of `hits.ids`; ValueError names an unknown id."""
        order = np.argsort(self.index.ids, kind="stable")
        found = order[np.searchsorted(self.index.ids, hits.ids, sorter=order).clip(max=len(self) - 1)]
        if not np.array_equal(self.index.ids[found], hits.ids):
            foreign = np.asarray(hits.ids)[self.index.ids[found] != hits.ids]
            raise ValueError(f"hits: the collection has no item {foreign.tolist()[0]!r}")
        return np.asarray(found)


def _read_show(folder: Path) -> Show:
    _, state = read_state(folder, SHOW)
    try:
        pictures = split_pictures("pictures", state["bytes"], state["offsets"])
        if not isinstance(state["titles"], list) or not all(isinstance(title, str) for title in state["titles"]):
            raise TypeError("titles: expected a list of texts")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / SHOW}: is damaged ({error})") from error
    return Show(state["titles"], pictures)


def model_checksum(folder: Path) -> str:
    """SHA-256 of a saved model's files."""
    digest = hashlib.sha256()
    for name in (MODEL, ARRAYS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def _description(model: Path, collection: Collection) -> dict[str, Any]:
    from modalhash import __version__

    return {
        "format": FORMAT,
        "class": "Collection",
        "version": __version__,
        "model": model_checksum(model),
        "items": len(collection),
        "n_bits": collection.hasher.n_bits,
        "views": sorted(collection.features),
    }


def from_dataset(
    folder: str | os.PathLike[str], hasher: Hasher, data: Dataset, views: Sequence[str] | None = None
) -> Collection:
    """A collection of the database part of a data set, encoded from some of its views (all that the model knows).

    Items that have none of these views are left out.
    """
    names = list(views or shared_views(hasher, data))
    for name in names:
        if name not in data.views:
            raise ValueError(f"view {name!r} is not in the data; it has {', '.join(map(repr, data.views))}")
    rows = data.split["database"]
    has = np.any([~missing(data.views[name][rows]) for name in names], axis=0)
    rows = rows[has]
    if not len(rows):
        raise ValueError(f"{data.name}: no item of the database has a view among {', '.join(map(repr, names))}")
    codes = hasher.encode({name: data.views[name][rows] for name in names})
    ids = np.asarray(data.ids)[rows]
    titles = [str(data.titles[i]) if data.titles is not None else str(data.ids[i]) for i in rows]  # type: ignore[index]
    pictures = [data.pictures[i] if data.pictures is not None else b"" for i in rows]
    features = {name: extractor for name, extractor in data.features.items() if name in hasher.widths_}
    return Collection.create(folder, hasher, Index.build(codes, ids), features, Show(titles, pictures))
