"""Settings of the test run."""

import atexit
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

# Test matrices are small: threads of BLAS and torch cost more than they give, above all on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers share the folder of the process that starts them
    _cache = tempfile.TemporaryDirectory(prefix="modalhash-cache-")
    os.environ["MODALHASH_CACHE"] = _cache.name  # nothing is written to the user's home
    atexit.register(_cache.cleanup)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in the folder `place` of the test's module; returns exit code, stdout and stderr."""
    monkeypatch.chdir(place)

    def call(*words: str) -> tuple[int, str, str]:
        from modalhash import cli

        monkeypatch.setattr(sys, "argv", ["modalhash", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
            raise SystemExit(0)
        told = capsys.readouterr()
        return int(stop.value.code or 0), told.out, told.err

    return call
