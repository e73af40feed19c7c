"""The Wikipedia set: the published split, either text, a stand-in in its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from outside_data import needs

from modalhash.datasets import load_dataset
from modalhash.datasets.wiki import load_wiki


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"categories": np.array(["art", "sport", "war"])}
    for part, n in (("tr", 9), ("te", 4)):
        arrays |= {f"I_{part}": rng.random((n, 5), dtype=np.float32), f"T_{part}": rng.random((n, 2), dtype=np.float32)}
        arrays |= {f"y_{part}": (np.arange(n) % 3 + 1).astype(np.uint8)}
        arrays |= {f"txt_id_{part}": np.array([f"{part}{i}" for i in range(n)])}
        words = sp.random_array((n, 7), density=0.5, format="csr", dtype=np.float32, rng=rng)
        for key in ("data", "indices", "indptr"):
            arrays[f"tfidf_{part}_{key}"] = getattr(words, key)
        arrays[f"tfidf_{part}_shape"] = np.array([n, 7])
        arrays[f"words_{part}"] = words.toarray()
    np.savez(tmp_path / "wiki.npz", **arrays)
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))
    return tmp_path / "wiki.npz"


def test_training_items_are_the_database(small: Path) -> None:
    data = load_wiki()
    assert data.split["train"].tolist() == data.split["database"].tolist() == list(range(9))
    assert data.split["query"].tolist() == [9, 10, 11, 12] and not len(data.split["validation"])
    with np.load(small) as file:
        np.testing.assert_array_equal(data.part("query")["image"], file["I_te"])
        np.testing.assert_array_equal(data.part("train")["text"], file["T_tr"])
        words = np.vstack([file["words_tr"], file["words_te"]])
        classes = np.concatenate([file["y_tr"], file["y_te"]])
    np.testing.assert_array_equal(np.asarray(data.labels).argmax(axis=1) + 1, classes)
    assert (np.asarray(data.labels).sum(axis=1) == 1).all() and data.label_names == ["art", "sport", "war"]
    tfidf = load_dataset("wiki", text="tfidf").views["text"]
    np.testing.assert_array_equal(tfidf.toarray(), words)


def test_validation_items_leave_training_but_not_the_database(small: Path) -> None:
    data = load_wiki(n_validation=3)
    assert len(data.split["train"]) == 6 and len(data.split["database"]) == 9
    assert np.array_equal(np.union1d(data.split["train"], data.split["validation"]), data.split["database"])
    assert set(load_wiki(n_validation=2).split["validation"]) < set(data.split["validation"])


def test_options_are_checked(small: Path) -> None:
    with pytest.raises(ValueError, match="text: expected one of lda, tfidf"):
        load_wiki(text="words")
    for wrong in (-1, 9):
        with pytest.raises(ValueError, match="n_validation: expected 0…8"):
            load_wiki(n_validation=wrong)
    with pytest.raises(TypeError, match="wiki: has no option 'fair'; it takes text, n_validation"):
        load_dataset("wiki", fair=True)


@pytest.mark.parametrize("name", ["wiki", "fashion", "uci_mfeat", "ml1m"])
def test_an_absent_file_names_the_variable(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODALHASH_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"{name}.*\.npz: not found; MODALHASH_DATA names"):
        load_dataset(name)
    monkeypatch.delenv("MODALHASH_DATA")
    with pytest.raises(FileNotFoundError, match=rf"{name}.*\.npz: is not shipped; set MODALHASH_DATA"):
        load_dataset(name)


def test_a_damaged_file_is_named(small: Path) -> None:
    small.write_bytes(small.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"wiki\.npz: is not the data set wiki"):
        load_wiki()
    np.savez(small, other=np.zeros(3))
    with pytest.raises(ValueError, match=r"wiki\.npz.*I_tr"):
        load_wiki()


@needs("wiki")
def test_the_real_one() -> None:
    data = load_dataset("wiki")
    assert data.views["image"].shape == (2866, 128) and data.views["text"].shape == (2866, 10)
    assert len(data.split["train"]) == 2173 and len(data.split["query"]) == 693
    assert np.asarray(data.labels).sum() == 2866 and (np.asarray(data.labels).sum(axis=0) > 0).all()
    assert load_dataset("wiki", text="tfidf").views["text"].shape == (2866, 1000)
    np.testing.assert_allclose(data.views["image"].sum(axis=1), 1, atol=1e-4)
