"""The page in a real browser: what a visitor does, that nothing leaves the machine, and that everyone can use it.

MODALHASH_AXE names axe-core's axe.min.js for the check of accessibility; MODALHASH_SCREENSHOTS a folder for pictures
of the demo's pages (else they go to a temporary one).
"""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from service_place import write_place
from service_process import Process, serving

from coloured_pictures import coloured_pictures

api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("Chromium is not installed", allow_module_level=True)

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync")  # fmt: skip
AXE = os.environ.get("MODALHASH_AXE", "")
SECONDS = 90_000  # milliseconds that a step may take on a busy machine
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service over a small collection, with a recommender."""
    made = write_place(tmp_path_factory.mktemp("browsed"), coloured_pictures())
    with serving(str(made.collection), "--recommender", str(made.recommender)) as process:
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium without a screen and without a past."""
    with warnings.catch_warnings(), api.sync_playwright() as play:
        warnings.simplefilter("ignore")
        made = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield made
        made.close()


@pytest.fixture
def visit(browser: Any, service: Process) -> Iterator[Visit]:
    """Opens pages; at the end none may have told of an error or asked another machine."""
    contexts, told, asked = [], [], []

    def begin(path: str, url: str = service.url, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "response", lambda answer: told.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        page.goto(url + path)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert told == []
    elsewhere = [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:"))]
    assert asked and elsewhere == []


def striped(colour: str) -> dict[str, Any]:
    """A picture as a visitor would choose it."""
    stream = io.BytesIO()
    image = Image.new("RGB", (24, 24), "white")
    image.paste(colour, (0, 0, 14, 24))
    image.save(stream, "PNG")
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": stream.getvalue()}


def names(page: Any) -> list[str]:
    return list(page.locator("#answer .name").all_inner_texts())


def test_words_find_and_the_address_can_be_shared(visit: Visit) -> None:
    page = visit("/")
    page.get_by_label("Words to search with").fill("fruit")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="“fruit”").wait_for()
    assert page.url.endswith("/?q=fruit&k=24") and len(names(page)) == 24
    assert all("fruit" in name for name in names(page)[:5])
    assert "24 nearest of 160" in page.get_by_role("status").inner_text()
    again = visit(page.url.removeprefix(page.url.split("/?")[0]))
    assert names(again) == names(page)
    page.locator("select[name=k]").select_option("12")  # options count at once
    page.wait_for_url("**/?q=fruit&k=12")
    page.wait_for_function("document.querySelectorAll('#answer .name').length === 12")
    page.locator("#answer .pick").first.click()
    page.get_by_role("heading", name="Like:").wait_for()
    page.go_back()
    page.get_by_role("heading", name="“fruit”").wait_for()


def test_a_picture_finds_alone_and_with_words(visit: Visit) -> None:
    page = visit("/")
    page.locator("input[type=file]").set_input_files(striped("blue"))
    page.get_by_role("heading", name="Like this picture").wait_for()
    assert sum("seas" in name for name in names(page)[:8]) >= 6
    assert page.locator(".drop .preview").is_visible() and page.locator(".drop .told").inner_text() == "blue.png"
    page.get_by_label("Words to search with").fill("fruit")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="“fruit” and this picture").wait_for()


def test_a_picture_is_dropped(visit: Visit) -> None:
    page = visit("/")
    page.evaluate(
        """async (bytes) => {
          const held = new DataTransfer();
          held.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
          const drop = document.querySelector(".drop");
          drop.dispatchEvent(new DragEvent("dragover", { dataTransfer: held, bubbles: true, cancelable: true }));
          drop.dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true, cancelable: true }));
        }""",
        list(striped("red")["buffer"]),
    )
    page.get_by_role("heading", name="Like this picture").wait_for()
    assert sum("fruit" in name for name in names(page)[:8]) >= 6


def test_columns_side_by_side(visit: Visit) -> None:
    page = visit("/?q=fruit&k=12")
    page.get_by_label("compare with floats").check()
    page.locator(".column >> nth=2").wait_for()
    assert page.locator(".column h3").all_inner_texts() == ["float", "code", "code + rescoring"]


