"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass

from modalhash.views import Array


@dataclass(frozen=True, eq=False)
class Hits:
    """Results of a search: `ids` and `distances`, both (queries, k), nearest first; ties in order of insertion."""

    ids: Array
    distances: Array

    def __len__(self) -> int:
        return len(self.ids)
