"""Shipped packs: one .npz file each, checked against a checksum in the code; and the split that they use."""

from __future__ import annotations

import hashlib
import io
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Positions
from modalhash.views import Array

PACKS = Path(__file__).parent / "packs"


def read_pack(name: str, sha256: str) -> dict[str, Array]:
    """The arrays of the pack `name`; FileNotFoundError or ValueError name the file if it is absent or not ours."""
    path = PACKS / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found; the pack comes with modalhash, install it again")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{path}: SHA-256 is {found}, expected {sha256}; the file is damaged, install modalhash again")
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def pictures(blob: NDArray[np.uint8], offset: Array) -> list[bytes]:
    """Encoded pictures that stand one after the other in `blob`; picture i is blob[offset[i] : offset[i + 1]]."""
    content = blob.tobytes()
    ends = offset.tolist()
    return [content[start:stop] for start, stop in pairwise(ends)]


def stratified_split(classes: Array, *, query: float, validation: float, seed: int) -> dict[str, Positions]:
    """A split with the same shares of `query` and `validation` in every class; the rest trains.

    classes: (n,).  The database is all but the queries, validation included.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Array]] = {"query": [], "validation": [], "train": []}
    for value in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == value))
        n_query, n_validation = round(len(members) * query), round(len(members) * validation)
        parts["query"].append(members[:n_query])
        parts["validation"].append(members[n_query : n_query + n_validation])
        parts["train"].append(members[n_query + n_validation :])
    parts["database"] = parts["validation"] + parts["train"]
    return {part: np.sort(np.concatenate(rows)).astype(np.int64) for part, rows in parts.items()}
