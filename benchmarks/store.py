"""The store in a folder: writes, opening, bytes an item, and searches against the in-memory index.

    MODALHASH_THREADS=1 python benchmarks/store.py --n 1000000 --bits 64 128 --out benchmarks/results/store-1e6.json

Items are written in batches, the folder is closed and opened, and the in-memory index, the store of the writer and one
opened read-only then take turns with the top 100, for a batch and one by one: as opened, and once more after 500
updates and 500 deletions.  All of them scan; once more, one by one, all choose between the scan and buckets, as they
do by default (codes to 64 bits have buckets).  A ratio is the index's CPU time over the store's; every answer is
compared with the index's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from unittest import mock

import numpy as np
from timing import K, Turn, figures, machine, parser, take_turns, write

from modalhash.codes import BinaryCodes
from modalhash.index import Hits, Index, Store, choice, multi_index
from modalhash.index.scan import usable_cores
from modalhash.index.truth import FILE

KINDS = ("integers", "texts")  # of ids
BATCH = 10_000
QUERIES = 300
ONE_BY_ONE = 20  # queries of a turn when they are asked one by one
SINGLE = 200  # items that are written one by one
CHANGED = 500
WARM = 6  # turns before the measured ones: kernels compile
SETTLED = 150  # as many until all have built their buckets, where that is worth it, and have chosen


def draw(n: int, bits: int, flips: float = 0.12) -> tuple[BinaryCodes, BinaryCodes]:
    """Codes and queries around n / 1000 random centres, every bit flipped with probability `flips`."""
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 256, (max(8, n // 1000), bits // 8), dtype=np.uint8)
    packed = np.empty((n + QUERIES, bits // 8), np.uint8)
    for start in range(0, len(packed), 100_000):
        rows = packed[start : start + 100_000]
        noise = rng.random((len(rows), bits), dtype=np.float32) < flips
        rows[:] = centres[rng.integers(0, len(centres), len(rows))] ^ np.packbits(noise, axis=1)
    return BinaryCodes(packed[:n], bits), BinaryCodes(packed[n:].copy(), bits)


def timed(call: Callable[[], Any]) -> dict[str, float]:
    cpu, wall = process_time(), perf_counter()
    call()
    return {"cpu_seconds": round(process_time() - cpu, 4), "wall_seconds": round(perf_counter() - wall, 4)}


def upsert(store: Store, ids: Any, codes: BinaryCodes, batch: int = BATCH) -> None:
    for start in range(0, len(codes), batch):
        store.upsert(ids[start : start + batch], codes[start : start + batch])


def per_second(n: int, spent: dict[str, float]) -> dict[str, float]:
    return spent | {"items_per_cpu_second": round(n / max(spent["cpu_seconds"], 1e-4))}


def search(found: Store | Index, parts: list[BinaryCodes]) -> list[Hits]:
    return [found.search(part, K) for part in parts]


def against_index(both: dict[str, Store | Index], queries: BinaryCodes, rounds: int, warm: int) -> dict[str, Any]:
    """All take turns with a batch and one by one; the searches that warm them up are not counted."""
    result = {}
    for name, parts in (("batch", [queries]), ("one by one", [queries[i : i + 1] for i in range(ONE_BY_ONE)])):
        turns: dict[str, Turn] = {
            key: (partial(search, found, parts), sum(map(len, parts))) for key, found in both.items()
        }
        take_turns(turns, warm if len(parts) > 1 else WARM)
        result[name] = figures(take_turns(turns, rounds if len(parts) == 1 else 5 * rounds), "index")
    return result


def compared(folder: Path, ids: Any, codes: BinaryCodes, asked: BinaryCodes, rounds: int) -> dict[str, Any]:
    """Figures of scans, and of what is chosen by default where buckets are a choice."""
    ways = {"scan": ("scan", len(codes) + 1, WARM), "default": ("auto", choice.WORTH_A_MULTI_INDEX, SETTLED)}
    result = {}
    for name in ways if codes.n_bits <= multi_index.MOST_BITS else ("scan",):
        method, worth, warm = ways[name]
        with (
            mock.patch.object(choice, "WORTH_A_MULTI_INDEX", worth),
            Store.open(folder) as store,
            Store.open(folder, read_only=True) as reader,
        ):
            check(store, reader, asked)
            both: dict[str, Store | Index] = {"store": store, "reader": reader}
            both["index"] = Index.build(codes, ids, method)
            result[name] = against_index(both, asked, rounds, warm)
    return result


def check(found: Store | Index, wanted: Store | Index, queries: BinaryCodes) -> None:
    mine, theirs = found.search(queries, K), wanted.search(queries, K)
    assert np.array_equal(mine.ids, theirs.ids) and np.array_equal(mine.distances, theirs.distances)


def measure(folder: Path, n: int, bits: int, kind: str, rounds: int) -> dict[str, Any]:
    codes, queries = draw(n, bits)
    order = np.random.default_rng(1).permutation(n)
    ids = np.array([f"item-{i:08d}" for i in order.tolist()]) if kind == "texts" else order
    facts: dict[str, Any] = {"n": n, "bits": bits, "ids": kind, "batch": BATCH}
    store = Store.open(folder, n_bits=bits, create=True)
    facts["upsert"] = per_second(n, timed(lambda: upsert(store, ids, codes)))
    facts["close"] = timed(store.close)
    sizes = {path.name: path.stat().st_size / n for path in folder.iterdir()}
    cache = sum(size for name, size in sizes.items() if name.startswith("codes-"))
    facts["bytes_per_item"] = {"truth": round(sizes[FILE], 1), "cache": round(cache, 1), "code": bits // 8}
    facts["open"] = timed(lambda: Store.open(folder, read_only=True).close())
    with Store.open(folder) as store:
        check(store, Index.build(codes, ids), queries)
    facts["search"] = compared(folder, ids, codes, queries, rounds)
    few = min(CHANGED, n // 4)
    with Store.open(folder) as store:
        store.upsert(ids[:few], codes[few : 2 * few])
        store.delete(ids[-few:])
    facts["search after changes"] = compared(folder, ids, codes, queries, rounds)
    with Store.open(folder) as store:
        single = min(SINGLE, n)
        facts["upsert one by one"] = per_second(single, timed(lambda: upsert(store, ids[:single], codes[:single], 1)))
        facts["update all"] = per_second(n, timed(lambda: upsert(store, ids, codes)))
    for path in folder.glob("codes-*"):
        path.unlink()
    facts["open without cache"] = timed(lambda: Store.open(folder, read_only=True).close())
    return facts


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, nargs="+", default=[100_000])
    options.add_argument("--bits", type=int, nargs="+", default=[64])
    options.add_argument("--ids", choices=KINDS, nargs="+", default=list(KINDS))
    options.add_argument("--folder", type=Path, help="where the stores are made, for a while")
    given = options.parse_args()
    facts = {"machine": machine(), "k": K, "queries": QUERIES, "rounds": given.rounds, "threads": usable_cores()}
    cells = []
    for n in given.n:
        for bits in given.bits:
            for ids in given.ids:
                with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                    cells.append(measure(Path(folder) / "store", n, bits, ids, given.rounds))
    write(facts | {"cells": cells}, given.out)


if __name__ == "__main__":
    main()
