"""Routes of the recommendations: pick a user, get cards with a reason and its source."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from modalhash.service.page.kept import Kept
from modalhash.service.page.rendering import PageRoute, render
from modalhash.service.page.routes import Page, Service, shown

router = APIRouter(include_in_schema=False, route_class=PageRoute)
PICKS = 12


@router.get("/for-you")
async def for_you(request: Request, state: Service, kept: Page, user: str = "", k: int = PICKS) -> Response:
    """Users to choose from; of one of them what was rated, and what is recommended and why."""
    return await state.run(_for_you, request, kept, user, max(1, min(k, state.settings.limits.k)))


def _for_you(request: Request, kept: Kept, user: str, k: int) -> Response:
    audience = kept.audience()
    if audience is None:
        return render(request, "people.html", audience=None, who=None)
    id_ = audience.find(user.strip()) if user.strip() else next(iter(audience.users))
    values: dict[str, Any] = {"audience": audience, "who": None, "asked": user, "k": k}
    if id_ is not None:
        values |= {"who": audience.user(id_), "rated": audience.rated(id_), "picks": audience.picks(id_, k)}
    return render(request, "people.html", **values)


@router.get("/page/recommended")
async def recommended(state: Service, kept: Page, item: str) -> Response:
    """The picture of an item that is recommended; it need not be in the collection."""
    return shown(await state.run(_picture, kept, item))


def _picture(kept: Kept, item: str) -> bytes:
    audience = kept.audience()
    return b"" if audience is None else audience.picture(item)
