"""What a store keeps of an item: its code and what to show of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modalhash.codes import BinaryCodes
from modalhash.views import Array


@dataclass(frozen=True, eq=False)
class Show:
    """What to show of the items, in their order: titles and encoded pictures (empty bytes for none)."""

    titles: Sequence[str]
    pictures: Sequence[bytes]


@dataclass(frozen=True, eq=False)
class Items:
    """Items of a store: `ids` (n,), their `codes` and what to `show` of them, in one order."""

    ids: Array
    codes: BinaryCodes
    show: Show

    def __len__(self) -> int:
        return len(self.ids)
