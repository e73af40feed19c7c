"""Why an item is recommended to a user."""

from __future__ import annotations

from dataclasses import dataclass

from modalhash.views import Array


@dataclass(frozen=True, eq=False)
class Ground:
    """One reason: where it comes from, what it says, and its part of the score (0 for one that only illustrates).

    quoted: the text is a sentence of a review, sign by sign; words: those of it that the user wrote elsewhere, too.
    """

    source: str
    text: str
    share: float
    quoted: bool = False
    words: tuple[str, ...] = ()


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


def in_words(explanation: Explanation, n_bits: int) -> str:
    """How many bits agree, and where most of them come from, in one line."""
    agree = len(explanation.bits)
    shares = [ground for ground in explanation.grounded if ground.share > 0]
    if not shares:
        return f"{agree} of {n_bits} bits agree"
    largest = max(shares, key=lambda ground: ground.share)  # the first of equal ones
    return f"{agree} of {n_bits} bits agree, most from {source_name(largest)}"


def source_name(ground: Ground) -> str:
    """Where a reason comes from: the bare name of a view, or the source as it is."""
    return ground.source.removeprefix("view ").strip("'")
