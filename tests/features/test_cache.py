"""The cache gives back what was made, byte for byte, or makes it again; every input changes the key."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash.features.cache as cache
from modalhash.datasets import Dataset, read_dataset, write_dataset
from modalhash.features import Extractor, GradientColour, Tfidf
from modalhash.features.cache import cache_folder, entry_key, fitted
from modalhash.views import is_sparse

TEXTS = ["red apple", "green apple pie", "red car", "", "blue car on a green road", "an apple on the road"] * 3
ROWS = [0, 1, 2, 4, 5, 6, 7]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODALHASH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the extractors that had to work."""
    names: list[str] = []
    usual = Tfidf.fit_transform

    def counted(self: Tfidf, raw: Any, rows: Any = None) -> Any:
        names.append(type(self).__name__)
        return usual(self, raw, rows)

    monkeypatch.setattr(Tfidf, "fit_transform", counted)
    return names


def values(matrix: Any) -> Any:
    return matrix.toarray() if is_sparse(matrix) else matrix


def entry(folder: Path) -> Path:
    (found,) = (folder / "features").iterdir()
    return found


@pytest.mark.parametrize("n_topics", [3, None])
def test_the_second_time_nothing_is_made(folder: Path, made: list[str], n_topics: int | None) -> None:
    first, matrix = fitted(Tfidf(n_topics=n_topics), TEXTS, ROWS)
    second, again = fitted(Tfidf(n_topics=n_topics), TEXTS, ROWS)
    assert made == ["Tfidf"] and is_sparse(matrix) == is_sparse(again) == (n_topics is None)
    np.testing.assert_array_equal(values(matrix), values(again))
    assert matrix.dtype == again.dtype and again.shape == matrix.shape
    np.testing.assert_array_equal(values(first.transform(TEXTS)), values(second.transform(TEXTS)))
    np.testing.assert_array_equal(values(second.transform(TEXTS)), values(again))
    assert not list(folder.rglob("*.pkl")) and not list(folder.rglob("*.tmp"))


def test_pictures_are_kept_as_well(folder: Path) -> None:
    from PIL import Image

    pictures = []
    for i in range(6):
        path = folder.parent / f"{i}.png"
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(path)
        pictures.append(path.read_bytes())
    pictures.append(b"")
    first, matrix = fitted(GradientColour(n_components=4), pictures, [0, 1, 2, 3])
    second, again = fitted(GradientColour(n_components=4), pictures, [0, 1, 2, 3])
    assert first is not second and np.isnan(matrix[6]).all()
    np.testing.assert_array_equal(matrix, again)
    np.testing.assert_array_equal(second.transform(pictures), again)


def test_every_input_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    extractors: list[Extractor] = [Tfidf(), Tfidf(n_topics=4), Tfidf(ngrams=None), GradientColour()]
    keys = [entry_key(extractor, ["ab", "c"], [0, 1]) for extractor in extractors]
    others: list[tuple[list[Any], list[int]]] = [
        (["a", "bc"], [0, 1]),
        (["astr:b", "c"], [0, 1]),
        (["a", "bstr:c"], [0, 1]),
        (["c", "ab"], [0, 1]),
        (["ab", "c", ""], [0, 1]),
        (["ab", "c"], [1, 0]),
        (["ab", "c"], [0]),
        ([b"ab", b"c"], [0, 1]),
    ]
    keys += [entry_key(Tfidf(), raw, rows) for raw, rows in others]
    monkeypatch.setattr(cache, "_code", lambda: "other code")
    keys.append(entry_key(Tfidf(), ["ab", "c"], [0, 1]))
    assert len(set(keys)) == len(keys)
    monkeypatch.undo()
    assert entry_key(Tfidf(), ["ab", "c"], np.array([0, 1]).tolist()) == keys[0]


@pytest.mark.parametrize("name", ["matrix/arrays.safetensors", "extractor/arrays.safetensors", "entry.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_entry_is_made_again(folder: Path, made: list[str], name: str, damage: str) -> None:
    _, matrix = fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    path = entry(folder) / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    _, again = fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert made == ["Tfidf", "Tfidf"]
    np.testing.assert_array_equal(matrix, again)
    fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert len(made) == 2


def test_an_extractor_of_another_class_is_not_taken(folder: Path, made: list[str]) -> None:
    fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    path = entry(folder)
    path.rename(path.parent / entry_key(Tfidf(n_topics=2), TEXTS, ROWS))
    extractor, matrix = fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert len(made) == 2 and matrix.shape == (len(TEXTS), 3) and isinstance(extractor, Tfidf)


@pytest.mark.parametrize("word", ["off", "OFF", " off "])
def test_off_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str], word: str) -> None:
    monkeypatch.setenv("MODALHASH_CACHE", word)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert len(made) == 2 and not list(tmp_path.iterdir()) and cache_folder() is None


def test_the_folder_follows_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, expected in (("~/here", tmp_path / "here"), ("", tmp_path / ".cache" / "modalhash")):
        monkeypatch.setenv("MODALHASH_CACHE", value)
        assert cache_folder() == expected
    monkeypatch.delenv("MODALHASH_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "modalhash"


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MODALHASH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be cached.*MODALHASH_CACHE"):
        _, matrix = fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert matrix.shape == (len(TEXTS), 3)


def test_a_read_only_cache_still_serves(folder: Path, made: list[str]) -> None:
    fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    for path in folder.rglob("*"):
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    fitted(Tfidf(n_topics=3), TEXTS, ROWS)
    assert len(made) == 1
    for path in folder.rglob("*"):
        path.chmod(stat.S_IRWXU)


def test_a_data_set_from_a_path_is_cached(folder: Path, made: list[str], tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"raw.text": np.array(TEXTS)}
    np.savez(tmp_path / "small.npz", **arrays)
    first, second = (read_dataset(tmp_path / "small.npz") for _ in range(2))
    assert len(made) == 1 and first.checksum == second.checksum and os.listdir(folder / "features")


def test_a_data_set_with_its_matrices_needs_no_cache(folder: Path, tmp_path: Path) -> None:
    extractor = Tfidf(n_topics=3).fit(TEXTS)
    data = Dataset(
        name="x", views={"text": extractor.transform(TEXTS)}, raw={"text": TEXTS}, features={"text": extractor}
    )
    write_dataset(data, tmp_path / "x")
    assert read_dataset(tmp_path / "x").checksum == data.checksum and not folder.exists()


def test_features_are_made_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    seen: list[int] = []

    class Watched(Tfidf):
        def fit(self, raw: Any) -> Any:
            seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
            return super().fit(raw)

    with threadpool_limits(2, user_api="blas"):
        for folder in (str(tmp_path), "off"):
            monkeypatch.setenv("MODALHASH_CACHE", folder)
            fitted(Watched(n_topics=3), TEXTS, ROWS)
    assert seen and set(seen) == {1}
