"""The contract suite over every recommender of the catalog, and where they stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from modalhash.catalog import RECOMMENDERS, recommender
from modalhash.recommend.recommender import Recommender
from recommender_contract import Check, checks_of, problem_of


@pytest.mark.parametrize(
    ("name", "check"),
    [(name, check) for name in RECOMMENDERS for check in checks_of(recommender(name))],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)
def test_contract(name: str, check: Check) -> None:
    check(recommender(name), problem_of(recommender(name)))


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_every_recommender_has_variants_and_a_docs_page(name: str) -> None:
    kind = recommender(name)
    assert issubclass(kind, Recommender)
    module = __import__(kind.__module__, fromlist=["VARIANTS"])
    text = (Path(__file__).parents[2] / "docs" / "systems" / f"{name.lower()}.md").read_text(encoding="utf8")
    assert f"mh.{name}" in text and "## Departures from the text" in text
    for variant, params in module.VARIANTS.items():
        assert kind(**params) and variant in text


def test_unknown_recommenders_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown recommender 'Nothing'"):
        recommender("Nothing")
