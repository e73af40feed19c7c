"""Collections find by words, pictures and both, keep what they show in order, and notice damage."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import modalhash as mh
from modalhash.catalog import make
from modalhash.collection import Collection, Show, from_dataset, model_checksum
from modalhash.datasets import Dataset
from modalhash.datasets.files import join_pictures, with_features
from modalhash.folders import write_state
from modalhash.index import Hits, Index, StoreLocked

COLOURS = ("red", "green", "blue", "orange")
N = 48


def png(i: int) -> bytes:
    stream = io.BytesIO()
    image = Image.new("RGB", (16, 16), "white")
    image.paste(COLOURS[i % 4], (0, 0, 4 + i % 12, 16))
    image.save(stream, "PNG")
    return stream.getvalue()


def colours(gaps: bool = False) -> Dataset:
    """Forty-eight pictures of four colours with words; ids are texts that are not in order."""
    words = [f"a {COLOURS[i % 4]} thing number{i % 3}" for i in range(N)]
    images = [png(i) for i in range(N)]
    if gaps:
        words[::5] = [""] * len(words[::5])
        images[1::5] = [b""] * len(images[1::5])
    ids = [f"{'zyxw'[i % 4]}{(7 * i) % N}" for i in range(N)]
    common = {
        "name": "colours",
        "labels": np.eye(4)[np.arange(N) % 4],
        "ids": ids,
        "titles": [f"{COLOURS[i % 4]} {i}" for i in range(N)],
        "pictures": images,
        "raw": {"image": images, "text": words},
        "split": {"query": np.arange(40, N)},
    }
    return with_features({}, {}, common)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return colours()


@pytest.fixture(scope="module")
def hasher(data: Dataset) -> Any:
    return mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))


@pytest.fixture(scope="module")
def written(data: Dataset, hasher: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection") / "c"
    from_dataset(folder, hasher, data)
    return folder


@pytest.fixture(scope="module")
def in_memory(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of quantised codes."""
    folder = tmp_path_factory.mktemp("collection") / "c"
    from_dataset(folder, mh.ACQH(n_bits=8, random_state=0).fit(data.part("train"), data.part_labels("train")), data)
    return folder


def as_first_written(made: Collection, folder: Path) -> None:
    """A collection of binary codes as version 0.1.0 wrote it."""
    model = model_checksum(folder / "model")
    shutil.rmtree(folder / "store")
    for name in ("index", "show"):
        (folder / name).mkdir()
    made.index.write(folder / "index")
    pictures = join_pictures(made.show.pictures)
    write_state(folder / "show", "show.json", {"class": "Show"}, {"titles": list(made.show.titles), **pictures})
    description = {"format": 1, "class": "Collection", "version": "0.1.0", "model": model, "items": len(made)}
    (folder / "collection.json").write_text(json.dumps({**description, "n_bits": 16, "views": ["image", "text"]}))


@pytest.fixture(scope="module")
def opened(written: Path) -> Collection:
    return Collection.open(written)


def test_words_pictures_and_both_find(opened: Collection, tmp_path: Path) -> None:
    assert len(opened) == 40
    (tmp_path / "p.png").write_bytes(png(2))
    for asked in (
        {"text": "blue"},
        {"image": png(2)},
        {"image": tmp_path / "p.png"},
        {"image": str(tmp_path / "p.png")},
    ):
        hits = opened.search(**asked, k=5)
        assert hits.ids.shape == (1, 5) and np.all(np.diff(hits.distances[0]) >= 0)
        assert all(title.startswith("blue") for title in opened.titles(hits)[0])
    both = opened.search(text="blue", image=png(2), k=40)
    assert sorted(both.ids[0].tolist()) == sorted(opened.index.ids.tolist())


