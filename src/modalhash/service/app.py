"""The application: create_app(settings) puts the routes, the guard at the door and the page together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from modalhash import __version__
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
            task.cancel()

    app = FastAPI(
        title="modalhash",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        description="Search, recommend and explain over compact codes.",
    )
    app.state.service = state
    app.add_exception_handler(Problem, _problem)
    add_routes(app)
    add_page(app)
    return app


def add_routes(app: FastAPI) -> None:
    """The routes for programs."""

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready(request: Request) -> dict[str, object]:
        """Whether the collection is loaded."""
        state: State = request.app.state.service
        return {"status": "ready", "items": len(state.served.shelf), "versions": state.versions()}


async def _load(state: State) -> None:
    try:
        await asyncio.to_thread(state.load)
    except (OSError, ValueError, TypeError) as error:
        state.failure = f"the collection cannot be loaded: {error}"
        log.error("%s", state.failure)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()
