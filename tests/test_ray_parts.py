"""Ray: two nodes on one machine give the bits of the plain loop; blocks are encoded once; a lost actor is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import modalhash as mh
from modalhash.ray_parts import LOOPBACK

ATTEMPTS = 4
PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import numpy as np
import ray
from ray.cluster_utils import Cluster
import modalhash as mh
from modalhash import distributed
from modalhash.datasets import planted
from modalhash.ray_parts import RayParts

folder = Path(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
cluster.add_node(num_cpus=2)
ray.init(address=cluster.address, log_to_driver=False)
assert [found["NodeManagerAddress"] for found in ray.nodes()] == 2 * ["127.0.0.1"]
data = planted("multilabel", 330, 1)
for name, array in {**data.views, "labels": data.labels}.items():
    np.save(folder / f"{name}.npy", np.asarray(array, dtype=np.float32))
items = distributed.NpyBlocks({m: folder / f"{m}.npy" for m in data.views}, folder / "labels.npy", rows=60)
(folder / "scratch").mkdir()
for system in (mh.A2LH, mh.SMHOQA):
    settings = {"n_bits": 12, "random_state": 0, "max_iter": 3}
    plain = distributed.fit(system(**settings), items)
    spread = distributed.fit(system(**settings), items, workers=2, scratch=folder / "scratch")
    assert not list((folder / "scratch").iterdir())
    np.testing.assert_array_equal(plain.codes_.packed, spread.codes_.packed)
    for name, W in plain.functions_.items():
        np.testing.assert_array_equal(W, spread.functions_[name])
    out = folder / system.__name__
    assert distributed.encode(plain, items, out, workers=2) == 6
    (out / "000003.npy").unlink()
    assert distributed.encode(plain, items, out, workers=2) == 1
    views = {m: np.asarray(x, dtype=np.float32) for m, x in data.views.items()}
    np.testing.assert_array_equal(distributed.read_codes(out).packed, plain.encode(views).packed)
    print(system.__name__, "ok", flush=True)
try:
    distributed.encode(plain, items, folder / "more", workers=4)
except ValueError as error:
    assert "4 need 5 logical CPUs, the Ray cluster has 4" in str(error)
    print("few ok", flush=True)
each, asked = RayParts.each, []

def dying(parts, *given, **own):
    asked.append(given[0])
    if len(asked) == 6:
        ray.kill(parts.actors[1])
    return each(parts, *given, **own)

RayParts.each = dying
hasher = mh.SMHOQA(n_bits=12, random_state=0, max_iter=3)
try:
    distributed.fit(hasher, items, workers=2)
except ray.exceptions.RayActorError:
    assert not [name for name in vars(hasher) if name.endswith("_")]
    print("lost ok", flush=True)
ray.shutdown()
cluster.shutdown()
"""


def run(program: str, folder: Path, timeout: float, **variables: str) -> list[str]:
    """The lines that a program printed in a process of its own, tried again where Ray did not start in time."""
    pytest.importorskip("ray")
    # jsonschema takes this optional package for a check that nobody asks for: 3 s of the start of every process of Ray,
    # whose raylet ends when its agents are not there within 15 s (issue 65983 of Ray)
    (folder / "light").mkdir()
    (folder / "light" / "rfc3987_syntax.py").write_text("raise ImportError", encoding="utf8")
    paths = os.pathsep.join([str(folder / "light"), str(Path(mh.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **variables}
    call = [sys.executable, "-c", program, str(folder)]
    for _ in range(ATTEMPTS):
        found = subprocess.run(call, capture_output=True, text=True, env=environment, timeout=timeout)
        if "timed out during startup" not in found.stderr:
            break
    assert found.returncode == 0, found.stderr[-3000:]
    return found.stdout.splitlines()


@pytest.mark.slow
def test_two_nodes_give_the_bits_of_the_plain_loop_or_an_error(tmp_path: Path) -> None:
    told = run(PROGRAM, tmp_path, 300, RAY_USAGE_STATS_ENABLED="0", **{LOOPBACK: "0"})
    assert told[:4] == ["A2LH ok", "SMHOQA ok", "few ok", "lost ok"]


@pytest.mark.slow
def test_without_a_cluster_one_is_started_on_loopback(tmp_path: Path) -> None:
    program = "from modalhash.ray_parts import ready\nray = ready(1)\nprint(ray.nodes()[0]['NodeManagerAddress'])"
    assert run(program, tmp_path, 150)[-1] == "127.0.0.1"


def test_without_ray_the_message_names_the_extra(tmp_path: Path) -> None:
    program = "import sys; sys.modules['ray'] = None\nfrom modalhash.ray_parts import ready\nready(1)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ImportError: workers: they run on Ray: pip install 'modalhash[ray]'" in found.stderr
