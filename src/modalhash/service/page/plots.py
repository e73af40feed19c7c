"""Plots of a report: the figures that lie in its folder."""

from __future__ import annotations

from pathlib import Path

KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}
PLACES = (".", "figures")  # beside the report, or in a folder of their own
MOST = 24


def plots_of(folder: Path | None) -> dict[str, Path]:
    """Names of plots and their files, in order; a plot in two formats counts once."""
    found: dict[str, Path] = {}
    for place in PLACES if folder is not None else ():
        assert folder is not None
        inside = folder / place
        for path in sorted(inside.iterdir()) if inside.is_dir() else ():
            if path.suffix in KINDS and path.is_file() and not path.is_symlink():
                found.setdefault(path.stem, path)
    return dict(list(found.items())[:MOST])
