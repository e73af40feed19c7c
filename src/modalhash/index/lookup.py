"""Exact search over quantised codes: a table of inner products a query, then sums of its entries."""

from __future__ import annotations

import sys
from functools import cached_property
from importlib import import_module
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from modalhash.index.lookup_planes import Planes, planes
from modalhash.index.scan import use_vectors, wanted_path
from modalhash.quantized import F32, QuantizedCodes
from modalhash.views import blocks

SCORES = 4_000_000  # distances held at once: bounds the memory of a search whatever the batch
CELLS = 2_000_000  # table entries held at once
ITEMS = 16_384  # items whose sums are kept in the cache together
SMALL = 5_000_000  # table entries that numpy adds in less time than numba needs to load
FAR = 1e38  # distances below it stay finite in float32
KERNELS = "modalhash.index.lookup_kernels"
Nearest = tuple[NDArray[np.int64], F32]


def scores(queries: F32, codes: QuantizedCodes) -> F32:
    """Distances (queries, n) float32 of query vectors (queries, K) float32 to codes, small = near.

    Minus the inner product for `dot`, the squared Euclidean distance for `l2` (never negative).
    A query gets the same floats alone and in any batch.
    """
    distances = np.empty((len(queries), len(codes)), dtype=np.float32)
    indices = np.ascontiguousarray(codes.indices.T)
    for rows in blocks(len(queries), max(1, CELLS // codes.codebooks[..., 0].size)):
        tables = word_products(queries[rows], codes.codebooks)
        for items in blocks(len(codes), ITEMS):
            _sum_entries(tables, indices[:, items], distances[rows, items])
        if codes.score == "l2":
            distances[rows] *= 2.0
            distances[rows] += codes.norms
            distances[rows] += _squares(queries[rows])[:, None]
            np.maximum(distances[rows], 0.0, out=distances[rows])
    return distances


def word_products(queries: F32, codebooks: F32) -> F32:
    """Minus the inner products of queries with all words, (m, queries, words) float32.

    In float64 and without BLAS, whose rounding of one row depends on the number of rows.
    """
    products = np.einsum("qk,mwk->mqw", queries.astype(np.float64), codebooks.astype(np.float64), optimize=False)
    return np.asarray(-products, dtype=np.float32)


def _sum_entries(tables: F32, indices: NDArray[np.uint8], out: F32) -> None:
    """out (queries, items) = Σ_j tables[j][:, indices[j]]."""
    out[...] = tables[0][:, indices[0]]
    for table, column in zip(tables[1:], indices[1:], strict=True):
        out += table[:, column]


def _squares(queries: F32) -> F32:
    vectors = queries.astype(np.float64)
    return np.asarray(np.einsum("ij,ij->i", vectors, vectors), dtype=np.float32)


class LookUp:
    """Exact search over quantised codes; the memory layout of the kernels is made once and kept."""

    def __init__(self, codes: QuantizedCodes) -> None:
        self.codes = codes
        self._done_by_numpy = 0

    @cached_property
    def _planes(self) -> Planes:
        return planes(self.codes)

    def nearest(self, queries: F32, k: int) -> Nearest:
        """Positions (queries, min(k, n)) int64 and distances of the same shape, float32, of the k nearest codes.

        Ties keep the order of the database.
        """
        k = min(k, len(self.codes))
        kernels = self._kernels(len(queries)) if k else None
        positions = np.empty((len(queries), k), dtype=np.int64)
        distances = np.empty((len(queries), k), dtype=np.float32)
        for rows in blocks(len(queries), max(1, CELLS // (256 * len(self.codes.codebooks)))):
            found = None if kernels is None else self._by_kernels(kernels, queries[rows], k)
            positions[rows], distances[rows] = found or nearest_numpy(queries[rows], self.codes, k)
        return positions, distances

    def _by_kernels(self, kernels: ModuleType, queries: F32, k: int) -> Nearest | None:
        """None where a sum could leave the range of float32: numpy knows what infinities do."""
        m, words = self.codes.codebooks.shape[:2]
        tables = np.empty((len(queries), m, 256), dtype=np.float32)
        tables[:, :, :words] = word_products(queries, self.codes.codebooks).transpose(1, 0, 2)
        tables[:, :, words:] = tables[:, :, :1]  # never looked up; must not lower the minimum
        squares = _squares(queries) if self.codes.score == "l2" else np.zeros(len(queries), dtype=np.float32)
        reach = 2.0 * m * max(float(tables.max()), -float(tables.min()))
        if not reach + float(squares.max()) + float(self.codes.norms.max(initial=0.0)) < FAR:
            return None
        found: Nearest = kernels.nearest(self._planes, tables, squares, k, vector=use_vectors(kernels))
        return found

    def _kernels(self, queries: int) -> ModuleType | None:
        """The module of kernels, or None as long as loading it would cost more than numpy's slower search."""
        wanted = wanted_path()
        if wanted == "numpy" or len(self.codes) >= 2**32:
            return None
        if not wanted and KERNELS not in sys.modules:
            self._done_by_numpy += queries * self.codes.indices.size
            if self._done_by_numpy <= SMALL:
                return None
        return import_module(KERNELS)


def nearest(queries: F32, database: QuantizedCodes, k: int) -> Nearest:
    """Positions (queries, min(k, n)) int64 and distances of the same shape, float32, of the k nearest codes.

    Ties keep the order of the database.  For more than one search over the same codes keep a `LookUp`.
    """
    return LookUp(database).nearest(queries, k)


def nearest_numpy(queries: F32, database: QuantizedCodes, k: int) -> Nearest:
    """`nearest` for k <= n without kernels: the key (distance, position) is unique, so the answer is too."""
    n = len(database)
    positions = np.empty((len(queries), k), dtype=np.int64)
    distances = np.empty((len(queries), k), dtype=np.float32)
    for rows in blocks(len(queries) if k else 0, max(1, SCORES // max(n, 1))):
        found = scores(queries[rows], database)
        keys = ordered(found).astype(np.uint64) << np.uint64(32)
        keys |= np.arange(n, dtype=np.uint64)
        if k < n:
            keys = np.partition(keys, k - 1, axis=1)[:, :k]
        keys.sort(axis=1)
        positions[rows] = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        distances[rows] = np.take_along_axis(found, positions[rows], axis=1) + np.float32(0.0)  # -0.0 becomes 0.0
    return positions, distances


def ordered(values: F32) -> NDArray[np.uint32]:
    """Integers in the order of the floats, equal where they are equal (-0.0 = 0.0)."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    top = np.uint32(0x80000000)
    return np.where(bits & top, ~bits, bits | top)
