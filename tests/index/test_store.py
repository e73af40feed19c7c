"""The store in a folder holds what it acknowledged, in order, whatever happens to its cache."""

from __future__ import annotations

from unittest import mock

from hypothesis.stateful import rule
from store_machine import BITS, QUICK, StoreMachine, answer, draw_codes, numbers

from modalhash import Store
from modalhash.index import segments
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
        assert self.opened(self.reader).index().ids.tolist() == list(self.model)

    def teardown(self) -> None:
        if self.reader is not None:
            self.reader.close()
        super().teardown()


TestFileStore = FileMachine.TestCase
TestFileStore.settings = QUICK


class SmallSegmentsMachine(FileMachine):
    """The same with limits so low that segments multiply, merge and fold."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = mock.patch.multiple(segments, MERGED=2, RATIO=1, DEAD=3, MARGIN=1)
        self.limits.start()

    def teardown(self) -> None:
        self.limits.stop()
        super().teardown()


TestSmallSegments = SmallSegmentsMachine.TestCase
TestSmallSegments.settings = QUICK
