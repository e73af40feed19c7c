"""Browsers: a session in place of a key, and the token that forms carry; both live as long as the process."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from http.cookies import CookieError, SimpleCookie

from fastapi import Request

from modalhash.service.keys import Key, hash_of
from modalhash.service.problems import Problem

SESSION, VISITOR = "modalhash-session", "modalhash-visitor"
SECONDS = 12 * 3600.0
MOST = 10_000  # sessions at a time; the oldest go first
FIELD, HEADER = "csrf", "x-csrf-token"


class Sessions:
    """Sessions of browsers whose users gave a key."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._keys: dict[str, tuple[Key, float]] = {}  # hash of the cookie -> key and end

    def start(self, key: Key) -> str:
        """A new session of this key; returns the cookie's value."""
        while len(self._keys) >= MOST:
            self._keys.pop(next(iter(self._keys)))
        text = secrets.token_urlsafe(32)
        self._keys[hash_of(text)] = (key, time.monotonic() + SECONDS)
        return text

    def find(self, text: str) -> Key | None:
        """The key of a session that has not ended."""
        key, end = self._keys.get(hash_of(text), (None, 0.0))
        return key if time.monotonic() < end else None

    def end(self, text: str) -> None:
        """Forget a session."""
        self._keys.pop(hash_of(text), None)

    def token(self, visitor: str) -> str:
        """What forms of this visitor carry."""
        return hmac.new(self._secret, visitor.encode(), hashlib.sha256).hexdigest()


def cookies_of(headers: dict[bytes, bytes]) -> dict[str, str]:
    """The cookies of a request; none where they cannot be read."""
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin1"))
    except CookieError:
        return {}
    return {name: morsel.value for name, morsel in found.items()}


def cookie(name: str, value: str, *, secure: bool, seconds: float = SECONDS) -> str:
    """A Set-Cookie header that scripts and other sites cannot use."""
    end = f"; Max-Age={int(seconds)}; Path=/; HttpOnly; SameSite=Strict"
    return f"{name}={value}{end}" + ("; Secure" if secure else "")


def csrf_token(request: Request) -> str:
    """The token to put into every form of a page, as the hidden field `csrf` or the header X-CSRF-Token."""
    sessions: Sessions = request.app.state.service.sessions
    return sessions.token(request.scope["state"]["visitor"])


async def checked_form(request: Request) -> dict[str, str | bytes]:
    """The form that a page sent, as `form_of`; Problem 403 unless it carries the visitor's token."""
    form = await form_of(request)
    given = form.get(FIELD) or request.headers.get(HEADER, "")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        raise Problem(403, "the form's token is absent or old; load the page again")
    return form


async def form_of(request: Request) -> dict[str, str | bytes]:
    """The fields of a form: texts, and the bytes of files; Problem 422 where it cannot be read."""
    from starlette.exceptions import HTTPException

    most = request.app.state.service.settings.limits.body
    try:
        async with request.form(max_files=4, max_fields=32, max_part_size=most) as form:
            return {name: value if isinstance(value, str) else await value.read() for name, value in form.items()}
    except (HTTPException, ValueError, UnicodeError):
        raise Problem(422, "the form cannot be read, or has too many parts") from None
