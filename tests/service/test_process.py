"""The service as a process: it starts, stops when told, outlives slow clients, and loses nothing it acknowledged."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_place import Place
from service_process import Process, serving, with_settings

from modalhash.collection import Collection
from modalhash.service.settings import Settings


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_what_is_in_flight_is_finished_before_the_end(place: Place) -> None:
    service = with_settings(place, "slow")
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(service.ask("POST", "/search", {"text": "fruit"})))
    asking.start()
    time.sleep(0.5)
    idle = service.connect()
    assert service.stop(signal.SIGTERM) == 0
    asking.join()
    assert answers[0][0] == 200 and len(answers[0][1]["hits"]) == 10
    idle.close()
    with pytest.raises(OSError):
        service.connect()
    assert "Traceback" not in service.told
    with serving(str(place.collection)) as again:  # and the next one starts
        assert again.stop(signal.SIGINT) == 0


def test_slow_clients_are_left(place: Place) -> None:
    service = with_settings(place, "header_seconds=1", "body_seconds=1", "connections=8")
    try:
        silent, halting, bodyless, again = (service.connect() for _ in range(4))
        again.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while b'{"status":"ok"}' not in answer:
            answer += again.recv(65536)
        again.sendall(b"GET /hea")  # the second request of a connection has no more time than the first
        halting.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        bodyless.sendall(b"POST /search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        for i in range(8):  # one letter now and then does not help
            time.sleep(0.1)
            with contextlib.suppress(OSError):  # a slow machine may have left it already
                halting.sendall(b"x" * (i % 2))
        for connection in (silent, halting, bodyless, again):
            head, _, body = read_all(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408") and b"application/problem+json" in head, head
            assert json.loads(body)["status"] == 408
            connection.close()
        broken = service.connect()
        broken.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert read_all(broken).startswith(b"HTTP/1.1 400")
        broken.close()
    finally:
        service.end()


def health_times(service: Process, times: int) -> list[float]:
    """Seconds that /health takes on new connections, ascending."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        assert service.ask("GET", "/health")[0] == 200
        found.append(time.perf_counter() - started)
    return sorted(found)


def test_many_idle_connections_make_room(place: Place) -> None:
    service = with_settings(place, "connections=20")
    try:
        crowd = [service.connect() for _ in range(200)]
        assert health_times(service, 10)[0] < 0.1
        for one in crowd:
            one.close()
    finally:
        service.end()


