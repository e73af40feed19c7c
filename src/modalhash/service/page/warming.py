"""Work that the first visitor would wait for, done in the background once the collection is loaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from modalhash.codes import BinaryCodes
from modalhash.service.page.kept import Kept

log = logging.getLogger("modalhash.service")
Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
LOOK = 1.0  # seconds between two looks whether the collection is loaded


def with_warming(inner: Lifespan, kept: Kept) -> Lifespan:
    """The life of an application, in which the page is made ready beside the first requests."""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            task = asyncio.create_task(_warm(kept))
            try:
                yield state
            finally:
                task.cancel()

    return lifespan


async def _warm(kept: Kept) -> None:
    await asyncio.sleep(LOOK)
    while not kept.state.ready:
        if kept.state.failure:
            return
        await asyncio.sleep(LOOK)
    for step in await asyncio.to_thread(steps, kept):
        try:
            await asyncio.to_thread(step)
        except Exception:  # a page that cannot be warmed says so when it is asked for
            log.exception("the page could not be made ready")


def steps(kept: Kept) -> list[Callable[[], object]]:
    """What the first visitor would wait for, step by step."""
    moment = kept.now()
    found: list[Callable[[], object]] = [lambda: moment.shown_views(0)]
    if isinstance(moment.codes, BinaryCodes):
        found += [lambda: moment.search(moment.codes[0], 24)]
        found += [lambda: kept.map_picture(moment), lambda: kept.bits(moment)]
    return [*found, lambda: kept.floats(moment), kept.audience]
