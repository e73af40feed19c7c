"""What routes answer: as the library, with versions, and every write in the audit."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_place import Place, is_problem, picture

from modalhash.catalog import load
from modalhash.collection import Collection
from modalhash.index.store import StoreLocked

Client = Any
SCRIPT = "<script>alert(1)</script>"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_health_and_ready(client: Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    told = client.get("/ready").json()
    assert told["status"] == "ready" and told["items"] == 160 and told["recommender"] is True


def test_what_is_not_loaded_says_so(start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    monkeypatch.setattr(client.app.state.service, "_served", None)
    assert client.get("/health").status_code == 200
    for answer in (client.get("/ready"), client.post("/search", json={"text": "fruit"})):
        is_problem(answer, 503)
        assert answer.headers["retry-after"] == "1"


def test_search_is_that_of_the_library(client: Client, place: Place) -> None:
    with_library = Collection.open(place.collection)
    data = picture("blue")
    views = {"text": with_library.features["text"].transform(["seas old"])}
    vectors = {name: matrix[0].tolist() for name, matrix in views.items()}
    for asked, given in (
        ({"text": "fruit"}, {"text": "fruit"}),
        ({"image": encoded(data)}, {"image": data}),
        ({"text": "fruit", "image": encoded(data)}, {"text": "fruit", "image": data}),
        ({"views": vectors}, {"views": views}),
        ({"views": vectors, "image": encoded(data)}, {"views": views, "image": data}),
    ):
        expected = with_library.search(**given, k=7)
        answer = client.post("/search", json={**asked, "k": 7})
        hits = answer.json()["hits"]
        assert [hit["id"] for hit in hits] == expected.ids[0].tolist()
        assert [hit["distance"] for hit in hits] == expected.distances[0].tolist()
        assert [[hit["title"] for hit in hits]] == with_library.titles(expected)


def test_a_picture_is_uploaded(client: Client) -> None:
    data = picture("green", kind="WEBP")
    form = {"k": "3", "text": ""}  # an empty field is no word
    uploaded = client.post("/search", data=form, files={"image": ("a.webp", data, "image/webp")})
    assert uploaded.json()["hits"] == client.post("/search", json={"image": encoded(data), "k": 3}).json()["hits"]
    both = client.post("/search", data={"text": "fruit"}, files={"image": ("a", data)}).json()["hits"]
    assert both == client.post("/search", json={"text": "fruit", "image": encoded(data)}).json()["hits"]
    is_problem(client.post("/search", data={"text": "fruit", "image": "no file"}, files={"x": b""}), 422)
    is_problem(client.post("/search", data={"k": "1e3"}, files={"image": ("a", data)}), 422)
    is_problem(client.post("/search", files={f"f{i}": b"" for i in range(9)}), 422)


def test_a_filter_lets_some_items_through(client: Client) -> None:
    hits = client.post("/search", json={"text": "fruit", "allow": [5, 1, 5, 9]}).json()["hits"]
    assert sorted(hit["id"] for hit in hits) == [1, 5, 9]
    assert client.post("/search", json={"text": "fruit", "allow": []}).json()["hits"] == []
    is_problem(client.post("/search", json={"text": "fruit", "allow": [10**6]}), 422)
    is_problem(client.post("/search", json={"text": "fruit", "allow": ["1"]}), 422)
    is_problem(client.post("/search", json={"text": "fruit", "allow": [1, "1"]}), 422)


def test_many_queries_are_answered_as_one_by_one(client: Client) -> None:
    queries = [{"text": "fruit"}, {"text": "seas"}, {"image": encoded(picture("orange"))}]
    told = client.post("/search/batch", json={"queries": queries, "k": 4}).json()["results"]
    assert told == [client.post("/search", json={**query, "k": 4}).json()["hits"] for query in queries]


def test_codes_go_out_and_come_back(client: Client) -> None:
    told = client.post("/encode", json={"items": [{"text": "fruit"}, {"text": "seas"}], "role": "query"}).json()
    assert told["n_bits"] == 32 and [len(code) for code in told["codes"]] == [8, 8] and told["vectors"] is None
    by_code = client.post("/search", json={"code": told["codes"][0], "k": 5}).json()["hits"]
    assert by_code == client.post("/search", json={"text": "fruit", "k": 5}).json()["hits"]
    for code in ("ab", told["codes"][0] + "00", "ABCDEF01", "xyzw0011", "abc", ""):
        is_problem(client.post("/search", json={"code": code}), 422)
    is_problem(client.post("/search", json={"code": told["codes"][0], "text": "fruit"}), 422)
    is_problem(client.post("/search", json={"vector": [1.0, 2.0]}), 422)  # a collection of binary codes


def test_an_item_is_stored_found_replaced_and_removed(client: Client) -> None:
    before = client.get("/ready").json()["versions"]["store"]
    new = {"id": 1000, "title": "a boat", "text": "seas boat", "image": encoded(picture("blue", (600, 300)))}
    told = client.post("/items", json={"items": [new]}).json()
    assert told["count"] == 1 and told["versions"]["store"] == before + 1
    item = client.get("/items/1000").json()["item"]
    assert item["title"] == "a boat" and item["picture"] == "/items/1000/picture"
    shown = client.get(item["picture"])
    assert shown.headers["content-type"] == "image/jpeg" and len(shown.content) < 10_000
    hits = client.post("/search", json={"code": item["code"], "k": 160}).json()["hits"]
    near = [hit["id"] for hit in hits if hit["distance"] == 0]
    assert near[-1] == 1000  # ties in order of insertion
    client.post("/items", json={"items": [{"id": 1000, "text": "fruit"}, {"id": 1001, "text": "fields"}]})
    replaced = client.get("/items/1000").json()["item"]
    assert replaced["title"] == "fruit" and replaced["picture"] is None
    is_problem(client.get("/items/1000/picture"), 404)
    many = client.post("/items/batch/get", json={"ids": [1001, 7777, 1000]}).json()
    assert [item["id"] for item in many["items"]] == [1001, 1000] and many["absent"] == [7777]
    assert client.delete("/items/1000").json()["count"] == 1
    is_problem(client.delete("/items/1000"), 404)
    assert client.post("/items/batch/delete", json={"ids": [1001, 1000, 1001]}).json()["count"] == 1
    assert client.get("/ready").json()["items"] == 160
    hits = client.post("/search", json={"text": "fruit", "k": 200}).json()["hits"]
    assert len(hits) == 160 and not {1000, 1001} & {hit["id"] for hit in hits}


def test_a_write_is_whole_or_nothing(client: Client) -> None:
    before = client.get("/ready").json()["versions"]
    good = {"id": 2000, "text": "fruit"}
    for bad in (
        {"id": 2001},
        {"id": "2001", "text": "seas"},
        {"id": 2000, "text": "seas"},
        {"id": 2001, "image": "AAAA"},
    ):
        is_problem(client.post("/items", json={"items": [good, bad]}), 422)
    is_problem(client.get("/items/2000"), 404)
    assert client.get("/ready").json()["versions"] == before


def test_a_stored_script_comes_back_as_data(client: Client) -> None:
    client.post("/items", json={"items": [{"id": 3000, "title": SCRIPT, "text": "fruit"}]})
    for answer in (client.get("/items/3000"), client.post("/search", json={"text": "fruit", "k": 200})):
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert SCRIPT in json.dumps(answer.json())


def test_pictures_are_stored_without_what_stands_beside_them(client: Client) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010E] = "where I live"
    data = picture("red", kind="JPEG", exif=exif, comment=b"my street") + b"<script>alert(1)</script>"
    assert b"where I live" in data
    client.post("/items", json={"items": [{"id": 3001, "image": encoded(data)}]})
    shown = client.get("/items/3001/picture").content
    assert not any(words in shown for words in (b"where I live", b"my street", b"script"))


def test_ids_at_the_edges(client: Client) -> None:
    for id_ in (2**63 - 1, -(2**63), 0, -1):
        assert client.post("/items", json={"items": [{"id": id_, "text": "fruit"}]}).status_code == 200
        assert client.get(f"/items/{id_}").json()["item"]["id"] == id_
        assert client.delete(f"/items/{id_}").status_code == 200
    odds: list[Any] = [2**63, -(2**63) - 1, 1.5, True, None, [], {}, "", "a\x00", "x" * 257, 1e400]
    for odd in odds:
        answer = client.post(
            "/items",
            content=json.dumps({"items": [{"id": odd, "text": "fruit"}]}),
            headers={"content-type": "application/json"},
        )
        is_problem(answer, 422)
    for odd in ("x", "1.0", "９", "9" * 30, "-", "+1", "0x1", "1e3"):
        is_problem(client.get(f"/items/{odd}"), 422)
    is_problem(client.get(f"/items/{2**63 + 5}"), 404)


def test_every_write_leaves_a_line(start: Callable[..., Client], place: Place, tmp_path: Path) -> None:
    client = start(key_file=place.key_file, rate=0, audit_file=tmp_path / "audit", snapshots=tmp_path / "snapshots")
    headers = place.bearer("writer")
    client.post("/items", headers=headers, json={"items": [{"id": 1, "text": "fruit"}]})
    client.post("/items", headers=headers, json={"items": [{"id": 1, "text": "\n\n"}]})
    client.post("/items/batch/delete", headers=headers, json={"ids": list(range(50))})
    client.delete("/items/100", headers=headers)
    client.post("/search", headers=headers, json={"text": "fruit"})
    client.post("/snapshots", headers=place.bearer("boss"), json={"name": "first"})
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["who"], line["action"], line["count"], line["outcome"]) for line in lines] == [
        ("writer", "upsert", 1, "done"),
        ("writer", "upsert", 1, "refused 422"),
        ("writer", "delete", 50, "done"),
        ("writer", "delete", 1, "done"),
        ("boss", "snapshot", 1, "done"),
    ]
    assert lines[2]["ids"] == list(range(20)) and all(line["time"].endswith("+00:00") for line in lines)


def test_a_snapshot_is_a_collection(start: Callable[..., Client], tmp_path: Path) -> None:
    client = start(snapshots=tmp_path / "s")
    client.delete("/items/3")
    assert client.post("/snapshots", json={"name": "one"}).json()["count"] == 159
    assert len(Collection.open(tmp_path / "s" / "one")) == 159
    is_problem(client.post("/snapshots", json={"name": "one"}), 422)
    for name in ("../two", "/etc", "a/b", "..", ".", "", "A", "a\x00", "a\\b", "%2e%2e", "․․", "x" * 65):
        is_problem(client.post("/snapshots", json={"name": name}), 422)
    (tmp_path / "s" / "link").symlink_to(tmp_path)
    is_problem(client.post("/snapshots", json={"name": "link"}), 422)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["link", "one"]


def test_snapshots_are_off_by_default(client: Client) -> None:
    is_problem(client.post("/snapshots", json={"name": "one"}), 404)


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(28, "full"), 507), (OSError(5, "EIO"), 507), (PermissionError(13, "ro"), 507), (StoreLocked("x"), 503)],
)
def test_a_disk_that_fails(client: Client, monkeypatch: pytest.MonkeyPatch, error: OSError, status: int) -> None:
    shelf = client.app.state.service.served.shelf

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(shelf.collection.store, "upsert", fail)
        is_problem(client.post("/items", json={"items": [{"id": 5000, "text": "fruit"}]}), status)
    is_problem(client.get("/items/5000"), 404)
    assert client.post("/items", json={"items": [{"id": 5000, "text": "fruit"}]}).status_code == 200


def test_recommendations_and_reasons_are_those_of_the_library(client: Client, place: Place) -> None:
    model = load(place.recommender)
    expected = model.recommend(3, 4)
    told = client.post("/recommend", json={"user": 3, "k": 4}).json()
    assert [hit["id"] for hit in told["hits"]] == expected.ids[0].tolist() and all(h["title"] for h in told["hits"])
    seen = client.post("/recommend", json={"user": 3, "k": 160, "exclude_seen": False}).json()["hits"]
    assert len(seen) == 160
    item = expected.ids[0].tolist()[0]
    why, found = client.post("/explain", json={"user": 3, "item": item}).json(), model.explain(3, item)
    assert why["score"] == found.score and why["bits"] == found.bits.tolist()
    assert [ground["text"] for ground in why["grounded"]] == [ground.text for ground in found.grounded]
    for asked in ({"user": 10**6, "item": item}, {"user": "3", "item": item}, {"user": 3, "item": -1}):
        is_problem(client.post("/explain", json=asked), 404)
    is_problem(client.post("/recommend", json={"user": 10**6}), 404)


def test_without_a_recommender(start: Callable[..., Client]) -> None:
    client = start(recommender=None)
    assert client.get("/ready").json()["recommender"] is False
    for path, asked in (("/recommend", {"user": 1}), ("/explain", {"user": 1, "item": 1})):
        assert "--recommender" in is_problem(client.post(path, json=asked), 404)["detail"]


def test_versions_are_in_every_answer(client: Client) -> None:
    before = client.post("/items", json={"items": [{"id": 1, "text": "fruit"}]}).json()["versions"]
    answers = [
        client.get("/ready"),
        client.get("/items/1"),
        client.post("/items/batch/get", json={"ids": [1]}),
        client.post("/search", json={"text": "fruit"}),
        client.post("/search/batch", json={"queries": [{"text": "fruit"}]}),
        client.post("/encode", json={"items": [{"text": "fruit"}]}),
        client.post("/recommend", json={"user": 3}),
        client.post("/explain", json={"user": 3, "item": 1}),
        client.delete("/items/1"),
    ]
    for answer in answers[:-1]:
        versions = answer.json()["versions"]
        assert versions == before and len(versions["model"]) == 16
        assert answer.headers["modalhash-model"] == versions["model"] and answer.headers["modalhash-store"] == str(
            before["store"]
        )
    assert answers[-1].json()["versions"]["store"] == before["store"] + 1


def test_every_status_is_documented(client: Client) -> None:
    document = client.get("/openapi.json").json()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert {"200", "401", "403", "413", "415", "422", "429", "500", "503"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                if status != "200":
                    assert list(answer["content"]) == ["application/problem+json"]
    assert document["info"]["x-limits"]["k"] == 1000
