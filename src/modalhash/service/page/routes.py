"""Routes of the search page; every one answers with a whole page, of which htmx takes the part that changes."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from modalhash.service.page import pictures
from modalhash.service.page.kept import Kept, kept_of
from modalhash.service.page.moment import Moment
from modalhash.service.page.rendering import ASSETS, HEADERS, HERE, PageRoute, link, render
from modalhash.service.page.searching import WAYS, Answer, Asked, answer
from modalhash.service.pictures import picture_to_show
from modalhash.service.problems import Problem
from modalhash.service.sessions import form_of
from modalhash.service.state import State, state_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)
Service = Annotated[State, Depends(state_of)]
Page = Annotated[Kept, Depends(kept_of)]
SIZES = (12, 24, 48, 96)
WORDS = ("fruit", "sad face", "rotes Herz", "winter sport", "boat", "музыка")  # to try on the shipped pictures


@router.get("/")
async def search(
    request: Request, state: Service, q: str = "", item: str = "", k: int = 24, only: str = "", columns: bool = False
) -> Response:
    """Search by words, by an item or both; without either, some items to begin with."""
    return await state.run(_answered, request, _form(q, item, k, only, columns))


@router.post("/page/search")
async def search_with_picture(request: Request, state: Service) -> Response:
    """Search by an uploaded picture, and words; a form without a picture is sent on to an address of its own."""
    given = await form_of(request)
    content, k = bytes_of(given, "picture"), text_of(given, "k")
    form = _form(
        text_of(given, "q"),
        text_of(given, "item"),
        int(k) if k.isascii() and k.isdigit() and len(k) < 9 else SIZES[1],
        text_of(given, "only"),
        bool(text_of(given, "columns")),
    )
    if not content:
        return RedirectResponse(link("/", **form), status_code=303)
    made = await state.run(_answered, request, {**form, "item": ""}, content)
    made.headers["HX-Push-Url"] = "false"  # an address cannot hold the picture
    return made


def text_of(form: Mapping[str, str | bytes], name: str) -> str:
    """A field of a form as text, empty where it is absent or a file."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def bytes_of(form: Mapping[str, str | bytes], name: str) -> bytes:
    """A file of a form, empty where none was chosen."""
    value = form.get(name, b"")
    return value if isinstance(value, bytes) else b""


@router.get("/page/search")
async def search_again() -> Response:
    """The address of an uploaded picture, opened anew: the picture is gone, so the search begins anew."""
    return RedirectResponse("/", status_code=303)


def _form(q: str, item: str, k: int, only: str, columns: bool) -> dict[str, Any]:
    return {"q": q.strip(), "item": item, "k": k, "only": only.strip(), "columns": columns}


def _answered(request: Request, form: dict[str, Any], picture: bytes = b"") -> Response:
    state, kept = state_of(request), kept_of(request)
    limits = state.settings.limits
    form |= {"k": max(1, min(form["k"], limits.k)), "q": form["q"][: limits.text], "only": form["only"][: limits.text]}
    moment = kept.now()
    at = kept.place(moment, form["item"]) if form["item"] else None
    asked = Asked(form["q"], picture, at, form["only"])
    found, message, uploaded = None, "", ""
    if asked:
        try:
            if picture:
                uploaded = pictures.as_text(picture_to_show(picture, limits.pixels))
            found = _search(moment, kept, asked, form)
        except (ValueError, Problem) as error:
            message = str(error)
    return render(
        request,
        "search.html",
        moment=moment,
        form=form,
        found=found,
        message=message,
        item=at,
        sizes=sorted({*SIZES, form["k"]}),
        examples=WORDS if state.settings.collection == "demo" else (),
        uploaded=uploaded,
        begin=[] if asked else spread(len(moment), form["k"]),
    )


def _search(moment: Moment, kept: Kept, asked: Asked, form: dict[str, Any]) -> Answer:
    ways = WAYS if form["columns"] else ("code",)
    vectors = kept.floats(moment) if form["columns"] else None
    return answer(moment, asked, form["k"], ways=ways, vectors=vectors)


def spread(n: int, k: int) -> list[int]:
    """k positions of range(n), far from each other and in a mixed order, always the same."""
    step = max(1, round(0.618 * n))
    while gcd(n, step) > 1:
        step += 1
    return [(step * i) % n for i in range(1, min(k, n) + 1)]


@router.get("/page/picture")
async def picture(state: Service, kept: Page, item: str) -> Response:
    """The picture of an item."""
    return shown(await state.run(_picture, kept, item))


def _picture(kept: Kept, item: str) -> bytes:
    moment = kept.now()
    return moment.picture(kept.place(moment, item))


def shown(content: bytes) -> Response:
    """An encoded picture as a response; Problem 404 for none, or one of a kind that browsers may not be handed."""
    media = pictures.kind(content)
    if not media:
        raise Problem(404, "there is no picture of this item")
    return Response(content, media_type=media, headers={**HEADERS, "Cache-Control": "private, max-age=300"})


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Style and scripts of the page."""
    if name not in ASSETS:
        raise Problem(404, f"there is no file {name[:80]!r}")
    content = HERE.joinpath("assets", name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={**HEADERS, "Cache-Control": "private, max-age=300"})
