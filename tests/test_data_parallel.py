"""Two processes that share every batch learn what one learns, to the rounding of float32."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import modalhash as mh

pytest.importorskip("torch")

PROGRAM = """
import sys
import torch
import modalhash as mh
from modalhash.data_parallel import data_parallel
from modalhash.datasets import planted

torch.set_num_threads(1)
rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
data = planted("clusters", 150, 0)
hasher = mh.DCSH(n_bits=8, random_state=0, hidden=(24,), epochs=6, batch_size=31, dropout=0.0, learning_rate=1e-3)
if size == 1:
    hasher.fit(data.views)
else:
    with data_parallel(rank, size, f"file://{folder}/meeting"):
        hasher.fit(data.views)
hasher.save(f"{folder}/{size}-{rank}")
"""


def fitted(folder: Path, size: int) -> list[mh.DCSH]:
    environment = {**os.environ, "PYTHONPATH": str(Path(mh.__file__).parents[1]), "GLOO_SOCKET_IFNAME": "lo"}
    environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    calls = [[sys.executable, "-c", PROGRAM, str(rank), str(size), str(folder)] for rank in range(size)]
    running = [subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment) for call in calls]
    try:
        for process in running:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in running:
            process.kill()
    return [mh.DCSH.load(folder / f"{size}-{rank}") for rank in range(size)]


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    (alone,), (first, second) = fitted(tmp_path, 1), fitted(tmp_path, 2)
    for name, array in alone.networks_.items():
        np.testing.assert_array_equal(first.networks_[name], second.networks_[name])
        np.testing.assert_allclose(first.networks_[name], array, atol=1e-4)
    for name, values in alone.losses_.items():
        np.testing.assert_allclose(first.losses_[name], values, rtol=1e-4)
        assert name == "agreement" or values[-1] < values[0]
