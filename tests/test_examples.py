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
    model = one.learn(data, 32)
    assert data.pictures is not None

    def share(hits: mh.Hits, groups: list[int]) -> float:
        return float(np.isin(taste.of_items[hits.ids[0]], groups).mean())

    for group, word in enumerate(taste.groups):
        words = one.by_view(model, data, "text", f"{word} far and near", 10)
        assert words.ids.shape == (1, 10) and share(words, [group]) >= 0.8  # 0.25 by chance
        assert share(one.by_view(model, data, "image", data.pictures[group], 10), [group]) >= 0.8
    likes = [np.flatnonzero(liked).tolist() for liked in taste.likes]
    suits = [share(model.recommend(user, 10), likes[user]) for user in range(120)]
    assert np.mean(suits) >= 0.8  # less than 0.5 by chance
    assert one.titles(model, data, words).count(", ") == 9


def test_an_example_without_its_data_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MODALHASH_DATA", raising=False)
    assert example("one_code_space").main() == 0
    assert capsys.readouterr().out.startswith("skipped: ml1m.npz: is not shipped; set MODALHASH_DATA")
