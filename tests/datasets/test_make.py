"""Data sets from folders of pictures: tables of every shape, no table, and faults that name the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modalhash.datasets import make_dataset, read_dataset, write_dataset

COLOURS = ("red", "green", "blue", "black")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures: `red 0.png`, `green_1.PNG`, ..., a third of them in the folder `more stuff`."""
    root = tmp_path / "pics"
    (root / "more stuff").mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (8 + i, 8), COLOURS[i % 4]).save(root / name_of(i))
    return root


def name_of(i: int) -> str:
    colour = COLOURS[i % 4]
    return f"more stuff/{colour}-{i}.jpg" if i % 3 == 0 else f"{colour}_{i}.PNG" if i % 3 == 1 else f"{colour} {i}.gif"


def write_table(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def simple(sep: str = ",") -> str:
    lines = [sep.join(("picture", "text", "labels"))]
    lines += [sep.join((name_of(i), f"a {COLOURS[i % 4]} thing", COLOURS[i % 4])) for i in range(12)]
    return "\n".join(lines) + "\n"


def test_without_a_table_names_are_texts_and_folders_are_labels(folder: Path) -> None:
    (folder / "notes.txt").write_text("no picture")
    (folder / "trap.png").mkdir()
    (folder / "._red_1.png").write_bytes(b"left by a file manager")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a.png").write_bytes(b"not a picture either")
    data = make_dataset(folder)
    assert sorted(np.asarray(data.ids).tolist()) == sorted(name_of(i) for i in range(12))
    text = dict(zip(np.asarray(data.ids).tolist(), data.raw["text"], strict=True))
    assert text["more stuff/red-0.jpg"] == "red" and text["green_1.PNG"] == "green"
    assert data.label_names == ["more stuff"] and np.asarray(data.labels).sum() == 4
    assert data.name == "pics" and set(data.features) == {"image", "text"}
    assert data.pictures is not None and data.pictures[0][:3] == b"GIF"


@pytest.mark.parametrize(("file", "sep"), [("t.csv", ","), ("t.tsv", "\t"), ("T.TSV", "\t"), ("T.CSV", ",")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_both_kinds(folder: Path, tmp_path: Path, file: str, sep: str, encoding: str) -> None:
    data = make_dataset(folder, write_table(tmp_path / file, simple(sep), encoding))
    assert np.asarray(data.ids).tolist() == [name_of(i) for i in range(12)]  # in the order of the table
    assert data.titles is not None and data.titles[1] == "a green thing"
    assert data.label_names == sorted(COLOURS)
    assert (np.asarray(data.labels).sum(axis=1) == 1).all()


def test_rows_of_one_picture_are_one_item(folder: Path, tmp_path: Path) -> None:
    lines = [
        " Image , Caption ,Category,item_id,Title,PART",
        f'{name_of(1)},"one, or ""two""",a|b,x,First,train',
        f"./{name_of(1)},two things,b; c ;,y,Second,query",
        f"more stuff/../{name_of(2)},,|,,,",
        f'{name_of(3)},"two\nlines of things",,z,,query',
        "",
        f"{name_of(4)},one two things,,,,train",
    ]
    data = make_dataset(folder, write_table(tmp_path / "t.csv", "\r\n".join(lines)))
    assert data.raw["text"] == ['one, or "two" two things', "", "two\nlines of things", "one two things"]
    assert np.asarray(data.ids).tolist() == ["x", name_of(2), "z", name_of(4)]
    assert data.titles == ["First", Path(name_of(2)).stem, "two\nlines of things", "one two things"]
    assert data.label_names == ["a", "b", "c"]
    assert np.asarray(data.labels).tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert {part: rows.tolist() for part, rows in data.split.items()} == {
        "train": [0, 3],
        "validation": [],
        "query": [2],
        "database": [0, 1, 3],
    }
    assert np.isnan(data.views["text"][1]).all() and not np.isnan(data.views["image"]).any()


def test_a_column_named_title_serves_as_text(folder: Path, tmp_path: Path) -> None:
    table = "file,title\n" + "".join(f"{name_of(i)},some {COLOURS[i % 4]}\n" for i in range(4))
    data = make_dataset(folder, write_table(tmp_path / "t.csv", table))
    assert data.raw["text"] == list(data.titles or []) == [f"some {colour}" for colour in COLOURS]
    assert data.labels is None and data.label_names is None


def test_without_any_text_there_is_one_view(folder: Path, tmp_path: Path) -> None:
    table = "picture,text,split\n" + "".join(f"{name_of(i)},,{'query' if i > 6 else ''}\n" for i in range(9))
    data = make_dataset(folder, write_table(tmp_path / "t.csv", table))
    assert set(data.views) == {"image"} and data.split["query"].tolist() == [7, 8]
    assert data.split["train"].tolist() == data.split["database"].tolist() == list(range(7))


def test_a_split_with_validation_only_trains_on_the_rest(folder: Path, tmp_path: Path) -> None:
    table = "picture,text,split\n" + "".join(f"{name_of(i)},red,{'Validation' if i < 2 else ''}\n" for i in range(6))
    split = make_dataset(folder, write_table(tmp_path / "t.csv", table)).split
    assert split["validation"].tolist() == [0, 1] and split["train"].tolist() == [2, 3, 4, 5]


def test_the_seed_decides_the_split(folder: Path) -> None:
    first, again, other = (make_dataset(folder, query=0.3, validation=0.2, seed=seed) for seed in (1, 1, 2))
    assert first.checksum == again.checksum != other.checksum
    assert [len(first.split[part]) for part in ("query", "validation", "train")] == [4, 2, 6]


def test_what_is_made_is_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    data = make_dataset(".")
    assert data.name == "pics"
    write_dataset(data, tmp_path / "out")
    again = read_dataset(tmp_path / "out")
    assert again.checksum == data.checksum and again.titles == data.titles and again.pictures == data.pictures
    assert again.raw == data.raw


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("picture,text\n{0},one\n{1},two, three\n", "t.csv: line 3: more values than columns"),
        ("picture,text,id\n{0},one,x\n{1},two,x\n", "id 'x': pictures '{0}' and '{1}' share it"),
        ("picture,text,id\n{0},one,{1}\n{1},two,\n", "id '{1}': pictures '{0}' and '{1}' share it"),
        ("picture,text\n,one\n", "line 2: '' is not a picture inside"),
        ("picture,text\n/etc/hostname,one\n", "line 2: '/etc/hostname' is not a picture inside"),
        ("picture,text\nmore stuff,one\n", "line 2: picture 'more stuff' not found"),
        ('picture,text\n{0},"a\nb"\nnone.png,c\n', "line 4: picture 'none.png' not found"),
        ("picture,text,split\n{0},one,test\n", "line 2: unknown split 'test'; known: train, validation"),
        ("", "t.csv: has no column for the picture.*found none"),
        ("picture,text\n", "holds no pictures"),
        ("picture,text,split\n{0},one,query\n{1},one,query\n", "split.train"),
    ],
)
def test_faults_of_a_table_name_the_line(folder: Path, tmp_path: Path, table: str, message: str) -> None:
    names = name_of(1), name_of(2)
    file = write_table(tmp_path / "t.csv", table.replace("{0}", names[0]).replace("{1}", names[1]))
    with pytest.raises((ValueError, FileNotFoundError), match=message.format(*names)):
        make_dataset(folder, file)


@pytest.mark.parametrize("content", [b"no picture", b"", b"GIF89a"])
@pytest.mark.parametrize("with_table", [False, True])
def test_a_broken_picture_is_named(folder: Path, tmp_path: Path, content: bytes, with_table: bool) -> None:
    """Regression: the message gave a number, which counted training pictures only."""
    (folder / name_of(7)).write_bytes(content)
    table = write_table(tmp_path / "t.csv", simple()) if with_table else None
    with pytest.raises(ValueError, match=name_of(7)):
        make_dataset(folder, table)


@pytest.mark.parametrize(
    "shares", [{"query": -0.1}, {"validation": 1.0}, {"query": 0.5, "validation": 0.5}, {"query": float("nan")}]
)
def test_shares_are_checked(folder: Path, shares: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="share"):
        make_dataset(folder, **shares)
