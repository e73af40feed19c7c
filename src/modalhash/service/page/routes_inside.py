"""Routes of the inspector: the map of the codes, one item, one bit, the plots of a report."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from modalhash.codes import BinaryCodes
from modalhash.evaluation.bit_meanings import BitMeanings, explain_match
from modalhash.fusion import FusedHasher
from modalhash.service.page.inspecting import regions, sides_of, telling_bit
from modalhash.service.page.kept import Kept
from modalhash.service.page.moment import Moment
from modalhash.service.page.plots import KINDS, plots_of
from modalhash.service.page.rendering import HEADERS, PageRoute, render
from modalhash.service.page.routes import Page, Service
from modalhash.service.page.searching import Asked, answer
from modalhash.service.page.strips import strip
from modalhash.service.problems import Problem
from modalhash.service.sessions import csrf_token

router = APIRouter(include_in_schema=False, route_class=PageRoute)
NEAR, SIDE, SPEAKS = 12, 8, 4


@router.get("/inside")
async def inside(request: Request, state: Service, kept: Page, item: str = "", bit: int = -1) -> Response:
    """The map, the bits, and what is chosen of them."""
    return await state.run(_inside, request, kept, item, bit)


def _inside(request: Request, kept: Kept, item: str, bit: int) -> Response:
    moment = kept.now()
    codes = moment.codes
    if not isinstance(codes, BinaryCodes):
        return render(request, "inside.html", binary=False, item=None)
    at = kept.place(moment, item) if item else None
    if not -1 <= bit < codes.n_bits:
        raise Problem(404, f"there is no bit {bit}; codes have bits 0 to {codes.n_bits - 1}")
    values = _values(kept, moment, at, bit)
    values |= {
        "binary": True,
        "item": at,
        "chosen_id": item,
        "csrf": csrf_token(request),
        "plots": list(plots_of(kept.state.settings.report)),
    }
    return render(request, "inside.html", moment=moment, **values)


def _values(kept: Kept, moment: Moment, at: int | None, bit: int) -> dict[str, Any]:
    places = kept.layout(moment)
    facts, meanings = kept.bits(moment), kept.meanings(moment)
    bit = telling_bit(meanings) if bit < 0 else bit
    values: dict[str, Any] = {
        "places": list(zip(places.shown.tolist(), places.cells.tolist(), strict=True)),
        "size": (places.columns, places.rows),
        "regions": kept.value("regions", moment, lambda _: regions(places)),
        "facts": facts,
        "bars": bars(facts.shares),
        "bit": bit,
        "sides": sides_of(moment, meanings, bit, kept.floats(moment)),
    }
    return values | (_item(moment, meanings, at) if at is not None else {})


def _item(moment: Moment, meanings: BitMeanings, at: int) -> dict[str, Any]:
    """One item: its code, its nearest, and the weights of its views where the system weighs them."""
    codes = moment.codes
    assert isinstance(codes, BinaryCodes)
    found = answer(moment, Asked(item=at), NEAR + 1).columns[0].found
    near = [hit for hit in found if hit.at != at][:NEAR]
    views = moment.shown_views(at) if isinstance(moment.hasher, FusedHasher) else {}
    weights: list[tuple[str, float]] = []
    if views and isinstance(moment.hasher, FusedHasher):
        row = moment.hasher.view_weights(views)[0].tolist()
        weights = list(zip(moment.hasher.widths_, row, strict=True))
    return {
        "code": strip(codes[at].signs()[0] > 0, SIDE if codes.n_bits <= 64 else None),
        "ones": int((codes[at].signs()[0] > 0).sum()),
        "near": near,
        "near_places": {hit.at for hit in near},
        "weights": weights,
        "speaks": explain_match(meanings, codes[at], codes[at], SPEAKS)[0].reasons,
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
    content = await state.run(lambda: kept.map_picture(kept.now()))
    return Response(content, media_type="image/webp", headers={**HEADERS, "Cache-Control": "private, no-cache"})


@router.get("/page/plot")
async def plot(state: Service, name: str) -> Response:
    """A plot of the report; drawings come with styles of their own and no scripts."""
    path = plots_of(state.settings.report).get(name)
    if path is None:
        raise Problem(404, f"there is no plot {name[:80]!r}")
    content = await state.run(path.read_bytes)
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
    return Response(content, media_type=KINDS[path.suffix], headers={**HEADERS, **policy})
