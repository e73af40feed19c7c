"""What the command line prints: facts as plain values, and the same as text."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.datasets.dataset import PARTS, Dataset
from modalhash.evaluation.leaks import leaks
from modalhash.metrics import RetrievalResult
from modalhash.quantized import QuantizedCodes
from modalhash.views import Array, check_labels, is_sparse, missing


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as text in aligned columns under a head line."""
    cells = [list(columns)] + [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return "".join(char if char.isprintable() else " " for char in text)  # one line, and nothing that steers a terminal


def dataset_facts(data: Dataset) -> dict[str, Any]:
    """What a data set holds, as values that JSON can carry."""
    views = {
        name: {
            "columns": int(matrix.shape[1]),
            "sparse": is_sparse(matrix),
            "missing": int(missing(matrix).sum()),
            "extractor": type(data.features[name]).__name__ if name in data.features else None,
        }
        for name, matrix in data.views.items()
    }
    labels = None
    if data.labels is not None:
        matrix, labelled = check_labels(data.labels, len(data))
        counts = np.asarray(matrix.sum(axis=1)).ravel()
        labels = {
            "columns": int(matrix.shape[1]),
            "per_item": float(counts[labelled].mean()),
            "unlabelled": int((~labelled).sum()),
        }
        labels["without_any"] = int((counts[labelled] == 0).sum())
    split = {part: len(data.split[part]) for part in PARTS}
    return {
        "name": data.name,
        "items": len(data),
        "views": views,
        "labels": labels,
        "split": split,
        "findings": [asdict(finding) for finding in leaks(data)],
        "checksum": data.checksum,
    }


def facts_text(facts: Mapping[str, Any]) -> str:
    """Facts of a data set as text."""
    lines = [f"{facts['name']}: {_count(facts['items'], 'item')}"]
    for name, view in facts["views"].items():
        made = f", made by {view['extractor']}" if view["extractor"] else ""
        gaps = f", missing for {_count(view['missing'], 'item')}" if view["missing"] else ""
        sparse = ", sparse" if view["sparse"] else ""
        lines.append(f"  view {name}: {_count(view['columns'], 'column')}{sparse}{gaps}{made}")
    labels = facts["labels"]
    if labels:
        text = f"  labels: {labels['columns']}, {labels['per_item']:.2f} an item"
        text += f", {_count(labels['without_any'], 'item')} with none" if labels["without_any"] else ""
        lines.append(text + (f", {_count(labels['unlabelled'], 'item')} not labelled" if labels["unlabelled"] else ""))
    else:
        lines.append("  labels: none")
    lines.append("  split: " + ", ".join(f"{part} {count}" for part, count in facts["split"].items()))
    lines += [f"  {finding['severity']}: {finding['message']}" for finding in facts["findings"]]
    lines.append(f"  checksum: {facts['checksum'][:16]}")
    if "out" in facts:
        lines.append(f"written to {facts['out']}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def stored_text(count: int, bytes_per_item: float, out: Path) -> str:
    """How many codes of what size were written where."""
    size = "1 byte" if bytes_per_item == 1 else f"{bytes_per_item:g} bytes"
    return f"{_count(count, 'item')}, {size} each, written to {out}"


def systems_text(content: Mapping[str, Any]) -> str:
    """The systems, or the advice for a data set, as text."""
    if "recommended" not in content:
        every = [*content["systems"], *content["recommenders"]]
        variants = [f"  {row['name']}: {', '.join(row['variants'])}" for row in every if row["variants"]]
        told = ["", "variants, to fit by name:", *variants] if variants else []
        found = table(content["systems"], ("name", "labels", "views", "summary"))
        likes = ["", "recommenders:", table(content["recommenders"], ("name", "needs", "views", "summary"))]
        return "\n".join([found, *likes, *told])
    lines = [table(content["systems"], ("name", "fits", "why")), ""]
    if content["recommended"] is None:
        return "\n".join([*lines, f"nothing to recommend: {content['because']}"])
    lines.append(f"recommended: {content['recommended']}, because {content['because']}")
    return "\n".join([*lines, f"try: {content['try']}"])


def hits_text(rows: Sequence[Mapping[str, Any]], codes: BinaryCodes | QuantizedCodes) -> str:
    """Found items as text, and what the distance counts."""
    if isinstance(codes, BinaryCodes):
        told = f"bits that differ, of {codes.n_bits}"
    else:
        told = {"dot": "minus the inner product", "l2": "squared distance"}[codes.score]
    ranked = [{"": i + 1, **row} for i, row in enumerate(rows)]
    return table(ranked, ("", "distance", "id", "title")) + f"\n(distance: {told})"


def evaluation_facts(results: Mapping[tuple[str, str], RetrievalResult]) -> dict[str, Any]:
    """Results of every direction as values that JSON can carry."""
    first = next(iter(results.values()))
    rows = [{"query": a, "database": b, "queries": r.n_queries, **_means(r)} for (a, b), r in results.items()]
    without = {f"{a}→{b}": r.n_without_relevant for (a, b), r in results.items()}
    return {
        "rows": rows,
        "conventions": {**first.conventions, "database_codes": "encoded"},
        "without_relevant": without,
        "protocols": {f"{a}→{b}": r.protocol for (a, b), r in results.items()},
    }


def _means(result: RetrievalResult) -> dict[str, float | None]:
    return {name: None if value != value else value for name, value in result.mean.items()}  # JSON knows no NaN


def evaluation_text(facts: Mapping[str, Any]) -> str:
    """Results of every direction as text, with the conventions they follow."""
    text = table(facts["rows"], list(facts["rows"][0]))
    told = ", ".join(f"{name}: {value}" for name, value in facts["conventions"].items())
    text = f"{text}\n({told}; queries without anything relevant: {sum(facts['without_relevant'].values())})"
    return text + (f"\nresult cards: {', '.join(facts['cards'])}" if "cards" in facts else "")


def write_codes(path: Path, codes: BinaryCodes | QuantizedCodes, ids: Array | None) -> Path:
    """Write codes as `.npz`, whole or not at all: packed and n_bits, or indices, codebooks and score; and ids.

    Returns the path, which ends in `.npz` whether or not the given one did.
    """
    arrays: dict[str, Any]
    if isinstance(codes, BinaryCodes):
        arrays = {"packed": codes.packed, "n_bits": np.int64(codes.n_bits)}
    else:
        arrays = {"indices": codes.indices, "codebooks": codes.codebooks, "score": np.str_(codes.score)}
    target = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
        draft = Path(folder) / target.name
        np.savez(draft, ids=np.asarray(ids), **arrays)
        draft.replace(target)
    return target


def recommended_text(rows: Sequence[Mapping[str, Any]], n_bits: int | None) -> str:
    """Recommended items as text, with titles where any is known, and what the distance counts."""
    if not rows:
        return "nothing is left to recommend: the user has rated every item"
    columns = ("", "distance", "id", "title") if any(row["title"] for row in rows) else ("", "distance", "id")
    told = "minus the inner product" if n_bits is None else f"bits that differ, of {n_bits}"
    return table([{"": i + 1, **row} for i, row in enumerate(rows)], columns) + f"\n(distance: {told})"


def explanation_text(facts: Mapping[str, Any]) -> str:
    """Why an item suits a user as text: what was written, what is quoted with its source, and the other reasons."""
    item = f"{facts['item']} ({facts['title']})" if facts["title"] else str(facts["item"])
    lines = [f"{_cell(item)} for user {_cell(facts['user'])}: score {facts['score']:.3f}, {facts['in_words']}"]
    if facts["generated"]:
        lines += ["written by the model, nobody said so:", f"  {_cell(facts['generated'])}"]
    quoted = [row for row in facts["grounded"] if row["quoted"]]
    if quoted:
        lines.append("quoted from reviews of the item:")
    for row in quoted:
        shared = f"; words in common: {', '.join(row['words'])}" if row["words"] else ""
        lines += [f"  “{_cell(row['text'])}”", f"    ({_cell(row['source'] + shared)})"]
    rows = [
        {
            "reason": f"{row['source']} ({row['title']})" if row["title"] else row["source"],
            "what": row["text"],
            "part of the score": row["share"],
        }
        for row in facts["grounded"]
        if not row["quoted"]
    ]
    return "\n".join([*lines, *([table(rows, ("reason", "what", "part of the score"))] if rows else [])])


def bits_text(facts: Mapping[str, Any]) -> str:
    """What the bits stand for as text, and why two items match."""
    rows = [
        {
            "bit": row["bit"],
            "is": row["value"],
            "for": row["term"],
            "of these": f"{row['share']:.0%}",
            "of the others": f"{row['share_other']:.0%}",
            "information": row["information"],
        }
        for row in facts["rows"]
    ]
    named = len({row["bit"] for row in rows})
    told = f"{named} of {facts['bits']} bits stand for one of {facts['terms']} {facts['of']} ({facts['items']:,} items)"
    columns = ("bit", "is", "for", "of these", "of the others", "information")
    lines = [table(rows, columns), f"({told}; information in bits, noise left out)"]
    return "\n".join([*lines, *([_cell(facts["match"]["words"])] if "match" in facts else [])])
