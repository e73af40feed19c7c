"""The shipped emoji: whole, split as promised, extractors fitted on training rows, nothing of the groups added."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets import Dataset, pack
from modalhash.datasets.emoji import SHA256, load_emoji, texts
from modalhash.features import GradientColour, Tfidf
from modalhash.views import missing


@pytest.fixture(scope="module")
def emoji() -> Iterator[Dataset]:
    yield load_emoji()


def test_shapes_and_names(emoji: Dataset) -> None:
    assert len(emoji) == 1562 and set(emoji.views) == {"image", "text"}
    assert np.asarray(emoji.labels).shape == (1562, 9 + 95)
    assert emoji.label_names is not None and emoji.titles is not None and emoji.pictures is not None
    assert len(emoji.label_names) == 104 and emoji.label_names[6] == "smileys & emotion"
    assert emoji.titles[0] == "😀 grinning face" and emoji.ids is not None and emoji.ids[0] == "😀"
    assert all(picture[:4] == b"RIFF" and picture[8:12] == b"WEBP" for picture in emoji.pictures)
    assert not missing(emoji.views["image"]).any() and not missing(emoji.views["text"]).any()


def test_every_item_has_one_group_and_one_subgroup_of_it(emoji: Dataset) -> None:
    labels = np.asarray(emoji.labels)
    assert (labels[:, :9].sum(axis=1) == 1).all() and (labels[:, 9:].sum(axis=1) == 1).all()
    assert (labels.sum(axis=0) > 0).all()


def test_split_is_stratified_and_apart(emoji: Dataset) -> None:
    split = emoji.split
    parts = [split[part] for part in ("train", "validation", "query")]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1562))
    assert np.array_equal(split["database"], np.union1d(split["train"], split["validation"]))
    groups = np.asarray(emoji.labels)[:, :9]
    for part, share in (("query", 0.2), ("validation", 0.1)):
        assert (np.abs(groups[split[part]].sum(axis=0) - share * groups.sum(axis=0)) <= 0.5).all()


def test_extractors_learned_from_training_rows_only(emoji: Dataset) -> None:
    train = emoji.split["train"]
    text = Tfidf().fit([emoji.raw["text"][i] for i in train])
    assert emoji.features["text"].vocabulary_ == text.vocabulary_
    image = emoji.features["image"]
    assert isinstance(image, GradientColour)
    described = image.describe([emoji.raw["image"][i] for i in train])
    assert np.allclose(image.mean_, described.mean(axis=0), atol=1e-5)


def test_views_are_what_the_extractors_make(emoji: Dataset) -> None:
    rows = [0, 7, 1561]
    for name, extractor in emoji.features.items():
        made = extractor.transform([emoji.raw[name][i] for i in rows])
        assert np.array_equal(made, emoji.views[name][rows])


@pytest.mark.parametrize("word", ["cat", "Katze", "gato", "gatto", "chat", "кошка", "猫"])
def test_words_of_any_language_find(emoji: Dataset, word: str) -> None:
    assert emoji.titles is not None
    likeness = (emoji.views["text"] @ emoji.features["text"].transform([word]).T)[:, 0]
    found = [emoji.titles[i] for i in np.argsort(-likeness)[:12]]
    assert any("cat" in title.split() for title in found)


def test_no_text_is_made_of_the_groups() -> None:
    columns = {key: np.array(["x"]) for key in ("emoji", "name", "keywords", "group", "subgroup")}
    columns |= {"keywords": np.array(["a|b"]), "group": np.array(["animals"]), "subgroup": np.array(["bugs"])}
    assert texts(columns | {"names": np.array([["y", "z"]])}) == ["x. a, b. y. z"]


def test_a_changed_or_absent_pack_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((pack.PACKS / "emoji.npz").read_bytes())
    assert len(content) < 4_000_000
    content[1000] ^= 1
    (tmp_path / "emoji.npz").write_bytes(content)
    monkeypatch.setattr(pack, "PACKS", tmp_path)
    with pytest.raises(ValueError, match=r"emoji\.npz: SHA-256"):
        pack.read_pack("emoji", SHA256)
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        pack.read_pack("gone", SHA256)


def test_notices_are_there() -> None:
    folder = Path(__file__).parents[2] / "LICENSES"
    for name, owner in (("fluent-emoji", "Microsoft"), ("emojibase", "Miles Johnson"), ("emojilib", "Mu-An Chiou")):
        notice = (folder / f"{name}.txt").read_text(encoding="utf8")
        assert owner in notice and "WITHOUT WARRANTY OF ANY KIND" in notice


def test_split_by_hand() -> None:
    split = pack.stratified_split(np.repeat([3, 1], [10, 20]), query=0.2, validation=0.1, seed=0)
    assert [len(split[part]) for part in ("query", "validation", "train", "database")] == [6, 3, 21, 24]
    assert (split["query"] < 10).sum() == 2 and (split["validation"] < 10).sum() == 1


@pytest.mark.slow
def test_learned_codes_beat_the_training_free_ones_on_validation_rows(emoji: Dataset) -> None:
    train, validation = emoji.part("train"), emoji.part("validation")
    groups = np.asarray(emoji.labels)[:, :9]
    relevant = mh.metrics.SharedLabels(groups[emoji.split["validation"]], groups[emoji.split["train"]])
    for asked, found in (("image", "text"), ("text", "image")):
        means = {}
        for hasher in (mh.A2LH(n_bits=32, random_state=0), mh.CCAITQ(n_bits=32, random_state=0)):
            hasher.fit(train, groups[emoji.split["train"]] if hasher.needs_labels else None)
            index = mh.Index.build(hasher.encode({found: train[found]}))
            queries = hasher.encode_queries({asked: validation[asked]})
            means[hasher.name] = mh.metrics.retrieval(index, queries, relevant).mean["AP"]
        assert means["A2LH"] > means["CCAITQ"] + 0.2
