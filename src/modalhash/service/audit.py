"""Audit: one line of JSON for every write: when, who, what, how many, with which outcome."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

log = logging.getLogger("modalhash.audit")
SHOWN = 20  # ids that a line names


class Audit:
    """Appends lines to a file, or to the log `modalhash.audit` where there is none."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else path.open("a", encoding="utf8", buffering=1)

    def note(self, who: str, action: str, ids: Sequence[Any], outcome: str) -> None:
        """Write one line; ids beyond the first twenty are counted only."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "who": who, "action": action, "count": len(ids), "ids": list(ids[:SHOWN])}
        text = json.dumps({**line, "outcome": outcome})
        if self._file is None:
            log.info("%s", text)
        else:
            self._file.write(text + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