def test_both_at_once_is_the_sum_of_the_views(opened: Collection, data: Dataset) -> None:
    views = {name: data.views[name][[41]] for name in ("image", "text")}
    asked = opened.search(text=data.raw["text"][41], image=data.raw["image"][41], k=40)
    given = opened.search(views=views, k=40)
    mixed = opened.search(text=data.raw["text"][41], views={"image": views["image"]}, k=40)
    for hits in (given, mixed):
        np.testing.assert_array_equal(asked.ids, hits.ids)
        np.testing.assert_array_equal(asked.distances, hits.distances)
    with pytest.raises(ValueError, match="view 'text' is given twice"):
        opened.search(text="blue", views=views)


def test_many_rows_of_views_and_k(opened: Collection, data: Dataset) -> None:
    assert opened.search(views={"text": data.views["text"][40:]}, k=3).ids.shape == (8, 3)
    assert opened.search(text="red", k=1000).ids.shape == (1, 40)
    assert opened.search(text="red").ids.shape == (1, 10)
    with pytest.raises(ValueError, match="k"):
        opened.search(text="red", k=0)


def test_a_filter_lets_through_only_what_it_names(opened: Collection) -> None:
    chosen = opened.index.ids[[30, 2, 17]].tolist()
    hits = opened.search(text="red", k=10, allow=chosen)
    assert sorted(hits.ids[0].tolist()) == sorted(chosen)
    mask = np.isin(opened.index.ids, chosen)
    np.testing.assert_array_equal(opened.search(text="red", allow=mask).ids, hits.ids)
    with pytest.raises(ValueError, match="unknown id 'nobody'"):
        opened.search(text="red", allow=["nobody"])


def test_titles_and_positions_follow_the_hits_with_ids_in_any_order(opened: Collection, data: Dataset) -> None:
    hits = opened.search(text="orange", k=40)
    titles = dict(zip(np.asarray(data.ids).tolist(), data.titles or [], strict=True))
    assert opened.titles(hits)[0] == [titles[id_] for id_ in hits.ids[0].tolist()]
    np.testing.assert_array_equal(opened.index.ids[opened.positions(hits)], hits.ids)
    with pytest.raises(ValueError, match="no item 'zzz'"):  # regression: an IndexError, or another item's title
        opened.titles(Hits(np.array([["a", "zzz"]])[:, 1:], np.zeros((1, 1), np.int32)))
    with pytest.raises(ValueError, match="no item 'a'"):
        opened.titles(Hits(np.array([["a"]]), np.zeros((1, 1), np.int32)))


@pytest.mark.parametrize("text", ["zebra", "", "!?"])
def test_unknown_words_are_told(opened: Collection, text: str) -> None:
    with pytest.raises(ValueError, match=f"nothing in this text is known.*{text!r}".replace("?", r"\?")):
        opened.search(text=text)


