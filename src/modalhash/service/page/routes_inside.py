"""Routes of the inspector: the map of the codes, one item, one bit, the plots of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from modalhash.codes import BinaryCodes
from modalhash.collection import Collection
from modalhash.fusion import FusedHasher
from modalhash.service.page.inspecting import meaning, regions
from modalhash.service.page.kept import Kept, shown_views
from modalhash.service.page.rendering import HEADERS, PageRoute, render
from modalhash.service.page.routes import Page, Service
from modalhash.service.page.searching import Asked, answer
from modalhash.service.page.strips import strip
from modalhash.service.problems import Problem
from modalhash.service.sessions import csrf_token

router = APIRouter(include_in_schema=False, route_class=PageRoute)
NEAR, SIDE = 12, 8


@router.get("/inside")
async def inside(request: Request, state: Service, kept: Page, item: str = "", bit: int = -1) -> Response:
    """The map, the bits, and what is chosen of them."""
    collection = kept.collection
    codes = collection.index.codes
    if not isinstance(codes, BinaryCodes):
        return render(request, "inside.html", binary=False, item=None)
    at = kept.place(collection, item) if item else None
    if not -1 <= bit < codes.n_bits:
        raise Problem(404, f"there is no bit {bit}; codes have bits 0 to {codes.n_bits - 1}")
    values = await state.run(_values, kept, collection, at, max(bit, 0))
    chosen = {"item": at, "chosen_id": item, "csrf": csrf_token(request), "plots": []}
    return render(request, "inside.html", binary=True, **chosen, **values)


def _values(kept: Kept, collection: Collection, at: int | None, bit: int) -> dict[str, Any]:
    places = kept.layout(collection)
    facts = kept.bits(collection)
    values: dict[str, Any] = {
        "places": list(zip(places.shown.tolist(), places.cells.tolist(), strict=True)),
        "size": (places.columns, places.rows),
        "regions": kept.value("regions", collection, lambda _: regions(places)),
        "facts": facts,
        "bars": bars(facts.shares),
        "meaning": meaning(collection, bit, kept.floats(collection)),
    }
    return values | (_item(collection, at) if at is not None else {})


def _item(collection: Collection, at: int) -> dict[str, Any]:
    """One item: its code, its nearest, and the weights of its views where the system weighs them."""
    codes = collection.index.codes
    assert isinstance(codes, BinaryCodes)
    found = answer(collection, Asked(item=at), NEAR + 1).columns[0].found
    near = [hit for hit in found if hit.at != at][:NEAR]
    views = shown_views(collection, at) if isinstance(collection.hasher, FusedHasher) else {}
    weights: list[tuple[str, float]] = []
    if views and isinstance(collection.hasher, FusedHasher):
        row = collection.hasher.view_weights(views)[0].tolist()
        weights = list(zip(collection.hasher.widths_, row, strict=True))
    return {
        "code": strip(codes[at].signs()[0] > 0, SIDE if codes.n_bits <= 64 else None),
        "ones": int((codes[at].signs()[0] > 0).sum()),
        "near": near,
        "near_places": {hit.at for hit in near},
        "weights": weights,
    }


def bars(shares: Any) -> list[dict[str, float]]:
    """The bars of the balance, one a bit, in a box of 100 units height: from the middle up or down."""
    return [
        {"bit": i, "share": share, "y": 100 * (1 - max(share, 0.5)), "height": max(0.8, 100 * abs(share - 0.5))}
        for i, share in enumerate(np.asarray(shares).tolist())
    ]


@router.get("/page/map")
async def map_of_codes(state: Service, kept: Page) -> Response:
    """The picture of the map."""
    content = await state.run(kept.map_picture, kept.collection)
    return Response(content, media_type="image/webp", headers={**HEADERS, "Cache-Control": "private, no-cache"})
