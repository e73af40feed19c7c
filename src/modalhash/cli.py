"""The command line: thin verbs over the library.  Every verb takes --json; bad input ends with exit code 2."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from modalhash.hasher import Hasher

app = typer.Typer(
    name="modalhash",
    help="Learn compact codes for items that are seen through several views, and find with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: list, check, make.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Data = Annotated[str, typer.Option("--data", help="A data set: its name, a .npz file or a folder.")]
Bits = Annotated[int, typer.Option("--bits", min=1, help="Length of the codes in bits.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.")]


def main() -> None:
    """Run the command line; bad input prints one line on stderr and exits with code 2."""
    try:
        app()
    except KeyboardInterrupt:
        _stop("stopped", 130)
    except (ValueError, TypeError, OSError) as error:
        _stop(str(error), 2)


def _stop(message: str, code: int) -> None:
    sys.stderr.write(f"modalhash: {message}\n")
    raise SystemExit(code)


def _say(content: dict[str, Any], as_json: bool, text: Callable[[], str]) -> None:
    typer.echo(json.dumps(content, ensure_ascii=False) if as_json else text())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the collection.")] = Path("demo-output"),
    bits: Annotated[str, typer.Option(help="Code lengths of the table, separated by commas.")] = "16,32,64",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a cell of the table.")] = 3,
    as_json: Json = False,
) -> None:
    """Learn codes from the shipped pictures and words, compare, search, and write a page with the results."""
    from modalhash.demo.run import run_demo

    try:
        lengths = [int(part) for part in bits.split(",")]
    except ValueError:
        raise ValueError(f"--bits: expected numbers separated by commas, got {bits!r}") from None
    result = run_demo(out, lengths, seeds, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))


@app.command()
def systems(
    for_: Annotated[str | None, typer.Option("--for", metavar="DATA", help="Say which of them suit this data.")] = None,
    as_json: Json = False,
) -> None:
    """List the systems: what each is for, what it needs; with --for, which suit the data and one recommendation."""
    from modalhash.advice import advise, describe
    from modalhash.cli_text import systems_text

    if for_ is None:
        content: dict[str, Any] = {"systems": describe()}
    else:
        from modalhash.datasets import load_dataset

        content = advise(load_dataset(for_))
    _say(content, as_json, lambda: systems_text(content))


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the data sets that are known by name."""
    from modalhash.datasets import NAMED

    _say({"datasets": NAMED}, as_json, lambda: "\n".join(f"{name:12} {what}" for name, what in NAMED.items()))


@data_app.command("check")
def data_check(data: Annotated[str, typer.Argument(metavar="DATA")], as_json: Json = False) -> None:
    """Read a data set, check it and say what it holds."""
    from modalhash.cli_text import dataset_facts, facts_text
    from modalhash.datasets import load_dataset

    facts = dataset_facts(load_dataset(data))
    _say(facts, as_json, lambda: facts_text(facts))


