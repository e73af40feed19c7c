"""Limits at limit + 1, damaged and packed bodies, odd numbers: a problem document, never an error of ours."""

from __future__ import annotations

import base64
import gzip
import json
import resource
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from service_place import is_problem, picture

from modalhash.service.bodies import check_depth, unpacked
from modalhash.service.names import check_name
from modalhash.service.pictures import check_picture, picture_to_show
from modalhash.service.problems import Problem
from modalhash.service.settings import Limits

Client = Any
JSON = {"content-type": "application/json"}
SMALL = Limits(body=4000, k=5, batch=3, ids=4, text=20, pixels=1000, depth=6, results=6)
ONE = {"text": "fruit"}


def sent(client: Client, path: str, body: bytes | str, **headers: str) -> Any:
    return client.post(path, content=body, headers={**JSON, **headers})


def test_each_limit_and_one_more(start: Callable[..., Client]) -> None:
    client = start(limits=SMALL)
    encoded = [base64.b64encode(picture("red", size)).decode() for size in ((40, 25), (40, 26))]
    for path, good, bad in (
        ("/search", {**ONE, "k": 5}, {**ONE, "k": 6}),
        ("/search", {"text": "fruit" + " " * 15}, {"text": "fruit" + " " * 16}),
        ("/search", {**ONE, "allow": [1, 2, 3, 4]}, {**ONE, "allow": [1, 2, 3, 4, 5]}),
        ("/search", {"image": encoded[0]}, {"image": encoded[1]}),
        ("/search/batch", {"queries": [ONE] * 3, "k": 2}, {"queries": [ONE] * 4, "k": 1}),
        ("/search/batch", {"queries": [ONE] * 3, "k": 2}, {"queries": [ONE] * 3, "k": 3}),
        ("/encode", {"items": [ONE] * 3}, {"items": [ONE] * 4}),
        ("/items", {"items": [{"id": i, **ONE} for i in range(3)]}, {"items": [{"id": i, **ONE} for i in range(4)]}),
        ("/items/batch/get", {"ids": [1, 2, 3]}, {"ids": [1, 2, 3, 4]}),
        ("/items/batch/delete", {"ids": [1, 2, 3]}, {"ids": [1, 2, 3, 4]}),
        ("/recommend", {"user": 1, "k": 5}, {"user": 1, "k": 6}),
    ):
        assert client.post(path, json=good).status_code == 200, (path, good)
        is_problem(client.post(path, json=bad), 422)


def test_the_body_is_bounded_packed_or_not(start: Callable[..., Client]) -> None:
    client = start(limits=SMALL)
    exact = json.dumps(ONE).ljust(4000).encode()
    assert sent(client, "/search", exact).status_code == 200
    is_problem(sent(client, "/search", exact + b" "), 413)
    for pack, name in ((gzip.compress, "gzip"), (zlib.compress, "deflate")):
        headers = {"content-encoding": name}
        assert sent(client, "/search", pack(exact), **headers).status_code == 200
        is_problem(sent(client, "/search", pack(exact + b" "), **headers), 413)
        is_problem(sent(client, "/search", pack(exact)[:-5], **headers), 400)
        is_problem(sent(client, "/search", pack(exact) + b"x", **headers), 400)
        is_problem(sent(client, "/search", b"\x00" * 50, **headers), 400)
    for name in ("br", "zstd", "gzip, gzip", "x"):
        is_problem(sent(client, "/search", exact, **{"content-encoding": name}), 415)
    is_problem(client.request("POST", "/search", content=(b" " * 100 for _ in range(50)), headers=JSON), 413)


