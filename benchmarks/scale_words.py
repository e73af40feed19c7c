"""Indexes over quantised codes for benchmarks/scale.py: our look-up tables and the quantizers of faiss.

Two truths: ours and the residual quantizer search one set of codes and words, the product quantizer and the lists and
the graph over it another.  An answer is compared with the exact one over the same codes, not with the vectors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import faiss
import numpy as np
from contenders import Ask, Built, Distances, Family, Ids, array_bytes, stored_by_faiss
from lookup import TRAINED, WIDTH, WORDS, draw, empty
from numpy.typing import NDArray
from scale_codes import ITERATIONS, TRAINED_A_LIST
from timing import K

from modalhash.index.lookup import LookUp
from modalhash.quantized import F32, QuantizedCodes, Score
from modalhash.views import blocks

BASE = "faiss product quantizer"
BLOCK = 100_000  # vectors drawn and encoded at once
MOST_FOR_GRAPHS = 100_000
Prepared = tuple[F32, str, dict[str, Family], dict[str, Distances]]


def prepared(n: int, m: int, score: Score, queries: int) -> Prepared:
    """Queries, the contender that ratios are to, all contenders, and the distances of both truths."""
    asked, learned = draw(queries, seed=1), draw(TRAINED, seed=0)
    product, residual, tables = empty(m, score)
    residual.rq.max_beam_size = 1
    product.train(learned)
    residual.train(learned)
    codebooks = faiss.vector_to_array(residual.rq.codebooks).reshape(m, WORDS, WIDTH).copy()
    tables.rq.codebooks, tables.rq.is_trained, tables.is_trained = residual.rq.codebooks, True, True
    vectors, indices = np.empty((n, WIDTH), np.float32), np.empty((n, m), np.uint8)
    for i, rows in enumerate(blocks(n, BLOCK)):
        vectors[rows] = draw(len(vectors[rows]), seed=2 + i)
        indices[rows] = greedy(vectors[rows], codebooks)
    codes = QuantizedCodes(indices, codebooks, score)
    warm_up(codebooks, score, learned)
    found = families(codes, product, tables, product.sa_encode(vectors), vectors)
    return asked, BASE, found, {"residual": of_codes(asked, codes), "product": of_product(asked, product, score)}


def greedy(vectors: F32, codebooks: F32) -> NDArray[np.uint8]:
    """The word of each codebook that is nearest to what the words before leave."""
    left, indices = vectors.copy(), np.empty((len(vectors), len(codebooks)), np.uint8)
    for j, words in enumerate(codebooks):
        indices[:, j] = np.argmin((words**2).sum(axis=1) - 2 * left @ words.T, axis=1)
        left -= words[indices[:, j]]
    return indices


def warm_up(codebooks: F32, score: Score, learned: F32) -> None:
    """Compile our kernels: not part of building."""
    import_module("modalhash.index.lookup_kernels")
    search = LookUp(QuantizedCodes(greedy(learned, codebooks), codebooks, score))
    for _ in range(4):
        search.nearest(learned[:4], K)


def families(codes: QuantizedCodes, product: Any, tables: Any, encoded: Any, vectors: F32) -> dict[str, Family]:
    """All contenders; the product quantizer comes first, because ratios are to it."""
    n, m = codes.indices.shape
    lists = int(n**0.5)
    size = f"{m} codebooks of {WORDS} words"
    probes = f"{size}, {lists} lists, building encodes"
    found = {
        BASE: Family(lambda: filled(BASE, product, encoded), f"IndexPQ, {size}", exact=True, truth="product"),
        "modalhash look-up": Family(lambda: ours(codes), size, exact=True, truth="residual"),
        "faiss residual quantizer": Family(
            lambda: filled("faiss residual quantizer", tables, with_norms(codes)),
            f"IndexResidualQuantizer, {size}, searched by look-up tables",
            exact=True,
            truth="residual",
        ),
        "faiss IVF of products": Family(lambda: lists_of(product, vectors, lists), probes, truth="product"),
    }
    if codes.score == "l2":
        found["faiss HNSW of products"] = Family(
            lambda: graph_of(product, vectors),
            f"{size}, M 16, efConstruction 40, building encodes",
            most=MOST_FOR_GRAPHS,
            why="minutes to build",
            truth="product",
        )
    return found


def of_codes(asked: F32, codes: QuantizedCodes) -> Distances:
    def of(j: int, ids: Ids) -> NDArray[np.float64]:
        return between(asked[j], codes[ids].decode(), codes.score)

    return of


def of_product(asked: F32, product: Any, score: Score) -> Distances:
    def of(j: int, ids: Ids) -> NDArray[np.float64]:
        return between(asked[j], product.reconstruct_batch(ids), score)

    return of


def between(query: F32, items: F32, score: Score) -> NDArray[np.float64]:
    """Distances in float64, small = near."""
    wide = items.astype(np.float64)
    found = -(wide @ query) if score == "dot" else ((wide - query) ** 2).sum(axis=1)
    return np.asarray(found, dtype=np.float64)


def ours(codes: QuantizedCodes) -> Built:
    search, held = LookUp(codes), codes.indices.nbytes + codes.norms.nbytes
    asks: dict[str, Ask] = {"modalhash look-up": lambda queries: search.nearest(queries, K)[0]}
    return Built(asks, lambda: array_bytes(search), shared=held)


def with_norms(codes: QuantizedCodes) -> NDArray[np.uint8]:
    """Codes as the residual quantizer stores them: with the squared norm behind, where it is needed."""
    if codes.score == "dot":
        return codes.indices
    return np.ascontiguousarray(np.hstack([codes.indices, codes.norms[:, None].view(np.uint8)]))


def by_faiss(index: Any, asks: dict[str, Ask]) -> Built:
    return Built(asks, lambda: stored_by_faiss(faiss.write_index, index))


def filled(name: str, index: Any, encoded: Any) -> Built:
    index.add_sa_codes(encoded)
    return by_faiss(index, {name: lambda queries: index.search(queries, K)[1]})


def lists_of(product: Any, vectors: F32, lists: int) -> Built:
    """Inverted lists of the same codes: with its own product quantizer it would answer another question."""
    metric = product.metric_type
    index = faiss.IndexIVFPQ(faiss.IndexFlat(WIDTH, metric), WIDTH, lists, product.pq.M, 8, metric)
    index.by_residual = False
    index.cp.niter, index.cp.max_points_per_centroid = ITERATIONS, TRAINED_A_LIST
    index.train(vectors[np.random.default_rng(1).integers(0, len(vectors), max(TRAINED, lists * TRAINED_A_LIST))])
    index.pq = product.pq
    index.add(vectors)

    def with_probes(effort: int) -> Ask:
        def ask(queries: F32) -> Any:
            index.nprobe = effort
            return index.search(queries, K)[1]

        return ask

    return by_faiss(index, {f"faiss IVF of products, nprobe {effort}": with_probes(effort) for effort in (4, 16)})


def graph_of(product: Any, vectors: F32) -> Built:
    index = faiss.IndexHNSWPQ(WIDTH, product.pq.M, 16)
    index.train(vectors[:TRAINED])
    storage: Any = faiss.downcast_index(index.storage)
    storage.pq = product.pq
    storage.pq.compute_sdc_table()
    index.add(vectors)

    def with_search(effort: int) -> Ask:
        def ask(queries: F32) -> Any:
            index.hnsw.efSearch = effort
            return index.search(queries, K)[1]

        return ask

    return by_faiss(index, {f"faiss HNSW of products, ef {effort}": with_search(effort) for effort in (100, 400)})
