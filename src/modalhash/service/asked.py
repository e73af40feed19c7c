"""From requests to the shelf and back: what was asked, as it takes it, and what it found, as routes give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from modalhash.service.pictures import check_picture, picture_to_show
from modalhash.service.schemas import ItemIn, Query, decoded
from modalhash.service.shelf import Item, NewItem, Seen


def seen_of(asked: Query | ItemIn, pixels: int, image: bytes | None = None) -> Seen:
    """What a query or item is seen as; image: an uploaded picture in place of one in base64.

    Problem 422 or ValueError for a picture that is broken, foreign or too large.
    """
    if image is None and asked.image is not None:
        image = decoded(asked.image)
    if image is not None:
        check_picture(image, pixels)
    code = None if asked.code is None else bytes.fromhex(asked.code)
    return Seen(asked.text, image, asked.views, code, getattr(asked, "vector", None))


def new_item(asked: ItemIn, pixels: int) -> NewItem:
    """An item to store; what is shown of it is a small copy of its picture, or a code alone shows nothing."""
    seen = seen_of(asked, pixels)
    shown = picture_to_show(seen.image, pixels) if seen.image is not None else b""
    if seen.code is not None:  # the picture is to show only
        seen = Seen(code=seen.code) if seen.text is None and not seen.views else seen
    title = asked.title if asked.title is not None else (asked.text or str(asked.id))[:200]
    return NewItem(asked.id, title, shown, seen)


def allowed(ids: Sequence[int | str] | None) -> Any:
    """Ids that may be found, each once."""
    return None if ids is None else list(dict.fromkeys(ids))


def hits_of(found: Sequence[Sequence[tuple[Item, float]]]) -> list[list[dict[str, Any]]]:
    """Found items of every query, as routes give them."""
    return [
        [
            {"id": item.id, "title": item.title, "distance": distance, "picture": picture_path(item)}
            for item, distance in row
        ]
        for row in found
    ]


def item_out(item: Item) -> dict[str, Any]:
    """A stored item, as routes give it."""
    return {"id": item.id, "title": item.title, "code": item.code.hex(), "picture": picture_path(item)}


def picture_path(item: Item) -> str | None:
    """Where the picture of an item is; None if it has none."""
    return f"/items/{quote(str(item.id), safe='')}/picture" if item.picture else None
