"""The store in a folder holds what it acknowledged, in order, whatever happens to its cache."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis.stateful import rule
from store_machine import BITS, QUICK, StoreMachine, answer, draw_codes, numbers

from modalhash import Store
from modalhash.index import code_cache, segments
from modalhash.index.file_store import FileStore


class FileMachine(StoreMachine):
    """The suite over a folder, with compactions, damaged caches and a reader beside the writer."""

    reader: Store | None = None

    def fresh(self) -> FileStore:
        return self.opened(Store.open(self.folder / "store", n_bits=BITS, create=True))

    def again(self) -> FileStore:
        return self.opened(Store.open(self.folder / "store"))

    def opened(self, store: Store) -> FileStore:
        assert isinstance(store, FileStore)
        return store

    @rule()
    def compact(self) -> None:
        self.opened(self.store).compact()
        assert len(list((self.folder / "store").glob("codes-*"))) == 1

    @rule(seed=numbers)
    def damage(self, seed: int) -> None:
        self.store.close()
        for path in (self.folder / "store").glob("codes-*"):
            content = bytearray(path.read_bytes())
            content[seed % len(content)] ^= 1 << seed % 8
            path.write_bytes(bytes(content))
        self.store = self.again()

    @rule(seed=numbers)
    def read_beside(self, seed: int) -> None:
        if self.reader is None:
            self.reader = Store.open(self.folder / "store", read_only=True)
        asked = draw_codes(2, seed)
        self.compare(self.reader.search(asked, 5), answer(self.model, asked, 5))
        assert self.opened(self.reader).ids().tolist() == list(self.model)

    def teardown(self) -> None:
        super().teardown()
        if self.reader is not None:
            self.reader.close()
        shutil.rmtree(self.folder)


TestFileStore = FileMachine.TestCase
TestFileStore.settings = QUICK


@pytest.fixture
def many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MERGED", 2)
    monkeypatch.setattr(segments, "RATIO", 1)
    monkeypatch.setattr(segments, "DEAD", 3)


@pytest.mark.usefixtures("many_segments")
class TestFileStoreOfManySegments(FileMachine.TestCase):  # type: ignore[misc]
    settings = QUICK
