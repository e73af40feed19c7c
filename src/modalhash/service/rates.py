"""Rates: how many requests a key may make; kept in memory, so they begin anew with the process."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rates:
    """A bucket of `burst` requests a name, refilled at `rate` requests a second; rate 0 lets everything pass."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take one request; returns 0, or the seconds to wait where none is left."""
        if not self.rate:
            return 0.0
        now = self.clock()
        left, then = self._left.get(name, (float(self.burst), now))
        left = min(float(self.burst), left + (now - then) * self.rate)
        if left < 1:
            self._left[name] = (left, now)
            return (1 - left) / self.rate
        self._left[name] = (left - 1, now)
        return 0.0
