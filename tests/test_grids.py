"""Grids: a card for each found item, in order, with text escaped and pictures inside."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets import Dataset
from modalhash.grids import Grid, card, data_uri
from pages import Page

EVIL = "<script>alert('x')</script> & \"quoted\" <b>"
PNG, JPEG, WEBP, GIF = b"\x89PNG\r\n\x1a\n..", b"\xff\xd8\xff\xe0..", b"RIFF0000WEBP", b"GIF89a.."


def dataset(**changes: Any) -> Dataset:
    given: dict[str, Any] = {
        "name": "small",
        "views": {"image": np.ones((4, 2))},
        "ids": ["d", "a", "c", "b"],
        "titles": [EVIL, "two", "three\nlines", "日本"],
        "pictures": [PNG, b"", WEBP, GIF],
    }
    return Dataset(**{**given, **changes})


def hits(ids: Any, distances: Any) -> mh.Hits:
    return mh.Hits(np.array(ids), np.array(distances))


def test_cards_stand_in_the_order_of_the_hits() -> None:
    html = mh.show(dataset(), hits([["c", "a"], ["d", "b"]], np.array([[0, 3], [1, 12]], np.int32))).html
    page = Page(html)
    assert [page.text.index(word) for word in ("three", "two", "alert", "日本")] == sorted(
        page.text.index(word) for word in ("three", "two", "alert", "日本")
    )
    assert len(page.all("figure")) == 4 and len(page.all("img")) == 3 and len(page.all("div")) == 2
    assert "distance 12" in page.text


def test_titles_are_escaped_and_nothing_is_loaded(tmp_path: Path) -> None:
    grid = mh.show(dataset(), hits([["d"]], np.array([[-1.25]], np.float32)))
    grid.save(tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf8"))
    page.check_loads_nothing()
    assert EVIL in page.text and not page.all("script") and not page.all("b")
    assert "distance -1.25" in page.text
    assert page.tags[0][0] == "html" and page.all("meta")[0] == {"charset": "utf-8"}
    assert isinstance(grid, Grid) and grid._repr_html_().startswith("<style>")


def test_without_titles_and_pictures_ids_are_shown() -> None:
    page = Page(mh.show(dataset(titles=None, pictures=None, ids=[9, 8, 7, 6]), hits([[7]], [[2]])).html)
    assert "7distance 2" in page.text and not page.all("img")


def test_no_hits_make_no_cards() -> None:
    empty = hits(np.empty((1, 0), dtype="U1"), np.empty((1, 0), dtype=np.int32))
    assert not Page(mh.show(dataset(), empty).html).all("figure")


def test_an_id_of_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="small: has no item 'x'"):
        mh.show(dataset(), hits([["x"]], [[0]]))


@pytest.mark.parametrize(("picture", "kind"), [(PNG, "png"), (JPEG, "jpeg"), (WEBP, "webp"), (GIF, "gif")])
def test_pictures_become_data_of_their_kind(picture: bytes, kind: str) -> None:
    head, _, tail = data_uri(picture).partition(",")
    assert head == f"data:image/{kind};base64" and base64.b64decode(tail) == picture
    assert f'src="{head}' in card("t", picture)


@pytest.mark.parametrize("picture", [b"", b"<svg onload='x'>", b"RIFF0000WAVE", b"%PDF"])
def test_what_is_no_picture_is_refused(picture: bytes) -> None:
    with pytest.raises(ValueError, match="unknown format"):
        data_uri(picture)


def test_a_hit_is_marked() -> None:
    assert "mh-hit" in card("t", b"", hit=True) and "mh-hit" not in card("t", b"")
    assert "<small>a &amp; b</small>" in card("t", b"", "a & b")
