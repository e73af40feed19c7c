"""What the services of these tests serve: a folder with a collection, a recommender and keys."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

import modalhash as mh
from modalhash.catalog import make_recommender
from modalhash.cli_recommend import save_with_titles
from modalhash.collection import from_dataset
from modalhash.datasets import Dataset
from modalhash.demo.simulated import simulate

SCOPES = {"reader": "read", "writer": "write", "boss": "admin"}


@dataclass(frozen=True)
class Place:
    """The folder, and the texts of the keys by name."""

    folder: Path
    keys: dict[str, str]

    @property
    def collection(self) -> Path:
        return self.folder / "collection"

    @property
    def recommender(self) -> Path:
        return self.folder / "recommender"

    @property
    def key_file(self) -> Path:
        return self.folder / "keys.json"

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys[name]}"}


def write_place(root: Path, data: Dataset) -> Place:
    from modalhash.service.keys import add_key

    folder = root / "place"
    hasher = mh.A2LH(n_bits=32, random_state=0).fit(data.part("train"), data.part_labels("train"))
    from_dataset(folder / "collection", hasher, data)
    source, _ = simulate(0, 60, data)
    model = make_recommender("MDCF", n_bits=16, random_state=0)
    ids = {"user_ids": source.user_ids, "item_ids": source.item_ids}
    model.fit(source.ratings, source.user_views, source.item_views, **ids)
    save_with_titles(model, folder / "recommender", source.titles)
    keys = {name: add_key(folder / "keys.json", name, scope) for name, scope in SCOPES.items()}
    return Place(folder, keys)


def picture(colour: str = "red", size: tuple[int, int] = (24, 24), kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind, **options)
    return stream.getvalue()


def is_problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert answer.status_code == status, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert set(document) == {"type", "title", "status", "detail"} and document["status"] == status
    return document
