"""The store on Milvus: the suite of every engine, its limits as errors, and the order among ties."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from milvus_lite_engine import need_milvus_lite
from store_machine import BITS, TEXTS, StoreMachine

from modalhash.index import Store

need_milvus_lite()


class LiteMachine(StoreMachine):
    def fresh(self) -> Store:
        return self.opened(BITS, create=True, ids="texts" if self.universe is TEXTS else "integers")

    def again(self) -> Store:
        return self.opened()

    def opened(self, *given: Any, **options: Any) -> Store:
        return Store.open(f"milvus://{self.folder}/items.db", *given, **options)


TestLite = LiteMachine.TestCase
TestLite.settings = settings(max_examples=4, stateful_step_count=20, deadline=None)
