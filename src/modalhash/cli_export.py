"""Export on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modalhash.cli_options import Json, say


def export(
    source: Annotated[Path, typer.Argument(help="Folder of a collection or a store, or a .npz of `encode`.")],
    out: Annotated[Path, typer.Option(help="The .parquet or .npy file to write.")],
    as_json: Json = False,
) -> None:
    """Write ids, codes and what to show of items as Parquet or .npy; what was written is read again and compared."""
    from modalhash.export import arrays_of
    from modalhash.export import export as export_items

    items = export_items(source, out)
    files = [str(path) for path in (arrays_of(out) if out.suffix == ".npy" else [out])]
    say({"items": items, "files": files}, as_json, lambda: f"{items:,} items written to {' and '.join(files)}")
