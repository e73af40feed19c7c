"""Searches beside a busy writer: no deleted item, no torn code, never more or fewer rows than there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_writer import BITS, Item, apply_write, replay, write
from test_store_crash import begin, check_search

from modalhash import BinaryCodes, Hits, Store
from modalhash.index import code_cache, file_store
from modalhash.index.file_store import FileStore

BLOCK = 200  # items that come and go together
WORDS = 2  # 128 bits: a torn code has one word of each of two
K = 50
DRAWN = np.random.default_rng(7).integers(0, 2**64, 100_000, dtype=np.uint64)


def block(r: int) -> list[int]:
    return list(range(r * BLOCK, (r + 1) * BLOCK))


def codes_of(ids: list[int], generation: int) -> BinaryCodes:
    """A word that is drawn from the id, as often as a code has words; the other generation is its inverse."""
    words = DRAWN[ids] if generation == 0 else ~DRAWN[ids]
    return BinaryCodes(np.repeat(words[:, None], WORDS, axis=1).view(np.uint8), 64 * WORDS)


def words_of(id_: int) -> int:
    return int(codes_of([id_], 0).words()[0, 0])


class Writer(threading.Thread):
    """Rounds of: insert a block, update half of it, delete the block before; says what has been acknowledged."""

    def __init__(self, store: Store, rounds: int) -> None:
        super().__init__()
        self.store, self.rounds, self.there, self.gone = store, rounds, 0, -1
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            for r in range(1, self.rounds + 1):
                self.store.upsert(block(r), codes_of(block(r), 0))
                self.there = r
                self.store.upsert(block(r)[::2], codes_of(block(r)[::2], 1))
                self.store.delete(block(r - 1))
                self.gone = r - 1
        except BaseException as error:
            self.failed = error


def check_hits(hits: Hits, query: int, gone: int, there: int) -> None:
    """`gone` was acknowledged before the search, `there` after it."""
    assert hits.ids.shape == hits.distances.shape == (1, K)
    ids, distances = hits.ids[0].tolist(), hits.distances[0]
    assert len(set(ids)) == K and (np.diff(distances) >= 0).all()
    assert min(ids) >= (gone + 1) * BLOCK and max(ids) < (there + 2) * BLOCK
    for id_, distance in zip(ids, distances.tolist(), strict=True):
        one = WORDS * (words_of(id_) ^ query).bit_count()
        assert distance in (one, 64 * WORDS - one), "a torn code"


@pytest.mark.parametrize("shared", [True, False], ids=["threads of the writer", "a reader of its own"])
def test_searches_beside_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool) -> None:
    monkeypatch.setattr(file_store, "BACKLOG", 1000)
    with Store.open(tmp_path / "store", n_bits=64 * WORDS, create=True) as store:
        store.upsert(block(0), codes_of(block(0), 0))
        reader = store if shared else Store.open(tmp_path / "store", read_only=True)
        writer = Writer(store, 60)
        failures: list[BaseException] = []
        searches = [0, 0]

        def look(number: int) -> None:
            try:
                while writer.is_alive():
                    query = words_of(searches[number] % 90_000)
                    asked = np.full((1, WORDS), query, np.uint64).view(np.uint8)
                    gone = writer.gone
                    hits = reader.search(BinaryCodes(asked, 64 * WORDS), K)
                    check_hits(hits, query, gone, writer.there)
                    assert BLOCK <= reader.count() <= 2 * BLOCK
                    searches[number] += 1
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=look, args=(number,)) for number in range(2)]
        for thread in (writer, *threads):
            thread.start()
        for thread in (writer, *threads):
            thread.join()
        reader.close()
        assert not failures and writer.failed is None, (failures, writer.failed)
        assert min(searches) > 20
    assert len(list((tmp_path / "store").glob("codes-*"))) == 1


def test_searches_beside_a_writing_process(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    asked = BinaryCodes(rng.integers(0, 256, (1, BITS // 8), dtype=np.uint8), BITS)
    found: list[Hits] = []
    with begin(tmp_path / "store", 0) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "30\n":
            pass
        with Store.open(tmp_path / "store", read_only=True) as reader:
            found = [reader.search(asked, K) for _ in range(300)]
        process.kill()
        last = max(int(line) for line in process.stdout if line.endswith("\n"))
    known: dict[int, set[int]] = {}
    for i in range(last + 2):
        ids, codes, _ = write(i)
        for id_, row in zip(ids, codes.hamming(asked)[:, 0].tolist() if codes else [], strict=False):
            known.setdefault(id_, set()).add(row)
    assert len({hits.ids.tobytes() for hits in found}) > 1  # something was written meanwhile
    for hits in found:
        ids = hits.ids[0].tolist()
        assert hits.ids.shape == (1, K) and len(set(ids)) == K and (np.diff(hits.distances[0]) >= 0).all()
        assert all(distance in known[id_] for id_, distance in zip(ids, hits.distances[0].tolist(), strict=True))


def test_a_snapshot_during_writes_is_of_one_moment(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", n_bits=64 * WORDS, create=True) as store:
        store.upsert(block(0), codes_of(block(0), 0))
        writer = Writer(store, 40)
        writer.start()
        taken = []
        while writer.is_alive():
            taken.append((writer.there, writer.gone))
            store.snapshot(tmp_path / str(len(taken)))
        writer.join()
        assert writer.failed is None and len(taken) > 3
    for number, (there, gone) in enumerate(taken, 1):
        with Store.open(tmp_path / str(number)) as snapshot:
            assert isinstance(snapshot, FileStore)
            ids = snapshot.index().ids.tolist()
            assert ids in (block(ids[0] // BLOCK), [*block(ids[0] // BLOCK), *block(ids[0] // BLOCK + 1)])
            assert ids[0] >= (gone + 1) * BLOCK and ids[-1] >= there * BLOCK
            codes = snapshot.get(ids).codes.words()
            assert (codes[:, 0] == codes[:, 1]).all()


def test_the_allowed_and_the_searched_are_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is inserted between looking at the items and looking up the allowed ids is not there yet."""
    with (
        Store.open(tmp_path / "store", n_bits=64 * WORDS, create=True) as store,
        Store.open(tmp_path / "store", read_only=True) as reader,
    ):
        store.upsert(block(0), codes_of(block(0), 0))
        original = FileStore._allowed

        def late(searched: FileStore, *given: Any) -> Any:
            if searched is reader and store.count() == BLOCK:
                store.delete([0])
                store.upsert([BLOCK], codes_of([BLOCK], 0))
            return original(searched, *given)

        monkeypatch.setattr(FileStore, "_allowed", late)
        asked = codes_of([0], 0)
        hits = reader.search(asked, 3, [0, 1])
        assert sorted(hits.ids[0].tolist()) == [0, 1] and hits.distances[0, 0] == 0
        assert reader.search(asked, 3, [1, BLOCK]).ids.shape == (1, 2)
        with pytest.raises(ValueError, match="unknown id 0"):
            reader.search(asked, 3, [0])


