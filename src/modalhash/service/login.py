"""Where a browser gives its key: a form, and a session in a cookie that scripts cannot read."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from modalhash.service.keys import Key
from modalhash.service.problems import Problem
from modalhash.service.sessions import SESSION, checked_form, cookie, cookies_of, csrf_token
from modalhash.service.state import state_of

router = APIRouter(include_in_schema=False)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>modalhash: key</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head><body><main><h1>modalhash</h1>
<form method="post" action="/login"><input type="hidden" name="csrf" value="{token}">
<p><label>Key <input type="password" name="key" autocomplete="current-password" required autofocus></label></p>
<p><button>Enter</button></p>{told}</form></main></body></html>"""


@router.get("/login")
async def form(request: Request) -> Response:
    """The form that asks for a key."""
    return HTMLResponse(PAGE.format(token=csrf_token(request), told=""))


@router.post("/login")
async def enter(request: Request) -> Response:
    """Begin a session."""
    state = state_of(request)
    wait = state.rates.take("/login")
    if wait:
        raise Problem(429, "too many attempts", {"Retry-After": str(int(wait) + 1)})
    given = str((await checked_form(request)).get("key") or "").strip()
    key: Key | None = state.keys.find(given) if state.keys is not None else None
    if key is None:
        told = '<p role="alert">This key is unknown.</p>'
        return HTMLResponse(PAGE.format(token=csrf_token(request), told=told), 401)
    made = RedirectResponse("/", 303)
    made.headers["set-cookie"] = cookie(SESSION, state.sessions.start(key), secure=request.url.scheme == "https")
    return made


@router.post("/logout")
async def leave(request: Request) -> Response:
    """End a session."""
    await checked_form(request)
    state_of(request).sessions.end(cookies_of(dict(request.scope["headers"])).get(SESSION, ""))
    made = RedirectResponse("/login", 303)
    made.headers["set-cookie"] = cookie(SESSION, "", secure=request.url.scheme == "https", seconds=0)
    return made
