"""The store in a folder: writes, opening, bytes an item, and searches against the in-memory index.

    python benchmarks/store.py --n 1000000 --bits 64 --out benchmarks/results/store-1e6.json

Items are written in batches, the folder is closed and opened, and store and index then take turns with the top 100,
for a batch and one by one: as opened, and once more after 500 updates and 500 deletions.  A ratio is the index's CPU
time over the store's; every answer of the opened store is compared with the index's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from timing import K, Turn, figures, machine, parser, take_turns, write

from modalhash.codes import BinaryCodes
from modalhash.index import Hits, Index, Store
from modalhash.index.truth import FILE

BATCH = 10_000
QUERIES = 300
ONE_BY_ONE = 20  # queries of a turn when they are asked one by one
SINGLE = 200  # items that are written one by one
CHANGED = 500
WARM = 6  # turns before the measured ones: kernels compile, both choose their way


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


def against_index(store: Store, index: Index, queries: BinaryCodes, rounds: int) -> dict[str, Any]:
    """Both take turns; the searches that warm them up are not counted."""
    result = {}
    for name, parts in (("batch", [queries]), ("one by one", [queries[i : i + 1] for i in range(ONE_BY_ONE)])):
        both: dict[str, Store | Index] = {"index": index, "store": store}
        turns: dict[str, Turn] = {
            key: (partial(search, found, parts), sum(map(len, parts))) for key, found in both.items()
        }
        take_turns(turns, WARM)
        result[name] = figures(take_turns(turns, rounds), "index")
    return result


def check(store: Store, index: Index, queries: BinaryCodes) -> None:
    mine, theirs = store.search(queries, K), index.search(queries, K)
    assert np.array_equal(mine.ids, theirs.ids) and np.array_equal(mine.distances, theirs.distances)


def measure(folder: Path, n: int, bits: int, texts: bool, rounds: int) -> dict[str, Any]:
    codes, queries = draw(n, bits)
    order = np.random.default_rng(1).permutation(n)
    ids = np.array([f"item-{i:08d}" for i in order.tolist()]) if texts else order
    facts: dict[str, Any] = {"n": n, "bits": bits, "ids": "texts" if texts else "integers", "batch": BATCH}
    store = Store.open(folder, n_bits=bits, create=True)
    facts["upsert"] = per_second(n, timed(lambda: upsert(store, ids, codes)))
    facts["close"] = timed(store.close)
    sizes = {path.name: path.stat().st_size / n for path in folder.iterdir()}
    cache = sum(size for name, size in sizes.items() if name.startswith("codes-"))
    facts["bytes_per_item"] = {"truth": round(sizes[FILE], 1), "cache": round(cache, 1), "code": bits // 8}
    facts["open"] = timed(lambda: Store.open(folder, read_only=True).close())
    with Store.open(folder) as store:
        index = Index.build(codes, ids)
        check(store, index, queries)
        facts["search"] = against_index(store, index, queries, rounds)
        few = min(CHANGED, n // 4)
        store.upsert(ids[:few], codes[few : 2 * few])
        store.delete(ids[-few:])
        facts["search after changes"] = against_index(store, index, queries, rounds)
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
    options.add_argument("--folder", type=Path, help="where the stores are made, for a while")
    given = options.parse_args()
    facts = {"machine": machine(), "k": K, "queries": QUERIES, "rounds": given.rounds}
    cells = []
    for n in given.n:
        for bits in given.bits:
            for texts in (False, True):
                with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                    cells.append(measure(Path(folder) / "store", n, bits, texts, given.rounds))
    write(facts | {"cells": cells}, given.out)


if __name__ == "__main__":
    main()
