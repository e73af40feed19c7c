"""From plain data to HTML: templates that escape everything, and the headers that every page goes out with."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FunctionLoader, StrictUndefined

from modalhash.service.state import State, state_of

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HERE = files("modalhash.service.page")
ASSETS = {"page.css": "text/css", "page.js": "text/javascript", "htmx.min.js": "text/javascript"}


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
    made.filters |= {"title": plain_title, "ms": milliseconds, "count": lambda n: f"{n:,}"}
    made.globals |= {"link": link}
    return made


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page as a response; `values` are the template's own, what every page shows is added here."""
    html = environment().get_template(template).render(**common(state_of(request)), here=request.url.path, **values)
    return HTMLResponse(html, status, headers={**HEADERS, "Cache-Control": "no-store"})


def common(state: State) -> dict[str, Any]:
    """What every page says of the collection."""
    collection = state.served.shelf.collection
    return {
        "items": len(collection),
        "bits": collection.hasher.n_bits,
        "bytes": collection.index.codes.bytes_per_item,
        "system": collection.hasher.name,
        "takes": {extractor.takes for extractor in collection.features.values()},
        "demo": state.settings.collection == "demo",
    }


def link(path: str, **values: Any) -> str:
    """A path with the values that are not empty as its query."""
    given = {name: value for name, value in values.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(given)}" if given else path


def plain_title(title: str) -> str:
    """A title without the symbols (emoji) that it begins with, unless nothing else is in it."""
    first, _, rest = title.strip().partition(" ")
    symbols = all(unicodedata.category(letter) in ("So", "Sk", "Mn", "Me", "Cf") for letter in first)
    return rest.strip() if symbols and rest.strip() else title


def milliseconds(seconds: float) -> str:
    """A time as text: 0.08 ms, 12 ms."""
    thousandths = 1000 * seconds
    return f"{thousandths:.2f} ms" if thousandths < 10 else f"{thousandths:.0f} ms"
