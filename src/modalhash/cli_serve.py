"""The service on the command line: serve a collection, make keys."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modalhash.cli_options import Json, say


def serve(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION|demo", help="Folder of a collection, or demo.")],
    host: Annotated[str, typer.Option(help="Address; others than this machine's own need --key-file.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    key_file: Annotated[Path | None, typer.Option(help="File of keys, made by `modalhash key`.")] = None,
    recommender: Annotated[Path | None, typer.Option(help="Folder of a recommender to serve beside it.")] = None,
    audit_file: Annotated[Path | None, typer.Option(help="File that every write adds a line to; else stderr.")] = None,
    snapshots: Annotated[Path | None, typer.Option(help="Folder that POST /snapshots writes into.")] = None,
    as_json: Json = False,
) -> None:
    """Serve a collection over HTTP, with a page to look at, until Ctrl-C or SIGTERM.

    The page shows the plots of a report in the folder `report` of the collection.
    Example: modalhash serve demo --port 8000
    """
    run, settings_of = service()
    if collection != "demo":
        from modalhash.collection import FILE

        if not (Path(collection) / FILE).is_file():
            raise FileNotFoundError(f"{Path(collection) / FILE}: not found; make a collection with `modalhash index`")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("modalhash.audit").setLevel(logging.INFO)
    settings = settings_of(
        collection=collection,
        host=host,
        port=port,
        key_file=key_file,
        recommender=recommender,
        report=plots if (plots := Path(collection) / "report").is_dir() else None,
        audit_file=audit_file,
        snapshots=snapshots,
    )

    def told(url: str) -> None:
        say({"url": url, "collection": collection}, as_json, lambda: f"Serving {collection} on {url} (Ctrl-C stops)")
        sys.stdout.flush()

    run(settings, told)


def serve_demo(out: Path, as_json: bool) -> None:
    """Serve what the demo wrote into a folder: its collection, else that of `serve demo`, and its recommender."""
    from modalhash.collection import FILE
    from modalhash.model import MODEL

    made, model = out / "collection", out / "recommender"
    collection = str(made) if (made / FILE).is_file() else "demo"
    serve(collection, recommender=model if (model / MODEL).is_file() else None, as_json=as_json)


def key(
    name: Annotated[str, typer.Argument(help="Who will use the key: a-z, 0-9, _ and -.")],
    key_file: Annotated[Path, typer.Option(help="File of keys; made if it is not there.")],
    scope: Annotated[str, typer.Option(help="read, write or admin; each may do what those before it may.")] = "read",
    as_json: Json = False,
) -> None:
    """Make a key for the service and print it, once: the file keeps its hash only."""
    from modalhash.service.keys import add_key

    text = add_key(key_file, name, scope)
    say({"name": name, "scope": scope, "key": text}, as_json, lambda: text)


def service() -> tuple[Any, Any]:
    """What runs a service, and its settings; ImportError names the extra where its packages are not installed."""
    try:
        from modalhash.service.run import serve as run
        from modalhash.service.settings import Settings
    except ModuleNotFoundError as error:
        raise ImportError(f"serve: needs the package {error.name}: pip install 'modalhash[serve]'") from error
    return run, Settings
