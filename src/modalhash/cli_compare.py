"""The verb `compare`: is a learned code better than what needs no training, on this data?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modalhash.cli_options import Data, Json, numbers, say, settings_of

if TYPE_CHECKING:
    from modalhash.evaluation.compare import Comparison
    from modalhash.evaluation.comparison_rows import Row

WAYS = ">"  # between the views of a direction
ALL = "all"
BUDGET = 540.0  # seconds: with reading and the answer it ends within ten minutes


def compare(
    data: Data,
    bits: Annotated[str, typer.Option(help="Code lengths, separated by commas.")] = "32,64",
    systems: Annotated[
        str | None,
        typer.Option(help="Contenders, separated by commas; by default all that suit the data."),
    ] = None,
    ways: Annotated[
        str | None, typer.Option("--ways", metavar="A>B,…", help="Who queries whom: image>text,text>text,all>all.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="measure=neighbours@10, shared=image,text, centre=True, k, shortlist, queries, margin, budget; "
            "of a file of embeddings: labels, views, split … (columns); may be repeated.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for whatever hangs on chance.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Folder that keeps every run, so that it can go on later.")] = None,
    as_json: Json = False,
) -> None:
    """Say whether a learned code beats codes without training and floats, at equal bytes and equal memory.

    The answer is a sentence that follows from the table, and may be: do not train.
    Example: modalhash compare --data emoji --bits 32,64 --out compared
    """
    from modalhash.datasets import load_dataset
    from modalhash.evaluation.compare import Setting
    from modalhash.evaluation.compare import compare as run_compare

    given = settings_of(settings or [])
    budget = given.pop("budget", BUDGET)
    own = {name: given.pop(name) for name in list(given) if name in Setting.__dataclass_fields__}
    if "shared" in own:
        own["shared"] = listed(own["shared"])
    if ways is not None:
        own["directions"] = [direction(text) for text in names(ways)]
    reader = {name: listed(value) if name in ("views", "labels") else value for name, value in given.items()}
    found = run_compare(
        load_dataset(data, **reader),
        numbers("--bits", bits),
        None if systems is None else names(systems),
        seeds=seeds,
        budget=budget,
        out=out,
        say=(lambda text: None) if as_json else print_progress,
        setting=Setting(**own),
    )
    say(found.as_dict(), as_json, lambda: comparison_text(found))


def listed(value: Any) -> list[str]:
    """Names from a text with commas, or from the tuple that [a, b] was read as."""
    return list(value) if isinstance(value, tuple) else names(str(value))


def names(text: str | None) -> list[str]:
    """Names separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else []


def direction(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A direction from `image>text`; `all` stands for all views."""
    sides = [side.strip() for side in text.split(WAYS)]
    if len(sides) != 2 or not all(sides):
        raise ValueError(f"--ways: expected A{WAYS}B, got {text!r}")
    asked, found = (() if side == ALL else (side,) for side in sides)
    return asked, found


def print_progress(text: str) -> None:
    """A line of progress on stderr, where the answer is not."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")


def comparison_text(found: Comparison) -> str:
    """The comparison as text: a table a direction, what to know about it, the verdict."""
    facts = found.facts
    lines = []
    for way in dict.fromkeys(row.direction for row in found.rows):
        lines += [f"{way} (floats: {facts['spaces'].get(way) or 'none'})", table_text(found.rows, way, facts), ""]
    for note in facts["notes"]:
        lines.append(f"note: {note}")
    for leak in facts["leaks"]:
        lines.append(f"leak: {leak['kind']}: {leak['message']}")
    if facts["cut"]["cells"]:
        lines.append(f"cut to keep the time: {len(facts['cut']['cells'])} runs ({facts['cut']['order']})")
        lines += [f"cut: {line}" for line in facts["cut"]["words"]]
    lines += [f"not run: {reason}" for reason in refusals(found.rows)]
    return "\n".join([*lines, "", f"verdict: {found.verdict}"])


def table_text(rows: Sequence[Row], way: str, facts: dict[str, Any]) -> str:
    """Rows of a direction in columns; a dash where a contender refuses."""
    from modalhash.cli_text import table

    k = facts["k"]
    measures = list(dict.fromkeys((facts["measure"], f"nDCG@{k}", f"neighbours@{k}")))
    shown = []
    for row in (row for row in rows if row.direction == way):
        cells: dict[str, Any] = {"contender": row.title, "kind": row.family, "bits": row.bits or "own"}
        cells |= {"bytes": whole(row.bytes), "with floats": whole(row.total_bytes)}
        cells |= {name: figure(row, name) for name in measures}
        cells |= {"fit s": row.seconds.get("fit"), "ms a query": row.seconds.get("search")}
        shown.append(cells)
    columns = ["contender", "kind", "bits", "bytes", "with floats", *measures, "fit s", "ms a query"]
    return table(shown, [name for name in columns if any(cells.get(name) is not None for cells in shown)])


def whole(value: float | None) -> str | None:
    """Bytes without needless decimals."""
    return None if value is None else f"{value:g}"


def figure(row: Row, name: str) -> str | None:
    """Mean ± sd over seeds."""
    if name not in row.mean:
        return None
    spread = f" ± {row.sd[name]:.3f}" if row.seeds > 1 else ""
    return f"{row.mean[name]:.3f}{spread}"


def refusals(rows: Sequence[Row]) -> list[str]:
    """A line a contender and reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.refused:
            at = "own length" if row.bits is None else str(row.bits)
            reasons.setdefault((row.system, row.refused), []).append(at)
    return [f"{name} at {', '.join(dict.fromkeys(at))} bits: {why}" for (name, why), at in reasons.items()]
