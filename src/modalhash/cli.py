"""The command line: thin verbs over the library.  Every verb takes --json; bad input ends with exit code 2."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from modalhash.cli_compare import compare
from modalhash.cli_export import export
from modalhash.cli_options import Bits, Data, Json, Seed, ViewNames, chosen_views, load_hasher, numbers, settings_of
from modalhash.cli_options import say as _say
from modalhash.cli_recommend import explain, recommend
from modalhash.cli_report import bits, report
from modalhash.cli_serve import key, serve, serve_demo, service

app = typer.Typer(
    name="modalhash",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: list, check, make.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line; bad input prints one line on stderr and exits with code 2."""
    before, warnings.showwarning = warnings.showwarning, _warn
    try:
        app()
    except KeyboardInterrupt:
        _stop("stopped", 130)
    except (ValueError, TypeError, OSError, ImportError) as error:  # ImportError names the missing extra
        _stop(" ".join(str(error).splitlines()), 2)
    finally:
        warnings.showwarning = before


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Say a warning without the line of code that raised it."""
    sys.stderr.write(f"modalhash: warning: {message}\n")


def _stop(message: str, code: int) -> None:
    sys.stderr.write(f"modalhash: {message}\n")
    raise SystemExit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from modalhash import __version__

        typer.echo(f"modalhash {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Learn compact codes for items that are seen through several views, and find with them.

    To see it work: demo.  With data of your own: data make, systems --for DATA, fit, evaluate, index, search.
    """


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the page and the collection.")] = Path("demo-output"),
    bits: Annotated[
        str | None, typer.Option(help="Code lengths of the table, separated by commas: 16,32,64; --recommend: 32.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds a cell of the table.")] = 3,
    recommend: Annotated[
        bool, typer.Option("--recommend", help="Recommend pictures to simulated users instead, and say why.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="RATINGS", help="With --recommend: real ratings, ml1m or a path.")
    ] = None,
    served: Annotated[bool, typer.Option("--serve", help="Serve what was made afterwards, on port 8000.")] = False,
    as_json: Json = False,
) -> None:
    """Learn codes from the shipped pictures and words, compare, search, and write a page with the results.

    Example: modalhash demo --recommend --out demo-output
    """
    if data is not None and not recommend:
        raise ValueError("--data: needs --recommend beside it")
    if served:
        service()  # the extra is asked for before the work
    if recommend:
        from modalhash.demo.recommend import run_recommend

        lengths = numbers("--bits", bits or "32")
        if len(lengths) > 1:
            raise ValueError(f"--bits: expected one length with --recommend, got {bits!r}")
        result = run_recommend(out, lengths[0], seeds, data=data, quiet=as_json)
    else:
        from modalhash.demo.run import run_demo

        result = run_demo(out, numbers("--bits", bits or "16,32,64"), seeds, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
    if served:
        serve_demo(out, as_json)


@app.command()
def systems(
    for_: Annotated[str | None, typer.Option("--for", metavar="DATA", help="Say which of them suit this data.")] = None,
    as_json: Json = False,
) -> None:
    """List the systems: what each is for, what it needs; with --for, which suit the data and one recommendation."""
    from modalhash.advice import advise, describe, describe_recommenders
    from modalhash.cli_text import systems_text

    if for_ is None:
        content: dict[str, Any] = {"systems": describe(), "recommenders": describe_recommenders()}
    else:
        from modalhash.datasets import load_dataset

        content = advise(load_dataset(for_), for_)
    _say(content, as_json, lambda: systems_text(content))


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the data sets that are known by name."""
    from modalhash.datasets import NAMED

    _say({"datasets": NAMED}, as_json, lambda: "\n".join(f"{name:13} {what}" for name, what in NAMED.items()))


@data_app.command("check")
def data_check(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A data set: its name, a .npz file or a folder.")],
    as_json: Json = False,
) -> None:
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
    from modalhash.datasets.files import MARKER
    from modalhash.folders import check_target

    check_target(out, MARKER)
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
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A hyper-parameter, such as max_iter=20; may be repeated."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn codes from the training part of a data set, or a recommender from ratings, and save the model.

    With a recommender DATA is ratings: ml1m, a CSV with the columns user, item, rating (and title), a .npz or a folder.
    Example: modalhash fit MDCF --data ratings.csv --bits 64 --out recommender
    """
    import time

    from modalhash.catalog import is_recommender, make
    from modalhash.datasets import load_dataset
    from modalhash.folders import check_target
    from modalhash.hasher import MODEL

    check_target(out, MODEL)
    params = {**settings_of(settings or []), "n_bits": bits, "random_state": seed, "verbose": not as_json}
    if is_recommender(system):
        from modalhash.cli_recommend import fit_recommender

        fit_recommender(system, data, out, params)
        return
    hasher = make(system).set_params(**params)
    source = load_dataset(data)
    if hasher.needs_labels and source.labels is None:
        raise ValueError(f"{system}: needs labels, and {source.name} has none; see `modalhash systems --for {data}`")
    started = time.perf_counter()
    labels = source.part_labels("train") if hasher.needs_labels else None
    hasher.fit(source.part("train"), labels)
    seconds = round(time.perf_counter() - started, 3)
    hasher.set_params(verbose=False).save(out)  # the same files, however it was fitted
    facts = {
        "model": str(out),
        "system": system,
        "bits": bits,
        "items": len(source.split["train"]),
        "seconds": seconds,
    }
    told = f"{system}, {bits} bits: learned from {facts['items']:,} items in {seconds:.1f} s, written to {out}"
    _say(facts, as_json, lambda: told)


@app.command()
def encode(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="The .npz file to write: codes and ids.")],
    views: ViewNames = None,
    as_json: Json = False,
) -> None:
    """Encode all items of a data set."""
    from modalhash.cli_text import stored_text, write_codes
    from modalhash.datasets import load_dataset

    hasher, source = load_hasher(model), load_dataset(data)
    codes = hasher.encode({name: source.views[name] for name in chosen_views(source, views, hasher)})
    written = write_codes(out, codes, source.ids)
    facts = {"out": str(written), "items": len(codes), "bytes_per_item": codes.bytes_per_item}
    _say(facts, as_json, lambda: stored_text(len(codes), codes.bytes_per_item, written))


