"""The examples: they run, on small problems, and find what they should."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

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
    data, taste = simulate(0)
    model = one.learn(data, 32)
    assert data.pictures is not None and data.titles is not None
    group = dict(zip(np.asarray(data.item_ids).tolist(), taste.of_items.tolist(), strict=True))

    def share(ids: np.ndarray, groups: set[int]) -> float:
        return float(np.mean([group[id_] in groups for id_ in ids.ravel().tolist()]))

    food, people = taste.groups.index("food & drink"), taste.groups.index("people & body")
    words = one.by_view(model, data, "text", "sweet fruit to eat", 10)
    assert words.ids.shape == (1, 10) and share(words.ids, {food}) >= 0.6  # 0.08 by chance
    runner = data.pictures[list(data.titles).index("woman running")]
    assert share(one.by_view(model, data, "image", runner, 10).ids, {people}) >= 0.6  # 0.2 by chance
    users = model.user_ids_[:40]
    suits = [
        share(model.recommend(int(user), 10).ids, set(np.flatnonzero(taste.likes[at]).tolist()))
        for at, user in enumerate(users)
    ]
    assert np.mean(suits) >= 0.6  # 0.25 by chance
    assert one.titles(model, data, words).count(", ") >= 9


def test_an_example_without_its_data_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MODALHASH_DATA", raising=False)
    assert example("one_code_space").main() == 0
    assert capsys.readouterr().out.startswith("skipped: ml1m.npz: is not shipped; set MODALHASH_DATA")
