"""Bodies of requests: read whole within limits of bytes and time, unpacked within the same limit, parsed as JSON."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

import anyio
import numpy as np
from fastapi import Request
from pydantic import BaseModel, ValidationError

from modalhash.service.problems import Problem
from modalhash.service.settings import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
M = TypeVar("M", bound=BaseModel)
STEPS = np.zeros(256, np.int8)  # what a letter of JSON adds to the depth
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1
LARGE = 65_536  # bytes whose parsing other requests should not wait for
ENCODINGS = {b"gzip": 31, b"deflate": 15}  # name -> window bits of zlib


class Gone(Exception):
    """The client went away before its request was whole."""


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit: int, seconds: float) -> bytes:
    """The whole body, unpacked; Problems 400, 408, 413 and 415 for one that is broken, late, long or foreign."""
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding != b"identity" and encoding not in ENCODINGS:
        raise Problem(415, f"Content-Encoding: expected {', '.join(map(bytes.decode, ENCODINGS))} or none")
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            body = await _received(receive, limit)
    except TimeoutError:
        raise Problem(408, f"the body took longer than {seconds:g} seconds", {"Connection": "close"}) from None
    return body if encoding == b"identity" else unpacked(body, ENCODINGS[encoding], limit)


async def _received(receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)


def unpacked(body: bytes, window: int, limit: int) -> bytes:
    """A packed body, unpacked; Problem 413 as soon as it is longer than the limit, 400 for a damaged one."""
    stream = zlib.decompressobj(window)
    try:
        made = stream.decompress(body, limit + 1)
    except zlib.error:
        raise Problem(400, "the packed body is damaged") from None
    if len(made) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise Problem(400, "the packed body is cut off, or something follows it")
    return made


def _too_large(limit: int) -> Problem:
    return Problem(413, f"the body has more than {limit} bytes", {"Connection": "close"})


def check_depth(body: bytes, depth: int) -> None:
    """Problem 422 where JSON is nested deeper than the limit, without parsing it."""
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    plain = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)  # no quote is escaped now
    in_text = np.bitwise_xor.accumulate(plain == ord('"'))
    steps = STEPS[plain]
    steps[in_text] = 0
    if np.cumsum(steps, dtype=np.int32).max(initial=0) > depth:
        raise Problem(422, f"JSON is nested deeper than {depth} levels")


async def parsed(request: Request, model: type[M], limits: Limits) -> M:
    """The body as a model; Problem 415 unless it is JSON, 422 (reasons, no values) if it does not fit."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "Content-Type: expected application/json")
    body = await request.body()

    def parse() -> M:
        check_depth(body, limits.depth)
        return checked(model, body, limits)

    return parse() if len(body) < LARGE else await anyio.to_thread.run_sync(parse)


def checked(model: type[M], content: Any, limits: Limits) -> M:
    """JSON text, or a mapping of values, as a model; Problem 422 names what does not fit."""
    try:
        if isinstance(content, bytes):
            return model.model_validate_json(content, context=limits)
        return model.model_validate(content, context=limits)
    except ValidationError as error:
        raise Problem(422, said(error)) from None


def said(error: ValidationError) -> str:
    """The first three errors in words; places and reasons, never the values that were sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = []
    for one in found[:3]:
        place = ".".join(str(step)[:64] for step in one["loc"])
        parts.append(f"{place}: {one['msg']}" if place else str(one["msg"]))
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(parts) + more
