"""Damaged files and texts on every parser: a refusal, never a crash, a hang or much memory."""

from __future__ import annotations

import base64
import json
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from service_place import Place, picture

from modalhash.catalog import load
from modalhash.codes import BinaryCodes
from modalhash.collection import Collection
from modalhash.datasets import load_dataset
from modalhash.features.pictures import open_picture
from modalhash.index import Index
from modalhash.service.bodies import check_depth, checked, unpacked
from modalhash.service.keys import Keys
from modalhash.service.pictures import picture_to_show
from modalhash.service.problems import Problem
from modalhash.service.schemas import SearchRequest, UpsertRequest
from modalhash.service.settings import Limits

SECONDS, KILOBYTES = 2.0, 256_000  # of one input; of a whole test
REFUSALS = (ValueError, TypeError, OSError, Problem)
RUNS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
QUERY = b'{"text": "a", "views": {"x": [1, 2.5]}, "k": 3, "allow": [1, "b"]}'
FIELDS = "text image views code vector k allow items ids id user item queries role"
PICTURES = [picture(kind=kind, size=(40, 30)) for kind in ("PNG", "JPEG", "WEBP")]


@contextmanager
def bounded() -> Iterator[None]:
    """No input takes long or much memory; what is refused is refused in our words."""
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except REFUSALS:
        pass
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < KILOBYTES


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """Files with some bytes changed, a piece cut out, or a piece put in."""
    at = st.integers(0, len(whole) - 1)
    changes = st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=8)
    pieces = st.tuples(at, st.integers(0, 40), st.binary(max_size=40))

    def change(made: list[tuple[int, int]]) -> bytes:
        content = bytearray(whole)
        for place, value in made:
            content[place] = value
        return bytes(content)

    return st.one_of(
        changes.map(change),
        pieces.map(lambda piece: whole[: piece[0]] + piece[2] + whole[piece[0] + piece[1] :]),
        at.map(lambda place: whole[:place]),
    )


@RUNS
@given(st.one_of(*map(damaged, PICTURES), st.binary(max_size=200)))
def test_pictures(content: bytes) -> None:
    with bounded():
        assert len(picture_to_show(content, 1_000_000)) < 500_000
    with bounded():
        open_picture(content, name="picture", size=64, max_pixels=1_000_000)


@RUNS
@given(
    st.one_of(st.binary(max_size=300), damaged(b'{"text": "a", "views": {"x": [1, 2.5]}, "k": 3, "allow": [1, "b"]}'))
)
def test_json(content: bytes) -> None:
    with bounded():
        check_depth(content, 5)
        checked(SearchRequest, content, Limits())
    with bounded():
        checked(UpsertRequest, b'{"items": [' + content + b"]}", Limits())


def nested() -> st.SearchStrategy[Any]:
    """JSON of any shape, with odd numbers and texts."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    return st.recursive(
        leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=20
    )


@pytest.mark.filterwarnings("ignore")
def test_routes_answer_any_json(client: Any) -> None:
    paths = [path for path, methods in client.get("/openapi.json").json()["paths"].items() if "post" in methods]

    @RUNS
    @given(st.sampled_from(paths), nested() | st.dictionaries(st.sampled_from(FIELDS.split()), nested(), max_size=4))
    def ask(path: str, content: Any) -> None:
        started = time.process_time()
        answer = client.post(path, content=json.dumps(content), headers={"content-type": "application/json"})
        assert answer.status_code in (200, 404, 422), (answer.status_code, answer.text)
        assert time.process_time() - started < SECONDS

    ask()


@pytest.mark.filterwarnings("ignore")
def test_routes_answer_any_form(client: Any) -> None:
    whole = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + PICTURES[0] + b"\r\n--b--\r\n"
    )

    @RUNS
    @given(damaged(whole))
    def ask(content: bytes) -> None:
        answer = client.post("/search", content=content, headers={"content-type": "multipart/form-data; boundary=b"})
        assert answer.status_code in (200, 422), (answer.status_code, answer.text)

    ask()


@RUNS
@given(st.binary(max_size=400), st.integers(1, 1000))
def test_packed_bodies(content: bytes, limit: int) -> None:
    for window in (31, 15):
        with bounded():
            assert len(unpacked(content, window, limit)) <= limit


def fuzz_file(path: Path, read: Callable[[], Any], examples: int = 40) -> None:
    """Damage one file again and again, and read what it belongs to; the file is whole again afterwards."""
    whole = path.read_bytes()

    @settings(RUNS, max_examples=examples)
    @given(damaged(whole))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        with bounded():
            read()

    try:
        run()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["model.json", "arrays.safetensors"])
def test_files_of_models(place: Place, name: str) -> None:
    fuzz_file(place.collection / "model" / name, lambda: load(place.collection / "model"))
    fuzz_file(place.recommender / name, lambda: load(place.recommender))


def test_files_of_indexes_and_collections(place: Place, tmp_path: Path) -> None:
    codes = BinaryCodes(np.arange(64, dtype=np.uint8).reshape(8, 8), 64)
    Index.build(codes).save(tmp_path / "index")
    for name in ("index.json", "arrays.safetensors"):
        fuzz_file(tmp_path / "index" / name, lambda: Index.load(tmp_path / "index"))
    fuzz_file(place.collection / "collection.json", lambda: Collection.open(place.collection).close(), 20)


def test_files_of_keys(place: Place) -> None:
    fuzz_file(place.key_file, lambda: Keys.read(place.key_file))


def test_data_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"view.image": rng.normal(size=(6, 4)), "labels": np.arange(6) % 2, "ids": np.arange(6)}
    np.savez(tmp_path / "data.npz", **arrays)
    fuzz_file(tmp_path / "data.npz", lambda: load_dataset(str(tmp_path / "data.npz")))


def test_data_sets_with_pickles_are_refused(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"view.image": np.array([{"a": 1}], dtype=object)}
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=r"data\.npz"):
        load_dataset(str(tmp_path / "data.npz"))


@RUNS
@given(st.text(max_size=50))
def test_base64(text: str) -> None:
    from modalhash.service.schemas import decoded

    with bounded():
        content = decoded(text)
        assert base64.b64encode(content).decode().rstrip("=") == text.rstrip("=")
