"""Fair texts: label words go in every form, other words stay in order."""

from __future__ import annotations

import pytest

from modalhash.datasets.fair import forms, tells, without
from modalhash.words import words


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("bird", ["birds"]),
        ("Birds", ["bird"]),
        ("dresses", ["dress"]),
        ("dress", ["dresses"]),
        ("berry", ["berries"]),
        ("accessories", ["accessory"]),
        ("knife", ["knives"]),
        ("scarves", ["scarf"]),
        ("woman", ["women", "womens"]),
        ("Men", ["man", "mens"]),
        ("people", ["person", "persons"]),
        ("Children's", ["child", "children"]),
        ("flower & tree", ["flowers", "tree", "trees", "flower"]),
        ("north_america", ["america", "north"]),
    ],
)
def test_forms(name: str, others: list[str]) -> None:
    assert {*others, *words(name)} - {"s"} <= forms([name])


@pytest.mark.parametrize("word", ["bir", "glas", "b", "s", ""])
def test_no_form_is_cut_too_short(word: str) -> None:
    assert word not in forms(["bird", "glass", "Bird's"])


def test_a_compound_tells_only_if_asked_and_only_by_long_words() -> None:
    told = forms(["card", "map"])
    for word, alone, joined in (
        ("card", True, True),
        ("maps", True, True),
        ("postcard", False, True),
        ("cardboard", False, True),
        ("mapping", False, False),
        ("discarded", False, False),
        ("car", False, False),
        ("x", True, True),
    ):
        assert tells(word, told) == alone, word
        assert tells(word, told, compounds=True) == joined, word


def test_other_words_stay_in_order_and_repeat() -> None:
    told = forms(["T-shirt"])
    assert without(["Red T-Shirt, red collar's", "SHIRTS", "", "sweatshirt"], told) == [
        "red red collar",
        "",
        "",
        "sweatshirt",
    ]
    assert without(["sweatshirt blue"], told, compounds=True) == ["blue"]
