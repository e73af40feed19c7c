"""Exports hold what the source holds, in its order, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import modalhash as mh
from modalhash import export as module
from modalhash.collection import Collection
from modalhash.export import export
from modalhash.index import Index, Show, Store

N, BITS = 25, 12
SIGNS = np.random.default_rng(0).standard_normal((N, BITS))
CODES = mh.BinaryCodes.from_signs(SIGNS)
IDS = [f"é{(7 * i) % N}" for i in range(N)]
SHOW = Show([f"title {i}" for i in range(N)], [bytes([i]) * (i % 3) for i in range(N)])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    hasher = mh.LSH(n_bits=BITS, random_state=0).fit({"image": SIGNS})
    Collection.create(tmp_path / "collection", hasher, Index.build(CODES, IDS), show=SHOW).close()
    with Store.open(tmp_path / "store", n_bits=BITS, create=True) as store:
        store.upsert(np.arange(N)[::-1], CODES)
        store.delete([3])
    Store.open(tmp_path / "empty", n_bits=BITS, create=True).close()
    return tmp_path


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 10)


def test_a_collection_as_parquet(place: Path) -> None:
    assert export(place / "collection", place / "out.parquet") == N
    table = pq.read_table(place / "out.parquet")
    assert table.column_names == ["id", "code", "title", "picture"]
    assert table.schema.metadata[b"n_bits"] == b"12"
    assert table["id"].to_pylist() == IDS and table["title"].to_pylist() == SHOW.titles
    assert table["picture"].to_pylist() == SHOW.pictures
    assert table["code"].to_pylist() == [row.tobytes() for row in CODES.packed]


def test_a_store_as_arrays(place: Path) -> None:
    with Store.open(place / "store"):  # a writer has it open
        assert export(place / "store", place / "out.npy") == N - 1
    kept = np.arange(N)[::-1] != 3
    np.testing.assert_array_equal(np.load(place / "out.npy"), CODES.packed[kept])
    np.testing.assert_array_equal(np.load(place / "out.ids.npy"), np.arange(N)[::-1][kept])


def test_a_store_without_items(place: Path) -> None:
    assert export(place / "empty", place / "out.npy") == export(place / "empty", place / "out.parquet") == 0
    assert np.load(place / "out.npy").shape == (0, 2) and pq.read_table(place / "out.parquet").num_rows == 0


def test_codes_of_encode_on_the_command_line(place: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    np.savez(place / "codes.npz", packed=CODES.packed, n_bits=np.int64(BITS), ids=np.array(IDS))
    code, told, _ = run("export", "codes.npz", "--out", "out.parquet", "--json")
    assert code == 0 and json.loads(told) == {"items": N, "files": ["out.parquet"]}
    assert pq.read_table(place / "out.parquet")["id"].to_pylist() == IDS
    code, told, _ = run("export", "collection", "--out", "out.npy")
    assert code == 0 and told == "25 items written to out.npy and out.ids.npy\n"
    code, _, error = run("export", "nowhere", "--out", "out.npy")
    assert code == 2 and "items.sqlite: not found" in error


def test_what_cannot_be_exported_is_told_and_nothing_is_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(place.iterdir())
    with pytest.raises(ValueError, match=r"ends in \.parquet or \.npy"):
        export(place / "store", place / "out.csv")
    np.savez(place / "other.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz: holds no binary codes; it has x"):
        export(place / "other.npz", place / "out.npy")
    (place / "other.npz").unlink()
    monkeypatch.setattr(np, "load", lambda *_, **__: np.zeros((N, 2)))
    with pytest.raises(OSError, match="is not what was written"):
        export(place / "store", place / "out.npy")
    assert sorted(place.iterdir()) == before


def test_quantised_codes_are_refused(tmp_path: Path) -> None:
    labels = np.eye(2)[np.arange(N) % 2]
    hasher = mh.ACQH(n_bits=4, random_state=0).fit({"image": SIGNS, "text": SIGNS}, labels)
    Collection.create(tmp_path / "c", hasher, Index.build(hasher.encode({"image": SIGNS})))
    with pytest.raises(ValueError, match="holds QuantizedCodes, which mean nothing without their codebooks"):
        export(tmp_path / "c", tmp_path / "out.parquet")
