"""Options that several verbs of the command line share, and how they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modalhash.datasets import Dataset
    from modalhash.hasher import Hasher

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Data = Annotated[str, typer.Option("--data", help="A data set: its name, a .npz file or a folder.")]
Bits = Annotated[int, typer.Option("--bits", min=1, help="Length of the codes in bits.")]
ViewNames = Annotated[str | None, typer.Option(help="Views to encode from, separated by commas; all by default.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]


def say(content: dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    """Print the content as one line of JSON, or the text."""
    typer.echo(json.dumps(content, ensure_ascii=False) if as_json else text())


def load_hasher(model: Path) -> Hasher:
    """A fitted Hasher; ValueError for a recommender, which has verbs of its own."""
    from modalhash.catalog import load
    from modalhash.hasher import Hasher

    found = load(model)
    if not isinstance(found, Hasher):
        raise ValueError(f"{model}: holds a recommender, {found.name}; its verbs are recommend and explain")
    return found


def chosen_views(data: Dataset, names: str | None, hasher: Hasher) -> list[str]:
    """The views that an option names, or all that data and model share; ValueError names one that is not there."""
    from modalhash.evaluation.crossview import shared_views

    if names is None:
        return shared_views(hasher, data)
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in data.views:
            raise ValueError(f"view {name!r} is not in the data; it has {', '.join(map(repr, data.views))}")
    return wanted
