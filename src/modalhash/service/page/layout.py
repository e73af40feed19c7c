"""Codes on a plane: near codes come to be near each other, and every item gets a cell of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.features.images import leading_directions
from modalhash.views import F64, blocks

MOST = 2000  # items of a map; of more, this many are shown, evenly spread
FEW = 10  # of fewer there are no neighbourhoods to keep
ROOM = 1.5  # cells an item
SHAPE = 16 / 10  # width to height


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions of the shown items and their cells (column, row) on a grid of `columns` x `rows`."""

    shown: NDArray[np.int64]
    cells: NDArray[np.int64]
    columns: int
    rows: int


def layout(codes: BinaryCodes, most: int = MOST) -> Layout:
    """The map of the codes, always the same for the same codes; nothing of size n x n is made."""
    n = len(codes)
    shown = np.arange(n) if n <= most else np.arange(most) * n // most
    places = spread_out(neighbourhoods(codes[shown]))
    rows = max(1, round(np.sqrt(ROOM * len(shown) / SHAPE)))
    columns = max(1, -(-round(ROOM * len(shown)) // rows))
    return Layout(shown, free_cells(places, columns, rows), columns, rows)


def neighbourhoods(codes: BinaryCodes) -> F64:
    """t-SNE of the signs, begun from the two leading directions, (n, 2); of few items these directions."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start = leading_two(codes)
    if len(codes) < FEW or not start.std(axis=0).all():
        return start
    begin = (1e-4 * start / start[:, 0].std()).astype(np.float32)
    perplexity = min(30.0, (len(codes) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, init=begin, perplexity=perplexity, max_iter=500, random_state=0, n_jobs=1)
        return np.asarray(tsne.fit_transform(codes.signs().astype(np.float32)), dtype=np.float64)


def leading_two(codes: BinaryCodes) -> F64:
    """Items on the two leading directions of their signs, (n, 2)."""
    mean = sum(codes[rows].signs().sum(axis=0, dtype=np.float64) for rows in blocks(len(codes))) / len(codes)
    cross = np.zeros((codes.n_bits, codes.n_bits))
    for rows in blocks(len(codes)):
        centred = codes[rows].signs() - mean
        cross += centred.T @ centred
    values = (codes.signs() - mean) @ leading_directions(cross, 2)
    return np.asarray(np.pad(values, ((0, 0), (0, 2 - values.shape[1]))))


def spread_out(places: F64) -> F64:
    """Coordinates in [0, 1]: half as they are, half by rank, so that a dense middle does not fill the map."""
    n = len(places)
    ranks = np.argsort(np.argsort(places, axis=0, kind="stable"), axis=0, kind="stable") / max(1, n - 1)
    low, high = places.min(axis=0), places.max(axis=0)
    straight = (places - low) / np.where(high > low, high - low, 1.0)
    return np.asarray((straight + ranks) / 2)


def free_cells(places: F64, columns: int, rows: int) -> NDArray[np.int64]:
    """For each item the nearest cell that is still free, items in the middle first; (n, 2) column and row."""
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    centres = np.stack([across.ravel(), down.ravel()], axis=1)
    wanted = places * (columns - 1, rows - 1)
    taken = np.zeros(len(centres))
    cells = np.empty((len(places), 2), dtype=np.int64)
    for i in np.argsort(((places - 0.5) ** 2).sum(axis=1), kind="stable"):
        nearest = int(np.argmin(((centres - wanted[i]) ** 2).sum(axis=1) + taken))
        taken[nearest] = np.inf
        cells[i] = centres[nearest]
    return cells
