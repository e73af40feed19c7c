"""GradientColour: a light picture descriptor, orientation and colour histograms on grids; no network needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.features.extractor import Extractor, check_raw
from modalhash.features.pictures import ENCODED, open_picture
from modalhash.hasher import check_integer
from modalhash.views import F64, blocks, missing

F32 = NDArray[np.float32]

GRID = 8  # cells a side; coarser grids are sums of these
ORIENTATIONS, HUES, GREYS = 9, 12, 5
BLOCKS = {  # the descriptor: name -> values
    "gradients 8x8": 64 * ORIENTATIONS,
    "gradients 4x4": 16 * ORIENTATIONS,
    "colours 4x4": 16 * (HUES + GREYS),
    "colours 1x1": HUES + GREYS,
}
WIDTH = sum(BLOCKS.values())
ENDS = np.cumsum(list(BLOCKS.values()))


@dataclass(kw_only=True, eq=False)
class GradientColour(Extractor):
    """Histograms of edge directions (8x8 and 4x4 cells) and of colours (4x4 cells and whole), then PCA.

    Each of the four blocks is square-rooted and brought to length 1; training rows give the means, the scale of
    each block and the `n_components` leading directions (fewer if the training rows span fewer).
    A picture is opened at `size` x `size` pixels (a multiple of 8); more than `max_pixels` pixels are refused.
    `fit` reads at most `max_rows` pictures, evenly spread.
    """

    n_components: int = 256
    size: int = 64
    max_pixels: int = 64_000_000
    max_rows: int = 10_000

    takes: ClassVar[str] = "image"
    learned: ClassVar[tuple[str, ...]] = ("mean_", "projection_")

    def fit(self, raw: Sequence[Any]) -> Self:
        """Learn means, scales and directions from pictures: encoded bytes, paths or PIL images; b"" = no picture."""
        self._check_parameters()
        check_raw(raw, (*ENCODED, str), "pictures")
        positions = _spread(len(raw), self.max_rows)
        return self._learn(self.describe([raw[i] for i in positions]))

    def transform(self, raw: Sequence[Any]) -> F32:
        """Pictures to (n, components) float32; a row of NaN where the picture is b"".

        Raises ValueError naming the position (and file) of a picture that is broken or too large.
        """
        self._check_fitted()
        return self._map(self.describe(raw))

    def fit_transform(self, raw: Sequence[Any], rows: Sequence[int] | None = None) -> F32:
        """Learn from pictures, or from the positions `rows` of them only, and return the matrix of all."""
        self._check_parameters()
        described = self.describe(raw)
        training = np.arange(len(raw)) if rows is None else np.asarray(rows)
        return self._learn(described[training[_spread(len(training), self.max_rows)]])._map(described)

    def describe(self, raw: Sequence[Any]) -> F32:
        """The histograms of pictures before PCA, (n, 1009) float32; needs no fit."""
        check_raw(raw, (*ENCODED, str), "pictures")
        described = np.full((len(raw), WIDTH), np.nan, dtype=np.float32)
        for i, source in enumerate(raw):
            if not (isinstance(source, ENCODED) and len(source) == 0):
                picture = open_picture(source, name=f"picture {i}", size=self.size, max_pixels=self.max_pixels)
                described[i] = describe(np.asarray(picture))
        return described

    def _learn(self, described: F32) -> Self:
        rows = described[~missing(described)]
        if len(rows) == 0:
            raise ValueError("every picture is missing; expected at least one to learn from")
        mean, cross = np.zeros(WIDTH), np.zeros((WIDTH, WIDTH))
        for block in blocks(len(rows)):
            mean += rows[block].sum(axis=0, dtype=np.float64) / len(rows)
        for block in blocks(len(rows)):
            centred = rows[block] - mean
            cross += centred.T @ centred / len(rows)
        spreads = np.sqrt([part.sum() for part in np.split(np.diagonal(cross), ENDS[:-1])])
        scale = np.repeat(1.0 / np.where(spreads > 0, spreads, 1.0), list(BLOCKS.values()))
        self.mean_: F64 = mean
        self.projection_: F64 = scale[:, None] * leading_directions(scale[:, None] * cross * scale, self.n_components)
        return self

    def _map(self, described: F32) -> F32:
        mapped = np.full((len(described), self.projection_.shape[1]), np.nan, dtype=np.float32)
        for i in np.flatnonzero(~missing(described)):  # row by row: a product with many rows may round otherwise
            mapped[i] = (described[i] - self.mean_) @ self.projection_
        return mapped

    def _check_parameters(self) -> None:
        for name in ("n_components", "max_pixels", "max_rows"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("size", self.size, low=GRID)
        if self.size % GRID:
            raise ValueError(f"size: expected a multiple of {GRID}, got {self.size}")

    def _check_learned(self) -> None:
        if self.mean_.shape != (WIDTH,) or self.projection_.ndim != 2 or len(self.projection_) != WIDTH:
            raise ValueError(f"mean_ {self.mean_.shape}, projection_ {self.projection_.shape}, expected {WIDTH} rows")


def leading_directions(covariance: F64, count: int) -> F64:
    """The leading eigenvectors as columns, largest entry positive; at most `count`, none of variance 0 (but one)."""
    values, vectors = np.linalg.eigh(covariance)
    kept = max(1, min(count, int((values > 1e-9 * values[-1]).sum())))
    vectors = vectors[:, ::-1][:, :kept]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(kept)]
    return np.asarray(vectors * np.where(largest < 0, -1.0, 1.0))


def describe(rgb: NDArray[np.uint8]) -> F32:
    """The four blocks of histograms of one picture (size, size, 3), each square-rooted and of length 1; (1009,)."""
    values = rgb.astype(np.float32) / np.float32(255)
    edges = gradients(values)
    colours = _pooled(colour_histograms(values), 2)
    parts = (edges, _pooled(edges, 2), colours, _pooled(colours, 4))
    return np.concatenate([_unit(np.sqrt(part.ravel())) for part in parts]).astype(np.float32)


def gradients(rgb: F32) -> F64:
    """Histograms of edge direction (without sign) in 8x8 cells, weighted by √strength, (8, 8, 9)."""
    grey = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    down[1:-1] = grey[2:] - grey[:-2]
    angle = np.arctan2(down, across) * np.float32(ORIENTATIONS / np.pi)
    return _histograms(angle, np.sqrt(np.hypot(across, down)), ORIENTATIONS)


def colour_histograms(rgb: F32) -> F64:
    """Histograms of hue (weight: chroma) and of brightness (weight: 1 - chroma) in 8x8 cells, (8, 8, 17)."""
    red, green, blue = (rgb[:, :, i] for i in range(3))
    high = np.maximum(np.maximum(red, green), blue)
    chroma = high - np.minimum(np.minimum(red, green), blue)
    safe = np.where(chroma > 0, chroma, np.float32(1))
    hue = np.where(high == red, (green - blue) / safe, np.float32(2) + (blue - red) / safe)
    hue = np.where((high == blue) & (high > red) & (high > green), np.float32(4) + (red - green) / safe, hue)
    hues = _histograms(hue * np.float32(HUES / 6), chroma, HUES)
    greys = _histograms(high * np.float32(GREYS - 1), 1 - chroma, GREYS)
    return np.concatenate([hues, greys], axis=2)


def _histograms(values: F32, weights: F32, bins: int) -> F64:
    """Weighted histograms in 8x8 cells; a value between two bins (in a circle) is shared out to both; (8, 8, bins)."""
    low = np.floor(values)
    upper = (values - low) * weights
    slots = _cells(len(values)) * bins
    low_bins = low.astype(np.int64)
    sums = np.bincount(
        np.concatenate([(slots + low_bins % bins).ravel(), (slots + (low_bins + 1) % bins).ravel()]),
        weights=np.concatenate([(weights - upper).ravel(), upper.ravel()]),
        minlength=GRID * GRID * bins,
    )
    return sums.reshape(GRID, GRID, bins).clip(min=0)


@cache
def _cells(size: int) -> NDArray[np.int64]:
    """The cell of every pixel, (size, size)."""
    side = np.arange(size) * GRID // size
    return np.asarray(side[:, None] * GRID + side)


def _pooled(cells: F64, by: int) -> F64:
    """Sums of by x by cells."""
    side = len(cells) // by
    return np.asarray(cells.reshape(side, by, side, by, -1).sum(axis=(1, 3)))


def _unit(values: F64) -> F64:
    length = np.sqrt(values @ values)
    return values / length if length > 0 else values


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """At most `most` positions of range(n), evenly spread."""
    return np.arange(n) if n <= most else np.arange(most) * n // most