@pytest.mark.slow
@pytest.mark.parametrize("most", [20_000, 1_000], ids=["all stay", "the oldest make room"])
def test_ten_thousand_connections(place: Place, most: int) -> None:
    """Silent ones, ones that stop in their headers, ones that stay open after an answer."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 11_000:
        pytest.skip(f"at most {before[1]} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    service = with_settings(place, f"connections={most}", "header_seconds=300")
    crowd: list[socket.socket] = []
    begins = (b"", b"GET /health HTTP/1.1\r\nX-Slow: ", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    try:
        for i in range(10_000):
            crowd.append(service.connect())
            crowd[-1].sendall(begins[i % 3])
            if i % 1000 == 999:
                assert health_times(service, 3)[0] < 0.1
        times = health_times(service, 50)
        assert times[-3] < 0.1, times
        assert service.ask("POST", "/search", {"text": "fruit"})[0] == 200
    finally:
        for one in crowd:
            one.close()
        service.end()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_answers_do_not_wait_for_the_client(place: Place) -> None:
    """Head and body are two packets; without TCP_NODELAY the second waits 40 ms for the first to be acknowledged."""
    with serving(str(place.collection)) as service:
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        times = []
        for _ in range(40):
            started = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            times.append(time.perf_counter() - started)
        connection.close()
        assert min(times[5:]) < 0.02


def test_errors_at_the_start_are_one_line(place: Place, tmp_path: Path, run_line: Callable[..., Any]) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    for words, told in (
        (("serve", str(tmp_path / "nothing")), "collection.json"),
        (("serve", str(place.collection), "--port", port), "use"),
        (("serve", str(place.collection), "--key-file", str(tmp_path / "none")), "--key-file"),
        (("key", "A", "--key-file", str(tmp_path / "k")), "name"),
    ):
        code, out, err = run_line(*words)
        assert code == 2 and not out and told in err and len(err.splitlines()) == 1, err
    taken.close()
    (place.collection / "model" / "model.json").write_text("{}")
    failed = Process("serve", str(place.collection), "--port", "0", "--json")
    assert failed.process.wait(60) == 2
    failed.end()
    assert "model.json" in failed.told and "Traceback" not in failed.told


def test_a_key_is_made_and_printed_once(tmp_path: Path, run_line: Callable[..., Any]) -> None:
    code, out, _ = run_line("key", "web", "--scope", "write", "--key-file", str(tmp_path / "k"))
    assert code == 0 and out.startswith("mh_") and out.strip() not in (tmp_path / "k").read_text()


def test_the_extra_is_asked_for_at_the_door(
    place: Place, run_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "modalhash.service.run", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    code, _, err = run_line("serve", str(place.collection))
    assert code == 2 and "modalhash[serve]" in err


def test_the_demo_is_served_afterwards(
    place: Place, tmp_path: Path, run_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def demo(out: Path, *_: object, **__: object) -> dict[str, str]:
        place.collection.rename(out / "collection")
        return {}

    monkeypatch.setattr("modalhash.demo.run.run_demo", demo)
    monkeypatch.setattr("modalhash.cli_serve.service", lambda: (lambda settings, _: made.append(settings), Settings))
    assert run_line("demo", "--serve", "--out", str(tmp_path))[0] == 0
    assert made[0].collection == str(tmp_path / "collection") and made[0].recommender is None
    assert made[0].host == "127.0.0.1" and made[0].port == 8000 and made[0].report is None
    plots = tmp_path / "collection" / "report"
    plots.mkdir()
    assert run_line("serve", str(plots.parent))[0] == 0 and made[1].report == plots


@pytest.mark.slow
def test_the_demo_answers_health_within_twenty_seconds(tmp_path: Path) -> None:
    service = Process("serve", "demo", "--port", "0", "--json", env={"MODALHASH_CACHE": str(tmp_path)})
    try:
        assert service.ask("GET", "/health")[0] == 200
        assert time.monotonic() - service.begun < 20
        service.wait_ready(240)
        status, told = service.ask("POST", "/search", {"text": "red heart", "k": 3})
        assert status == 200 and all("heart" in hit["title"] for hit in told["hits"])
        assert service.ask("POST", "/recommend", {"user": 3, "k": 3})[0] == 200
        assert service.stop() == 0
    finally:
        service.end()


@pytest.mark.slow
def test_a_killed_service_has_everything_it_acknowledged(place: Place) -> None:
    rng = random.Random(0)
    kept: dict[int, str] = {}
    number = 10_000
    for _ in range(4):
        with serving(str(place.collection)) as service:
            doubtful: set[int] = set()
            assert service.ask("POST", "/items", {"items": [{"id": 9_999, "text": "fruit"}]})[0] == 200
            killer = threading.Timer(rng.uniform(0.1, 1.5), service.process.kill)
            killer.start()
            while True:
                ids = [number + i for i in range(rng.randint(1, 20))]
                items = [{"id": id_, "text": "fruit old", "title": f"t{id_}"} for id_ in ids]
                try:
                    gone = rng.choice(sorted(kept)) if kept and rng.random() < 0.3 else None
                    if gone is not None:
                        doubtful = {gone}
                        assert service.ask("DELETE", f"/items/{gone}")[0] == 200
                        del kept[gone]
                    doubtful = set(ids)
                    assert service.ask("POST", "/items", {"items": items})[0] == 200
                    kept |= {id_: f"t{id_}" for id_ in ids}
                    doubtful = set()
                    number += len(ids)
                except (OSError, http.client.HTTPException, ValueError):  # it was killed
                    break
            killer.join()
        with Collection.open(place.collection) as found:
            titles = dict(zip(found.index.ids.tolist(), found.show.titles, strict=True))
        added = {id_: title for id_, title in titles.items() if id_ >= 10_000}
        here = doubtful & set(added)
        assert here in (set(), doubtful)  # a batch is kept whole or not at all
        assert {id_: t for id_, t in added.items() if id_ not in doubtful} == {
            id_: t for id_, t in kept.items() if id_ not in doubtful
        }
        kept = added
        number += 100
    assert kept
