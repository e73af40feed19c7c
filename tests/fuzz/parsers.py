"""Coverage-guided fuzzing of what reads files and requests; needs atheris, which is not part of `dev`.

    python tests/fuzz/parsers.py ratings -max_total_time=60

reads inputs that libFuzzer makes from a small valid one, and ends with an error at the first that is neither read
nor refused in our words, or that takes more than a second or 256 MB.  Options after the name are libFuzzer's; a
folder among them keeps its corpus.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

atheris: Any = import_module("atheris")
with atheris.instrument_imports(include=["modalhash"]):
    from modalhash.baselines.lsh import LSH
    from modalhash.catalog import load
    from modalhash.codes import BinaryCodes
    from modalhash.datasets import make
    from modalhash.datasets.ratings import read_csv
    from modalhash.folders import ARRAYS
    from modalhash.hasher import MODEL
    from modalhash.index import code_cache
    from modalhash.index.columns import IdColumn, Rows
    from modalhash.service.bodies import check_depth, checked
    from modalhash.service.problems import Problem
    from modalhash.service.schemas import SearchRequest
    from modalhash.service.settings import Limits

REFUSALS = (ValueError, TypeError, OSError, Problem)
SECONDS, MEGABYTES = 1.0, 256
QUERY = b'{"text": "a", "views": {"x": [1, 2.5]}, "k": 3, "allow": [1, "b"]}'
RATINGS = b'user,item,rating,title,review,time,helpful\n1,2,3.5,"a, b",good,2020-01-01,2\nx,y,-1,,,5,1\n'
CAPTIONS = b"picture,text,labels,id,title,split\na.png,red car,car|red,1,A,train\nb.png,red box,,,,train\n"
Read = Callable[[bytes], Any]


def of_file(path: Path, read: Callable[[], Any]) -> Read:
    """Writes the input in the place of a file, then reads what the file belongs to."""

    def run(content: bytes) -> Any:
        path.write_bytes(content)
        return read()

    return run


def of_model(folder: Path, name: str) -> tuple[bytes, Read]:
    rng = np.random.default_rng(0)
    LSH(n_bits=8, random_state=0).fit({"x": rng.standard_normal((20, 3))}).save(folder / "model")
    path = folder / "model" / name
    return path.read_bytes(), of_file(path, lambda: load(folder / "model"))


def of_codes(folder: Path) -> tuple[bytes, Read]:
    """The file of codes behind its checksum, which is made to fit: nothing else would get past it."""
    codes = BinaryCodes(np.arange(24, dtype=np.uint8).reshape(3, 8), 64)
    name = code_cache.write(folder, 3, Rows(np.arange(3), codes, IdColumn.of(["a", "bc", "d"])))
    path = folder / name

    def run(content: bytes) -> Any:
        path.write_bytes(hashlib.sha256(content).digest() + content)
        rows = code_cache.read(folder, name, 3, 64)
        return rows and (rows.ids.take(np.arange(len(rows))), rows.codes.signs())

    return path.read_bytes()[code_cache.DIGEST :], run


def of_query(_: Path) -> tuple[bytes, Read]:
    def run(content: bytes) -> Any:
        check_depth(content, 12)
        return checked(SearchRequest, content, Limits())

    return QUERY, run


def of_ratings(folder: Path) -> tuple[bytes, Read]:
    path = folder / "ratings.csv"
    return RATINGS, of_file(path, lambda: read_csv(path))


def of_captions(folder: Path) -> tuple[bytes, Read]:
    path = folder / "captions.csv"
    for name in ("a.png", "b.png"):
        (folder / name).touch()
    return CAPTIONS, of_file(path, lambda: make._ids(make._items_from_table(folder, path)))


TARGETS: dict[str, Callable[[Path], tuple[bytes, Read]]] = {
    "model": lambda folder: of_model(folder, MODEL),
    "arrays": lambda folder: of_model(folder, ARRAYS),
    "codes": of_codes,
    "query": of_query,
    "ratings": of_ratings,
    "captions": of_captions,
}


def main() -> None:
    name, *options = sys.argv[1:]
    place = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    seed, read = TARGETS[name](Path(place.name))
    seeds = Path(place.name) / "seeds"
    seeds.mkdir()
    (seeds / name).write_bytes(seed)
    read(seed)  # is valid, and loads what is loaded late
    warnings.simplefilter("ignore")

    def one_input(content: bytes) -> None:
        started = time.process_time()  # not the clock on the wall: a busy machine is no fault
        with suppress(*REFUSALS):
            read(content)
        assert time.process_time() - started < SECONDS

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + MEGABYTES
    limits = ["-timeout=120", f"-rss_limit_mb={most}", "-max_len=4096"]
    atheris.Setup([sys.argv[0], *limits, *options, str(seeds)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
