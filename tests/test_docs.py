"""Every system has a docs page that names it and its variants."""

from __future__ import annotations

from pathlib import Path

import pytest

from modalhash.catalog import SYSTEMS, module_of

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_a_docs_page(name: str) -> None:
    module = SYSTEMS[name].split(".")
    page = DOCS / "systems" / ("training_free.md" if module[0] == "baselines" else f"{module[-1]}.md")
    text = page.read_text(encoding="utf8")
    assert f"`{name}`" in text or f"mh.{name}" in text
    for variant in getattr(module_of(name), "VARIANTS", {}):
        assert variant in text
    if module[0] != "baselines":
        assert "## Departures from the text" in text


def test_every_docs_page_is_in_the_navigation() -> None:
    navigation = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf8")
    for page in DOCS.rglob("*.md"):
        assert page.relative_to(DOCS).as_posix() in navigation
