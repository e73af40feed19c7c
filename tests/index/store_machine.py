"""One suite for every engine: a store is held against a dict and numpy, call by call.

An engine's test makes a subclass of `StoreMachine` that says how to open a store, and runs its `TestCase`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from naive_search import distances as naive_distances

from modalhash import BinaryCodes, Hits
from modalhash.index import Show, Store

BITS = 11  # pad bits, and many equal distances
INTEGERS = [-(2**63), -5, 0, 1, 2, 3, 7, 8, 9, 10, 11, 2**31, 2**63 - 1]
TEXTS = [
    "a",
    "b",
    "B",
    "ab",
    "a b",
    "ä",
    "日本",
    "🦊",
    "🦊x",
    "0",
    "007",
    "it's",
    '"; DROP TABLE items',
    "%_",
    "z" * 60,
]
QUICK = settings(max_examples=15, stateful_step_count=30, deadline=None)

numbers = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 9)
nearest = st.sampled_from([1, 2, 3, 5, 20])


def draw_codes(n: int, seed: int, bits: int = BITS) -> BinaryCodes:
    return BinaryCodes.from_signs(np.random.default_rng(seed).standard_normal((n, bits)))


def answer(model: dict[Any, tuple[bytes, str, bytes]], queries: BinaryCodes, k: int, allow: Any = None) -> Hits:
    """What a search must find: (distance, position), positions in the order of the dict."""
    ids = [id_ for id_ in model if allow is None or id_ in allow]
    raw = b"".join(model[id_][0] for id_ in ids)
    packed = np.frombuffer(raw, np.uint8).reshape(len(ids), queries.bytes_per_item)
    table = naive_distances(queries, BinaryCodes(packed.copy(), queries.n_bits))
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    named = np.empty(len(ids), dtype=object)
    named[:] = ids
    return Hits(named[order], np.take_along_axis(table, order, axis=1))


class StoreMachine(RuleBasedStateMachine):
    """Random calls on a store of BITS bits; `model` is the dict that says what must be there."""

    exact_order: ClassVar[bool] = True  # else equal distances may be in any order
    kinds: ClassVar[tuple[list[Any], ...]] = (INTEGERS, TEXTS)
    store: Store

    def fresh(self) -> Store:
        """A new, empty store of BITS bits."""
        raise NotImplementedError

    def again(self) -> Store:
        """The same store, opened again after it was closed."""
        raise NotImplementedError

    def restored(self, path: Path) -> Store | None:
        """The store that a snapshot made, opened; None where an engine's snapshots are not opened in place."""
        return Store.open(path)

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[Any, tuple[bytes, str, bytes]] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="modalhash-store-"))

    @initialize(kind=st.integers(0, 1))
    def begin(self, kind: int) -> None:
        self.universe = self.kinds[kind % len(self.kinds)]
        self.store = self.fresh()

    def some(self, n: int, seed: int) -> list[Any]:
        chosen = np.random.default_rng(seed).permutation(len(self.universe))[:n]
        return [self.universe[i] for i in chosen.tolist()]

    def as_given(self, ids: list[Any], seed: int) -> Any:
        return np.array(ids) if seed % 2 and ids else ids

    @rule(n=sizes, seed=numbers, shown=st.booleans())
    def upsert(self, n: int, seed: int, shown: bool) -> None:
        ids, codes = self.some(n, seed), draw_codes(len(self.some(n, seed)), seed)
        titles = [f"title {seed % 100} ü{i}" if i % 3 else "" for i in range(len(ids))]
        pictures = [bytes([seed % 256, 0, i]) if i % 2 else b"" for i in range(len(ids))]
        self.store.upsert(self.as_given(ids, seed), codes, Show(titles, pictures) if shown else None)
        for i, id_ in enumerate(ids):
            self.model[id_] = (codes.packed[i].tobytes(), titles[i] if shown else "", pictures[i] if shown else b"")

    @rule(n=sizes, seed=numbers)
    def delete(self, n: int, seed: int) -> None:
        ids = self.some(n, seed)
        asked = draw_codes(3, seed)
        found = self.store.delete(self.as_given(ids, seed))
        assert found == sum(self.model.pop(id_, None) is not None for id_ in ids)
        self.compare(self.store.search(asked, 2), answer(self.model, asked, 2))

    @rule(queries=st.integers(0, 3), k=nearest, seed=numbers)
    def search(self, queries: int, k: int, seed: int) -> None:
        asked = draw_codes(queries, seed)
        self.compare(self.store.search(asked, k), answer(self.model, asked, k))

    @rule(n=sizes, k=nearest, seed=numbers)
    def search_some(self, n: int, k: int, seed: int) -> None:
        asked, allow = draw_codes(2, seed), self.some(n, seed)
        known = [id_ for id_ in allow if id_ in self.model]
        if len(known) < len(allow):
            with pytest.raises(ValueError, match="allow: unknown id"):
                self.store.search(asked, k, self.as_given(allow, seed))
        found = self.store.search(asked, k, self.as_given(known + known[:1], seed))
        self.compare(found, answer(self.model, asked, k, known))

    def compare(self, found: Hits, expected: Hits) -> None:
        assert found.distances.dtype == np.int32
        assert found.ids.shape == found.distances.shape
        np.testing.assert_array_equal(found.distances, expected.distances)
        for ids, wanted, row in zip(found.ids.tolist(), expected.ids.tolist(), expected.distances, strict=True):
            if self.exact_order:
                assert ids == wanted
            else:  # equal ids below the last distance, known ones at it
                below = int(np.sum(row < row[-1:])) if len(row) else 0
                assert set(ids[:below]) == set(wanted[:below]) and set(ids) <= set(self.model)
                assert len(set(ids)) == len(ids)

    @rule(n=sizes, seed=numbers)
    def get(self, n: int, seed: int) -> None:
        ids = self.some(n, seed)
        known = [id_ for id_ in ids if id_ in self.model]
        if len(known) < len(ids):
            with pytest.raises(ValueError, match="no item"):
                self.store.get(ids)
        self.check_items(self.store, known)

    def check_items(self, store: Store, ids: list[Any]) -> None:
        items = store.get(ids)
        assert items.ids.tolist() == ids and items.codes.n_bits == BITS
        rows = zip(items.codes.packed, items.show.titles, items.show.pictures, strict=True)
        assert [(code.tobytes(), title, picture) for code, title, picture in rows] == [self.model[id_] for id_ in ids]

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.again()

    @rule()
    def snapshot(self) -> None:
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "snapshot"
        self.store.snapshot(path)
        if (made := self.restored(path)) is not None:
            with made:
                assert made.count() == len(self.model)
                self.check_items(made, list(self.model))
                asked = draw_codes(1, 5)
                self.compare(made.search(asked, 4), answer(self.model, asked, 4))

    @rule(seed=numbers)
    def refused(self, seed: int) -> None:
        ids = self.some(3, seed)
        with pytest.raises(ValueError, match="unique"):
            self.store.upsert([ids[0], ids[1], ids[0]], draw_codes(3, seed))
        with pytest.raises(ValueError, match="codes of 12 bits do not fit a store of 11 bits"):
            self.store.upsert(ids, draw_codes(3, seed, 12))
        with pytest.raises(ValueError, match="ids: expected shape"):
            self.store.upsert(ids, draw_codes(2, seed))
        with pytest.raises(ValueError, match="2 titles for 3 items"):
            self.store.upsert(ids, draw_codes(3, seed), Show(["a", "b"], [b""] * 3))
        with pytest.raises(ValueError, match="queries of 12 bits"):
            self.store.search(draw_codes(1, seed, 12), 1)
        with pytest.raises(ValueError, match="k: expected an integer of at least 1"):
            self.store.search(draw_codes(1, seed), 0)
        with pytest.raises(TypeError, match="BinaryCodes"):
            self.store.search(np.zeros((1, BITS)), 1)  # type: ignore[arg-type]
        if self.model:
            other: list[Any] = ["x", "y", "w"] if isinstance(ids[0], int) else [1, 2, 3]
            with pytest.raises(TypeError, match=r"ids are (integers|texts)"):
                self.store.upsert(other, draw_codes(3, seed))

    @invariant()
    def counts(self) -> None:
        if hasattr(self, "store"):
            assert self.store.count() == len(self.store) == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)
