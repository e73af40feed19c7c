"""The application: create_app(settings) puts the routes, the guard at the door and the page together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from modalhash import __version__
from modalhash.service import login, routes, routes_items
from modalhash.service.documents import allowed_methods, openapi_of
from modalhash.service.guard import Door
from modalhash.service.page import add_page
from modalhash.service.problems import Problem
from modalhash.service.settings import Settings
from modalhash.service.state import Served, State

log = logging.getLogger("modalhash.service")


def create_app(settings: Settings, served: Served | None = None) -> FastAPI:
    """The service as an ASGI application; without `served` it loads what the settings name while it already answers."""
    state = State(settings, served)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        task = None if state.ready else asyncio.create_task(_load(state))
        yield
        if task is not None:
            await task
        state.close()

    app = FastAPI(
        title="modalhash",
        version=__version__,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        description="Search, recommend and explain over compact codes.",
    )
    app.state.service = state
    app.add_middleware(Door, state=state)
    for kind in (Problem, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _problem)
    app.include_router(routes.router)
    app.include_router(routes_items.router)
    app.include_router(login.router)
    add_page(app)
    _document(app, state)
    return app


def _document(app: FastAPI, state: State) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_of(app, state.settings.limits, keys=state.keys is not None)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


async def _load(state: State) -> None:
    try:
        await asyncio.to_thread(state.load)
    except Exception as error:
        state.failure = f"the collection cannot be loaded: {error}"
        log.error("%s", state.failure)
        state.on_failure()


async def _problem(request: Request, error: Exception) -> Response:
    """Every refusal as a problem document, those of FastAPI and Starlette as well."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        allowed = allowed_methods(request.app, request.url.path) if error.status_code == 405 else None
        return Problem(
            error.status_code, str(error.detail), headers | ({"Allow": allowed} if allowed else {})
        ).response()
    return Problem(422, "the address does not fit").response()
