"""The demo: a short run writes a page that stands alone and a collection that is searched."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from modalhash.collection import Collection
from modalhash.datasets import Dataset
from modalhash.demo.page import Answer, seeds_text, write_page
from modalhash.demo.run import SEARCHES, TABLE, run_demo, table_of
from pages import Page

ROW = {"bits": 8, "bytes": 1, "image_to_text_sd": 0.0, "text_to_image_sd": 0.01, "seconds": 0.5}
ROWS = [
    {"system": "A2LH", "image_to_text": 0.5, "text_to_image": 0.4, **ROW},
    {"system": "<b>", "image_to_text": 0.25, "text_to_image": 0.1, **ROW},
]
EVIL = "<script>x</script> & $style"


def small() -> Dataset:
    return Dataset(
        name="small",
        views={"image": np.ones((4, 2)), "text": np.ones((4, 3))},
        labels=np.eye(2)[[0, 1, 0, 1]],
        titles=[EVIL, "b", "c", "d"],
        pictures=[b"\x89PNG1", b"GIF8..", b"", b"\xff\xd8\xff"],
        split={"query": np.array([0])},
    )


def test_the_page_of_any_data_is_whole_and_escaped(tmp_path: Path) -> None:
    answers = [
        Answer("caption <i>", EVIL, None, "image", ((1, 0), (2, 3))),
        Answer("more", "", 0, "text", ((2, 1), (3, 8))),
    ]
    path = write_page(tmp_path / "a" / "index.html", small(), ROWS, answers, 8, 1)
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    page = Page(path.read_text(encoding="utf8"))
    page.check_loads_nothing()
    assert not page.all("script") and not page.all("i") and not page.all("b")
    assert page.text.count(EVIL) == 2 and "8 of 8 bits differ" in page.text
    assert "(1 of 2 share a label with it)" in page.text
    assert [figure["class"] for figure in page.all("figure")].count("mh-card mh-hit") == 1
    assert len(page.all("img")) == 2  # words find one picture (another has none); the query shows its own
    assert [span["style"] for span in page.all("span")] == ["--w:100%", "--w:80%", "--w:50%", "--w:20%"]
    assert [row.get("class") for row in page.all("tr")] == [None, "learned", None]
    assert "1 seed." in page.text


def test_the_table_for_the_terminal() -> None:
    stream = io.StringIO()
    Console(file=stream, width=200).print(table_of(ROWS, 1))
    text = stream.getvalue()
    assert "0.500 ± 0.000" in text and "0.400 ± 0.010" in text and "1 seed " in text
    assert seeds_text(3) == "3 seeds"


def test_a_folder_of_the_user_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the demo learned for a minute and then refused to write."""

    def never(name: str) -> Dataset:
        raise AssertionError(name)

    monkeypatch.setattr("modalhash.demo.run.load_dataset", never)
    (tmp_path / "collection").mkdir()
    (tmp_path / "collection" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="collection: holds other files"):
        run_demo(tmp_path, (8,), 1, quiet=True)


@pytest.mark.slow
def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / ("a long folder name " * 6 + "[bold]").strip()
    result: dict[str, Any] = run_demo(out, (8,), 1)
    told = capsys.readouterr().out
    json.dumps(result)
    assert [row["system"] for row in result["rows"]] == list(TABLE)
    assert f"The page: {out / 'index.html'}\n" in told  # in one piece, with its brackets
    learned, *others = result["rows"]
    assert all(learned["image_to_text"] > row["image_to_text"] for row in others)
    page = Page(Path(result["page"]).read_text(encoding="utf8"))
    page.check_loads_nothing()
    assert len(page.all("section")) == len(SEARCHES) == len(result["answers"]) == 6
    assert len(page.all("img")) >= 4 * 10 and "A2LH" in page.text
    assert all(len(answer["found"]) == 10 for answer in result["answers"])
    found = Collection.open(out / "collection").search(text="fruit", k=3)
    assert found.ids.shape == (1, 3)
