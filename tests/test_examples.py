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
