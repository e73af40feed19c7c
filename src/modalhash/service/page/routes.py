"""Routes of the page; every one answers with a whole page, of which htmx takes the part that changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from modalhash.collection import Collection
from modalhash.service.page import pictures
from modalhash.service.page.kept import Kept, kept_of
from modalhash.service.page.rendering import ASSETS, HEADERS, HERE, link, render
from modalhash.service.page.searching import WAYS, Answer, Asked, answer
from modalhash.service.problems import Problem
from modalhash.service.state import State, state_of

router = APIRouter(include_in_schema=False)
Service = Annotated[State, Depends(state_of)]
Page = Annotated[Kept, Depends(kept_of)]
SIZES = (12, 24, 48, 96)
WORDS = ("fruit", "sad face", "rotes Herz", "winter", "музыка", "boat on water")  # to try on the shipped pictures


@router.get("/")
async def search(
    request: Request, state: Service, q: str = "", item: str = "", k: int = 24, only: str = "", columns: bool = False
) -> Response:
    """Search by words, by an item or both; without either, some items to begin with."""
    return await _answered(request, state, _form(q, item, k, only, columns))


@router.post("/")
async def search_with_picture(
    request: Request,
    state: Service,
    q: Annotated[str, Form()] = "",
    item: Annotated[str, Form()] = "",
    k: Annotated[int, Form()] = 24,
    only: Annotated[str, Form()] = "",
    columns: Annotated[bool, Form()] = False,
    picture: Annotated[UploadFile | None, File()] = None,
) -> Response:
    """Search by an uploaded picture, and words; a form without a picture is sent on to an address of its own."""
    form = _form(q, item, k, only, columns)
    content = b"" if picture is None else await picture.read()
    if not content:
        return RedirectResponse(link("/", **form), status_code=303)
    return await _answered(request, state, {**form, "item": ""}, content)


def _form(q: str, item: str, k: int, only: str, columns: bool) -> dict[str, Any]:
    return {"q": q.strip(), "item": item, "k": k, "only": only.strip(), "columns": columns}


async def _answered(request: Request, state: State, form: dict[str, Any], picture: bytes = b"") -> Response:
    limits = state.settings.limits
    form["k"] = max(1, min(form["k"], limits.k))
    form["q"], form["only"] = form["q"][: limits.text], form["only"][: limits.text]
    collection, kept = state.served.shelf.collection, kept_of(request)
    at = _position(collection, kept, form["item"])
    asked = Asked(form["q"], picture, at, form["only"])
    found, message = None, ""
    if asked:
        try:
            found = await state.run(_search, collection, kept, asked, form)
        except ValueError as error:
            message = str(error).removeprefix("search: ")
    return render(
        request,
        "search.html",
        form=form,
        found=found,
        message=message,
        sizes=SIZES,
        examples=WORDS if state.settings.collection == "demo" else (),
        uploaded=pictures.as_text(pictures.small_copy(picture)) if picture and not message else "",
        cards=_cards(collection, [] if asked else spread(len(collection), form["k"])),
        card=lambda i: _card(collection, i),
    )


def _search(collection: Collection, kept: Kept, asked: Asked, form: dict[str, Any]) -> Answer:
    ways = WAYS if form["columns"] else ("code",)
    return answer(collection, asked, form["k"], ways=ways, vectors=kept.floats(collection))


def spread(n: int, k: int) -> list[int]:
    """k positions of range(n), far from each other and in a mixed order, always the same."""
    step = max(1, round(0.618 * n))
    while n % step == 0 and step > 1 or _shared(n, step) > 1:
        step += 1
    return [(step * i) % n for i in range(1, min(k, n) + 1)]


def _shared(a: int, b: int) -> int:
    from math import gcd

    return gcd(a, b)


def _position(collection: Collection, kept: Kept, item: str) -> int | None:
    """The position of an item by its id as text; Problem 404 if there is none."""
    if not item:
        return None
    places = kept.places(collection)
    id_: int | str = item
    if collection.index.ids.dtype.kind == "i":
        try:
            id_ = int(item)
        except ValueError:
            raise Problem(404, f"there is no item {item!r}") from None
    if id_ not in places:
        raise Problem(404, f"there is no item {item!r}")
    return places[id_]


def _card(collection: Collection, at: int) -> dict[str, Any]:
    """What every card shows of an item."""
    show = collection.show
    return {
        "id": str(collection.index.ids[at]),
        "title": show.titles[at],
        "picture": bool(pictures.kind(show.pictures[at])),
    }


def _cards(collection: Collection, positions: list[int]) -> list[dict[str, Any]]:
    return [_card(collection, at) for at in positions]


@router.get("/picture")
async def picture(state: Service, kept: Page, item: str) -> Response:
    """The picture of an item."""
    collection = state.served.shelf.collection
    at = _position(collection, kept, item)
    content = b"" if at is None else collection.show.pictures[at]
    media = pictures.kind(content)
    if not media:
        raise Problem(404, f"there is no picture of item {item!r}")
    return Response(content, media_type=media, headers={**HEADERS, "Cache-Control": "private, max-age=300"})


@router.get("/assets/{name}")
async def asset(name: str) -> Response:
    """Style and scripts of the page."""
    if name not in ASSETS:
        raise Problem(404, f"there is no file {name!r}")
    content = HERE.joinpath("assets", name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={**HEADERS, "Cache-Control": "no-cache"})
