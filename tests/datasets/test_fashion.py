"""Product photographs: subsets are nested, fair names tell no attribute, labels are those that are asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outside_data import lines, needs

import modalhash.datasets.fashion as fashion
from modalhash.datasets import load_dataset
from modalhash.datasets.fair import tells
from modalhash.datasets.fashion import ATTRIBUTES, attribute_words, subset
from modalhash.datasets.outside import read_outside
from modalhash.views import missing
from modalhash.words import words

PARTS = np.repeat([2, 1, 0], [20, 60, 120])[np.random.default_rng(0).permutation(200)]


@pytest.fixture(autouse=True)
def few_validation_items(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real" not in request.node.name:
        monkeypatch.setattr(fashion, "N_VALIDATION", 10)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from PIL import Image

    n, pictures = 200, []
    for i in range(n):
        stream = io.BytesIO()
        Image.new("RGB", (6, 8), (i, 255 - i, 9)).save(stream, "WEBP", lossless=True)
        pictures.append(stream.getvalue())
    values = {"articleType": ["Casual Shoes", "Tshirts"], "baseColour": ["NA", "Navy Blue"], "gender": ["Men", "Women"]}
    columns: dict[str, Any] = {}
    for name in ATTRIBUTES:
        columns[name] = (np.arange(n) % 2).astype(np.uint8)
        columns[f"{name}_names"] = np.array(values.get(name, ["Sports", "Ethnic"]))
    labels = np.arange(n)[:, None] % np.array([2, 3, 5]) == 0
    names = ["Blue T-shirt" if i == 7 else f"Brand{i % 9} Men's Navy-Blue Shoe stripes {i % 5}x" for i in range(n)]
    np.savez(
        tmp_path / "fashion_meta.npz",
        labels=np.packbits(labels, axis=1),
        label_shape=np.array([n, 3]),
        label_names=np.array(["a", "b", "c"]),
        split=PARTS.astype(np.uint8),
        id=np.arange(n, dtype=np.uint32) + 1000,
        name__utf8=lines(names),
        **columns,
    )
    offset = np.cumsum([0, *map(len, pictures)]).astype(np.uint32)
    np.savez(tmp_path / "fashion_images.npz", webp=np.frombuffer(b"".join(pictures), dtype=np.uint8), offset=offset)
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))
    return tmp_path


def test_whole(small: Path) -> None:
    data = load_dataset("fashion")
    assert len(data) == 200 and data.ids is not None and data.ids.tolist() == list(range(1000, 1200))
    assert {part: len(rows) for part, rows in data.split.items()} == {
        "query": 20,
        "train": 60,
        "validation": 10,
        "database": 180,
    }
    assert np.array_equal(data.split["query"], np.flatnonzero(PARTS == 2))
    assert data.raw["text"][0] == "brand0 stripes 0x" and data.raw["text"][7] == ""
    assert missing(data.views["text"])[7] and data.label_names == ["Casual Shoes", "Tshirts"]
    np.testing.assert_array_equal(np.asarray(data.labels).argmax(axis=1), np.arange(200) % 2)
    assert data.titles is not None and data.titles[0] == "Brand0 Men's Navy-Blue Shoe stripes 0x"


def test_a_subset_keeps_its_rows_together(small: Path) -> None:
    data = load_dataset("fashion", n_train=30, n_database=50)
    assert {part: len(rows) for part, rows in data.split.items()} == {
        "query": 20,
        "train": 30,
        "validation": 10,
        "database": 50,
    }
    assert len(data) == 70 and set(data.split["train"]) < set(data.split["database"])
    assert data.ids is not None and data.titles is not None and data.pictures is not None
    whole = load_dataset("fashion")
    assert whole.pictures is not None and whole.titles is not None
    for i, id_ in enumerate(data.ids.tolist()):
        assert data.titles[i] == whole.titles[id_ - 1000] and data.pictures[i] == whole.pictures[id_ - 1000]
        assert np.asarray(data.labels)[i].tolist() == np.asarray(whole.labels)[id_ - 1000].tolist()


def test_smaller_subsets_lie_inside_larger_ones() -> None:
    def members(*sizes: int | None) -> dict[str, set[int]]:
        rows, split = subset(PARTS, *sizes)
        return {part: set(rows[positions].tolist()) for part, positions in split.items()}

    large, middle, tiny = members(None, None), members(30, 100), members(10, 40)
    for part in ("train", "database"):
        assert tiny[part] < middle[part] < large[part]
    assert tiny["query"] == middle["query"] == large["query"] == set(np.flatnonzero(PARTS == 2).tolist())
    assert tiny["validation"] == middle["validation"] == large["validation"]
    for found in (large, middle, tiny):
        assert not found["validation"] & (found["train"] | found["query"]) and not found["query"] & found["database"]
    assert middle["validation"] < middle["database"] and large["train"] == set(np.flatnonzero(PARTS == 1).tolist())


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, None), "n_train: expected 1…60, got 0"),
        ((61, None), "n_train: expected 1…60, got 61"),
        ((30, 29), r"n_database: expected 30 \(n_train\)…180, got 29"),
        ((30, 181), "n_database.*got 181"),
    ],
)
def test_sizes_that_cannot_be(sizes: tuple[int, int | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subset(PARTS, *sizes)


def test_labels_and_views_by_choice(small: Path) -> None:
    every = load_dataset("fashion", labels="all", views=("text",))
    assert np.asarray(every.labels)[6].tolist() == [1, 1, 0] and every.label_names == ["a", "b", "c"]
    assert list(every.views) == ["text"] and every.pictures is None
    colours = load_dataset("fashion", labels="baseColour", fair=False, views=("text",))
    assert colours.label_names == ["NA", "Navy Blue"] and colours.raw["text"][7] == "Blue T-shirt"
    with pytest.raises(ValueError, match="labels: expected some of gender"):
        load_dataset("fashion", labels="shoe size")


@needs("fashion_meta")
def test_the_real_names_tell_no_attribute() -> None:
    data = load_dataset("fashion", views=("text",))
    assert len(data) == 44441 and np.asarray(data.labels).shape == (44441, 142)
    assert {part: len(rows) for part, rows in data.split.items()} == {
        "query": 2000,
        "train": 10000,
        "validation": 1000,
        "database": 42441,
    }
    meta = read_outside("fashion_meta", [f"{name}_names" for name in ATTRIBUTES])
    told = attribute_words(meta)
    assert {"shirts", "shirt", "tshirt", "tee", "grey", "gray", "men", "mens", "winter"} <= told
    telling = {word for text in data.raw["text"] for word in words(text)}
    assert not [word for word in telling if tells(word, told, compounds=True)]
    empty = sum(text == "" for text in data.raw["text"])
    assert f"{empty} names have no word left" in (fashion.load_fashion.__doc__ or "")
    assert 0 <= missing(data.views["text"]).sum() - empty < 10


@needs("fashion_meta", "fashion_images")
@pytest.mark.slow
def test_real_photographs() -> None:
    data = load_dataset("fashion", n_train=1000, n_database=2000)
    assert data.views["image"].shape == (4000, 256) and np.isfinite(data.views["image"]).all()
