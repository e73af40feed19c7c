"""The page: search by words and pictures, recommendations with reasons, a look into the codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_page(app: FastAPI) -> None:
    """Put the page's routes on the application of the service; what they need is made ready once the service is."""
    from modalhash.service.page import routes, routes_inside, routes_items, routes_people
    from modalhash.service.page.kept import Kept
    from modalhash.service.page.warming import with_warming

    app.state.page = Kept(app.state.service)
    for part in (routes, routes_people, routes_inside, routes_items):
        app.include_router(part.router)
    app.router.lifespan_context = with_warming(app.router.lifespan_context, app.state.page)
