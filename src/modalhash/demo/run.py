"""The main job on the shipped pack: learn, compare with training-free codes, search, write a page."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modalhash.catalog import make
from modalhash.collection import FILE, from_dataset
from modalhash.datasets import load_dataset
from modalhash.datasets.dataset import Dataset
from modalhash.demo.page import Answer, seeds_text, write_page
from modalhash.evaluation.crossview import evaluate
from modalhash.folders import check_target
from modalhash.hasher import Hasher
from modalhash.index import Index

TABLE = ("A2LH", "CCAITQ", "ITQ", "PCASign", "LSH")
SEARCHES = (
    ("image", "text", "fruit", "words → pictures: “fruit”"),
    ("image", "text", "sad face", "words → pictures: “sad face”"),
    ("image", "text", "rotes Herz", "words → pictures, in German: “rotes Herz” (red heart)"),
    ("text", "image", 0, "picture → words: what is this?"),
    ("text", "image", 1, "picture → words: and this?"),
    ("image", "image", 2, "picture → pictures: more like this"),
)
EXAMPLES = ("pineapple", "violin", "motor boat")  # titles of the pictures that search, all from the query part


def run_demo(out: Path, lengths: Sequence[int], seeds: int, *, quiet: bool = False) -> dict[str, Any]:
    """Run the demo into the folder `out` and return its table, answers and files; prints unless `quiet`."""
    console = Console(quiet=quiet)
    check_target(out / "collection", FILE)
    started = time.perf_counter()
    console.print("Reading pictures and their words …")
    data = load_dataset("emoji")
    rows = compare(data, lengths, seeds, console)
    console.print(table_of(rows, seeds))
    hasher = make("A2LH", n_bits=max(lengths), random_state=0)
    hasher.fit(data.part("train"), data.part_labels("train"))
    answers = answer_searches(data, hasher)
    for answer in answers:
        names = [str(data.titles[i]) for i, _ in answer.found[:6]] if data.titles is not None else []
        console.print(f"[bold]{escape(answer.caption)}[/bold]: {escape(', '.join(names))}", highlight=False)
    from_dataset(out / "collection", hasher, data).close()
    page = write_page(out / "index.html", data, rows, answers, hasher.n_bits, seeds)
    seconds = time.perf_counter() - started
    console.print(f"\nDone in {seconds:.0f} s. The page: {page}", markup=False, highlight=False, soft_wrap=True)
    console.print("To search yourself:")
    command = f'  {shlex.quote(sys.argv[0])} search {shlex.quote(str(out / "collection"))} --text "red flower" -k 5'
    console.print(command, markup=False, highlight=False, soft_wrap=True)
    return {
        "rows": rows,
        "answers": [_plain(answer, data) for answer in answers],
        "page": str(page),
        "seconds": seconds,
    }


def compare(data: Dataset, lengths: Sequence[int], seeds: int, console: Console) -> list[dict[str, Any]]:
    """One row a system and length: mAP both ways over seeds, bytes an item, seconds to learn."""
    rows = []
    for n_bits in lengths:
        for name in TABLE:
            with console.status(f"{name}, {n_bits} bits"):
                rows.append(measure(data, name, n_bits, seeds))
    return rows


def measure(data: Dataset, name: str, n_bits: int, seeds: int) -> dict[str, Any]:
    """mAP (full ranking, ties expected, encoded database codes) of one system and length, over seeds."""
    scores, seconds = [], []
    for seed in range(seeds):
        hasher = make(name, n_bits=n_bits, random_state=seed)
        started = time.perf_counter()
        hasher.fit(data.part("train"), data.part_labels("train") if hasher.needs_labels else None)
        seconds.append(time.perf_counter() - started)
        results = evaluate(hasher, data)
        scores.append([results[pair].mean["AP"] for pair in (("image", "text"), ("text", "image"))])
    mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0)
    return {
        "system": name,
        "bits": n_bits,
        "bytes": -(-n_bits // 8),
        "image_to_text": float(mean[0]),
        "image_to_text_sd": float(spread[0]),
        "text_to_image": float(mean[1]),
        "text_to_image_sd": float(spread[1]),
        "seconds": float(np.mean(seconds)),
    }


def table_of(rows: Sequence[dict[str, Any]], seeds: int) -> Table:
    """The comparison as a table for the terminal."""
    caption = f"mAP over the full ranking, relevant = same group, {seeds_text(seeds)} (± sd); database codes encoded"
    table = Table(title="Learned codes against training-free codes", caption=caption)
    for column in ("system", "bits", "bytes/item", "image → text", "text → image", "fit s"):
        table.add_column(column, justify="left" if column == "system" else "right")
    for i, row in enumerate(rows):
        cells = [f"{row[key]:.3f} ± {row[key + '_sd']:.3f}" for key in ("image_to_text", "text_to_image")]
        last = i + 1 == len(rows) or rows[i + 1]["bits"] != row["bits"]
        style = "bold" if row["system"] == "A2LH" else None
        facts = [row["system"], str(row["bits"]), str(row["bytes"]), *cells, f"{row['seconds']:.2f}"]
        table.add_row(*facts, style=style, end_section=last)
    return table


def answer_searches(data: Dataset, hasher: Hasher, k: int = 10) -> list[Answer]:
    """The six searches of the demo over the database, which is seen in one view only."""
    database = data.split["database"]
    indexes = {
        view: Index.build(hasher.encode({view: data.views[view][database]}), database) for view in ("image", "text")
    }
    titles = [str(title).lower() for title in data.titles or []]
    answers = []
    for found_view, query_view, asked, caption in SEARCHES:
        if isinstance(asked, str):
            matrix, query = data.features["text"].transform([asked]), None
        else:
            query = _example(EXAMPLES[asked], titles, data)
            matrix = data.views["image"][[query]]
        hits = indexes[found_view].search(hasher.encode_queries({query_view: matrix}), k)
        found = tuple(zip(hits.ids[0].tolist(), hits.distances[0].tolist(), strict=True))
        answers.append(Answer(caption, asked if isinstance(asked, str) else "", query, found_view, found))
    return answers


def _example(title: str, titles: Sequence[str], data: Dataset) -> int:
    """The query item of this title, or the first query if the pack has no such one."""
    queries: list[int] = data.split["query"].tolist()
    return next((i for i in queries if titles[i].endswith(f" {title}")), queries[0])


def _plain(answer: Answer, data: Dataset) -> dict[str, Any]:
    ids = np.asarray(data.ids)
    found = [{"id": ids[i].item(), "distance": distance} for i, distance in answer.found]
    return {
        "search": answer.caption,
        "query": None if answer.query is None else ids[answer.query].item(),
        "found": found,
    }
