"""Routes of items: store, remove and read, one or many; every write leaves a line in the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from modalhash.service import schemas
from modalhash.service.asked import item_out, new_item
from modalhash.service.bodies import parsed
from modalhash.service.documents import problems, takes
from modalhash.service.names import inside
from modalhash.service.pictures import type_of
from modalhash.service.problems import Problem
from modalhash.service.shelf import Item
from modalhash.service.state import State, state_of

router = APIRouter(tags=["items"])
BYTES = {"schema": {"type": "string", "format": "binary"}}
PICTURE = {"content": dict.fromkeys(("image/png", "image/jpeg"), BYTES)}


@router.post(
    "/items",
    response_model=schemas.WriteAnswer,
    responses=problems(507),
    openapi_extra=takes(schemas.UpsertRequest),
)
async def upsert(request: Request) -> dict[str, Any]:
    """Store items, all or none; the answer comes after they are kept."""
    state = state_of(request)
    asked = await parsed(request, schemas.UpsertRequest, state.settings.limits)
    shelf, pixels = state.served.shelf, state.settings.limits.pixels
    ids = [item.id for item in asked.items]
    return await written(request, "upsert", ids, lambda: shelf.upsert([new_item(item, pixels) for item in asked.items]))


@router.post(
    "/items/batch/delete",
    response_model=schemas.WriteAnswer,
    responses=problems(507),
    openapi_extra=takes(schemas.IdsRequest),
)
async def delete_many(request: Request) -> dict[str, Any]:
    """Remove items; ids that are not there are passed over."""
    state = state_of(request)
    asked = await parsed(request, schemas.IdsRequest, state.settings.limits)
    shelf = state.served.shelf
    return await written(request, "delete", asked.ids, lambda: shelf.delete(asked.ids))


@router.delete("/items/{id}", response_model=schemas.WriteAnswer, responses=problems(404, 507))
async def delete_one(request: Request, id: str) -> dict[str, Any]:
    """Remove one item; 404 if it is not there."""
    shelf = state_of(request).served.shelf
    wanted = _id(state_of(request), id)
    made = await written(request, "delete", [wanted], lambda: shelf.delete([wanted]))
    if not made["count"]:
        raise Problem(404, "the collection has no such item")
    return made


@router.post(
    "/items/batch/get",
    response_model=schemas.ItemsAnswer,
    responses=problems(),
    openapi_extra=takes(schemas.IdsRequest),
)
async def get_many(request: Request) -> dict[str, Any]:
    """Items by id, and the ids that are not there."""
    state = state_of(request)
    asked = await parsed(request, schemas.IdsRequest, state.settings.limits)
    found = await state.run(state.served.shelf.get, asked.ids)
    absent = [id_ for id_, item in zip(asked.ids, found, strict=True) if item is None]
    return {"items": [item_out(item) for item in found if item], "absent": absent, "versions": state.versions()}


@router.get("/items/{id}", response_model=schemas.ItemAnswer, responses=problems(404))
async def get_one(request: Request, id: str) -> dict[str, Any]:
    """One item."""
    state = state_of(request)
    return {"item": item_out(await _item(state, id)), "versions": state.versions()}


@router.get("/items/{id}/picture", response_class=Response, responses={200: PICTURE, **problems(404)})
async def picture(request: Request, id: str) -> Response:
    """The picture of an item."""
    item = await _item(state_of(request), id)
    if not item.picture:
        raise Problem(404, "this item has no picture")
    return Response(item.picture, media_type=type_of(item.picture))


@router.post(
    "/snapshots",
    response_model=schemas.WriteAnswer,
    responses=problems(404, 507),
    openapi_extra=takes(schemas.SnapshotRequest),
)
async def snapshot(request: Request) -> dict[str, Any]:
    """Write a collection of its own that holds the items of one moment, into the folder of snapshots."""
    state = state_of(request)
    asked = await parsed(request, schemas.SnapshotRequest, state.settings.limits)
    shelf, root = state.served.shelf, state.settings.snapshots
    if root is None:
        raise Problem(404, "snapshots are not set up; start the service with --snapshots FOLDER")

    def write() -> int:
        root.mkdir(parents=True, exist_ok=True)
        path = inside(root, asked.name)
        if path.exists():
            raise ValueError(f"name: there is a snapshot {asked.name!r} already")
        shelf.snapshot(path)
        return len(shelf)

    return await written(request, "snapshot", [asked.name], write)


async def written(request: Request, action: str, ids: Sequence[Any], write: Callable[[], int]) -> dict[str, Any]:
    """Write in the pool, note it in the audit whatever comes of it, and answer how many."""
    state = state_of(request)
    outcome = "failed"
    try:
        count = await state.write(write)
        outcome = "done"
    except Problem as problem:
        outcome = f"refused {problem.status}"
        raise
    finally:
        state.audit.note(request.scope["state"]["who"].name, action, ids, outcome)
    return {"count": count, "versions": state.versions()}


def _id(state: State, text: str) -> int | str:
    try:
        return state.served.shelf.id_of(text)
    except ValueError as error:
        raise Problem(422, str(error)) from None


async def _item(state: State, text: str) -> Item:
    (found,) = await state.run(state.served.shelf.get, [_id(state, text)])
    if found is None:
        raise Problem(404, "the collection has no such item")
    return found
