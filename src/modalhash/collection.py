"""Collection: one folder that finds items from raw words and raw pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np

from modalhash.catalog import load
from modalhash.codes import BinaryCodes
from modalhash.datasets.dataset import Dataset
from modalhash.datasets.files import join_pictures, split_pictures
from modalhash.evaluation.crossview import shared_views
from modalhash.folders import ARRAYS, check_target, read_json, read_state, write_json, write_state, written_whole
from modalhash.hasher import MODEL, Hasher
from modalhash.index import Hits, Index
from modalhash.index import Show as Show
from modalhash.index.file_store import FileStore
from modalhash.index.lock import WriterLock
from modalhash.index.store import Ids
from modalhash.views import Array, Views, blocks, missing

FILE = "collection.json"
SHOW = "show.json"
STORE = "store"
IN_MEMORY, STORED = 1, 2  # formats: items in the files of an index, or in a store
BATCH = 10_000  # items of one write


class Collection:
    """A fitted model, the extractors of its views, codes and what to show of each item.

    Make one with `Collection.create`, open it with `Collection.open`.  Items with BinaryCodes lie in a `store` and
    can be added and deleted; QuantizedCodes lie in memory, where `store` is None and the items stay as they are.
    """

    def __init__(
        self, hasher: Hasher, items: Index | FileStore, features: Mapping[str, Any], show: Show | None = None
    ) -> None:
        self.hasher, self.features = hasher, features
        self.store = items if isinstance(items, FileStore) else None
        self._index = items if isinstance(items, Index) else None
        self._show, self._shown = show, -1

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
        show: titles and pictures in the order of the index.  An existing collection is replaced, unless it is being
        written (StoreLocked); any other folder that holds files is refused with ValueError, as are counts or code
        lengths that do not fit.
        """
        root, titles = Path(folder), [str(value) for value in index.ids]
        made = cls(hasher, index, dict(features or {}), show or Show(titles, [b""] * len(index)))
        made._check()
        check_target(root, FILE)
        old = root / STORE
        with _Locked(old) if old.is_dir() else nullcontext(), written_whole(root, marker=FILE) as temporary:
            (temporary / "model").mkdir()
            hasher.write(temporary / "model")
            for name, extractor in made.features.items():
                extractor.save(temporary / "features" / name)
            description = _description(temporary / "model", made)
            made._write_items(temporary, description["model"])
            write_json(temporary / FILE, description)
        if description["format"] == IN_MEMORY:
            return made
        return cls(hasher, FileStore(root / STORE, read_only=True), made.features)

    def _write_items(self, folder: Path, model: str) -> None:
        codes, ids, show = self.index.codes, self.index.ids, self.show
        if not isinstance(codes, BinaryCodes):
            for name in ("index", "show"):
                (folder / name).mkdir()
            self.index.write(folder / "index")
            pictures = join_pictures(show.pictures)
            write_state(folder / "show", SHOW, {"class": "Show"}, {"titles": list(show.titles), **pictures})
            return
        with FileStore(folder / STORE, codes.n_bits, create=True, model=model) as store:
            for part in blocks(len(codes), BATCH):
                store.upsert(ids[part], codes[part], Show(show.titles[part], show.pictures[part]))
            store.compact()

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a collection; FileNotFoundError or ValueError name the file that is absent, damaged or foreign."""
        from modalhash.features import load_extractor

        root = Path(folder)
        description = read_json(root / FILE, formats=(IN_MEMORY, STORED))
        hasher = load(root / "model")
        if description.get("model") != model_checksum(root / "model"):
            raise ValueError(f"{root / FILE}: was made with another model than the one in {root / 'model'}")
        parts = sorted(path for path in (root / "features").glob("*") if path.is_dir())
        features = {part.name: load_extractor(part) for part in parts}
        if description["format"] == STORED:
            made = cls(hasher, FileStore(root / STORE, model=description["model"], read_only=True), features)
        else:
            made = cls(hasher, Index.load(root / "index"), features, _read_show(root / "show"))
        try:
            made._check()
        except ValueError as error:
            made.close()
            raise ValueError(f"{root}: {error}") from error
        if description.get("items", len(made)) != len(made):
            raise ValueError(
                f"{root / FILE}: was made with {description.get('items')} items, the index has {len(made)}"
            )
        return made

    def _check(self) -> None:
        if self.n_bits != self.hasher.n_bits:
            raise ValueError(f"an index of {self.n_bits} bits does not fit a model of {self.hasher.n_bits}")
        for name, column in (("titles", self._show.titles), ("pictures", self._show.pictures)) if self._show else ():
            if len(column) != len(self):
                raise ValueError(f"show: {len(column)} {name} for {len(self)} items")
        for name in self.features:
            if name not in self.hasher.widths_:
                raise ValueError(f"features: view {name!r} is unknown to the model; it has {list(self.hasher.widths_)}")

    @property
    def n_bits(self) -> int:
        """Length of the codes."""
        if self.store is not None:
            return self.store.n_bits
        codes = self.index.codes
        return codes.n_bits if isinstance(codes, BinaryCodes) else codes.width

    @property
    def index(self) -> Index:
        """The items as an in-memory index; that of a store is made when it is asked for after a change."""
        if self._index is not None:
            return self._index
        assert self.store is not None
        return self.store.index()

    @property
    def show(self) -> Show:
        """What to show of all items, in the order of `index`; `titles` asks for less."""
        if self.store is not None and (self._show is None or self._shown != self.store.version()):
            self._shown = self.store.version()
            self._show = self.store.get(self.index.ids).show
        assert self._show is not None
        return self._show

    def __len__(self) -> int:
        return len(self.index) if self.store is None else self.store.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store's files and lock."""
        if self.store is not None:
            self.store.close()

    def add(
        self,
        ids: Ids,
        views: Views | None = None,
        *,
        text: Sequence[str] | None = None,
        image: Sequence[Any] | None = None,
        codes: BinaryCodes | None = None,
        titles: Sequence[str] | None = None,
        pictures: Sequence[bytes] | None = None,
    ) -> None:
        """Add items, or replace those whose ids are there, from view matrices, words and pictures.

        text, image: one entry an item, "" or b"" for none; codes: instead of these, codes that the model has made;
        titles: the ids by default; pictures: encoded ones, by default the images that are given as bytes.  All are
        kept on the disk when this returns; an item without any view is refused by row number.  Raises ValueError
        where the collection holds QuantizedCodes, StoreLocked where another process adds to it, and as
        `Store.upsert` does.
        """
        store = self._writable()
        if codes is None:
            made = self.hasher.encode(self._given(text, image, views))
            assert isinstance(made, BinaryCodes)
            codes = made
        elif any(given is not None for given in (text, image, views)):
            raise ValueError("codes stand for text, image and views; give the ones or the others")
        if titles is None:
            titles = [str(value) for value in np.asarray(ids).tolist()]
        if pictures is None:
            pictures = [value if isinstance(value, bytes) else b"" for value in image or [b""] * len(codes)]
        store.upsert(ids, codes, Show(titles, pictures))

    def delete(self, ids: Ids) -> int:
        """Delete items, all or none, and return how many were there."""
        return self._writable().delete(ids)

    def _writable(self) -> FileStore:
        if self.store is None:
            kind = type(self.index.codes).__name__
            told = "a store holds BinaryCodes only" if kind != "BinaryCodes" else "it has the format of older versions"
            raise ValueError(f"this collection of {kind} cannot be changed ({told}); create it again with other items")
        self.store.lock()
        return self.store

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
        queries = self.hasher.encode_queries(self.views(text, image, views))
        return (self.index if self.store is None else self.store).search(queries, k, allow)

    def views(self, text: str | None = None, image: Any = None, views: Views | None = None) -> dict[str, Any]:
        """View matrices (1, d) of one query: words, a picture, given matrices, or several at once.

        Raises ValueError where nothing is given, where there is no such view, or where nothing in it is known.
        """
        one = {"text": None if text is None else [text], "image": None if image is None else [image]}
        given = self._given(one["text"], one["image"], views)
        for kind, values in one.items():
            if values is not None and missing(given[self._view_of(kind)]).any():
                shown = f": {values[0][:80]!r}" if isinstance(values[0], str) else ""
                raise ValueError(f"nothing in this {kind} is known to the collection{shown}")
        return given

    def _given(self, text: Sequence[str] | None, image: Sequence[Any] | None, views: Views | None) -> dict[str, Any]:
        """View matrices of what is given raw or as matrices."""
        given: dict[str, Any] = dict(views or {})
        for kind, values in (("text", text), ("image", image)):
            if values is not None:
                name = self._view_of(kind)
                if name in given:
                    raise ValueError(f"view {name!r} is given twice, as {kind} and in views")
                given[name] = self.features[name].transform(list(values))
        if not given:
            raise ValueError("give text, image or views")
        return given

    def _view_of(self, kind: str) -> str:
        if kind in self.features:
            return kind
        found = [name for name, extractor in self.features.items() if extractor.takes == kind]
        if not found:
            known = ", ".join(map(repr, self.features)) or "none"
            raise ValueError(f"this collection takes no {kind}; it has extractors for: {known}")
        return found[0]

    def titles(self, hits: Hits) -> list[list[str]]:
        """The titles of found items, in the shape of `hits.ids`."""
        if self.store is None:
            return [[self.show.titles[i] for i in row] for row in self.positions(hits)]
        unique = np.unique(hits.ids)
        titles = self.store.get(unique).show.titles
        rows: list[list[int]] = np.searchsorted(unique, hits.ids).tolist()
        return [[titles[i] for i in row] for row in rows]

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


class _Locked:
    """Keeps writers out of a store that is replaced."""

    def __init__(self, folder: Path) -> None:
        self.lock = WriterLock(folder)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def _description(model: Path, collection: Collection) -> dict[str, Any]:
    from modalhash import __version__

    stored = isinstance(collection.index.codes, BinaryCodes)
    items = {} if stored else {"items": len(collection)}
    return {
        "format": STORED if stored else IN_MEMORY,
        "class": "Collection",
        "version": __version__,
        "model": model_checksum(model),
        **items,
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