def test_bombs_take_no_memory(client: Client) -> None:
    body = gzip.compress(b" " * 300_000_000)
    deep = b"[" * 4_000_000
    wide = picture_header(50_000, 50_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    is_problem(sent(client, "/search", body, **{"content-encoding": "gzip"}), 413)
    is_problem(sent(client, "/search", deep), 422)
    is_problem(sent(client, "/search", json.dumps({"image": base64.b64encode(wide).decode()})), 422)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_nested_json(start: Callable[..., Client]) -> None:
    client = start(limits=SMALL)
    for body, deep in (
        (b'{"text": "[[[[[[[[[[[[[[[["}', False),
        (b'{"text": "\\"[[[[[[[[[["}', False),
        (b"[" * 7, True),
    ):
        answer = sent(client, "/search", body)
        assert ("nested" in answer.text) == deep and answer.status_code == 422
    check_depth(b"[[]]" * 100, 2)
    with pytest.raises(Problem, match="nested"):
        check_depth(b'{"a": [[]]}', 2)


def test_depth_is_counted_in_time() -> None:
    for hostile in (b'"' + b"\\" * 8_000_000, b'"' * 8_000_000, b'"a' * 4_000_000, b"[]" * 4_000_000):
        started = time.process_time()
        check_depth(hostile, 12)
        assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "body",
    [
        '{"views": {"text": [NaN]}}', '{"views": {"text": [Infinity]}}', '{"views": {"text": [-Infinity]}}',
        '{"views": {"text": [1e999]}}', '{"views": {"text": [1e300]}}', '{"views": {"text": ["1"]}}',
        '{"views": {"text": [true]}}', '{"views": {"text": []}}', '{"views": {"nothing": [1]}}', '{"views": {"": [1]}}',
        '{"views": {}}', '{"views": {"text": [1, 2]}}', '{"views": {"text": [[1]]}}', '{"views": 3}', "{}", "[]",
        "null", "", "{", '{"text": "fruit", "k": 0}', '{"text": "fruit", "k": -1}', '{"text": 1}',
        '{"text": "fruit", "k": 1.5}',
        '{"text": "fruit", "k": true}', '{"text": "fruit", "k": "3"}', '{"text": "fruit", "k": 1e400}',
        '{"text": "fruit", "other": 1}', '{"text": ""}', '{"text": "qqqqxxxzzz"}', '{"text": "\\ud800"}',
        '{"image": ""}', '{"image": "é"}', '{"image": "AAAA"}', '{"image": "A"}', 
        '{"text": "fruit", "k": ' + "9" * 5000 + "}",
        '{"views": {"text": [-0.0]}}', "\ufeff{}", '{"text": "fruit"} x', '{"text": null, "image": null}',
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(client: Client, body: str) -> None:
    is_problem(sent(client, "/search", body.encode()), 422)


def test_bytes_that_are_no_text(client: Client) -> None:
    is_problem(sent(client, "/search", b'{"text": "\xff\xfe"}'), 422)
    is_problem(sent(client, "/search", b"\x00" * 100), 422)


def test_minus_zero_and_zeros_are_data(client: Client) -> None:
    width = client.app.state.service.served.shelf.collection.hasher.widths_["text"]
    zeros, minus = ([value] * width for value in (0.0, -0.0))
    answers = [client.post("/search", json={"views": {"text": row}}).json()["hits"] for row in (zeros, minus)]
    assert answers[0] == answers[1] and len(answers[0]) == 10
    assert client.post("/search", json={"views": {"text": [1e18] * width}}).status_code == 200
    assert client.post("/search", json={"views": {"text": [1e-320] * width}}).status_code == 200


def test_what_is_no_json(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        is_problem(client.post("/items", content=b"{}", headers={"content-type": kind}), 415)
    is_problem(client.post("/search", content=b"--x", headers={"content-type": "multipart/form-data; boundary=y"}), 422)
    is_problem(client.post("/search", content=b"--x", headers={"content-type": "multipart/form-data"}), 422)


def test_other_methods_and_addresses(client: Client) -> None:
    is_problem(client.get("/search"), 405)
    is_problem(client.request("BREW", "/search"), 405)
    for path in ("/nothing", "/items/1/../../etc", "/items/%2e%2e/picture/x", "/items/..%2f..%2fetc/picture"):
        assert client.get(path).status_code in (404, 422)


def test_too_many_at_once(start: Callable[..., Client]) -> None:
    client = start(concurrency=2)
    state = client.app.state.service
    state.counters.in_flight = 2
    answer = client.post("/search", json=ONE)
    is_problem(answer, 429)
    assert answer.headers["retry-after"] == "1" and client.get("/health").status_code == 200
    state.counters.in_flight = 0
    assert client.post("/search", json=ONE).status_code == 200
    assert state.counters.in_flight == 0


def test_requests_in_flight_are_counted_down_whatever_happens(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    state = client.app.state.service
    for body in (b"{", b'{"text": "qqqqxxxzzz"}', b" " * 9_000_000):
        sent(client, "/search", body)
    monkeypatch.setattr(state.served.shelf, "search", lambda *_: 1 / 0)
    is_problem(client.post("/search", json=ONE), 500)
    assert state.counters.in_flight == 0


def test_searches_run_in_a_bounded_pool(start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(threads=2)
    client.app.state.service.served.shelf.is_quick = False
    state, running, most = client.app.state.service, [0], [0]
    lock, search = threading.Lock(), state.served.shelf.search

    def slow(*args: Any) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return search(*args)

    monkeypatch.setattr(state.served.shelf, "search", slow)
    threads = [threading.Thread(target=client.post, args=("/search",), kwargs={"json": ONE}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2


def test_short_searches_are_not_handed_over(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, threads = client.app.state.service.served.shelf, []
    search = shelf.search

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return search(*args)

    def pooled(**query: Any) -> bool:
        assert client.post("/search", json=query).status_code == 200
        return "worker" in threads[-1]

    monkeypatch.setattr(shelf, "search", noted)
    shelf.is_quick = True
    assert not pooled(text="fruit") and pooled(text="fruit", k=101) and pooled(text="fruit", allow=[1])
    image = base64.b64encode(picture()).decode()
    assert pooled(image=image) and pooled(image=image, text="fruit")  # few bytes may be many pixels
    shelf.is_quick = False
    assert pooled(text="fruit")


def test_searches_are_measured_again_where_items_have_doubled(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = client.app.state.service.served.shelf
    assert shelf._measured == 160
    for quick, seconds in ((True, 1e9), (False, 0.0)):
        monkeypatch.setattr("modalhash.service.shelf.QUICK", seconds)
        n = 2 * shelf._measured + 1 - len(shelf)
        items = [{"id": 10_000 + len(shelf) + i, "code": "00000000"} for i in range(n)]
        assert client.post("/items", json={"items": items}).status_code == 200
        assert shelf.is_quick == quick and shelf._measured == len(shelf)


def picture_header(width: int, height: int) -> bytes:
    """A PNG that says it is large."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\x00" * 100)
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (chunk, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_pictures_are_refused_before_they_are_decoded() -> None:
    check_picture(picture(size=(5000, 5000)), 25_000_000)
    for size in ((5001, 5000), (12_000, 12_000), (20_000, 20_000)):
        with pytest.raises(Problem, match="more than"):
            check_picture(picture_header(*size), 25_000_000)
        with pytest.raises(Problem, match="more than"):
            picture_to_show(picture_header(*size), 25_000_000)


def test_only_three_formats_are_read() -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        check_picture(picture(kind=kind), 1000)
        assert picture_to_show(picture(kind=kind), 1000)
    for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO", "JPEG2000", "TGA"):
        with pytest.raises(Problem, match="no readable"):
            check_picture(picture(kind=kind), 1000)
    with pytest.raises(Problem, match="no readable"):
        check_picture(b"<svg xmlns='http://www.w3.org/2000/svg'/>", 1000)
    with pytest.raises(Problem, match="decoded"):
        picture_to_show(picture("red", (500, 500), "JPEG")[:700], 1_000_000)


def test_unpacked_stops_at_the_limit() -> None:
    assert unpacked(gzip.compress(b"x" * 10), 31, 10) == b"x" * 10
    with pytest.raises(Problem, match="more than 9"):
        unpacked(gzip.compress(b"x" * 10), 31, 9)


def test_names() -> None:
    for good in ("a", "0", "a-b_c", "a" * 64):
        assert check_name("name", good) == good
    for bad in ("", "-a", "_", ".", "..", "a.b", "a/b", "a\\b", "A", "é", "a\n", "a\x00", "a" * 65, "‥"):
        with pytest.raises(ValueError, match="name"):
            check_name("name", bad)
