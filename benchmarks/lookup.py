"""Search over quantised codes by look-up tables: our ways and faiss, one thread each, interleaved in one process.

    python benchmarks/lookup.py --n 1000000 --codebooks 4 --out benchmarks/results/lookup-1e6.json

A cell asks for the top 100 in one batch of queries over the same words and codebooks for all contenders but the
product quantizer, which has its own.  Contenders take turns; a figure is the median over the rounds of CPU time a
query, tables included; a ratio is the residual quantizer of faiss, searched by its look-up tables, over the
contender; the spread is (largest - smallest) / median over the rounds.  Our answers are compared with a sort of all
float distances.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import faiss
import numpy as np
from timing import K, Turn, figures, machine, parser, take_turns, write

from modalhash.index import lookup
from modalhash.quantized import F32, QuantizedCodes, Score

WORDS = 256
WIDTH = 32
TRAINED = 10_000  # vectors that the quantizers of faiss learn from
FEW = 3  # queries whose answers are compared, and that the slow contenders are asked
BASE = "faiss residual quantizer, tables"
SLOW = ("faiss residual quantizer, default", "numpy")
Ask = Callable[[F32], Any]  # positions, distances


def draw(n: int, seed: int) -> F32:
    """Vectors around 1,000 centres."""
    centres = np.random.default_rng(99).standard_normal((1000, WIDTH), dtype=np.float32)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, WIDTH), dtype=np.float32)
    return np.asarray(centres[rng.integers(0, len(centres), n)] + np.float32(0.7) * noise)


def shuffled(indices: Any, n: int) -> Any:
    """n codes whose every column is drawn from the column of these: encoding a million vectors takes minutes."""
    rng = np.random.default_rng(2)
    return np.stack([column[rng.integers(0, len(column), n)] for column in indices.T], axis=1)


def contenders(n: int, m: int, score: Score) -> tuple[dict[str, Ask], QuantizedCodes]:
    """The quantizers of faiss and our ways, with n codes; ours have words and codes of the residual quantizer.

    By default that decodes every vector for every query, so its own look-up tables are one more contender.
    """
    vectors, product, residual, tables = draw(TRAINED, seed=0), *empty(m, score)
    product.train(vectors)
    product.add_sa_codes(shuffled(product.sa_encode(vectors), n))
    residual.rq.max_beam_size = 1
    residual.train(vectors)
    indices = shuffled(residual.sa_encode(vectors), n)
    residual.add_sa_codes(indices)
    codebooks = faiss.vector_to_array(residual.rq.codebooks).reshape(m, WORDS, WIDTH).copy()
    codes = QuantizedCodes(indices, codebooks, score)
    tables.rq.codebooks, tables.rq.is_trained, tables.is_trained = residual.rq.codebooks, True, True
    stored = indices if score == "dot" else np.hstack([indices, codes.norms[:, None].view(np.uint8)])
    tables.add_sa_codes(np.ascontiguousarray(stored))
    search = lookup.LookUp(codes)
    asks: dict[str, Ask] = {
        BASE: lambda batch: tables.search(batch, K),
        "faiss residual quantizer, default": lambda batch: residual.search(batch, K),
        "faiss product quantizer": lambda batch: product.search(batch, K),
        **{path: ours(search, path) for path in ("vector", "numba", "numpy")},
    }
    return asks, codes


def empty(m: int, score: Score) -> tuple[Any, Any, Any]:
    """Product quantizer, residual quantizer as it comes, residual quantizer that searches by look-up tables."""
    metric = faiss.METRIC_INNER_PRODUCT if score == "dot" else faiss.METRIC_L2
    kind = faiss.AdditiveQuantizer.ST_LUT_nonorm if score == "dot" else faiss.AdditiveQuantizer.ST_norm_float
    residual: Any = faiss.IndexResidualQuantizer
    return faiss.IndexPQ(WIDTH, m, 8, metric), residual(WIDTH, m, 8, metric), residual(WIDTH, m, 8, metric, kind)


def ours(search: lookup.LookUp, path: str) -> Ask:
    def ask(queries: F32) -> Any:
        os.environ["MODALHASH_KERNELS"] = path
        return search.nearest(queries, K)

    return ask


def measure(n: int, m: int, queries: int, score: Score, rounds: int) -> dict[str, Any]:
    asked, (asks, codes) = draw(queries, seed=1), contenders(n, m, score)
    check(asks, asked, codes)
    few = asked[:FEW]
    turns: dict[str, Turn] = {
        name: (partial(ask, batch), len(batch))
        for name, ask in asks.items()
        for batch in [few if name in SLOW else asked]
    }
    facts = {"n": n, "codebooks": m, "words": WORDS, "width": WIDTH, "score": score, "queries": queries}
    return facts | figures(take_turns(turns, rounds), BASE)


def check(asks: dict[str, Ask], asked: F32, codes: QuantizedCodes) -> None:
    """Warm every contender up; ours must equal the stable sort, the residual quantizer up to rounding."""
    positions, distances = lookup.nearest_numpy(asked[:FEW], codes, K)
    for name, ask in asks.items():
        first, second = (array[:FEW] for array in ask(asked[:FEW] if name in SLOW else asked))
        if name in ("vector", "numba", "numpy"):
            assert np.array_equal(first, positions), f"{name}: other positions than the float scan"
            assert np.array_equal(second, distances), f"{name}: other distances than the float scan"
        elif "residual" in name:
            found = -first if codes.score == "dot" else first
            assert np.allclose(found, distances, rtol=1e-3, atol=1e-2), f"{name}: other distances than ours"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, nargs="+", default=[100_000])
    options.add_argument("--codebooks", type=int, nargs="+", default=[4])
    options.add_argument("--scores", nargs="+", default=["dot", "l2"])
    options.add_argument("--queries", type=int, default=100)
    given = options.parse_args()
    faiss.omp_set_num_threads(1)
    facts = {"machine": machine(), "k": K, "rounds": given.rounds, "threads": 1}
    cells = [
        measure(n, m, given.queries, score, given.rounds)
        for n in given.n
        for m in given.codebooks
        for score in given.scores
    ]
    write(facts | {"cells": cells}, given.out)


if __name__ == "__main__":
    main()
