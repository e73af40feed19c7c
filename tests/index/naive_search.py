"""The obvious twin that all fast searches are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash import BinaryCodes


def draw(n: int, bits: int, seed: int = 0, distinct: int | None = None) -> BinaryCodes:
    """Random codes; with `distinct` only so many different ones, so that distances tie."""
    rng = np.random.default_rng(seed)
    signs = rng.standard_normal((distinct or n, bits))
    return BinaryCodes.from_signs(signs[rng.integers(0, distinct, n)] if distinct else signs)


def clusters(n: int, bits: int, seed: int = 0, centres: int = 20, flips: float = 0.12) -> BinaryCodes:
    """Codes around a few centres, every bit flipped with probability `flips`; centres are the same for all seeds."""
    signs = np.random.default_rng(99).standard_normal((centres, bits))
    rng = np.random.default_rng(seed)
    chosen = signs[rng.integers(0, centres, n)]
    return BinaryCodes.from_signs(np.where(rng.random((n, bits)) < flips, -chosen, chosen))


def distances(queries: BinaryCodes, database: BinaryCodes) -> NDArray[np.int64]:
    """Hamming distances by comparing unpacked bits."""
    bits = queries.n_bits
    mine, theirs = (np.unpackbits(codes.packed, axis=1)[:, :bits].astype(np.int64) for codes in (queries, database))
    return np.asarray(mine @ (1 - theirs).T + (1 - mine) @ theirs.T)


def nearest(queries: BinaryCodes, database: BinaryCodes, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The k nearest by a full sort; equal distances keep the order of the database."""
    table = distances(queries, database)
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(table, order, axis=1)


def within(queries: BinaryCodes, database: BinaryCodes, radius: int) -> list[list[tuple[int, int]]]:
    """For every query the (distance, position) pairs up to the radius, in order."""
    return [
        sorted((int(d), i) for i, d in enumerate(row) if d <= radius) for row in distances(queries, database).tolist()
    ]
