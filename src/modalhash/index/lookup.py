"""Exact search over quantised codes: a table of inner products a query, then sums of its entries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.quantized import F32, QuantizedCodes
from modalhash.views import blocks

SCORES = 4_000_000  # distances held at once: bounds the memory of a search whatever the batch
CELLS = 2_000_000  # table entries held at once
ITEMS = 16_384  # items whose sums are kept in the cache together


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


def nearest(queries: F32, database: QuantizedCodes, k: int) -> tuple[NDArray[np.int64], F32]:
    """Positions (queries, min(k, n)) int64 and distances of the same shape, float32, of the k nearest codes.

    Ties keep the order of the database: the key (distance, position) is unique, so the answer is too.
    """
    n = len(database)
    k = min(k, n)
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
        distances[rows] = np.take_along_axis(found, positions[rows], axis=1)
    return positions, distances


def ordered(values: F32) -> NDArray[np.uint32]:
    """Integers in the order of the floats, equal where they are equal (-0.0 = 0.0)."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    top = np.uint32(0x80000000)
    return np.where(bits & top, ~bits, bits | top)
