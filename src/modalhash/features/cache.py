"""Matrices and fitted extractors kept on disk, by the checksum of all that they are made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.features.extractor import Extractor
from modalhash.folders import ARRAYS, read_json, read_state, write_json, write_state, written_whole
from modalhash.views import Matrix, is_sparse

ENTRY, MATRIX = "entry.json", "matrix.json"
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pillow", "torch")


def cache_folder() -> Path | None:
    """Where entries are kept: what MODALHASH_CACHE names, ~/.cache/modalhash without it, None if it is `off`."""
    named = os.environ.get("MODALHASH_CACHE", "")
    if named.strip().lower() == "off":
        return None
    return Path(named).expanduser() if named else Path.home() / ".cache" / "modalhash"


def fitted(extractor: Extractor, raw: Sequence[Any], rows: Sequence[int]) -> tuple[Extractor, Matrix]:
    """The extractor fitted on the positions `rows` of raw values, and the matrix of all of them.

    raw: n texts or n encoded pictures.  Both come from the cache if it holds them and every byte of the entry is as
    it was written; a damaged entry is made again.  A cache that cannot be written gives a warning, not an error.
    """
    folder = cache_folder()
    if folder is None:
        return extractor, _made(extractor, raw, rows)
    entry = folder / "features" / entry_key(extractor, raw, rows)
    try:
        return _read(entry, extractor)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # absent or damaged: made again
        pass
    matrix = _made(extractor, raw, rows)
    try:
        shutil.rmtree(entry, ignore_errors=True)
        _write(entry, extractor, matrix)
    except OSError as error:
        if not (entry / ENTRY).is_file():  # else another process was quicker
            warnings.warn(f"{folder}: features cannot be cached ({error}); set MODALHASH_CACHE", stacklevel=2)
    return extractor, matrix


def _made(extractor: Extractor, raw: Sequence[Any], rows: Sequence[int]) -> Matrix:
    """Features by one thread of BLAS: the same bytes, and so the same checksum of the data, on one core and on many."""
    import scipy.linalg  # noqa: F401 - its BLAS must be loaded to be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return extractor.fit_transform(raw, rows)


def entry_key(extractor: Extractor, raw: Sequence[Any], rows: Sequence[int]) -> str:
    """SHA-256 over raw values, training rows, the extractor's class and parameters, our code and the libraries'."""
    digest = hashlib.sha256()
    params = {field.name: getattr(extractor, field.name) for field in fields(extractor)}
    digest.update(repr((type(extractor).__name__, sorted(params.items()), len(raw), _code())).encode())
    digest.update(np.asarray(rows, dtype="<i8").tobytes())
    for value in raw:
        content = value.encode("utf8", "surrogatepass") if isinstance(value, str) else bytes(value)
        digest.update(f"{type(value).__name__}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


@cache
def _code() -> str:
    """A checksum of the code that makes features: our files and the versions of the libraries under them."""
    digest = hashlib.sha256(repr([_version(name) for name in LIBRARIES]).encode())
    package = Path(__file__).parent
    for path in (*sorted(package.glob("*.py")), package.parent / "solvers.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _write(entry: Path, extractor: Extractor, matrix: Matrix) -> None:
    with written_whole(entry, marker=ENTRY) as folder:
        (folder / "matrix").mkdir()
        (folder / "extractor").mkdir()
        write_state(folder / "matrix", MATRIX, {}, {"shape": list(matrix.shape), **_parts(matrix)})
        extractor.write(folder / "extractor")
        write_json(folder / ENTRY, {"format": 1, "class": type(extractor).__name__, "files": _checksums(folder)})


def _read(entry: Path, extractor: Extractor) -> tuple[Extractor, Matrix]:
    if read_json(entry / ENTRY)["files"] != _checksums(entry):
        raise ValueError(f"{entry}: is damaged")
    state = read_state(entry / "matrix", MATRIX)[1]
    if "dense" in state:
        matrix: Matrix = state["dense"]
    else:
        from scipy.sparse import csr_matrix

        matrix = csr_matrix(tuple(state[part] for part in ("data", "indices", "indptr")), shape=tuple(state["shape"]))
    return type(extractor).load(entry / "extractor"), matrix


def _parts(matrix: Matrix) -> dict[str, Any]:
    if not is_sparse(matrix):
        return {"dense": np.asarray(matrix)}
    csr = matrix.tocsr()
    return {"data": csr.data, "indices": csr.indices, "indptr": csr.indptr}


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of an entry but its list, by path."""
    files = [folder / part / name for part in ("matrix", "extractor") for name in (ARRAYS, f"{part}.json")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
