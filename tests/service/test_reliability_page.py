"""The page of promises names tests that exist, twenty-five of them, each with its status."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATUSES = ("holds", "partly", "not applicable")


def test_every_named_test_exists() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.*?) ?\| (.+) \|$", text, flags=re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 26))
    for number, _, tests, status in rows:
        assert status.startswith(STATUSES), number
        if status.startswith(("partly", "not applicable")):
            assert ": " in status, f"{number}: the reason is missing"
        named = re.findall(r"`([^`]+)`", tests)
        assert named or status.startswith("not applicable"), number
        for name in named:
            path, _, own = name.partition("::")
            assert re.search(
                rf"^(def {own}\(|{own} = )", (ROOT / path).read_text(encoding="utf8"), flags=re.MULTILINE
            ), name
