"""The verbs of the command line that look into results and codes: report, bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modalhash.cli_options import Data, Json, ViewNames, chosen_views, load_hasher, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modalhash.codes import BinaryCodes
    from modalhash.datasets import Dataset
    from modalhash.hasher import Hasher


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
    files = [str(path) for path in write_report(found, out, title=title or TITLE, measure=measure)]
    facts = {"cards": len(found), "files": files}
    say(facts, as_json, lambda: f"{len(found)} cards, written to {', '.join(files)}")


def bits(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    of: Annotated[str, typer.Option(help="What bits may stand for: labels, tags or words.")] = "labels",
    views: ViewNames = None,
    top: Annotated[int, typer.Option(min=1, help="Terms a bit.")] = 3,
    min_count: Annotated[int, typer.Option(min=1, help="Items that carry a term, at least.")] = 10,
    match: Annotated[
        tuple[str, str] | None, typer.Option(metavar="ID ID", help="Say why these two items match, too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what each bit stands for: the labels, tags or words with which it shares most information, noise left out.

    Codes are those of the database part.  Example: modalhash bits MODEL --data emoji --of words
    """
    from dataclasses import asdict

    from modalhash.cli_text import bits_text
    from modalhash.datasets import load_dataset
    from modalhash.evaluation.bit_meanings import bit_meanings, explain_match

    hasher, source = load_hasher(model), load_dataset(data)
    names = chosen_views(source, views, hasher)
    rows, terms, words = _terms(source, of, min_count, names)
    codes = _binary(hasher.encode({name: source.views[name][rows] for name in names}), hasher)
    found = bit_meanings(codes, terms, words, min_count=min_count)
    facts: dict[str, Any] = {"bits": codes.n_bits, "of": of, "items": len(codes), "terms": len(words)}
    facts["rows"] = [asdict(meaning) for meaning in found.all(top)]
    if match is not None:
        places = [_position(source, text) for text in match]
        pair = _binary(hasher.encode({name: source.views[name][places] for name in names}), hasher)
        why = explain_match(found, pair[:1], pair[1:], top)[0]
        facts["match"] = asdict(why) | {"words": why.words}
    say(facts, as_json, lambda: bits_text(facts))


def _terms(source: Dataset, of: str, min_count: int, views: list[str]) -> tuple[NDArray[np.int64], Any, list[str]]:
    """Positions of the database items that have one of the views and are labelled, their terms, and the names."""
    import numpy as np

    from modalhash.evaluation.bit_meanings import label_terms, tag_terms, word_terms
    from modalhash.views import missing

    if of not in ("labels", "tags", "words"):
        raise ValueError(f"--of: expected labels, tags or words, got {of!r}")
    known = np.ones(len(source), dtype=bool)
    if of == "labels":
        terms, names, known = label_terms(source)
    else:
        terms, names = (tag_terms if of == "tags" else word_terms)(source, min_count)
    has = ~np.all([missing(source.views[name]) for name in views], axis=0) & known
    rows = source.split["database"][has[source.split["database"]]]
    return rows, terms[rows], names


def _binary(codes: Any, hasher: Hasher) -> BinaryCodes:
    """The codes, if they have bits."""
    from modalhash.codes import BinaryCodes

    if not isinstance(codes, BinaryCodes):
        raise ValueError(f"{hasher.name}: has quantised codes, whose bits stand for nothing by themselves")
    return codes


def _position(source: Dataset, text: str) -> int:
    """The position of an item by its id."""
    ids = [str(id_) for id_ in source.ids] if source.ids is not None else []
    if text not in ids:
        raise ValueError(f"--match: {source.name} has no item {text!r}")
    return ids.index(text)
