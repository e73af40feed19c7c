"""The door: address and key before anything else, scopes, rates, origins; keys stay secret."""

from __future__ import annotations

import hmac
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from service_place import Place, is_problem

from modalhash.service.guard import OPEN, needed_scope
from modalhash.service.keys import Keys, add_key
from modalhash.service.rates import Rates
from modalhash.service.run import check_address, is_loopback
from modalhash.service.settings import Settings

BELOW = {"read": "", "write": "reader", "admin": "writer"}  # scope -> a key that has less
Client = Any


def operations(client: Client, place: Place) -> list[tuple[str, str, str]]:
    """Method, address and scope of every operation in the OpenAPI document."""
    document = client.get("/openapi.json", headers=place.bearer("boss")).json()
    found = [
        (method.upper(), path.replace("{id}", "1"), operation["x-scope"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(found) >= 13
    return found


def test_every_route_of_openapi_wants_a_key(keyed: Client, place: Place) -> None:
    for method, path, scope in operations(keyed, place):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eA=="}, {"X-API-Key": "x"}):
            answer = keyed.request(method, path, headers=headers)
            if scope == "none":
                assert answer.status_code == 200 and path in OPEN
            else:
                is_problem(answer, 401)
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_every_route_of_openapi_wants_its_scope(keyed: Client, place: Place) -> None:
    for method, path, scope in operations(keyed, place):
        if BELOW.get(scope):
            is_problem(keyed.request(method, path, headers=place.bearer(BELOW[scope])), 403)
        if scope != "none":
            answer = keyed.request(method, path, headers=place.bearer("boss"), content=b"")
            assert answer.status_code not in (401, 403, 500)


def test_the_scopes_are_those_one_expects(keyed: Client, place: Place) -> None:
    scopes = {(method, path): scope for method, path, scope in operations(keyed, place)}
    assert scopes["POST", "/search"] == scopes["GET", "/items/1"] == scopes["POST", "/explain"] == "read"
    assert scopes["POST", "/items"] == scopes["DELETE", "/items/1"] == scopes["POST", "/items/batch/delete"] == "write"
    assert scopes["GET", "/metrics"] == scopes["POST", "/snapshots"] == "admin"
    assert needed_scope("POST", "/new") == needed_scope("BREW", "/search2") == "write"  # unthought of: not for readers


def test_nothing_is_told_without_a_key(keyed: Client, place: Place) -> None:
    for path in ("/nothing", "/openapi.json", "/docs", "/items/1", "/static/x.js"):
        is_problem(keyed.get(path), 401)
    assert keyed.get("/", headers={"accept": "text/html"}, follow_redirects=False).headers["location"] == "/login"
    is_problem(keyed.post("/search", content=b"x" * 10_000_000), 401)  # the key comes before the body
    is_problem(keyed.get("/nothing", headers=place.bearer("reader")), 404)


def test_a_key_may_stand_in_either_header(keyed: Client, place: Place) -> None:
    for headers in (place.bearer("reader"), {"X-API-Key": place.keys["reader"]}):
        assert keyed.get("/items/1", headers=headers).status_code == 200


def test_a_public_address_needs_a_key(place: Place, run_line: Callable[..., tuple[int, str, str]]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        with pytest.raises(ValueError, match="--key-file"):
            check_address(Settings(collection="x", host=host))
        check_address(Settings(collection="x", host=host, key_file=place.key_file))
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
        check_address(Settings(collection="x", host=host))
    code, out, err = run_line("serve", str(place.collection), "--host", "0.0.0.0", "--port", "0")
    assert code == 2 and not out and "--key-file" in err and len(err.splitlines()) == 1


def test_without_keys_only_this_machine_is_served(client: Client) -> None:
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        assert client.get("/ready", headers={"host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example:80", "", "[::1"):
        is_problem(client.get("/ready", headers={"host": host}), 421)


def test_pages_of_other_sites_are_refused(client: Client) -> None:
    asked = {"json": {"text": "fruit"}}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
    ):
        is_problem(client.post("/search", headers=headers, **asked), 403)
        is_problem(client.post("/search", headers={"origin": "null"}, **asked), 403)
    own = {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1"}
    assert client.post("/search", headers=own, **asked).status_code == 200


def test_headers_of_every_answer(client: Client) -> None:
    for path in ("/health", "/nothing", "/metrics"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"  # "no-referrer" has browsers send forms with Origin: null
        assert headers["modalhash-model"] and int(headers["modalhash-store"]) >= 0


def test_a_key_that_asks_too_often_waits(start: Callable[..., Client], place: Place) -> None:
    client = start(key_file=place.key_file, rate=0.001, burst=3)
    answers = [client.get("/items/1", headers=place.bearer("reader")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    is_problem(answers[3], 429)
    assert client.get("/items/1", headers=place.bearer("writer")).status_code == 200  # each key for itself


def test_rates_fill_up_again_to_the_burst() -> None:
    now = [0.0]
    rates = Rates(2.0, 3, lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 0.5]
    now[0] = 1000.0
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert Rates(0, 1).take("a") == 0


def test_keys_are_kept_as_hashes_and_compared_in_constant_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    text = place.key_file.read_text()
    assert not any(key in text or key[3:] in text for key in place.keys.values())
    assert place.key_file.stat().st_mode & 0o077 == 0
    compared: list[str] = []

    def compare(a: str, b: str) -> bool:
        compared.append(a)
        return hmac.compare_digest(a, b)

    monkeypatch.setattr("modalhash.service.keys.hmac", SimpleNamespace(compare_digest=compare))
    keys = Keys.read(place.key_file)
    found = keys.find(place.keys["reader"])
    assert found is not None and found.name == "reader" and len(compared) == 3  # no end at the first that fits
    assert keys.find("") is None and keys.find("mh_\ud800") is None


def test_files_of_keys_are_checked(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="already"):
        add_key(place.key_file, "reader", "read")
    for name in ("", "A", "../x", "a" * 65, "a\n", "é"):
        with pytest.raises(ValueError, match="name"):
            add_key(tmp_path / "k", name, "read")
    with pytest.raises(ValueError, match="scope"):
        add_key(tmp_path / "k", "x", "root")
    with pytest.raises(FileNotFoundError, match="modalhash key"):
        Keys.read(tmp_path / "none")
    entry = json.loads(place.key_file.read_text())["keys"][0]
    lists: tuple[Any, ...] = ([], [{**entry, "hash": "x"}], [entry] * 2, [{**entry, "scope": "root"}], [{}])
    for damaged in ("", "[]", *(json.dumps({"keys": keys}) for keys in lists)):
        (tmp_path / "bad").write_text(damaged)
        with pytest.raises(ValueError, match="bad"):
            Keys.read(tmp_path / "bad")


def test_keys_are_in_no_log_and_no_metric(
    start: Callable[..., Client], place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx")  # the client's own
    client = start(key_file=place.key_file, rate=0)

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(client.app.state.service.served.shelf, "get", fail)
        told = is_problem(client.get("/items/1", headers=place.bearer("reader")), 500)
    assert "boom" not in json.dumps(told) and "boom" in caplog.text  # the log says why, the answer does not
    client.post("/items", headers=place.bearer("writer"), json={"items": [{"id": 9, "text": "secret words fruit"}]})
    client.post("/search?q=secret", headers=place.bearer("reader"), json={"text": "secret words"})
    counters = client.get("/metrics", headers=place.bearer("boss")).text
    for text in (caplog.text, counters):
        assert not any(key in text for key in place.keys.values())
        assert "secret" not in text
    assert 'route="/search",status="200"' in counters and "modalhash_refused_total" in counters
    assert not re.search(r"reader|writer|boss", counters)


def test_a_browser_gives_its_key_once(keyed: Client, place: Place) -> None:
    page = keyed.get("/login", headers={"accept": "text/html"})
    assert page.status_code == 200 and "<script" not in page.text
    set_cookie = page.headers["set-cookie"]
    assert "HttpOnly" in set_cookie and "SameSite=Strict" in set_cookie
    token = re.findall(r'name="csrf" value="(\w+)"', page.text)[0]
    form = {"key": place.keys["reader"]}
    is_problem(keyed.post("/login", data=form), 403)  # no token
    is_problem(keyed.post("/login", data={**form, "csrf": "0" * 64}), 403)
    assert keyed.post("/login", data={"key": "wrong", "csrf": token}).status_code == 401
    entered = keyed.post("/login", data={**form, "csrf": token}, follow_redirects=False)
    assert entered.status_code == 303 and place.keys["reader"] not in entered.headers["set-cookie"]
    assert keyed.get("/items/1").status_code == 200
    is_problem(keyed.get("/metrics"), 403)
    assert keyed.post("/logout", data={"csrf": token}, follow_redirects=False).status_code == 303
    is_problem(keyed.get("/items/1"), 401)


def test_sessions_end(keyed: Client, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    state = keyed.app.state.service
    text = state.sessions.start(state.keys.find(place.keys["reader"]))
    assert state.sessions.find(text).name == "reader" and text not in repr(vars(state.sessions))
    monkeypatch.setattr("modalhash.service.sessions.time.monotonic", lambda: 1e12)
    assert state.sessions.find(text) is None
