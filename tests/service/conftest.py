"""A small collection, a recommender and keys; every test has a service of its own over a copy."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_place import Place, write_place

from coloured_pictures import coloured_pictures

pytest.importorskip("fastapi")

from modalhash.service.app import create_app
from modalhash.service.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette prefers another client
    from starlette.testclient import TestClient

BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Written once a run; tests get copies."""
    return write_place(tmp_path_factory.mktemp("served"), coloured_pictures())


@pytest.fixture
def place(written: Place, tmp_path: Path) -> Place:
    """A copy of the collection, the recommender and the keys."""
    shutil.copytree(written.folder, tmp_path / "place")
    return Place(tmp_path / "place", written.keys)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Any]]:
    """Starts services over the copy with settings of the test's choice, and stops them."""
    begun: list[Any] = []

    def begin(**settings: Any) -> Any:
        given = {"collection": str(place.collection), "recommender": place.recommender, **settings}
        app = create_app(Settings(**given))
        client = TestClient(app, base_url=BASE, raise_server_exceptions=False)
        client.__enter__()
        begun.append(client)
        app.state.service.load()
        return client

    yield begin
    for client in begun:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start: Callable[..., Any]) -> Any:
    """A service without keys, asked from this machine."""
    return start()


@pytest.fixture
def keyed(start: Callable[..., Any], place: Place) -> Any:
    """A service with the keys `reader`, `writer` and `admin`."""
    return start(key_file=place.key_file, rate=0)


@pytest.fixture
def run_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; returns exit code, stdout and stderr."""

    def call(*words: str) -> tuple[int, str, str]:
        from modalhash import cli

        monkeypatch.setattr("sys.argv", ["modalhash", *words])
        with pytest.raises(SystemExit) as stop:
            cli.main()
            raise SystemExit(0)
        told = capsys.readouterr()
        return int(stop.value.code or 0), told.out, told.err

    return call
