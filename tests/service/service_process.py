"""A service in a process of its own, asked over sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from service_place import Place


class Process:
    """One running service."""

    def __init__(self, *words: str, program: str | None = None, env: dict[str, str] | None = None) -> None:
        run = ["-c", program] if program else ["-m", "modalhash"]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *run, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        line = _of(self.process.stdout).readline()
        if not line:
            raise AssertionError(_of(self.process.stderr).read())
        self.url = json.loads(line)["url"]
        self.port = int(self.url.rpartition(":")[2])

    def ask(self, method: str, path: str, content: Any = None, timeout: float = 30) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def wait_ready(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.ask("GET", "/ready")[0] == 200:
                return
            time.sleep(0.1)
        raise AssertionError("the service did not become ready")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self, sign: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(sign)
        try:
            return self.process.wait(seconds)
        finally:
            self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.told = _of(self.process.stderr).read() if not _of(self.process.stderr).closed else ""
        for stream in (self.process.stdout, self.process.stderr):
            _of(stream).close()


@contextmanager
def serving(*words: str, **options: Any) -> Iterator[Process]:
    """A service that is ready, and ends with the block."""
    process = Process("serve", *words, "--port", "0", "--json", **options)
    try:
        process.wait_ready()
        yield process
    finally:
        process.end()


def _of(stream: Any) -> TextIO:
    assert stream is not None
    return stream  # type: ignore[no-any-return]


SLOW = """
import sys, time
from modalhash.service import run, shelf
from modalhash.service.settings import Settings
real = shelf.Shelf.search
def search(*args, **kwargs):
    time.sleep(1.5)
    return real(*args, **kwargs)
if "slow" in sys.argv:
    shelf.Shelf.search = search
given = dict(pair.split("=") for pair in sys.argv[2:])
import json
run.serve(Settings(collection=sys.argv[1], port=0, **given), lambda url: print(json.dumps({"url": url}), flush=True))
"""


def with_settings(place: Place, *words: str) -> Process:
    """A service with settings that the command line has no option for; it is ready."""
    program = SLOW.replace('if "slow" in sys.argv:', f"if {'slow' in words}:")
    made = Process(str(place.collection), *(word for word in words if word != "slow"), program=program)
    made.wait_ready()
    return made
