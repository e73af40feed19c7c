"""Why an item is recommended to a user."""

from __future__ import annotations

from dataclasses import dataclass

from modalhash.views import Array


@dataclass(frozen=True, eq=False)
class Ground:
    """One reason: where it comes from, what it says, and its part of the score (0 for one that only illustrates)."""

    source: str
    text: str
    share: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """A predicted preference and its reasons.

    generated: a sentence written from the codes, None where a system writes none; grounded: reasons that quote what
    is known, their shares sum to the score; score: predicted preference in [0, 1]; bits: positions of the bits on
    which the codes of user and item agree, (bits,) int64.
    """

    generated: str | None
    grounded: list[Ground]
    score: float
    bits: Array
