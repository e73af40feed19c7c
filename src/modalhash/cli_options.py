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
OPTIONS = {"n_bits": "--bits", "random_state": "--seed", "verbose": "--json (which is silent)"}


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


def numbers(option: str, text: str) -> list[int]:
    """The different numbers of a list with commas, in its order; ValueError names the option."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise ValueError(f"{option}: expected numbers of at least 1, separated by commas, got {text!r}")
    return list(dict.fromkeys(map(int, parts)))


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """What the values of --set say; ValueError for one without a name or with an option of its own."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--set: expected NAME=VALUE, got {pair!r}")
        if name in OPTIONS:
            raise ValueError(f"--set: {name} has an option of its own, {OPTIONS[name]}")
        settings[name] = _value(value)
    return settings


def _value(text: str) -> Any:
    """The int, float, bool or None that a text stands for, else the text itself; [a, b] is a tuple."""
    known = {"True": True, "False": False, "None": None}
    if text in known:
        return known[text]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value
