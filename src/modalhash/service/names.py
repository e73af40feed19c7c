"""Names that come from outside and become files: one pattern, and paths that stay inside their folder."""

from __future__ import annotations

import re
from pathlib import Path

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_name(what: str, name: str) -> str:
    """The name itself; ValueError unless it is 1 to 64 letters a-z, digits, _ or -, the first no sign."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{what}: expected 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit")
    return name


def inside(root: Path, name: str) -> Path:
    """root/name for a checked name; ValueError where a link leads out of the root."""
    place = root.resolve()
    path = (place / check_name("name", name)).resolve()
    if not path.is_relative_to(place) or path == place:
        raise ValueError(f"{name}: leads out of its folder")
    return path
