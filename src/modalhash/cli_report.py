"""The verbs of the command line that look into results and codes: report, bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from modalhash.cli_options import Json, say


def report(
    cards: Annotated[list[Path], typer.Argument(help="Result cards: files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder to write the report to.")],
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    measure: Annotated[str, typer.Option(help="The measure of the tables: AP, nDCG, AP@50 …")] = "AP",
    as_json: Json = False,
) -> None:
    """Write a report from result cards: report.html (one file), report.md and report.tex.

    Example: modalhash evaluate MODEL --data emoji --cards cards && modalhash report cards --out report
    """
    from modalhash.evaluation.cards import read_cards
    from modalhash.evaluation.report import TITLE, write_report

    found = read_cards(cards)
    written = write_report(found, out, title=title or TITLE, measure=measure)
    facts = {"cards": len(found), "files": [str(path) for path in written]}
    _say_written(facts, as_json)


def _say_written(facts: dict[str, object], as_json: bool) -> None:
    files = facts["files"]
    assert isinstance(files, list)
    say(facts, as_json, lambda: f"{facts['cards']} cards, written to {', '.join(files)}")