@data_app.command("make")
def data_make(
    pictures: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    out: Annotated[Path, typer.Option(help="Folder to write the data set to.")],
    table: Annotated[
        Path | None, typer.Option(help="CSV or TSV: picture, text, and optionally labels, id, title, split.")
    ] = None,
    query: Annotated[float, typer.Option(help="Share of the items that become queries.")] = 0.1,
    validation: Annotated[float, typer.Option(help="Share of the items for validation.")] = 0.1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make a data set from a folder of pictures and a table of texts and labels."""
    from modalhash.cli_text import dataset_facts, facts_text
    from modalhash.datasets import make_dataset, write_dataset

    made = make_dataset(pictures, table, query=query, validation=validation, seed=seed)
    write_dataset(made, out)
    facts = dataset_facts(made) | {"out": str(out)}
    _say(facts, as_json, lambda: facts_text(facts))


@app.command()
def fit(
    system: Annotated[str, typer.Argument(help="A system (see `modalhash systems`) or one of its variants.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
    bits: Bits = 64,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter; may be repeated.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn codes from the training part of a data set and save the model."""
    import time

    from modalhash.catalog import make
    from modalhash.datasets import load_dataset

    hasher = make(system, n_bits=bits, random_state=seed, verbose=not as_json, **_settings(settings or []))
    source = load_dataset(data)
    started = time.perf_counter()
    labels = source.part_labels("train") if hasher.needs_labels else None
    hasher.fit(source.part("train"), labels)
    seconds = round(time.perf_counter() - started, 3)
    hasher.save(out)
    facts = {
        "model": str(out),
        "system": hasher.name,
        "bits": bits,
        "items": len(source.split["train"]),
        "seconds": seconds,
    }
    _say(facts, as_json, lambda: f"{hasher.name}, {bits} bits, {facts['items']} items in {seconds:.1f} s -> {out}")


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--set: expected NAME=VALUE, got {pair!r}")
        try:
            settings[name] = json.loads(value.lower() if value in ("True", "False", "None") else value)
        except ValueError:
            settings[name] = None if value == "None" else value
    return settings


@app.command()
def encode(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The .npz file to write: packed codes, n_bits, ids.")],
    views: Annotated[
        str | None, typer.Option(help="Views to encode from, separated by commas; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Encode all items of a data set."""
    from modalhash.catalog import load
    from modalhash.cli_text import write_codes
    from modalhash.datasets import load_dataset

    hasher, source = load(model), load_dataset(data)
    codes = hasher.encode(_chosen(source.views, views, hasher))
    write_codes(out, codes, source.ids)
    facts = {"out": str(out), "items": len(codes), "bytes_per_item": codes.bytes_per_item}
    _say(facts, as_json, lambda: f"{len(codes)} items, {codes.bytes_per_item} bytes each -> {out}")


def _chosen(views: Any, names: str | None, hasher: Hasher) -> dict[str, Any]:
    wanted = names.split(",") if names else [name for name in hasher.widths_ if name in views]
    for name in wanted:
        if name not in views:
            raise ValueError(f"view {name!r} is not in the data; it has {', '.join(map(repr, views))}")
    return {name: views[name] for name in wanted}


@app.command()
def index(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write the collection to.")],
    views: Annotated[
        str | None, typer.Option(help="Views to encode from, separated by commas; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a collection from a model and the database part of a data set; `search` then takes words and pictures."""
    from modalhash.catalog import load
    from modalhash.collection import from_dataset
    from modalhash.datasets import load_dataset

    hasher, source = load(model), load_dataset(data)
    made = from_dataset(out, hasher, source, list(_chosen(source.views, views, hasher)))
    facts = {"collection": str(out), "items": len(made), "bytes_per_item": made.index.codes.bytes_per_item}
    _say(facts, as_json, lambda: f"{len(made)} items, {facts['bytes_per_item']} bytes each -> {out}")


@app.command()
def search(
    collection: Annotated[Path, typer.Argument(help="Folder of a collection.")],
    text: Annotated[str | None, typer.Option(help="Words to search with.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search with.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many items to find.")] = 10,
    as_json: Json = False,
) -> None:
    """Find items by words, by a picture, or by both at once."""
    from modalhash.cli_text import hits_text
    from modalhash.collection import Collection

    opened = Collection.open(collection)
    hits = opened.search(text=text, image=image, k=k)
    rows = [
        {"id": id_, "title": title, "distance": distance}
        for id_, title, distance in zip(
            hits.ids[0].tolist(), opened.titles(hits)[0], hits.distances[0].tolist(), strict=True
        )
    ]
    _say({"hits": rows}, as_json, lambda: hits_text(rows, opened.hasher.n_bits))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    cuts: Annotated[str, typer.Option(help="Ranks of AP@K, P@K and R@K, separated by commas.")] = "50",
    same: Annotated[bool, typer.Option("--same", help="Also search each view with itself.")] = False,
    queries: Annotated[str, typer.Option(help="Who queries: query or validation.")] = "query",
    as_json: Json = False,
) -> None:
    """Measure a model: queries in one view against the database in another, relevant = a label in common."""
    from modalhash.catalog import load
    from modalhash.cli_text import evaluation_facts, evaluation_text
    from modalhash.datasets import load_dataset
    from modalhash.evaluation.crossview import evaluate as evaluate_model

    if queries not in ("query", "validation"):
        raise ValueError(f"--queries: expected query or validation, got {queries!r}")
    ranks = [int(part) for part in cuts.split(",") if part.strip().isdigit()]
    if not ranks:
        raise ValueError(f"--cuts: expected ranks separated by commas, got {cuts!r}")
    results = evaluate_model(load(model), load_dataset(data), queries=queries, cuts=ranks, same=same)
    facts = evaluation_facts(results)
    _say(facts, as_json, lambda: evaluation_text(facts))


if __name__ == "__main__":
    main()
