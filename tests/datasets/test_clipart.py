"""The shipped clip art: whole, split as promised, fair as promised, extractors fitted on training rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets import Dataset, load_dataset, pack
from modalhash.datasets.clipart import SHA256, label_words, labelled_split, load_clipart, tag_lists, tag_matrix
from modalhash.datasets.fair import tells
from modalhash.features import GradientColour, Tfidf
from modalhash.views import is_sparse, missing
from modalhash.words import words


@pytest.fixture(scope="module")
def clipart() -> Iterator[Dataset]:
    yield load_clipart(views=("image", "text", "tags"))


@pytest.fixture(scope="module")
def told(clipart: Dataset) -> Iterator[frozenset[str]]:
    assert clipart.label_names is not None
    yield label_words(clipart.label_names)


def test_shapes_and_names(clipart: Dataset) -> None:
    assert len(clipart) == 3509 and list(clipart.views) == ["image", "text", "tags"]
    labels = np.asarray(clipart.labels)
    assert labels.shape == (3509, 44) and labels.dtype == np.uint8 and (labels.sum(axis=0) > 0).all()
    assert clipart.label_names is not None and clipart.label_names[:2] == ["animal", "mammal"]
    assert clipart.ids is not None and clipart.ids[0].endswith(".svg") and clipart.titles is not None
    assert clipart.pictures is not None
    assert all(picture[:4] == b"RIFF" and picture[8:12] == b"WEBP" for picture in clipart.pictures)
    assert not missing(clipart.views["image"]).any()


def test_items_without_a_label_stay(clipart: Dataset) -> None:
    counts = np.asarray(clipart.labels).sum(axis=1)
    assert (counts == 0).sum() == 391 and (counts > 1).sum() == 1541
    assert (counts[clipart.split["train"]] == 0).sum() == 391


def test_two_views_by_default_and_others_by_choice() -> None:
    assert list(load_dataset("clipart").views) == ["image", "text"]
    only = load_clipart(views=("tags",))
    assert list(only.views) == ["tags"] and not only.raw and not only.features
    for wrong in (("image", "sound"), (), ("text", "text")):
        with pytest.raises(ValueError, match="views: expected some of image, text, tags"):
            load_clipart(views=wrong)


def test_pictures_with_tags_have_a_name_of_their_own() -> None:
    named, asked = load_dataset("clipart-tags"), load_dataset("clipart", views=("image", "tags"))
    assert list(named.views) == ["image", "tags"] and named.checksum == asked.checksum
    assert load_dataset("clipart-tags", min_uses=50).views["tags"].shape[1] < named.views["tags"].shape[1]
    with pytest.raises(TypeError, match="clipart-tags: has no option 'nothing'"):
        load_dataset("clipart-tags", nothing=1)


def test_split(clipart: Dataset) -> None:
    split = clipart.split
    assert [len(split[part]) for part in ("query", "validation", "train", "database")] == [500, 300, 2709, 3009]
    parts = [split[part] for part in ("train", "validation", "query")]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(3509))
    assert np.array_equal(split["database"], np.union1d(split["train"], split["validation"]))
    labels = np.asarray(clipart.labels)
    for part in ("query", "validation"):
        assert labels[split[part]].any(axis=1).all()
    found = labels[split["query"]] @ labels[split["database"]].T
    assert found.any(axis=1).all()  # every query has something to find
    again = labelled_split(labels, seed=21)
    assert all(np.array_equal(again[part], rows) for part, rows in split.items())


def test_no_label_word_is_left_in_fair_text_or_tags(clipart: Dataset, told: frozenset[str]) -> None:
    assert {"animal", "animals", "flag", "stickmen", "europe", "spain", "led", "art"} - told == {"art"}
    assert not [text for text in clipart.raw["text"] if any(tells(word, told, compounds=True) for word in words(text))]
    known = clipart.features["text"].vocabulary_
    assert not [word for word in known if not word.startswith("#") and tells(word, told, compounds=True)]
    tags = {tag for row in clipart.tags or () for tag in row.split("|")}
    assert len(tags) > 1000 and not [
        tag for tag in tags if any(tells(word, told, compounds=True) for word in words(tag))
    ]


def test_a_text_without_words_is_a_missing_view(clipart: Dataset) -> None:
    empty = np.array([text == "" for text in clipart.raw["text"]])
    gaps = missing(clipart.views["text"])
    assert empty.sum() == 136 and f"{empty.sum()} of 3,509" in (load_clipart.__doc__ or "")
    assert gaps[empty].all() and gaps.sum() <= empty.sum() + 5  # a few hold no word that training texts know


def test_unfair_text_keeps_every_word(told: frozenset[str]) -> None:
    whole = load_dataset("clipart", fair=False, views=("text", "tags"))
    assert missing(whole.views["text"]).sum() < 5  # a few items have neither title nor tags
    holding = [i for i, text in enumerate(whole.raw["text"]) if told & set(words(text))]
    assert len(holding) > 3000
    assert "frogs. kwaakwaa, squeleton" in " ".join(whole.raw["text"])
    assert whole.views["tags"].shape[1] > load_clipart(views=("tags",)).views["tags"].shape[1] > 100


def test_tags_are_those_of_the_users(clipart: Dataset) -> None:
    tags = pack.read_pack("clipart", SHA256)["tags"].tolist()
    matrix, names = tag_matrix(tag_lists(tags), clipart.split["train"], 3)
    assert is_sparse(matrix) and matrix.dtype == np.float32 and set(matrix.data.tolist()) == {1.0}
    assert names == sorted(names) and (np.asarray(matrix[clipart.split["train"]].sum(axis=0)) >= 3).all()
    for i in (0, 1000, 3508):
        row = matrix[i].tocsr()
        assert {names[j] for j in row.indices} == set(tags[i].split("|")) & set(names)


def test_tags_by_hand() -> None:
    matrix, names = tag_matrix(tag_lists(["a|b|b", "", "b|c", "c", "c"]), np.array([0, 1, 2]), 1)
    assert names == ["a", "b", "c"]
    assert matrix.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    assert tag_lists(["aa bb|bb_x|dd", "bb"], frozenset({"bb"})) == [["dd"], []]
    with pytest.raises(ValueError, match="no tag is used 4 times"):
        tag_matrix([["a"], ["a"]], np.array([0, 1]), 4)


def test_extractors_learned_from_training_rows_only(clipart: Dataset) -> None:
    train = clipart.split["train"]
    text = Tfidf().fit([clipart.raw["text"][i] for i in train])
    assert clipart.features["text"].vocabulary_ == text.vocabulary_
    assert isinstance(clipart.features["image"], GradientColour)
    rows = [0, 7, 3508]
    for name, extractor in clipart.features.items():
        made = extractor.transform([clipart.raw[name][i] for i in rows])
        np.testing.assert_array_equal(made, clipart.views[name][rows])


def test_another_extractor_of_pictures() -> None:
    small = load_dataset("clipart", views=("image",), image=GradientColour(n_components=8))
    assert small.views["image"].shape == (3509, 8)


def test_the_pack_is_small_and_its_notice_is_there() -> None:
    assert (pack.PACKS / "clipart.npz").stat().st_size <= 5_500_000
    assert sum(path.stat().st_size for path in pack.PACKS.iterdir()) < 9_000_000
    notice = Path(__file__).parents[2] / "LICENSES" / "openclipart.txt"
    assert "public domain" in notice.read_text(encoding="utf8").lower()


@pytest.mark.slow
def test_learned_codes_beat_the_training_free_ones_on_validation_rows() -> None:
    data = load_clipart()
    from modalhash.evaluation.crossview import evaluate

    train = data.split["train"]
    both = train[~missing(data.views["text"])[train]]
    views = {name: matrix[both] for name, matrix in data.views.items()}
    learned = mh.A2LH(n_bits=32, random_state=0).fit(data.part("train"), data.part_labels("train"))
    free = mh.CCAITQ(n_bits=32, random_state=0).fit(views)
    of_learned, of_free = (evaluate(hasher, data, queries="validation") for hasher in (learned, free))
    for direction in of_learned:
        assert of_learned[direction].mean["AP"] > of_free[direction].mean["AP"] + 0.1
