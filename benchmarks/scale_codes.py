"""Indexes over binary codes for benchmarks/scale.py: ours, faiss, usearch and numpy."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import faiss
import numpy as np
from contenders import Ask, Built, Distances, Family, Ids, array_bytes, stored_by_faiss
from numpy.typing import NDArray
from timing import K

from modalhash.codes import BinaryCodes
from modalhash.index.choice import Search
from modalhash.index.scan import nearest_numpy

USEARCH: Any = import_module("usearch.index") if find_spec("usearch") else None
BASE = "faiss flat"
MOST_FOR_NUMPY = 400_000  # items
MOST_FOR_GRAPHS = 1_000_000
MOST_FOR_BUCKETS = 10_000_000
GRAPHS = "minutes to build at a million, many times that beyond"
TRAINED_A_LIST = 64  # codes a list that k-means sees, and its iterations
ITERATIONS = 10


def families(database: BinaryCodes, threads: int) -> dict[str, Family]:
    """All contenders; faiss flat comes first, because ratios are to it."""
    bits = database.n_bits
    found = {
        BASE: Family(lambda: flat(database), "IndexBinaryFlat", exact=True),
        "modalhash scan": Family(lambda: ours(database, "scan", threads), "scan", exact=True),
    }
    for method in buckets_of_ours(bits):
        found[f"modalhash {method}"] = Family(
            partial(ours, database, method, threads),
            f"{method}, scan where measured to be cheaper",
            exact=True,
            most=MOST_FOR_BUCKETS,
            why="gigabytes of buckets",
        )
    found |= buckets(database) | graphs(database, threads)
    numpy = partial(by_numpy, database)
    found["numpy"] = Family(numpy, "bits counted, partition", exact=True, most=MOST_FOR_NUMPY, why="minutes a batch")
    return found


def buckets_of_ours(bits: int) -> tuple[str, ...]:
    """What Search offers beside the scan for codes of this length."""
    return ("table",) if bits <= 16 else ("multi_index",) if bits <= 64 else ()


def buckets(database: BinaryCodes) -> dict[str, Family]:
    """The approximate indexes of faiss that are built in about the time of reading the codes a few times."""
    lists = int(len(database) ** 0.5)
    why = "minutes to build, gigabytes of buckets"
    k_means = f"{lists} lists, k-means of {ITERATIONS} iterations on {TRAINED_A_LIST} codes a list"
    found = {"faiss IVF": Family(lambda: inverted_lists(database, lists), k_means, most=MOST_FOR_BUCKETS, why=why)}
    if database.n_bits >= 16:
        hashes = database.n_bits // 16
        words = f"{hashes} tables of 16 bits"
        found["faiss MultiHash"] = Family(partial(multi_hash, database, hashes), words, most=MOST_FOR_BUCKETS, why=why)
    return found


def graphs(database: BinaryCodes, threads: int) -> dict[str, Family]:
    """The approximate indexes whose building is the larger part of the work."""
    most, why = MOST_FOR_GRAPHS, GRAPHS
    make = partial(usearch_graph, database, threads)
    if USEARCH is None:
        most, why = 0, "not installed: pip install usearch"
    return {
        "faiss HNSW": Family(lambda: graph(database), "M 16, efConstruction 40", most=MOST_FOR_GRAPHS, why=GRAPHS),
        "usearch HNSW": Family(make, "connectivity 16, expansion_add 128", most=most, why=why),
    }


def distances(database: BinaryCodes, asked: BinaryCodes) -> Distances:
    def of(j: int, ids: Ids) -> NDArray[np.float64]:
        return np.asarray(asked[j].hamming(database[ids])[0], dtype=np.float64)

    return of


def ours(database: BinaryCodes, method: str, threads: int) -> Built:
    search = Search(database, method, threads)
    name = f"modalhash {method}"
    return Built(
        {name: lambda queries: search.nearest(queries, K)[0]},
        lambda: array_bytes(search),
        shared=database.packed.nbytes,
    )


def by_numpy(database: BinaryCodes) -> Built:
    asks: dict[str, Ask] = {"numpy": lambda queries: nearest_numpy(queries, database, K)[0]}
    return Built(asks, lambda: array_bytes(database), shared=database.packed.nbytes)


def by_faiss(index: Any, asks: dict[str, Ask]) -> Built:
    return Built(asks, lambda: stored_by_faiss(faiss.write_index_binary, index))


def with_effort(index: Any, holder: Any, option: str, effort: int) -> Ask:
    """Ask a faiss index after setting how much it looks at."""

    def ask(queries: BinaryCodes) -> Any:
        setattr(holder, option, effort)
        return index.search(queries.packed, K)[1]

    return ask


def flat(database: BinaryCodes) -> Built:
    index = faiss.IndexBinaryFlat(database.n_bits)
    index.add(database.packed)
    return by_faiss(index, {BASE: lambda queries: index.search(queries.packed, K)[1]})


def inverted_lists(database: BinaryCodes, lists: int) -> Built:
    quantizer = faiss.IndexBinaryFlat(database.n_bits)
    index = faiss.IndexBinaryIVF(quantizer, database.n_bits, lists)
    index.cp.niter, index.cp.max_points_per_centroid = ITERATIONS, TRAINED_A_LIST
    chosen = np.random.default_rng(1).integers(0, len(database), lists * TRAINED_A_LIST)
    index.train(database.packed[chosen])
    index.add(database.packed)
    return by_faiss(
        index, {f"faiss IVF, nprobe {effort}": with_effort(index, index, "nprobe", effort) for effort in (4, 16)}
    )


def multi_hash(database: BinaryCodes, hashes: int) -> Built:
    index = faiss.IndexBinaryMultiHash(database.n_bits, hashes, 16)
    index.add(database.packed)
    return by_faiss(
        index, {f"faiss MultiHash, nflip {effort}": with_effort(index, index, "nflip", effort) for effort in (1, 2)}
    )


def graph(database: BinaryCodes) -> Built:
    index = faiss.IndexBinaryHNSW(database.n_bits, 16)
    index.add(database.packed)
    asks = {f"faiss HNSW, ef {effort}": with_effort(index, index.hnsw, "efSearch", effort) for effort in (100, 400)}
    return by_faiss(index, asks)


def usearch_graph(database: BinaryCodes, threads: int) -> Built:
    index = USEARCH.Index(ndim=database.n_bits, metric="hamming", dtype="b1")
    index.add(np.arange(len(database), dtype=np.uint64), database.packed, threads=threads)

    def with_expansion(effort: int) -> Ask:
        def ask(queries: BinaryCodes) -> Any:
            index.expansion_search = effort
            keys = index.search(queries.packed, K, threads=threads).keys
            return keys.reshape(len(queries), -1).astype(np.int64)

        return ask

    asks = {f"usearch HNSW, ef {effort}": with_expansion(effort) for effort in (100, 400)}
    return Built(asks, lambda: int(index.serialized_length))
