"""Options that several verbs of the command line share, and how they answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Data = Annotated[str, typer.Option("--data", help="A data set: its name, a .npz file or a folder.")]
Bits = Annotated[int, typer.Option("--bits", min=1, help="Length of the codes in bits.")]
ViewNames = Annotated[str | None, typer.Option(help="Views to encode from, separated by commas; all by default.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]


def say(content: dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    """Print the content as one line of JSON, or the text."""
    typer.echo(json.dumps(content, ensure_ascii=False) if as_json else text())