def test_an_item_is_added_found_and_removed(visit: Visit) -> None:
    page = visit("/add")
    page.get_by_label("Title").fill("seas small 4711")
    page.locator("input[type=file]").set_input_files(striped("blue"))
    page.get_by_role("button", name="Add it").click()
    page.get_by_role("heading", name="seas small 4711").wait_for()
    assert page.locator("#chosen img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 24
    finder = visit("/?q=seas+small&only=4711")
    assert names(finder) == ["seas small 4711"]
    page.get_by_text("Remove this item").click()
    page.get_by_role("button", name="Remove seas small 4711").click()
    page.wait_for_url("**/?removed=1")
    assert names(visit("/?q=seas+small&only=4711")) == []


def test_a_stored_script_is_text(visit: Visit, service: Process) -> None:
    title = "<script>document.title = 'mine'</script> 4712"
    item = {"id": 4712, "title": title, "text": "seas small"}
    assert service.ask("POST", "/items", {"items": [item]})[0] == 200
    for path in ("/?q=seas+small&only=4712", "/inside?item=4712"):
        page = visit(path)
        assert title in page.inner_text("main") and page.title() != "mine"
    assert service.ask("DELETE", "/items/4712")[0] == 200


def test_recommended_and_explained(visit: Visit) -> None:
    page = visit("/for-you")
    page.get_by_label("Or any user by id").fill("7")
    page.get_by_role("button", name="Recommend").click()
    page.get_by_role("heading", name="User 7").wait_for()
    assert page.url.endswith("user=7") and page.locator(".reason").count() == 12
    page.locator(".reason summary").first.click()
    assert "shared bits" in page.locator(".reason dl").first.inner_text()
    assert "of 16 bits agree" in page.locator(".reason .why").first.inner_text()


def test_a_look_inside(visit: Visit) -> None:
    page = visit("/inside")
    place = page.locator(".map a").nth(20)
    place.hover(force=True)
    page.locator(".glance img").wait_for()
    told = page.locator(".glance span").inner_text()
    place.click(force=True)
    page.locator("#chosen").get_by_role("heading", name=told, exact=True).wait_for()
    assert page.locator("#chosen .near li").count() == 12 and "/inside?item=" in page.url
    page.locator(".balance a").nth(5).click()
    page.get_by_role("heading", name="What does bit 5 mean?").wait_for()
    page.get_by_text("The same map as a list").click()
    assert page.locator(".regions details").count() >= 4


def test_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("fields")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="“fields”").wait_for()
    page.locator("#answer .pick").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Like:").wait_for()


def test_without_scripts(visit: Visit) -> None:
    page = visit("/", java_script_enabled=False)
    page.get_by_label("Words to search with").fill("lights")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="“lights”").wait_for()
    page.locator("input[type=file]").set_input_files(striped("orange"))
    page.get_by_role("button", name="Search").click()
    page.get_by_role("heading", name="“lights” and this picture").wait_for()
    page = visit("/inside", java_script_enabled=False)
    page.get_by_text("The same map as a list").click()
    page.locator(".regions details summary").first.click()
    page.locator(".regions li a").first.click()
    page.get_by_role("heading", name="Nearest codes").wait_for()


@pytest.mark.parametrize("path", ["/?q=fruit", "/?q=fruit&columns=true", "/for-you", "/inside?item=3", "/add"])
def test_nothing_is_wider_than_a_phone(visit: Visit, path: str) -> None:
    page = visit(path, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.skipif(not Path(AXE).is_file(), reason="MODALHASH_AXE names no axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/?q=fruit&columns=true", "/?q=zzz", "/for-you", "/inside?item=3", "/add"])
def test_axe_finds_no_serious_fault(visit: Visit, path: str, scheme: str) -> None:
    page = visit(path, color_scheme=scheme, bypass_csp=True)
    for summary in page.locator("summary").all()[:3]:
        summary.click()
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run().then((result) => result.violations)")
    serious = [
        (fault["id"], [node["html"][:200] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


SHOTS: dict[str, tuple[str, dict[str, Any]]] = {
    "search": ("/?q=fruit", {}),
    "columns": ("/?q=boat&columns=true&k=12", {}),
    "recommend": ("/for-you?user=33", {}),
    "inside": ("/inside?item=%F0%9F%8D%8C", {}),
    "inside-dark": ("/inside?item=%F0%9F%8C%88", {"color_scheme": "dark"}),
    "search-phone": ("/?q=sad+face", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
}


SEEN = """() => Promise.all([...document.images]
    .filter(image => image.getBoundingClientRect().top < innerHeight && !image.complete)
    .map(image => new Promise(done => { image.onload = image.onerror = done; })))"""


@pytest.mark.slow
def test_pictures_of_the_demo(visit: Visit, tmp_path: Path) -> None:
    folder = Path(os.environ.get("MODALHASH_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    demo = Process("serve", "demo", "--port", "0", "--json")
    try:
        demo.wait_ready(300)  # it learns first
        for path, _ in SHOTS.values():  # what is made at the first visit is there at the second
            visit(path, url=demo.url).wait_for_load_state("networkidle")
        for name, (path, options) in SHOTS.items():
            page = visit(path, url=demo.url, **options)
            page.wait_for_load_state("networkidle")
            page.evaluate(SEEN)
            stream = io.BytesIO(page.screenshot())
            with Image.open(stream) as shot:
                shot.convert("RGB").save(folder / f"{name}.webp", quality=82, method=6)
            assert (folder / f"{name}.webp").stat().st_size < 200_000
    finally:
        demo.end()
