"""Paired bootstrap: how sure the difference of two systems on the same rankings is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modalhash.hasher import check_integer, check_real
from modalhash.views import Array, blocks

AT_ONCE = 2**22  # counts that are held at once


@dataclass(frozen=True)
class Interval:
    """A mean difference, and the bounds between which it lies in the given share of the draws."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    first: Array, second: Array, owners: Array | None = None, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The mean of first - second over rankings, with the interval of percentiles over bootstrap draws.

    first, second: (rankings,) a measure of two systems; rankings where either is NaN do not count.  owners: (rankings,)
    who a ranking belongs to (a user, an item): whole owners are drawn, with replacement, because rankings of one are
    alike; None: each its own.  ValueError for shapes that differ or nothing that counts.
    """
    check_integer("draws", draws, low=1)
    check_real("level", level, low=0, inclusive=False)
    if level >= 1:
        raise ValueError(f"level: expected less than 1, got {level}")
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    whose = np.arange(len(one)) if owners is None else np.asarray(owners)
    if one.ndim != 1 or one.shape != two.shape or whose.shape != one.shape:
        raise ValueError(f"first, second, owners: expected one length, got {one.shape}, {two.shape}, {whose.shape}")
    counts = ~np.isnan(one - two)
    if not counts.any():
        raise ValueError("first, second: no ranking counts")
    _, owner = np.unique(whose[counts], return_inverse=True)
    sums, sizes = np.bincount(owner, weights=(one - two)[counts]), np.bincount(owner).astype(np.float64)
    n, rng = len(sums), np.random.default_rng(seed)
    means = []
    for rows in blocks(draws, max(1, AT_ONCE // n)):
        drawn = rng.multinomial(n, np.full(n, 1.0 / n), size=rows.stop - rows.start)
        means.append((drawn @ sums) / (drawn @ sizes))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sums.sum() / sizes.sum()), float(low), float(high))
