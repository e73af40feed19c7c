"""A writer that dies at any moment loses nothing that it said was written, and leaves nothing half-written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from naive_search import nearest as naive_nearest
from store_writer import BITS, FAULTS, Item, replay

from modalhash import BinaryCodes, Store
from modalhash.index import StoreLocked
from modalhash.index.file_store import FileStore

PROGRAM = Path(__file__).with_name("store_writer.py")


def begin(folder: Path, first: int, *fault: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(folder), str(first), *fault]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})


def killed(folder: Path, first: int, seconds: float) -> int:
    """Kill a writer so long after its first write; returns the last write that it acknowledged."""
    with begin(folder, first) as process:
        assert process.stdout is not None
        told = [process.stdout.readline()]
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    return max(int(line) for line in told if line.endswith("\n"))


def contents(store: Store) -> dict[int, Item]:
    """What a store holds, in order of position, read from the truth; and the scanned codes are the same."""
    assert isinstance(store, FileStore)
    index = store.index()
    items = store.get(index.ids)
    assert isinstance(index.codes, BinaryCodes)
    np.testing.assert_array_equal(index.codes.packed, items.codes.packed)
    rows = zip(items.ids.tolist(), items.codes.packed, items.show.titles, items.show.pictures, strict=True)
    found = {}
    for id_, code, title, picture in rows:
        assert picture == b"\x00\xff" * (id_ % 50) and title.startswith(f"{id_} of ")
        found[id_] = (code.tobytes(), title)
    return found


def check_search(store: Store, model: dict[int, Item]) -> None:
    packed = np.frombuffer(b"".join(code for code, _ in model.values()), np.uint8).reshape(len(model), -1).copy()
    codes, ids = BinaryCodes(packed, BITS), np.array(list(model))
    hits = store.search(codes[:5], 20)
    positions, distances = naive_nearest(codes[:5], codes, 20)
    np.testing.assert_array_equal(hits.distances, distances)
    np.testing.assert_array_equal(hits.ids, ids[positions])


def check_after(folder: Path, model: dict[int, Item], first: int, acknowledged: int) -> tuple[dict[int, Item], int]:
    """Open what is left; returns the model and the number of the next write."""
    for i in range(first, acknowledged + 1):
        model = replay(model, i)
    with Store.open(folder) as store:  # the lock of the dead is taken over
        found = contents(store)
        begun = replay(model, acknowledged + 1)
        kept = list(found.items())
        assert kept in (list(model.items()), list(begun.items()))
        model, following = (begun, acknowledged + 2) if kept == list(begun.items()) else (model, acknowledged + 1)
        check_search(store, model)
    names = {path.name for path in folder.iterdir()}
    assert len([name for name in names if name.startswith("codes-")]) <= 1, names
    return model, following


def run_and_kill(folder: Path, times: int) -> None:
    draw = random.Random(0)
    model: dict[int, Item] = {}
    following = 0
    for _ in range(times):
        first = following
        acknowledged = killed(folder, first, draw.random() ** 2 / 4)
        model, following = check_after(folder, model, first, acknowledged)


def test_a_killed_writer_loses_nothing_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    run_and_kill(tmp_path / "store", 5)


@pytest.mark.slow
def test_a_writer_killed_fifty_times(tmp_path: Path) -> None:
    run_and_kill(tmp_path / "store", 50)


@pytest.mark.parametrize("fault", FAULTS)
def test_death_at_each_step_of_a_compaction(tmp_path: Path, fault: str) -> None:
    with begin(tmp_path / "store", 0, fault) as process:
        assert process.stdout is not None
        told = process.stdout.readlines()
    assert process.returncode == 9
    check_after(tmp_path / "store", {}, 0, max(int(line) for line in told if line.endswith("\n")))


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    with begin(tmp_path / "store", 0) as process:
        assert process.stdout is not None
        while process.stdout.readline() < "2":  # the first write deletes, the second inserts
            pass
        with pytest.raises(StoreLocked, match=f"is being written by process {process.pid}; read_only=True reads"):
            Store.open(tmp_path / "store")
        with Store.open(tmp_path / "store", read_only=True) as reader:
            assert reader.count() > 0
            with pytest.raises(StoreLocked):
                reader.lock()  # type: ignore[attr-defined]
            process.kill()
            process.wait()
            reader.lock()  # type: ignore[attr-defined]
            reader.upsert([0], BinaryCodes(np.zeros((1, BITS // 8), np.uint8), BITS))