def test_pictures_that_are_none_are_told(opened: Collection, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing in this image is known"):
        opened.search(image=b"")
    with pytest.raises(ValueError, match="no readable"):
        opened.search(image=b"nothing")
    with pytest.raises(FileNotFoundError, match="absent"):
        opened.search(image=tmp_path / "absent.png")


def test_a_collection_is_replaced_whole(data: Dataset, hasher: Any, tmp_path: Path) -> None:
    from_dataset(tmp_path / "c", hasher, data)
    other = mh.LSH(n_bits=9, random_state=0).fit({"image": data.views["image"]})
    index = Index.build(other.encode({"image": data.views["image"][:3]}))
    Collection.create(tmp_path / "c", other, index)
    again = Collection.open(tmp_path / "c")
    assert again.show.titles == ["0", "1", "2"] and not again.features and len(again) == 3
    assert not (tmp_path / "c" / "features").exists() and [path.name for path in tmp_path.iterdir()] == ["c"]
    with pytest.raises(ValueError, match="takes no text; it has extractors for: none"):
        again.search(text="red")


def test_parts_that_do_not_fit_are_refused(data: Dataset, hasher: Any, tmp_path: Path) -> None:
    index = Index.build(hasher.encode(data.views))
    with pytest.raises(ValueError, match="show: 1 titles for 48 items"):
        Collection.create(tmp_path / "c", hasher, index, show=Show(["a"], [b""] * 48))
    with pytest.raises(ValueError, match="view 'audio' is unknown to the model"):
        Collection.create(tmp_path / "c", hasher, index, {"audio": data.features["image"]})
    short = mh.LSH(n_bits=8, random_state=0).fit(data.views)
    with pytest.raises(ValueError, match="index of 16 bits does not fit a model of 8"):
        Collection.create(tmp_path / "c", short, index)
    assert not list(tmp_path.iterdir())


def damage_json(key: str, value: Any) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        content = json.loads(file.read_text())
        content[key] = value
        file.write_text(json.dumps(content))

    return damage


def shorter_titles(file: Path) -> None:
    content = json.loads(file.read_text())
    content["state"]["titles"]["value"].pop()
    file.write_text(json.dumps(content))


FILES = [
    "collection.json",
    "model/model.json",
    "model/arrays.safetensors",
    "features/text/extractor.json",
    "features/image/arrays.safetensors",
]
STORED = [*FILES, "store/items.sqlite"]
IN_MEMORY = [*FILES, "index/index.json", "index/arrays.safetensors", "show/show.json", "show/arrays.safetensors"]


@pytest.mark.parametrize(
    ("fixture", "file"), [*(("written", file) for file in STORED), *(("in_memory", file) for file in IN_MEMORY)]
)
@pytest.mark.parametrize("kind", ["gone", "empty", "half", "garbage"])
def test_damage_to_each_file_is_noticed(
    request: pytest.FixtureRequest, tmp_path: Path, fixture: str, file: str, kind: str
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(request.getfixturevalue(fixture), folder)
    content = (folder / file).read_bytes()
    if kind == "gone":
        (folder / file).unlink()
    else:
        (folder / file).write_bytes({"empty": b"", "half": content[: len(content) // 2], "garbage": b"\xff" * 99}[kind])
    with pytest.raises((ValueError, FileNotFoundError), match=file.split("/")[-2 if "/" in file else -1]):
        Collection.open(folder)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("collection.json", damage_json("items", 41)),
        ("collection.json", damage_json("model", "0" * 64)),
        ("collection.json", damage_json("format", 3)),
        ("show/show.json", damage_json("state", {})),  # regression: a KeyError
        ("show/show.json", damage_json("state", {"titles": {"value": 3}})),
        ("show/show.json", shorter_titles),
        ("index/index.json", damage_json("state", {})),
    ],
)
def test_files_that_contradict_each_other_are_noticed(
    in_memory: Path, tmp_path: Path, file: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(in_memory, tmp_path / "c")
    damage(tmp_path / "c" / file)
    with pytest.raises(ValueError, match=str(tmp_path)):
        Collection.open(tmp_path / "c")


@pytest.mark.parametrize("system", ["ACQH", "A2LH", "CCAITQ", "LSH"])
def test_every_kind_of_code_is_opened_and_searched(data: Dataset, tmp_path: Path, system: str) -> None:
    hasher = make(system, n_bits=8, random_state=0)
    hasher.fit(data.part("train"), data.part_labels("train") if hasher.needs_labels else None)
    made = from_dataset(tmp_path / "c", hasher, data)
    again = Collection.open(tmp_path / "c")
    for asked in ({"text": "green thing"}, {"image": png(1)}, {"text": "red", "image": png(0)}):
        np.testing.assert_array_equal(made.search(**asked).ids, again.search(**asked).ids)
        np.testing.assert_array_equal(made.search(**asked).distances, again.search(**asked).distances)


def test_one_view_only(data: Dataset, tmp_path: Path) -> None:
    hasher = mh.ITQ(n_bits=4, random_state=0).fit({"image": data.part("train")["image"]})
    from_dataset(tmp_path / "c", hasher, data)
    again = Collection.open(tmp_path / "c")
    assert set(again.features) == {"image"}
    assert again.search(image=png(3), k=2).ids.shape == (1, 2)
    with pytest.raises(ValueError, match="takes no text; it has extractors for: 'image'"):
        again.search(text="red")


def test_items_that_lack_views_are_found_by_the_others(tmp_path: Path, hasher: Any) -> None:
    data = colours(gaps=True)
    model = mh.A2LH(n_bits=16, random_state=0).fit(data.part("train"), data.part_labels("train"))
    everything = from_dataset(tmp_path / "both", model, data)
    assert len(everything) == 40
    words = from_dataset(tmp_path / "words", model, data, ["text"])
    assert len(words) == 32 and not set(np.asarray(data.ids)[:40:5].tolist()) & set(words.index.ids.tolist())
    assert words.titles(words.search(text="blue", k=3))[0][0].startswith("blue")
    pictures = Collection.open(tmp_path / "both").show.pictures
    assert pictures[1] == b"" and pictures[0] == data.raw["image"][0]


def test_data_without_a_view_of_the_model_is_refused(data: Dataset, hasher: Any, tmp_path: Path) -> None:
    audio = Dataset(name="sounds", views={"audio": np.ones((4, 2))})
    with pytest.raises(ValueError, match="sounds: has the views 'audio', the model knows 'image', 'text'"):
        from_dataset(tmp_path / "c", hasher, audio)
    with pytest.raises(ValueError, match="view 'audio' is not in the data"):
        from_dataset(tmp_path / "c", hasher, data, ["audio"])
    empty = Dataset(name="empty", views={"image": np.full((2, data.views["image"].shape[1]), np.nan)})
    with pytest.raises(ValueError, match="empty: no item of the database has a view among 'image'"):
        from_dataset(tmp_path / "c", hasher, empty)


@pytest.fixture
def changed(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_items_are_added_from_words_pictures_and_views(changed: Path, data: Dataset) -> None:
    with Collection.open(changed) as collection:
        before = collection.search(text="blue", k=40)
        codes = collection.hasher.encode(data.part("query"))
        collection.add(np.asarray(data.ids)[40:], data.part("query"), titles=["new"] * 8)
        assert len(collection) == 48 and collection.store is not None
        np.testing.assert_array_equal(collection.store.get(np.asarray(data.ids)[40:]).codes.packed, codes.packed)
        raw = data.raw
        collection.add(["p", "q"], text=[raw["text"][41], ""], image=[b"", raw["image"][42]])
        one = collection.hasher.encode({"text": data.views["text"][[41]]})
        two = collection.hasher.encode({"image": data.views["image"][[42]]})
        kept = collection.store.get(["p", "q"])
        np.testing.assert_array_equal(kept.codes.packed, np.concatenate([one.packed, two.packed]))
        assert kept.show.titles == ["p", "q"] and kept.show.pictures == [b"", raw["image"][42]]
        assert collection.index.ids[-2:].tolist() == ["p", "q"] and collection.show.titles[-3:] == ["new", "p", "q"]
        assert collection.delete([*np.asarray(data.ids)[40:].tolist(), "p", "q", "nobody"]) == 10
        np.testing.assert_array_equal(collection.search(text="blue", k=40).ids, before.ids)


def test_codes_made_before_are_added_as_they_are(changed: Path, data: Dataset) -> None:
    with Collection.open(changed) as collection:
        codes = collection.hasher.encode(data.part("query"))
        collection.add(np.asarray(data.ids)[40:], codes=codes, titles=["new"] * 8, pictures=[b"x"] * 8)
        assert collection.store is not None
        kept = collection.store.get(np.asarray(data.ids)[40:])
        np.testing.assert_array_equal(kept.codes.packed, codes.packed)
        assert kept.show.titles == ["new"] * 8 and kept.show.pictures == [b"x"] * 8
        with pytest.raises(ValueError, match="codes stand for text"):
            collection.add(["p"], codes=codes[:1], text=["blue"])
        with pytest.raises(ValueError, match=r"ids: expected shape \(8,\)"):
            collection.add(["p"], codes=codes, titles=["a"] * 8)
        assert len(collection) == 48


def test_an_added_item_replaces_the_one_with_its_id_and_keeps_its_place(changed: Path, data: Dataset) -> None:
    ids = np.asarray(data.ids)
    with Collection.open(changed) as collection:
        collection.add([ids[3]], text=[data.raw["text"][2]], titles=["other"], pictures=[b"x"])
        assert collection.index.ids.tolist() == ids[:40].tolist()
        hits = collection.search(text=data.raw["text"][2], k=1, allow=[ids[3]])
        assert hits.distances[0, 0] == 0 and collection.titles(hits) == [["other"]]
    with Collection.open(changed) as again:
        assert again.show.titles[3] == "other" and again.show.pictures[3] == b"x" and len(again) == 40


def test_many_read_while_one_adds(changed: Path, data: Dataset) -> None:
    with Collection.open(changed) as one, Collection.open(changed) as two:
        assert len(two) == len(two.index) == len(two.show.titles) == 40
        one.add(["p"], text=["blue thing"], titles=["of another"])
        assert len(two) == len(two.index) == 41 and two.show.titles[40] == "of another"
        assert two.search(text="blue thing", k=1, allow=["p"]).ids.tolist() == [["p"]]
        with pytest.raises(StoreLocked, match=r"is being written by process \d+"):
            two.delete(["p"])
        with pytest.raises(StoreLocked):
            Collection.create(changed, one.hasher, one.index)
        assert len(two) == 41


def test_items_that_cannot_be_added_are_told(changed: Path, data: Dataset) -> None:
    with Collection.open(changed) as collection:
        with pytest.raises(ValueError, match="give text, image or views"):
            collection.add(["p"])
        with pytest.raises(ValueError, match=r"row 1|item 1"):
            collection.add(["p", "q"], text=["blue", "zebra"])
        with pytest.raises(TypeError, match="this store's ids are texts"):
            collection.add([1], text=["blue"])
        with pytest.raises(ValueError, match="ids: expected shape"):
            collection.add(["p", "q"], text=["blue"], titles=["a"])
        assert len(collection) == 40


def test_collections_that_cannot_be_changed_say_why(in_memory: Path, changed: Path) -> None:
    with Collection.open(in_memory) as quantised:
        assert quantised.store is None
        with pytest.raises(ValueError, match=r"of QuantizedCodes cannot be changed \(a store holds BinaryCodes only\)"):
            quantised.add(["p"], text=["blue"])
    with Collection.open(changed) as made:
        as_first_written(made, changed)
        expected = made.search(text="blue", k=40)
    with Collection.open(changed) as old:
        np.testing.assert_array_equal(old.search(text="blue", k=40).ids, expected.ids)
        assert old.titles(expected)[0][0].startswith("blue") and len(old.show.pictures) == 40
        with pytest.raises(ValueError, match="format of older versions"):
            old.delete(["p"])
        Collection.create(changed, old.hasher, old.index, old.features, old.show).close()
    with Collection.open(changed) as new:
        np.testing.assert_array_equal(new.search(text="blue", k=40).ids, expected.ids)
        assert new.delete(expected.ids[0, :1]) == 1


def test_a_store_of_another_model_is_refused(changed: Path, data: Dataset) -> None:
    other = mh.A2LH(n_bits=16, random_state=3).fit(data.part("train"), data.part_labels("train"))
    from_dataset(changed.with_name("other"), other, data).close()
    shutil.rmtree(changed / "store")
    shutil.copytree(changed.with_name("other") / "store", changed / "store")
    with pytest.raises(ValueError, match="store: holds codes of another model"):
        Collection.open(changed)