def test_a_reader_that_becomes_the_writer_sees_every_write(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", n_bits=64 * WORDS, create=True) as store:
        store.upsert(block(0), codes_of(block(0), 0))
    with Store.open(tmp_path / "store", read_only=True) as store:
        assert isinstance(store, FileStore) and store.count() == BLOCK
        seen = store._commits  # as SQLite counts
        store.lock()
        for i in range(seen):
            store.upsert([BLOCK + i], codes_of([BLOCK + i], 0))
        assert store.count() == BLOCK + seen


def test_a_compaction_goes_on_beside_writes_and_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(tmp_path / "store", n_bits=BITS, create=True) as store:
        assert isinstance(store, FileStore)
        model: dict[int, Item] = {}
        original: Callable[..., str] = code_cache.write

        def write_slowly(*arguments: object) -> str:
            nonlocal model
            name = original(*arguments)
            for i in range(3, 6):  # commits between the file and its adoption
                apply_write(store, i)
                model = replay(model, i)
            check_search(store, model)
            return name

        for i in range(3):
            apply_write(store, i)
            model = replay(model, i)
        with Store.open(tmp_path / "store", read_only=True) as reader:
            monkeypatch.setattr(code_cache, "write", write_slowly)
            check_search(reader, model)
            store.compact()
            check_search(store, model)
            check_search(reader, model)
    with Store.open(tmp_path / "store") as again:
        check_search(again, model)
