"""OpenAPI: what routes take, and which problem documents they may answer with."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from modalhash.service import schemas
from modalhash.service.guard import OPEN, needed_scope
from modalhash.service.problems import MEDIA_TYPE
from modalhash.service.settings import Limits

REASONS = {
    400: "The request is damaged",
    401: "A key is needed, or this one is unknown",
    403: "The key's scope is too small, or a page of another site asks",
    404: "Not there",
    405: "Another method",
    408: "The request came too slowly",
    413: "The body is too long, as sent or unpacked",
    415: "Another content type or encoding",
    421: "The Host header names another machine",
    422: "The request does not fit; the detail says what",
    429: "Too many requests, of this key or at once",
    500: "An error of ours",
    503: "The collection is being loaded, or its files cannot be reached",
    507: "The disk is full or cannot be written; nothing was stored",
}
ANY = (400, 401, 403, 405, 408, 413, 415, 421, 422, 429, 500, 503)
TAKEN = [value for value in vars(schemas).values() if isinstance(value, type) and issubclass(value, BaseModel)]


def problems(*more: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents of a route: those of every route, and some more."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {status: {"description": REASONS[status], "content": content} for status in sorted({*ANY, *more})}


def takes(model: type[BaseModel], form: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of a route: JSON of a model, or also a form with these properties."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    if form is not None:
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": form}}  # type: ignore[dict-item]
    return {"requestBody": {"required": True, "content": content}}


def openapi_of(app: FastAPI, limits: Limits, *, keys: bool) -> dict[str, Any]:
    """The OpenAPI document; with keys, every route but the open ones names the scope that it needs."""
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    models = [(model, "validation") for model in TAKEN if model not in (Limits, BaseModel)]
    _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    parts = made.setdefault("components", {})
    parts.setdefault("schemas", {}).update(defined["$defs"])
    made["info"]["x-limits"] = limits.model_dump()
    if keys:
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            scope = "none" if path in OPEN else needed_scope(method.upper(), path)
            operation["x-scope"] = scope
            if keys and scope != "none":
                operation["security"] = [{"key": []}]
    return made


def allowed_methods(app: FastAPI, path: str) -> str | None:
    """The methods of an address for the header Allow; None where the document does not know it."""
    found = {
        method.upper()
        for template, methods in app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
        for method in methods
    }
    return ", ".join(sorted(found)) or None
