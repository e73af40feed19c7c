"""Make a data set from a folder of pictures and a table of texts and labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import PARTS, Dataset, random_split
from modalhash.datasets.files import with_features

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}  # what an extractor opens
COLUMNS = {
    "picture": ("picture", "image", "file", "filename", "file_name", "path"),
    "text": ("text", "caption", "captions", "description", "name", "title"),
    "labels": ("labels", "label", "class", "category", "categories", "tags"),
    "id": ("id", "item", "item_id"),
    "title": ("title", "name"),
    "split": ("split", "part"),
}


@dataclass
class _Item:
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    id: str = ""
    title: str = ""
    split: str = ""


def make_dataset(
    pictures: str | os.PathLike[str],
    table: str | os.PathLike[str] | None = None,
    *,
    query: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """A Dataset with the views `image` and `text` from a folder of pictures and a CSV or TSV table.

    The table has a header; its columns are found by name: picture (a path inside the folder; needed), text or
    caption, and optionally labels (separated by | or ;), id, title, split (train, validation, query or database).
    Rows that name one picture are one item: their texts are joined, their labels united, the first id, title and
    split count.  An empty text is a missing view; an item without an id gets the name of its picture.
    Without a table the words of the file name are the text and the folder is the label; hidden files are left out.
    `query` and `validation` are shares for the random split where the table has none.
    Raises ValueError or FileNotFoundError that name the file and the line.
    """
    folder = Path(pictures)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: is not a folder of pictures")
    items = _items_from_names(folder) if table is None else _items_from_table(folder, Path(table))
    if not items:
        raise ValueError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    names, rows = list(items), list(items.values())
    labels, label_names = _label_matrix([item.labels for item in rows])
    ids = _ids(items)
    common: dict[str, Any] = {
        "name": folder.resolve().name,
        "labels": labels,
        "label_names": label_names,
        "ids": np.array(ids),
        "titles": [item.title or (item.texts or [Path(name).stem])[0] for name, item in items.items()],
        "raw": {
            "image": [_content(folder / name) for name in names],
            "text": [" ".join(item.texts) for item in rows],
        },
        "split": _split([item.split for item in rows], query, validation, seed),
    }
    common["pictures"] = common["raw"]["image"]
    if not any(common["raw"]["text"]):
        del common["raw"]["text"]
    try:
        return with_features({}, {}, common)
    except ValueError:
        _check_pictures([folder / name for name in names])  # if a picture is at fault, its file is named
        raise


def _content(file: Path) -> bytes:
    content = file.read_bytes()
    if not content:  # would stand for a missing picture
        raise ValueError(f"{file}: is empty, expected a picture")
    return content


def _check_pictures(files: Sequence[Path]) -> None:
    """Raise ValueError for the first picture that cannot be opened."""
    from modalhash.features import GradientColour

    for file in files:
        GradientColour().describe([file])


def _ids(items: Mapping[str, _Item]) -> list[str]:
    owner: dict[str, str] = {}
    for name, item in items.items():
        id_ = item.id or name
        if id_ in owner:
            raise ValueError(f"id {id_!r}: pictures {owner[id_]!r} and {name!r} share it; ids must be unique")
        owner[id_] = name
    return list(owner)


def _items_from_names(folder: Path) -> dict[str, _Item]:
    items = {}
    for name in sorted(path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if any(part.startswith(".") for part in name.parts) or not (folder / name).is_file():
            continue
        words = " ".join(word for word in name.stem.replace("-", " ").replace("_", " ").split() if not word.isdigit())
        labels = [name.parts[0]] if len(name.parts) > 1 else []
        items[name.as_posix()] = _Item([words] if words else [], labels, title=words)
    return items


def _items_from_table(folder: Path, table: Path) -> dict[str, _Item]:
    if not table.is_file():
        raise FileNotFoundError(f"{table}: not found")
    items: dict[str, _Item] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
            rows = csv.DictReader(stream, delimiter=delimiter)
            columns = _find_columns(table, rows.fieldnames or [])
            for row in rows:
                where = f"{table}: line {rows.line_num}"
                if None in row:
                    raise ValueError(f"{where}: more values than columns; a text with {delimiter!r} in it needs quotes")
                _add_row(folder, where, {use: row[name] for use, name in columns.items()}, items)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table}: is not a readable table in UTF-8 ({error})") from error
    return items


def _find_columns(table: Path, names: Sequence[str]) -> dict[str, str]:
    known = {name.strip().lower(): name for name in names}
    columns: dict[str, str] = {}
    for use, candidates in COLUMNS.items():
        found = [known[name] for name in candidates if name in known]
        if found:
            columns[use] = found[0]
    if "picture" not in columns:
        raise ValueError(
            f"{table}: has no column for the picture; expected one of {', '.join(COLUMNS['picture'])}, "
            f"found {', '.join(names) or 'none'}"
        )
    return columns


def _add_row(folder: Path, where: str, row: Mapping[str, str | None], items: dict[str, _Item]) -> None:
    item = items.setdefault(_picture_name(folder, where, (row["picture"] or "").strip()), _Item())
    values = {use: (value or "").strip() for use, value in row.items()}
    if values.get("text"):
        item.texts.append(values["text"])
    item.labels += [label.strip() for label in values.get("labels", "").replace(";", "|").split("|") if label.strip()]
    item.id, item.title = item.id or values.get("id", ""), item.title or values.get("title", "")
    item.split = item.split or values.get("split", "").lower()
    if item.split and item.split not in PARTS:
        raise ValueError(f"{where}: unknown split {item.split!r}; known: {', '.join(PARTS)}")


def _picture_name(folder: Path, where: str, given: str) -> str:
    """The path of a picture below the folder, the same for every way to write it (a.png, ./a.png)."""
    name = Path(os.path.relpath(folder / given, folder))
    if not given or name.parts[:1] == ("..",):
        raise ValueError(f"{where}: {given!r} is not a picture inside {folder}")
    if not (folder / name).is_file():
        raise FileNotFoundError(f"{where}: picture {given!r} not found in {folder}")
    return name.as_posix()


def _label_matrix(labels: Sequence[Sequence[str]]) -> tuple[NDArray[np.uint8] | None, list[str] | None]:
    names = sorted({label for row in labels for label in row})
    if not names:
        return None, None
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(labels), len(names)), dtype=np.uint8)
    for i, row in enumerate(labels):
        matrix[i, [column[label] for label in row]] = 1
    return matrix, names


def _split(parts: Sequence[str], query: float, validation: float, seed: int) -> dict[str, NDArray[np.int64]]:
    for name, share in (("query", query), ("validation", validation)):
        if not 0 <= share < 1:
            raise ValueError(f"{name}: expected a share of the items in [0, 1), got {share}")
    if query + validation >= 1:
        raise ValueError(f"query and validation: shares {query} and {validation} leave nothing to train on")
    if not any(parts):
        return random_split(len(parts), query=query, validation=validation, seed=seed)
    split = {part: np.flatnonzero(np.array(parts) == part) for part in PARTS}
    split["database"] = np.flatnonzero(np.array(parts) != "query")
    if not len(split["train"]):
        split["train"] = np.setdiff1d(split["database"], split["validation"])
    return split
