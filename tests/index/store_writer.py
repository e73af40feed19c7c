"""A process that writes into a store and says each write once it has returned, until it is killed.

    python store_writer.py FOLDER FIRST [FAULT]

Write number i is the same whoever makes it (`write`), so that the test can replay what it was told.  FAULT names
a step of the compaction at which the process dies by itself.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from typing import Any

import numpy as np

from modalhash import BinaryCodes, Store
from modalhash.index import Show, code_cache, file_store, truth

BITS = 96
Item = tuple[bytes, str]


def write(i: int) -> tuple[list[int], BinaryCodes | None, Show | None]:
    """Write number i: ids, and codes and titles to upsert or None to delete."""
    rng = np.random.default_rng(i)
    ids = rng.permutation(2000)[: 300 if i % 4 else 60].tolist()
    if i % 4 == 0:
        return ids, None, None
    codes = BinaryCodes(rng.integers(0, 256, (len(ids), BITS // 8), dtype=np.uint8), BITS)
    return ids, codes, Show([f"{id_} of {i}" for id_ in ids], [b"\x00\xff" * (id_ % 50) for id_ in ids])


def replay(model: dict[int, Item], i: int) -> dict[int, Item]:
    """The model after write number i."""
    ids, codes, show = write(i)
    if codes is None or show is None:
        return {id_: item for id_, item in model.items() if id_ not in set(ids)}
    return model | {id_: (codes.packed[j].tobytes(), show.titles[j]) for j, id_ in enumerate(ids)}


def apply_write(store: Store, i: int) -> None:
    ids, codes, show = write(i)
    if codes is None:
        store.delete(ids)
    else:
        store.upsert(ids, codes, show)


FAULTS: dict[str, tuple[Any, str, bool]] = {  # what is called, and whether the process dies after the call
    "before the rename": (os, "replace", False),
    "after the rename": (os, "replace", True),
    "before the folder is flushed": (code_cache, "flush_folder", False),
    "before the truth knows": (truth.Truth, "adopt", False),
    "after the truth knows": (truth.Truth, "adopt", True),
    "while the file is flushed": (os, "fsync", False),
}


def plant(fault: str) -> None:
    owner, name, after = FAULTS[fault]
    original = getattr(owner, name)

    def die(*arguments: Any, **options: Any) -> None:
        if after:
            original(*arguments, **options)
        os._exit(9)

    setattr(owner, name, die)


def main() -> None:
    file_store.BACKLOG = 1500
    with Store.open(sys.argv[1], n_bits=BITS, create=True) as store:
        if len(sys.argv) > 3:
            plant(sys.argv[3])
        for i in count(int(sys.argv[2])):
            apply_write(store, i)
            sys.stdout.write(f"{i}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