@app.command()
def index(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write the collection to.")],
    views: ViewNames = None,
    as_json: Json = False,
) -> None:
    """Make a collection from a model and the database part of a data set; `search` then takes words and pictures."""
    from modalhash.cli_text import stored_text
    from modalhash.collection import from_dataset
    from modalhash.datasets import load_dataset

    hasher, source = load_hasher(model), load_dataset(data)
    with from_dataset(out, hasher, source, chosen_views(source, views, hasher)) as made:
        items, size = len(made), made.index.codes.bytes_per_item
    facts = {"collection": str(out), "items": items, "bytes_per_item": size}
    _say(facts, as_json, lambda: stored_text(items, size, out))


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

    if image is not None and not image.is_file():
        raise FileNotFoundError(f"--image: {image} is not a file")
    with Collection.open(collection) as opened:
        hits, codes = opened.search(text=text, image=image, k=k), opened.index.codes
        found = zip(hits.ids[0].tolist(), opened.titles(hits)[0], hits.distances[0].tolist(), strict=True)
    rows = [{"id": id_, "title": title, "distance": distance} for id_, title, distance in found]
    _say({"hits": rows}, as_json, lambda: hits_text(rows, codes))


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a fitted model.")],
    data: Data,
    cuts: Annotated[str, typer.Option(help="Ranks of AP@K, P@K and R@K, separated by commas.")] = "50",
    same: Annotated[bool, typer.Option("--same", help="Also search each view with itself.")] = False,
    fused: Annotated[bool, typer.Option("--fused", help="Also all views against all (fused systems always).")] = False,
    queries: Annotated[str, typer.Option(help="Who queries: query, or validation (then in train).")] = "query",
    cards: Annotated[Path | None, typer.Option(help="Folder to write result cards to, for `report`.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model: queries in one view against the database in another, relevant = a label in common."""
    from modalhash.cli_text import evaluation_facts, evaluation_text
    from modalhash.datasets import load_dataset
    from modalhash.evaluation.crossview import protocols
    from modalhash.evaluation.protocol import evaluate as evaluate_way

    if queries not in ("query", "validation"):
        raise ValueError(f"--queries: expected query or validation, got {queries!r}")
    ranks = numbers("--cuts", cuts)
    found, source = load_hasher(model), load_dataset(data)
    ways = protocols(found, source, queries=queries, cuts=ranks, same=same, fused=fused)
    facts = evaluation_facts({pair: evaluate_way(found, source, way) for pair, way in ways.items()})
    if cards is not None:
        from modalhash.evaluation.cards import make_cards

        facts["cards"] = [str(path) for path in make_cards(found, source, cards, ways.values())]
    _say(facts, as_json, lambda: evaluation_text(facts))


app.command()(compare)
app.command()(recommend)
app.command()(explain)
app.command()(export)
app.command()(report)
app.command()(bits)
app.command()(serve)
app.command()(key)


if __name__ == "__main__":
    main()
