"""Whatever the OpenAPI document allows and forbids is sent; every answer is one that it documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from service_place import Place
from service_process import with_settings

pytest.importorskip("schemathesis")

EXAMPLES = "15"  # of every operation and phase
PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"
CONFIG = """
[checks.positive_data_acceptance]
# 422: views, widths and codes are those of the collection, which the document cannot know; 404: such ids
expected-statuses = ["2xx", 404, 422]
"""


@pytest.mark.slow
def test_schemathesis_finds_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    words = [f"recommender={place.recommender}", f"key_file={place.key_file}", f"snapshots={tmp_path / 's'}"]
    service = with_settings(place, "rate=0", *words)
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-c", PROGRAM, "--config-file", str(tmp_path / "schemathesis.toml")),
                *("run", f"{service.url}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES, "--seed", "0"),
                *(
                    "--header",
                    f"Authorization: Bearer {place.keys['boss']}",
                    "--no-color",
                    "--generation-database",
                    "none",
                ),
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert service.ask("GET", "/health")[0] == 200
    finally:
        service.end()
