"""The store on Milvus: the suite of every engine, its limits as errors, and the order among ties."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import Phase, settings
from milvus_lite_engine import IDS, need_milvus_lite
from store_machine import BITS, TEXTS, StoreMachine, draw_codes

import modalhash as mh
from modalhash.index import Show, Store
from modalhash.index.milvus import MilvusStore

need_milvus_lite()


class LiteMachine(StoreMachine):
    """So few items are fetched whole, so that even ties are in order."""

    kinds: ClassVar[tuple[list[Any], ...]] = (IDS, TEXTS)

    def fresh(self) -> Store:
        return self.opened(BITS, create=True, ids="texts" if self.universe is TEXTS else "integers")

    def again(self) -> Store:
        return self.opened()

    def opened(self, *given: Any, **options: Any) -> Store:
        return Store.open(f"milvus://{self.folder}/items.db", *given, **options)


QUICK_PHASES = [Phase.generate]  # each open starts a process: shrinking would take minutes
TestLite = LiteMachine.TestCase
TestLite.settings = settings(max_examples=4, stateful_step_count=20, deadline=None, phases=QUICK_PHASES)


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MilvusStore, Any]]:
    """A store of 400 items of 8 bits, so that most distances are ties, and their codes."""
    path = tmp_path_factory.mktemp("lite") / "items.db"
    codes = draw_codes(400, 1, 8)
    with MilvusStore(f"milvus://{path}", 8, create=True, model="m", ties=512) as store:
        store.upsert(np.arange(399, -1, -1), codes)
        yield store, codes.packed


def test_ties_are_in_order_of_insertion_as_far_as_they_are_fetched(lite: tuple[MilvusStore, Any]) -> None:
    store, packed = lite
    queries = draw_codes(20, 2, 8)
    exact = mh.Index.build(mh.BinaryCodes(packed, 8), np.arange(399, -1, -1)).search(queries, 7)
    found = store.search(queries, 7)
    np.testing.assert_array_equal(found.ids, exact.ids)
    np.testing.assert_array_equal(found.distances, exact.distances)
    assert found.distances.dtype == np.int32 and found.ids.dtype == np.int64
    store.ties = 0
    try:
        few = store.search(queries, 7)
    finally:
        store.ties = 512
    np.testing.assert_array_equal(few.distances, exact.distances)
    for ids, wanted, row in zip(few.ids, exact.ids, exact.distances, strict=True):
        assert set(ids[row < row[-1]]) == set(wanted[row < row[-1]])


def test_limits_of_the_engine_are_errors_before_a_call(lite: tuple[MilvusStore, Any]) -> None:
    store, _ = lite
    code, before = draw_codes(1, 1, 8), store.count()
    with pytest.raises(ValueError, match="k: Milvus gives at most 16384 hits a query, got 16385"):
        store.search(code, 16_385)
    assert store.search(code, 16_384).ids.shape == (1, 400)
    with pytest.raises(ValueError, match="titles of 65535 bytes, 'ää"):
        store.upsert([1000], code, Show(["ä" * 40_000], [b""]))
    with pytest.raises(ValueError, match="pictures of 49149 bytes, that of item 0"):
        store.upsert([1000], code, Show([""], [bytes(49_150)]))
    with pytest.raises(ValueError, match="does not find the id 9223372036854775807 again"):
        store.upsert([2**63 - 1], code)
    with pytest.raises(TypeError, match="ids are integers, got texts"):
        store.upsert(["a"], code)
    with pytest.raises(TypeError, match="takes ids, not a mask"):
        store.search(code, 1, np.ones(400, dtype=bool))
    with pytest.raises(ValueError, match="consistency: expected one of Strong, Session"):
        Store.open(store.where, consistency="strong")
    with pytest.raises(ValueError, match="letters, digits and _, got 'a-b'"):
        Store.open("milvus://127.0.0.1:1/a-b", 8, create=True)
    assert store.count() == before


def test_a_store_says_what_it_holds(lite: tuple[MilvusStore, Any], tmp_path: Path) -> None:
    store, _ = lite
    assert (store.n_bits, store.model) == (8, "m")
    with pytest.raises(FileNotFoundError, match="no such store"):
        Store.open(f"{store.where}#others", 8)
    with pytest.raises(ValueError, match="holds codes of 8 bits, not of 16"):
        Store.open(store.where, 16)
    with pytest.raises(ValueError, match=r"another model \(m\), not of other"):
        Store.open(store.where, model="other")
    with Store.open(store.where, read_only=True) as reader:
        with pytest.raises(PermissionError, match="read-only"):
            reader.delete([1])
        assert reader.count() == 400
    reader.close()
    with pytest.raises(ValueError, match="is closed"):
        reader.count()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").touch()
    with pytest.raises(ValueError, match="is there already"):
        store.snapshot(tmp_path / "there")


def test_without_pymilvus_the_message_names_the_extra() -> None:
    program = "import sys; sys.modules['pymilvus'] = None\nfrom modalhash.index import Store\n"
    program += "Store.open('milvus://127.0.0.1:1/items', 8, create=True)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: milvus://… needs pymilvus: pip install 'modalhash[milvus]'" in found.stderr


def test_an_update_keeps_its_place_and_what_was_deleted_comes_last(tmp_path: Path) -> None:
    same = mh.BinaryCodes(np.zeros((4, 1), np.uint8), 8)
    with MilvusStore(f"milvus://{tmp_path}/items.db", 8, create=True) as store:
        store.upsert([5, 6, 7, 8], same)
        store.upsert([6, 5], same[:2])  # the engine has them at the end now
        assert store.count() == 4
        assert store.search(same[:1], 3).ids.tolist() == [[5, 6, 7]]
        assert store.delete([5, 9]) == 1
        store.upsert([5], same[:1])
        assert store.search(same[:1], 4).ids.tolist() == [[6, 7, 8, 5]]
