"""From plain data to HTML: templates that escape everything, and refusals as pages."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FunctionLoader, StrictUndefined

from modalhash.service.page.kept import kept_of
from modalhash.service.page.moment import Moment
from modalhash.service.page.pictures import kind
from modalhash.service.page.titles import plain_title
from modalhash.service.problems import Problem
from modalhash.service.state import State, state_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
HERE = files("modalhash.service.page")
JAVASCRIPT = "text/javascript; charset=utf-8"
ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": JAVASCRIPT,
    "htmx.min.js": JAVASCRIPT,
    "icon.svg": "image/svg+xml",
}


class PageRoute(APIRoute):
    """A route of the page: what it refuses is told as a page, not as a document for programs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with refusals caught."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return refusal(request, problem)

        return answer


@cache
def environment() -> Environment:
    """The templates, with the few functions that they use."""
    made = Environment(
        loader=FunctionLoader(lambda name: HERE.joinpath("templates", name).read_text(encoding="utf8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"title": plain_title, "ms": milliseconds, "count": "{:,}".format, "percent": "{:.0%}".format}
    made.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    made.globals |= {"link": link}
    return made


def render(
    request: Request, template: str, *, moment: Moment | None = None, status: int = 200, **values: Any
) -> Response:
    """A page as a response; `values` are the template's own, what every page shows is added here."""
    shown = common(state_of(request), moment or kept_of(request).now())
    html = environment().get_template(template).render(**shown, here=request.url.path, **values)
    return HTMLResponse(html, status, headers={**HEADERS, "Cache-Control": "no-store"})


def refusal(request: Request, problem: Problem) -> Response:
    """A page that says why not; while the collection is being loaded, one that asks again by itself."""
    headers = {**HEADERS, **problem.headers, "Cache-Control": "no-store"}
    if not state_of(request).ready:
        html = environment().get_template("waiting.html").render(failure=state_of(request).failure)
        return HTMLResponse(html, problem.status, headers=headers)
    page = render(request, "refusal.html", status=problem.status, detail=problem.detail)
    page.headers.update(problem.headers)
    return page


def common(state: State, moment: Moment) -> dict[str, Any]:
    """What every page says of the collection."""
    return {
        "items": len(moment),
        "bits": moment.hasher.n_bits,
        "bytes": moment.codes.bytes_per_item,
        "system": moment.hasher.name,
        "takes": moment.takes,
        "demo": state.settings.collection == "demo",
        "card": lambda at: item_card(moment, at),
    }


def item_card(moment: Moment, at: int) -> dict[str, Any]:
    """What every card shows of an item."""
    return {"id": str(moment.id(at)), "title": moment.title(at), "picture": bool(kind(moment.picture(at)))}


def link(path: str, **values: Any) -> str:
    """A path with the values that are not empty as its query; 0 is a value."""
    kept = {name: value for name, value in values.items() if value is not None and value is not False and value != ""}
    return (
        f"{path}?{urlencode({name: 1 if value is True else value for name, value in kept.items()})}" if kept else path
    )


def milliseconds(seconds: float) -> str:
    """A time as text: 0.08 ms, 12 ms."""
    thousandths = 1000 * seconds
    return f"{thousandths:.2f} ms" if thousandths < 10 else f"{thousandths:.0f} ms"
