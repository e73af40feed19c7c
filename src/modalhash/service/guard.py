"""The door: address and key first, then rate, scope, origin, concurrency and the body; headers on every answer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import Response
from fastapi.responses import RedirectResponse

from modalhash.service.bodies import Gone, Receive, read_body
from modalhash.service.keys import Key
from modalhash.service.problems import Problem
from modalhash.service.sessions import SESSION, VISITOR, cookie, cookies_of
from modalhash.service.state import State

log = logging.getLogger("modalhash.service")
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

OPEN = ("/health", "/ready", "/login")  # answered without a key
ADMIN = ("/metrics", "/snapshots")
READS = ("/encode", "/search", "/search/batch", "/items/batch/get", "/recommend", "/explain", "/login", "/logout")
SAFE = ("GET", "HEAD", "OPTIONS")
METHODS = (*SAFE, "POST", "PUT", "PATCH", "DELETE")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOCAL = Key("local", "admin", "")  # who asks where no keys are set: only this machine can
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def needed_scope(method: str, path: str) -> str:
    """The scope that a request needs; what nobody thought of needs `write`."""
    if path.startswith(ADMIN):
        return "admin"
    return "read" if method in SAFE or path in READS or path.startswith("/page/search") else "write"


class Door:
    """ASGI middleware around the application."""

    def __init__(self, app: Any, state: State) -> None:
        self.app, self.state, self.settings = app, state, state.settings

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with a problem document."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started, answer = time.perf_counter(), Answered(self, scope, send)
        try:
            await self._admitted(scope, receive, answer)
        except Problem as problem:
            await self._refusal(scope, problem)(scope, receive, answer)
        except Gone:
            answer.status = 499
        except Exception:
            if answer.status:
                raise
            log.exception("%s failed", self._route(scope))
            await Problem(500, "an error of ours; the log says more").response()(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.state.counters.add(method, self._route(scope), answer.status, time.perf_counter() - started)

    async def _admitted(self, scope: dict[str, Any], receive: Receive, answer: Answered) -> None:
        headers, path = dict(scope["headers"]), scope["path"]
        self._check_host(headers)
        inner = scope.setdefault("state", {})
        cookies = cookies_of(headers)
        inner["visitor"] = self._visitor(scope, headers, cookies, answer)
        if path not in OPEN:
            inner["who"] = who = self._who(headers, cookies)
            self._check_rate(who)
            if not who.may(needed_scope(scope["method"], path)):
                raise self._refused("scope", 403, f"this key may only {who.scope}")
        if scope["method"] not in SAFE:
            self._check_origin(headers)
        if path == "/health":
            await self.app(scope, receive, answer)
            return
        await self._with_body(scope, headers, receive, answer)

    async def _with_body(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], receive: Receive, answer: Answered
    ) -> None:
        counters = self.state.counters
        if counters.in_flight >= self.settings.concurrency:
            raise self._refused("concurrency", 429, "too many requests at once", {"Retry-After": "1"})
        counters.in_flight += 1
        try:
            body = await read_body(receive, headers, self.settings.limits.body, self.settings.body_seconds)
            parts = [{"type": "http.request", "body": body, "more_body": False}]

            async def replay() -> MutableMapping[str, Any]:
                return parts.pop() if parts else await receive()

            await self.app(scope, replay, answer)
        finally:
            counters.in_flight -= 1

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        """Without keys only this machine may ask, and under its own name: a page elsewhere could name us otherwise."""
        host = headers.get(b"host", b"").decode("latin1")
        if self.state.keys is None and _name(host) not in (*LOOPBACK, self.settings.host):
            raise self._refused("host", 421, "the Host header names another machine; no keys: only this one is served")

    def _who(self, headers: dict[bytes, bytes], cookies: dict[str, str]) -> Key:
        if self.state.keys is None:
            return LOCAL
        kind, _, text = headers.get(b"authorization", b"").decode("latin1").partition(" ")
        given = text.strip() if kind.lower() == "bearer" else headers.get(b"x-api-key", b"").decode("latin1")
        key = self.state.keys.find(given) if given else self.state.sessions.find(cookies.get(SESSION, ""))
        if key is None:
            why = "this key is unknown" if given else "a key is needed: Authorization: Bearer KEY"
            raise self._refused("key", 401, why, {"WWW-Authenticate": 'Bearer realm="modalhash"'})
        return key

    def _check_rate(self, who: Key) -> None:
        wait = 0.0 if who is LOCAL else self.state.rates.take(who.name)
        if wait:
            raise self._refused("rate", 429, "this key asks too often", {"Retry-After": str(int(wait) + 1)})

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        """Browsers say which page a request comes from; one of another site is refused."""
        site = headers.get(b"sec-fetch-site", b"none")
        origin = headers.get(b"origin")
        host = headers.get(b"host", b"").decode("latin1")
        foreign = origin is not None and urlsplit(origin.decode("latin1")).netloc != host
        if site not in (b"none", b"same-origin") or foreign:
            raise self._refused("origin", 403, "the request comes from a page of another site")

    def _visitor(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], cookies: dict[str, str], answer: Answered
    ) -> str:
        """Who the forms of a page are for: a random name in a cookie, made where a browser has none."""
        if cookies.get(VISITOR):
            return cookies[VISITOR]
        visitor = secrets.token_urlsafe(16)
        if scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b""):
            answer.extra.append(("set-cookie", cookie(VISITOR, visitor, secure=scope["scheme"] == "https")))
        return visitor

    def _refused(self, why: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Problem:
        self.state.counters.refuse(why)
        return Problem(status, detail, headers)

    def _refusal(self, scope: dict[str, Any], problem: Problem) -> Response:
        """A problem document; a browser without a key is shown where to give it."""
        if (
            problem.status == 401
            and scope["method"] == "GET"
            and b"text/html" in dict(scope["headers"]).get(b"accept", b"")
        ):
            return RedirectResponse("/login", 303)
        return problem.response()

    def _route(self, scope: dict[str, Any]) -> str:
        return str(getattr(scope.get("route"), "path", "other"))


class Answered:
    """Sends an answer with our headers, and remembers its status."""

    def __init__(self, door: Door, scope: dict[str, Any], send: Send) -> None:
        self.state, self.scope, self.send = door.state, scope, send
        self.status = 0
        self.extra: list[tuple[str, str]] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send one ASGI message; a client that does not read it in time is dropped."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *self._added(message)]
        async with asyncio.timeout(self.state.settings.body_seconds):
            await self.send(message)

    def _added(self, message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
        given = {name.lower() for name, _ in message.get("headers", [])}
        added = [*SECURITY.items(), ("cache-control", "no-store"), *self.extra]
        if self.state.ready:
            added += [(f"modalhash-{name}", str(value)) for name, value in self.state.versions().items()]
        pairs = [(name.encode(), value.encode("latin1")) for name, value in added]
        return [(name, value) for name, value in pairs if name == b"set-cookie" or name not in given]


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
