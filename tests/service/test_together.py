"""Searches beside writes, and two services beside each other."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from service_place import Place
from service_process import serving

Client = Any
CODE = "00000000"


def test_searches_beside_writes_are_whole_and_in_order(client: Client) -> None:
    """A found item was there: not deleted before the search began, its code that of its title, in order of distance."""
    codes = ["00000000", "00000001", "00000003", "00000007"]
    gone: set[int] = set()
    stop, wrong = threading.Event(), []

    def write() -> None:
        for number in range(60):
            ids = [20_000 + 4 * number + i for i in range(4)]
            items = [{"id": id_, "title": codes[i], "code": codes[i]} for i, id_ in enumerate(ids)]
            assert client.post("/items", json={"items": items}).json()["count"] == 4
            turned = [{**item, "title": codes[3 - i], "code": codes[3 - i]} for i, item in enumerate(items)]
            assert client.post("/items", json={"items": turned}).json()["count"] == 4
            assert client.post("/items/batch/delete", json={"ids": ids[:3]}).json()["count"] == 3
            gone.update(ids[:3])
        stop.set()

    def read() -> None:
        searches = 0
        while not stop.is_set() or searches < 5:
            searches += 1
            before = set(gone)
            hits = client.post("/search", json={"code": CODE, "k": 25}).json()["hits"]
            distances = [hit["distance"] for hit in hits]
            if len(hits) > 25 or distances != sorted(distances) or before & {hit["id"] for hit in hits}:
                wrong.append(hits)
            torn = [hit for hit in hits if hit["id"] >= 20_000 and hit["title"] not in codes]
            if torn:
                wrong.append(torn)

    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(gone) == 180 and not wrong, wrong[:1]
    assert client.get("/ready").json()["items"] == 160 + 60


def test_what_goes_away_while_a_search_runs_is_not_shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store = client.app.state.service.served.shelf.collection.store
    search, hits = store.search, []

    def slow(*asked: Any) -> Any:
        found = search(*asked)
        hits.append(found.ids[0].tolist())
        store.delete([hits[-1][0]])
        return found

    monkeypatch.setattr(store, "search", slow)
    shown = [hit["id"] for hit in client.post("/search", json={"code": CODE, "k": 5}).json()["hits"]]
    assert len(hits) == 3 and shown == hits[-1][1:]


def test_a_second_service_reads_and_does_not_write(place: Place) -> None:
    item = {"items": [{"id": 1, "text": "fruit", "title": "new"}]}
    with serving(str(place.collection)) as first, serving(str(place.collection)) as second:
        status, told = second.ask("POST", "/items", item)
        assert status == 503 and "another process" in told["detail"]
        assert first.ask("POST", "/items", item)[0] == 200
        assert second.ask("GET", "/items/1")[1]["item"]["title"] == "new"  # and sees what the first writes
        assert first.stop() == 0
        assert second.ask("POST", "/items", item)[0] == 200  # and follows it
        assert second.stop() == 0
        assert "writes will be refused" in second.told
