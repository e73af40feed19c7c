"""Routes that change the collection: add an item with a picture and a title, remove one."""

from __future__ import annotations

import re
import secrets
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from modalhash.service.page.kept import Kept
from modalhash.service.page.rendering import PageRoute, link, render
from modalhash.service.page.routes import Page, Service, bytes_of, text_of
from modalhash.service.pictures import picture_to_show
from modalhash.service.problems import Problem
from modalhash.service.routes_items import written
from modalhash.service.sessions import checked_form, csrf_token
from modalhash.service.shelf import NewItem, Seen

router = APIRouter(include_in_schema=False, route_class=PageRoute)
TITLE = 300  # letters


@router.get("/add")
async def form(request: Request) -> Response:
    """The form for a new item."""
    return render(request, "add.html", csrf=csrf_token(request), message="", title="")


@router.post("/add")
async def add(request: Request, state: Service, kept: Page) -> Response:
    """Store a new item, then show what is near it."""
    given = await checked_form(request)
    title, content = text_of(given, "title").strip()[:TITLE], bytes_of(given, "picture")
    try:
        if not title:
            raise Problem(422, "Give the item a title.")
        item = await state.run(_new_item, kept, title, content)
        await written(request, "upsert", [item.id], lambda: state.served.shelf.upsert([item]))
    except Problem as problem:
        if problem.status != 422:
            raise
        return render(request, "add.html", csrf=csrf_token(request), message=problem.detail, title=title)
    return RedirectResponse(link("/inside", item=item.id, added=1), status_code=303)


def _new_item(kept: Kept, title: str, content: bytes) -> NewItem:
    moment = kept.now()
    shown = picture_to_show(content, kept.state.settings.limits.pixels) if content else b""
    seen: dict[str, Any] = {}
    if "image" in moment.takes and content:
        seen["image"] = content
    if "text" in moment.takes:
        try:
            moment.raw_views(title)
            seen["text"] = title
        except ValueError:  # no word of the title is known: the picture has to do
            if not seen:
                raise
    return NewItem(new_id(moment.index.ids, title), title, shown, Seen(**seen))


def new_id(ids: Any, title: str) -> int | str:
    """An id that is free: a number after the largest, or the title's letters and a few by chance."""
    if ids.dtype.kind == "i":
        return int(ids.max()) + 1
    letters = re.sub(r"[^a-z0-9]+", "-", title.casefold()).strip("-")[:40]
    return f"{letters or 'item'}-{secrets.token_hex(4)}"


@router.post("/page/remove")
async def remove(request: Request, state: Service, kept: Page) -> Response:
    """Remove an item for good."""
    given = await checked_form(request)
    item = await state.run(_id_of, kept, text_of(given, "item"))
    await written(request, "delete", [item], lambda: state.served.shelf.delete([item]))
    return RedirectResponse("/?removed=1", status_code=303)


def _id_of(kept: Kept, item: str) -> int | str:
    moment = kept.now()
    return moment.id(kept.place(moment, item))
