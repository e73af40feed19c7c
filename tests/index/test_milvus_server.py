"""The suite of every engine on the real server of the package `milvus`, where MODALHASH_MILVUS_SERVER names a folder.

The folder gets a virtual environment with milvus==2.3.5, if it has none, and the server's data.  The whole test runs
in a network namespace without any interface but loopback, since the server listens on all of them without a password.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from milvus_lite_engine import IDS
from store_machine import BITS, TEXTS, StoreMachine

import modalhash as mh
from modalhash.index import Store

HERE = Path(__file__).parent
PORT = 19_531
INSIDE = "MODALHASH_MILVUS_PORT"  # set in the namespace, where the server runs


class ServerMachine(StoreMachine):
    kinds: ClassVar[tuple[list[Any], ...]] = (IDS, TEXTS)

    def fresh(self) -> Store:
        self.name = f"store_{time.time_ns()}"
        return self.opened(BITS, create=True, ids="texts" if self.universe is TEXTS else "integers")

    def again(self) -> Store:
        return self.opened()

    def opened(self, *given: Any, **options: Any) -> Store:
        return Store.open(f"milvus://127.0.0.1:{os.environ[INSIDE]}/{self.name}", *given, **options)


if INSIDE in os.environ:
    TestServer = ServerMachine.TestCase
    TestServer.settings = settings(max_examples=2, stateful_step_count=10, deadline=None)


@pytest.mark.slow
@pytest.mark.skipif(INSIDE in os.environ, reason="this is the run inside")
def test_the_suite_on_the_real_server(tmp_path: Path) -> None:
    folder = os.environ.get("MODALHASH_MILVUS_SERVER")
    if not folder:
        pytest.skip("MODALHASH_MILVUS_SERVER names no folder for the server's virtual environment")
    pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install 'modalhash[milvus]'")
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rn", "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here, and the server listens on every interface")
    server = [*installed(Path(folder)), str(HERE / "milvus_server.py"), str(tmp_path / "data"), str(PORT)]
    source, tests = Path(mh.__file__).parents[1], HERE.parent
    found = subprocess.run(
        ["unshare", "-rn", sys.executable, __file__, *server],
        capture_output=True,
        text=True,
        cwd=tests.parent,
        env={**os.environ, "PYTHONPATH": str(source), INSIDE: str(PORT)},
        timeout=600,
    )
    assert found.returncode == 0 and "1 passed" in found.stdout, found.stdout[-3000:] + found.stderr[-2000:]


def installed(folder: Path) -> list[str]:
    """The interpreter of the server's environment."""
    python = folder / "venv/bin/python"
    if not (folder / "venv/ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        call = [str(python), "-m", "pip", "install", "--quiet", "milvus==2.3.5", "setuptools<81"]
        subprocess.run(call, check=True, timeout=300)
        (folder / "venv/ready").touch()
    return [str(python)]


def inside(server: list[str]) -> int:
    """In the namespace: the server, and the suite against it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path(server[2]).mkdir(parents=True)
    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None and running.stdout is not None
        try:
            if "ready" not in running.stdout.readline():
                return 1
            return subprocess.run([sys.executable, "-m", "pytest", "-n0", "-q", __file__], check=False).returncode
        finally:
            running.stdin.close()
            running.wait(60)


if __name__ == "__main__":
    sys.exit(inside(sys.argv[1:]))
