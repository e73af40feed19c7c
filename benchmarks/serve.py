"""Load on a running service, over loopback: requests a second and times, alone and beside a program that takes a core.

    python benchmarks/serve.py --n 1000000 --clients 1 4 8 64 --seconds 5 --out benchmarks/results/serve-1e6.json

A collection of random codes of 64 bits is made and served by `modalhash serve` in a process of its own; `wrk` asks
for the ten nearest of random codes (POST /search with `code`), so that what is measured is HTTP, the scan and the
titles from the store, not feature extraction.  `hog`: a process beside it that never rests.  The client shares the
cores with the service; `cpu_ms` is CPU time of the service a request, which other work on the machine does not touch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from timing import machine, parser, write

from modalhash.catalog import make
from modalhash.codes import BinaryCodes
from modalhash.collection import Collection
from modalhash.index import Index

BITS = 64
ASKED = 1000  # different queries
LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local codes, at = {CODES}, 0
request = function()
  at = at % #codes + 1
  return wrk.format(nil, "/search", nil, '{"k": 10, "code": "' .. codes[at] .. '"}')
end
done = function(summary, latency, requests)
  local wrong = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  local form = '\\nRESULT {"requests": %d, "microseconds": %d, "wrong": %d, "p50": %f, "p99": %f, "max": %f}\\n'
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(string.format(form, summary.requests, summary.duration, wrong, p50, p99, latency.max))
end
"""


def make_collection(folder: Path, n: int) -> None:
    """A collection of n random codes, titles and no pictures."""
    rng = np.random.default_rng(0)
    hasher = make("LSH", n_bits=BITS, random_state=0).fit({"image": rng.normal(size=(100, 16))})
    codes = BinaryCodes(rng.integers(0, 256, (n, BITS // 8), dtype=np.uint8), BITS)
    with Collection.create(folder, hasher, Index.build(codes)):
        pass


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, int]]:
    """Address and process id of a service that is ready."""
    command = [sys.executable, "-m", "modalhash", "serve", str(folder), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            wait_ready(url)
            yield url, process.pid
        finally:
            process.terminate()


def wait_ready(url: str) -> None:
    from time import sleep
    from urllib.error import HTTPError

    for _ in range(600):
        try:
            with urlopen(f"{url}/ready"):
                return
        except HTTPError:
            sleep(0.1)
    raise TimeoutError(f"{url}: did not become ready")


def settle(pid: int) -> None:
    """Wait until the service does nothing of its own: the page and the buckets are made beside the first requests."""
    from time import sleep

    for _ in range(120):
        before = cpu_seconds(pid)
        sleep(1)
        if cpu_seconds(pid) - before < 0.05:
            return


@contextmanager
def hog(wanted: bool) -> Iterator[None]:
    """A process that takes a core."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(url: str, pid: int, script: Path, clients: int, seconds: int) -> dict[str, Any]:
    """One run of wrk: requests a second, milliseconds at the median, the 99th percentile and the worst."""
    before = cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(told.partition("RESULT ")[2])
    if found["wrong"] or not found["requests"]:
        raise AssertionError(told)
    return {
        "clients": clients,
        "requests_a_second": round(found["requests"] / found["microseconds"] * 1e6, 1),
        "p50_ms": round(found["p50"] / 1e3, 2),
        "p99_ms": round(found["p99"] / 1e3, 2),
        "max_ms": round(found["max"] / 1e3, 2),
        "cpu_ms": round((cpu_seconds(pid) - before) / found["requests"] * 1e3, 3),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--n", type=int, default=1_000_000)
    options.add_argument("--clients", type=int, nargs="+", default=[1, 4, 8, 64])
    options.add_argument("--seconds", type=int, default=5)
    given = options.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed")
    facts = machine()
    with tempfile.TemporaryDirectory() as place:
        make_collection(Path(place) / "collection", given.n)
        codes = np.random.default_rng(1).integers(0, 256, (ASKED, BITS // 8), dtype=np.uint8)
        script = Path(place) / "ask.lua"
        script.write_text(LUA.replace("CODES", ", ".join(f'"{row.tobytes().hex()}"' for row in codes)))
        with service(Path(place) / "collection") as (url, pid):
            load(url, pid, script, 8, 6)  # kernels are compiled, buckets are built where they pay
            settle(pid)
            load(url, pid, script, 8, 2)
            rows = []
            for beside in (False, True):
                for clients in given.clients:
                    with hog(beside):
                        rows.append({"hog": beside, **load(url, pid, script, clients, given.seconds)})
                    print(rows[-1], flush=True)
    about = {"n": given.n, "bits": BITS, "k": 10, "seconds": given.seconds, "machine": facts}
    write({**about, "rows": rows}, given.out, show=False)


if __name__ == "__main__":
    main()
