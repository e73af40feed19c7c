"""Coverage-guided fuzzing, where atheris is installed: MODALHASH_FUZZ_SECONDS (60) for each parser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "arrays", "codes", "query", "ratings", "captions"])
def test_nothing_is_read_that_crashes_hangs_or_fills_the_memory(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install atheris")
    seconds = os.environ.get("MODALHASH_FUZZ_SECONDS", "60")
    command = [sys.executable, str(Path(__file__).with_name("parsers.py")), name, f"-max_total_time={seconds}"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    assert ran.returncode == 0 and "DONE" in ran.stdout, ran.stdout[-4000:]
