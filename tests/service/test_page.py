"""The page: what it finds and says, what it escapes, and what it never loads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from service_place import Place, picture

import modalhash as mh
from modalhash.collection import Collection
from pages import Page

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

Client = Any
EVIL = '<script>alert("x")</script> & "quotes"'
PAGES = ("/", "/?q=fruit", "/?item=3", "/?q=fruit&columns=true&k=3", "/?q=zzz", "/for-you", "/for-you?user=3",
         "/for-you?user=x", "/inside", "/inside?item=5", "/inside?bit=7", "/add", "/?item=nothing")  # fmt: skip


def read(client: Client, path: str, status: int = 200) -> Page:
    """A page whose tags balance."""
    answer = client.get(path)
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def found(page: Page) -> list[str]:
    """Ids of the items of a result grid, in order."""
    hrefs = [a["href"] or "" for a in page.all("a") if a.get("class") == "pick"]
    return [re.findall(r"item=([^&]*)", href)[0] for href in hrefs]


def token(client: Client, path: str) -> str:
    page = client.get(path, headers={"accept": "text/html"}).text
    return str(re.findall(r'name="csrf" value="([^"]+)"', page)[0])


def test_words_a_picture_and_both_find_as_the_library_does(client: Client, place: Place) -> None:
    library = Collection.open(place.collection)
    image = picture("blue")

    def expected(**given: Any) -> list[str]:
        return [str(id_) for id_ in library.search(k=5, **given).ids[0].tolist()]

    assert found(read(client, "/?q=fruit+old&k=5")) == expected(text="fruit old")
    for words in ("", "fruit"):
        answer = client.post("/page/search", data={"q": words, "k": 5}, files={"picture": ("a.png", image)})
        given = {"image": image} | ({"text": words} if words else {})
        assert answer.status_code == 200 and found(Page(answer.text)) == expected(**given)
        assert "data:image/" in answer.text and answer.headers["hx-push-url"] == "false"


def test_an_item_searches_with_its_stored_code_and_with_words_by_its_picture(client: Client, place: Place) -> None:
    library = Collection.open(place.collection)
    hits = library.index.search(library.index.codes[7], 6)
    assert found(read(client, "/?item=7&k=6")) == [str(id_) for id_ in hits.ids[0].tolist()]
    both = library.search("fruit", library.show.pictures[7], k=6)
    assert found(read(client, "/?item=7&q=fruit&k=6")) == [str(id_) for id_ in both.ids[0].tolist()]


def test_a_form_without_a_picture_gets_an_address_of_its_own(client: Client) -> None:
    answer = client.post("/page/search", data={"q": " fruit ", "k": 3, "only": "new"}, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/?q=fruit&k=3&only=new"
    assert client.get("/page/search", follow_redirects=False).headers["location"] == "/"


def test_distances_and_agreeing_bits_add_up(client: Client) -> None:
    html = client.get("/?q=fruit&k=9").text
    differ = [int(number) for number in re.findall(r'class="note">(\d+) bits? differs?', html)]
    agree = [int(one) for one in re.findall(r'aria-label="(\d+) of 32 bits agree"', html)]
    assert len(differ) == 9 and [32 - number for number in differ] == agree and differ == sorted(differ)


def test_a_filter_and_how_many(client: Client, place: Place) -> None:
    library = Collection.open(place.collection)
    page = read(client, "/?q=fruit&only=SEAS+far&k=4")
    titles = [library.show.titles[int(id_)] for id_ in found(page)]
    assert len(titles) == 4 and all("seas" in title and "far" in title for title in titles)
    assert found(read(client, "/?q=fruit&only=nowhere")) == []
    client.post("/items", json={"items": [{"id": 990, "title": "Nowhere", "text": "fruit"}]})
    assert found(read(client, "/?q=fruit&only=nowhere")) == ["990"]
    assert len(found(read(client, "/?q=fruit&k=-3"))) == 1


def test_columns_say_why_there_are_no_floats(client: Client) -> None:
    page = read(client, "/?q=fruit&columns=true&k=4")
    assert "keeps codes only, 4 bytes an item, and no floats; the demo keeps both" in page.text
    assert len(found(page)) == 8 and "their bits" in page.text  # codes, and codes rescored against bits


def test_columns_of_floats_where_they_are_kept(client: Client, place: Place) -> None:
    from modalhash.service.page.floats import unit
    from modalhash.service.page.kept import as_shown

    kept = client.app.state.page
    moment = kept.now()
    kept.vectors = {id_: as_shown(moment, i) for i, id_ in enumerate(moment.index.ids.tolist())}
    page = read(client, "/?q=fruit&columns=true&k=4")
    by_floats = found(page)[:4]
    query = unit(moment.hasher.outputs(moment.raw_views("fruit")))[0].astype(np.float64)
    values = np.stack([kept.vectors[id_] for id_ in moment.index.ids.tolist()]).astype(np.float64)
    nearest = np.argsort(1 - (values @ query), kind="stable")[:4]
    assert by_floats == [str(moment.id(int(i))) for i in nearest]
    assert "4 of 4 as with floats" in page.text and "128 bytes an item" in page.text


def test_unknown_words_are_told_not_an_error(client: Client) -> None:
    page = read(client, "/?q=qqqq")
    assert "nothing in this text is known to the collection: 'qqqq'" in page.text and not found(page)
    broken = client.post("/page/search", files={"picture": ("a.png", b"no picture")})
    assert broken.status_code == 200 and "is no readable" in broken.text


def test_refusals_are_pages(client: Client) -> None:
    for path in ("/?item=nothing", "/inside?item=x", "/inside?bit=32"):
        page = read(client, path, 404)
        assert "Sorry" in page.text and "there is no" in page.text
    assert client.get("/page/picture?item=x").status_code == 404 and client.get("/assets/x").status_code == 404


def test_a_page_waits_while_the_collection_is_loaded(place: Place) -> None:
    from starlette.testclient import TestClient

    from modalhash.service.app import create_app
    from modalhash.service.settings import Settings

    client = TestClient(create_app(Settings(collection=str(place.collection))), base_url="http://127.0.0.1")
    page = read(client, "/", 503)
    assert "looks again" in page.text and {"http-equiv": "refresh", "content": "2"} in page.all("meta")


def test_an_item_is_added_found_and_removed(client: Client, place: Place) -> None:
    given = {"title": "seas near 999", "csrf": token(client, "/add")}
    files = {"picture": ("sea.png", picture("blue"), "image/png")}
    answer = client.post("/add", data=given, files=files, follow_redirects=False)
    assert answer.status_code == 303, answer.text[:400]
    page = read(client, answer.headers["location"])
    assert "seas near 999" in page.text and "Nearest codes" in page.text
    id_ = re.findall(r"item=([^&]*)", answer.headers["location"])[0]
    assert found(read(client, "/?q=seas+near&only=999")) == [id_]
    shown = client.get(f"/page/picture?item={id_}")
    assert shown.status_code == 200 and shown.headers["content-type"].startswith("image/")
    gone = client.post("/page/remove", data={"item": id_, "csrf": token(client, f"/inside?item={id_}")},
                       follow_redirects=False)  # fmt: skip
    assert gone.status_code == 303 and client.get(f"/inside?item={id_}").status_code == 404
    assert found(read(client, "/?q=seas+near&only=999")) == []


def test_what_the_page_writes_stands_in_the_audit(start: Any, tmp_path: Path) -> None:
    client = start(audit_file=tmp_path / "audit")
    answer = client.post("/add", data={"title": "seas near 7", "csrf": token(client, "/add")}, follow_redirects=False)
    id_ = re.findall(r"item=([^&]*)", answer.headers["location"])[0]
    client.post("/page/remove", data={"item": id_, "csrf": token(client, f"/inside?item={id_}")})
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["upsert", "delete"]


def test_what_cannot_be_added_is_told(client: Client) -> None:
    for data, files, told in (
        ({"title": ""}, None, "Give the item a title"),
        ({"title": "qqq"}, None, "nothing in this text is known"),
        ({"title": "fruit"}, {"picture": ("a.png", b"junk")}, "is no readable"),
    ):
        answer = client.post("/add", data={**data, "csrf": token(client, "/add")}, files=files)
        assert answer.status_code == 200 and told in answer.text
    picture_alone = {"picture": ("a.png", picture("red"))}
    added = client.post("/add", data={"title": "qqq", "csrf": token(client, "/add")}, files=picture_alone)
    assert "qqq" in added.text and "Nearest codes" in added.text  # the picture has to do


def test_writes_need_the_token_of_the_page(client: Client) -> None:
    assert client.post("/add", data={"title": "fruit new"}).status_code == 403
    assert client.post("/page/remove", data={"item": "3", "csrf": "x"}).status_code == 403
    assert client.get("/page/picture?item=3").status_code == 200


def test_a_stored_script_shows_as_text(client: Client) -> None:
    added = client.post("/add", data={"title": f"fruit {EVIL}", "csrf": token(client, "/add")})
    id_ = re.findall(r"item=(fruit[^&\"]*|\d+)", str(added.url))[0]
    for path in (f"/inside?item={id_}", f"/?item={id_}&k=3", "/?q=fruit&k=96", "/inside", f"/?q={quote(EVIL)}"):
        page = read(client, path)
        assert EVIL in page.text or EVIL in str(page.tags), path
        scripts = [script.get("src") for script in page.all("script")]
        assert scripts == ["/assets/htmx.min.js", "/assets/page.js"], path
    assert not read(client, "/?q=fruit").all("b")  # titles of this collection hold tags, too


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere_and_everything_has_a_name(client: Client, path: str) -> None:
    answer = client.get(path)
    page = Page(answer.text)
    for tag, attributes in page.tags:
        assert "style" not in attributes or tag == "link", f"{tag}: an inline style"
        for name, value in attributes.items():
            assert not name.startswith("on") and not name.startswith("hx-on"), name
            if name in ("src", "href", "action", "poster", "srcset", "hx-get", "hx-post"):
                parts = urlsplit(value or "")
                assert not parts.netloc and parts.scheme in ("", "data"), (tag, name, value)
                assert parts.scheme == "" or (value or "").startswith("data:image/")
    assert all("alt" in image for image in page.all("img"))
    assert all(script.get("src") for script in page.all("script"))
    for kind in ("input", "select", "textarea"):
        for field in page.all(kind):
            assert field.get("type") == "hidden" or field.get("aria-label") or labelled(answer.text, field), field
    ids = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(page.all("h1")) == 1 and page.all("html")[0].get("lang") == "en" and page.all("title")


def labelled(html: str, field: dict[str, str | None]) -> bool:
    """Whether a field stands in a label, or one names it."""
    if field.get("id") and f'for="{field["id"]}"' in html:
        return True
    return any(f'name="{field.get("name")}"' in inside for inside in re.findall(r"<label[^>]*>.*?</label>", html, re.S))


def test_the_policy_allows_own_files_only(client: Client) -> None:
    for path in (*PAGES, "/assets/page.js", "/page/map", "/page/picture?item=3"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript"), ("icon.svg", "image/svg+xml")):
        assert client.get(f"/assets/{name}").headers["content-type"].startswith(kind)
    for name in ("page.css", "page.js"):
        assert "http" not in client.get(f"/assets/{name}").text


def test_recommendations_of_any_recommender_with_reasons(client: Client) -> None:
    from modalhash.cli_recommend import open_recommender

    model, _ = open_recommender(client.app.state.service.settings.recommender)
    page = read(client, "/for-you?user=3&k=5")
    html = client.get("/for-you?user=3&k=5").text
    assert html.count('<li class="reason') == 5 and "imulated" not in html
    first = model.recommend(3, 5).ids[0].tolist()[0]
    share = model.explain(3, first).grounded[0].share
    assert f"{share:.0%}" in page.text and "of 16 bits agree" in page.text and "ratings" in page.text
    assert f"/page/recommended?item={first}" in html
    assert client.get(f"/page/recommended?item={first}").headers["content-type"] == "image/png"
    assert "There is no user x" in read(client, "/for-you?user=x").text


def test_what_is_written_and_what_is_quoted_are_marked(start: Callable[..., Client], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import scipy.sparse as sp

    from modalhash.cli_recommend import save_with_titles

    rows = [(user, item) for user in range(8) for item in range(4) if user % 4 != item]
    users, items = (list(column) for column in zip(*rows, strict=True))
    texts = [f"User {user} likes the <b>warm</b> tone. Thing {item} is fine." for user, item in rows]
    ratings = sp.csr_array(([5.0] * len(rows), (users, items)), shape=(8, 4))
    model = mh.EDCF(n_bits=8, epochs=20, random_state=0).fit(ratings, reviews=(users, items, texts))
    save_with_titles(model, tmp_path / "edcf", None)
    client = start(recommender=tmp_path / "edcf")
    html, why = client.get("/for-you?user=1&k=1").text, model.explain(1, 1)
    said = [ground for ground in why.grounded if ground.quoted]
    assert len(said) == html.count("<blockquote") == 2 and "<b>warm" not in html
    assert html.count("quoted from reviews") == 1 and html.count("written by the model, nobody said so") == 1
    text = read(client, "/for-you?user=1&k=1").text
    assert why.generated and why.generated in text
    assert all(text.count(ground.text) == 1 and f"“{ground.text}”" in text for ground in said)
    assert all(ground.source in text for ground in said)


def test_simulated_users_are_marked_as_such(client: Client, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from coloured_pictures import coloured_pictures
    from modalhash.demo import simulated
    from modalhash.service.page import audience

    source, taste = simulated.simulate(0, 60, coloured_pictures())
    monkeypatch.setattr(audience, "simulate", lambda _: (source, taste))
    served = client.app.state.service.served
    made = audience.simulated_audience(served.recommender, served.titles)
    assert made is not None and made.told.simulated
    client.app.state.page._audience.get(lambda: made)
    text = read(client, "/for-you").text
    assert "These 60 people do not exist" in text and f"likes {taste.of(0)}" in text and "rated 5" in text


def test_a_service_without_a_recommender_says_so(start: Callable[..., Client]) -> None:
    assert "No recommender is served here" in read(start(recommender=None), "/for-you").text


def test_the_inspector_lists_every_item_and_every_bit(client: Client, place: Place) -> None:
    html = client.get("/inside").text
    assert html.count('h1v1h-1z"') == 160 and html.count('aria-label="Bit ') == 32
    listed = html[html.index('class="regions"') : html.index('id="bits"')]
    assert sorted(int(one) for one in re.findall(r"item=(\d+)", listed)) == list(range(160))
    links = re.findall(r"<a href=\"/inside\?item=\d+\"[^>]*>", html[: html.index('class="regions"')])
    assert len(links) == 160 and all('tabindex="-1"' in one for one in links)  # the list is for the keyboard
    assert client.get("/page/map").headers["content-type"] == "image/webp"


def test_plots_of_a_report(start: Callable[..., Client], tmp_path: Path) -> None:
    (tmp_path / "report" / "figures").mkdir(parents=True)
    (tmp_path / "report" / "figures" / "recall.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "report" / "secret.txt").write_text("no")
    client = start(report=tmp_path / "report")
    assert "The last report" in read(client, "/inside").text
    plot = client.get("/page/plot?name=recall")
    assert plot.headers["content-type"] == "image/svg+xml" and "sandbox" in plot.headers["content-security-policy"]
    for name in ("secret", "../secret.txt", "figures/recall", ""):
        assert client.get("/page/plot", params={"name": name}).status_code == 404


def test_keys_guard_the_page(keyed: Client, place: Place) -> None:
    assert keyed.get("/", follow_redirects=False).status_code == 401
    reader = place.bearer("reader")
    assert keyed.get("/?q=fruit", headers=reader).status_code == 200
    assert keyed.post("/page/search", data={"q": "fruit"}, headers=reader).status_code == 200
    assert keyed.post("/add", data={"title": "fruit"}, headers=reader).status_code == 403
