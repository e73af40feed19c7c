"""Data sets in files: what is written is read again, folders stay on disk, and faults are named."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from PIL import Image

from modalhash.datasets import Dataset, read_dataset, write_dataset
from modalhash.features import GradientColour, Tfidf

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3)).astype(np.float32)
LABELS = np.eye(2, dtype=np.uint8)[[0, 1, 0, 1, 0, 1]]


def png(colour: str, size: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(stream, "PNG")
    return stream.getvalue()


PICTURES = [png("red"), png("blue"), b"", png("green"), png("red"), png("blue")]
TEXTS = ["red apple", "", "line one\nline two", "été 日本 🍎\t'\"", "red  apple ", "blue sky apple"]


def dataset(**changes: Any) -> Dataset:
    given: dict[str, Any] = {"name": "small", "views": {"image": X}, "split": {"query": [5], "validation": [4]}}
    return Dataset(**{**given, **changes})


def round_trip(data: Dataset, folder: Path) -> Dataset:
    write_dataset(data, folder)
    return read_dataset(folder)


def plain(matrix: Any) -> Any:
    return matrix.toarray() if sp.issparse(matrix) else np.asarray(matrix)


GAPS = X.copy()
GAPS[2] = np.nan
SPARSE = sp.csr_matrix(np.where(X > 0, X, 0))
SPARSE_GAPS = sp.csr_matrix(([1.0, np.nan, 2.0], [0, 0, 1], [0, 1, 2, 3, 3, 3, 3]), shape=(6, 3))


@pytest.mark.parametrize(
    "matrix",
    [
        X,
        X.astype(np.float64),
        np.asfortranarray(X),
        X[:, ::-1],
        X.astype(">f4"),
        GAPS,
        SPARSE,
        SPARSE.tocsc(),
        sp.coo_array(SPARSE),
        SPARSE_GAPS,
    ],
)
def test_views_come_back(tmp_path: Path, matrix: Any) -> None:
    data = dataset(views={"a.b": matrix, "other": X})
    again = round_trip(data, tmp_path / "d")
    np.testing.assert_array_equal(plain(again.views["a.b"]), plain(matrix))
    assert sp.issparse(again.views["a.b"]) == sp.issparse(matrix)
    assert again.checksum == data.checksum


@pytest.mark.parametrize(
    "labels",
    [
        None,
        LABELS,
        LABELS.astype(bool),
        LABELS.astype(float),
        sp.csr_matrix(LABELS),
        np.array([3, 5, 3, 5, 3, -1]),
    ],
)
def test_labels_come_back(tmp_path: Path, labels: Any) -> None:
    again = round_trip(dataset(labels=labels, label_names=["été", "b c"]), tmp_path / "d")
    if labels is None:
        assert again.labels is None
    else:
        np.testing.assert_array_equal(plain(again.labels), plain(labels))
    assert again.label_names == ["été", "b c"]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_labels_with_gaps_come_back(tmp_path: Path, form: Any) -> None:
    labels = LABELS.astype(np.float32)
    labels[1] = np.nan
    stored = sp.csr_matrix(([1.0, np.nan, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1], range(7)), shape=(6, 2))
    again = round_trip(dataset(labels=labels if form is np.asarray else stored), tmp_path / "d")
    np.testing.assert_array_equal(plain(again.labels), labels)
    assert np.load(tmp_path / "d" / "labels.npy").dtype == np.uint8


def test_classes_with_gaps_are_read(tmp_path: Path) -> None:
    """Regression: a row that is not labelled made classes into floats, which were refused."""
    file = tmp_path / "d.npz"
    known = np.array([True, False, True, True, True, True])
    arrays: dict[str, Any] = {"view.image": X, "labels": np.array([7, -1, 7, 9, 9, 7]), "labelled": known}
    np.savez(file, **arrays)
    labels = np.asarray(read_dataset(file).labels)
    assert np.isnan(labels[1]).all()
    np.testing.assert_array_equal(labels[known], [[1, 0], [1, 0], [0, 1], [0, 1], [1, 0]])


@pytest.mark.parametrize("ids", [[7, 3, 900, -1, 0, 5], ["b", "a", "ü/1", "日", "e f", "longer than all"], None])
def test_ids_titles_and_split_come_back(tmp_path: Path, ids: Any) -> None:
    data = dataset(ids=ids, titles=TEXTS, tags=TEXTS[::-1])
    again = round_trip(data, tmp_path / "d")
    assert np.asarray(again.ids).tolist() == (list(range(6)) if ids is None else ids)
    assert again.titles == TEXTS and again.tags == TEXTS[::-1]
    assert {part: rows.tolist() for part, rows in again.split.items()} == {
        part: rows.tolist() for part, rows in data.split.items()
    }
    assert again.name == "d"


def test_raw_values_and_extractors_come_back(tmp_path: Path) -> None:
    extractors: dict[str, Any] = {"image": GradientColour().fit(PICTURES), "text": Tfidf(min_df=1).fit(TEXTS)}
    raw: dict[str, Any] = {"image": PICTURES, "text": TEXTS}
    views = {name: extractors[name].transform(raw[name]) for name in raw}
    data = dataset(views=views, raw=raw, features=extractors, pictures=PICTURES)
    again = round_trip(data, tmp_path / "d")
    assert again.raw == raw and again.pictures == PICTURES
    assert not (tmp_path / "d" / "pictures.bytes.npy").exists()  # once is enough
    for name in raw:
        np.testing.assert_array_equal(again.views[name], views[name])
        np.testing.assert_array_equal(again.features[name].transform(raw[name]), views[name])
    (tmp_path / "d" / "features" / ".DS_Store").write_text("a file manager was here")
    assert set(read_dataset(tmp_path / "d").features) == {"image", "text"}


def test_pictures_that_are_only_shown_come_back(tmp_path: Path) -> None:
    """Regression: pictures without a raw view were dropped."""
    assert round_trip(dataset(pictures=PICTURES), tmp_path / "a").pictures == PICTURES
    other = [*PICTURES[1:], b""]
    again = round_trip(dataset(pictures=other, raw={"image": PICTURES}), tmp_path / "b")
    assert again.pictures == other and again.raw["image"] == PICTURES
    nothing = round_trip(dataset(pictures=[b""] * 6), tmp_path / "c")
    assert nothing.pictures == [b""] * 6


def test_what_files_cannot_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"titles: text 1 ends in a NUL"):
        write_dataset(dataset(titles=["a", "b\0", *TEXTS[2:]]), tmp_path / "d")
    for name in ("image.data", "image.shape", "x.bytes"):
        with pytest.raises(ValueError, match=name):
            write_dataset(dataset(views={name: X}), tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_raw_views_get_matrices_fitted_on_training_rows(tmp_path: Path) -> None:
    file = tmp_path / "raw.npz"
    edges = np.cumsum([0, *map(len, PICTURES)])
    blob = np.frombuffer(b"".join(PICTURES), np.uint8)
    arrays: dict[str, Any] = {
        "raw.text": np.array(TEXTS),
        "raw.image.bytes": blob,
        "raw.image.offsets": edges,
        "split.train": np.array([0, 3, 4]),
        "split.query": np.array([5]),
    }
    np.savez(file, **arrays)
    data = read_dataset(file)
    assert set(data.views) == set(data.features) == {"text", "image"}
    train = [TEXTS[i] for i in (0, 3, 4)]
    np.testing.assert_array_equal(data.views["text"], Tfidf().fit(train).transform(TEXTS))
    assert np.isnan(data.views["text"][1]).all() and np.isnan(data.views["image"][2]).all()
    assert data.pictures == PICTURES and data.name == "raw"


def test_a_saved_extractor_is_used_and_not_fitted_again(tmp_path: Path) -> None:
    """Regression: it was fitted again, which fails where the training texts share no word."""
    data = dataset(raw={"text": ["alpha", "beta", "gamma", "delta", "omega", "kappa"]}, views={"text": X})
    extractor = Tfidf(min_df=1, n_topics=None).fit(data.raw["text"])
    data.features = {"text": extractor}
    write_dataset(data, tmp_path / "d")
    (tmp_path / "d" / "view.text.npy").unlink()
    found = read_dataset(tmp_path / "d").views["text"]
    np.testing.assert_array_equal(plain(found), plain(extractor.transform(data.raw["text"])))


def test_a_folder_stays_on_disk_and_is_never_written_to(tmp_path: Path) -> None:
    write_dataset(dataset(labels=LABELS, views={"image": X, "tags": SPARSE}), tmp_path / "d")
    before = {file.name: file.read_bytes() for file in (tmp_path / "d").iterdir()}
    data = read_dataset(tmp_path / "d")
    view: Any = data.views["image"]
    base = view
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap) and not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    data.part("train")["image"][:] = 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "d").iterdir()} == before


def test_a_data_set_is_replaced_whole(tmp_path: Path) -> None:
    write_dataset(dataset(labels=LABELS, raw={"text": TEXTS}), tmp_path / "d")
    again = round_trip(dataset(views={"audio": X}), tmp_path / "d")
    assert set(again.views) == {"audio"} and again.labels is None and not again.raw
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_folder_keeps_its_whole_name_and_a_file_loses_its_ending(tmp_path: Path, monkeypatch: Any) -> None:
    assert round_trip(dataset(), tmp_path / "v1.2").name == "v1.2"
    monkeypatch.chdir(tmp_path / "v1.2")
    assert read_dataset(".").name == "v1.2"


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({"view.image.shape": np.array([6, 3])}, ValueError, "view.image: a sparse matrix needs"),
        ({"view.image": X, "raw.text.offsets": np.array([0])}, ValueError, "raw.text.offsets: needs raw.text.bytes"),
        ({"view.image": X, "labels": np.array(3), "labelled": np.ones(6, bool)}, ValueError, "labelled"),
        ({"view.image": X, "titles": np.arange(6)}, TypeError, r"titles: expected n texts, got int64 \(6,\)"),
        ({"view.image": X, "titles": np.array("abcdef")}, TypeError, "titles: expected n texts"),
        ({"view.image": X, "raw.text": np.array(["a"])}, ValueError, "text holds 1 values, expected 6"),
        ({"raw.text": np.array(list("abcdef"))}, ValueError, "raw.text: no word is in 2"),
        ({"view.image": np.array([[None]])}, ValueError, "is not a readable"),
    ],
)
def test_faults_name_file_and_array(tmp_path: Path, arrays: Any, kind: type[Exception], message: str) -> None:
    file = tmp_path / "bad.npz"
    np.savez(file, **arrays)
    with pytest.raises(kind, match=f"bad.npz: .*{message}"):
        read_dataset(file)


def test_a_damaged_array_of_a_folder_is_named(tmp_path: Path) -> None:
    write_dataset(dataset(), tmp_path / "d")
    (tmp_path / "d" / "view.image.npy").write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(ValueError, match=r"view\.image\.npy: is not a readable"):
        read_dataset(tmp_path / "d")
