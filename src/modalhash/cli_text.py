"""What the command line prints: facts as plain values, and the same as text."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.datasets.dataset import Dataset
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
    return f"{value:.3f}" if isinstance(value, float) else str(value)


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
            "per_item": float(counts.mean()),
            "unlabelled": int((~labelled).sum()),
        }
        labels["without_any"] = int((counts == 0).sum())
    split = {part: len(rows) for part, rows in data.split.items()}
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
    lines = [f"{facts['name']}: {facts['items']} items"]
    for name, view in facts["views"].items():
        made = f", made by {view['extractor']}" if view["extractor"] else ""
        gaps = f", missing for {view['missing']} items" if view["missing"] else ""
        lines.append(f"  view {name}: {view['columns']} columns{', sparse' if view['sparse'] else ''}{gaps}{made}")
    labels = facts["labels"]
    if labels:
        lines.append(
            f"  labels: {labels['columns']}, {labels['per_item']:.2f} an item, {labels['without_any']} items without"
        )
    else:
        lines.append("  labels: none")
    lines.append("  split: " + ", ".join(f"{part} {count}" for part, count in facts["split"].items()))
    lines += [f"  {finding['severity']}: {finding['message']}" for finding in facts["findings"]]
    lines.append(f"  checksum: {facts['checksum'][:16]}")
    if "out" in facts:
        lines.append(f"written to {facts['out']}")
    return "\n".join(lines)


def systems_text(content: Mapping[str, Any]) -> str:
    """The systems, or the advice for a data set, as text."""
    if "recommended" not in content:
        return table(content["systems"], ("name", "labels", "views", "summary"))
    lines = [table(content["systems"], ("name", "fits", "why")), ""]
    lines.append(f"recommended: {content['recommended']}, because {content['because']}")
    return "\n".join([*lines, f"try: {content['try']}"])


def hits_text(rows: Sequence[Mapping[str, Any]], n_bits: int) -> str:
    """Found items as text."""
    return (
        table([{"": i + 1, **row} for i, row in enumerate(rows)], ("", "distance", "id", "title"))
        + f"\n({n_bits} bits)"
    )


def evaluation_facts(results: Mapping[tuple[str, str], RetrievalResult]) -> dict[str, Any]:
    """Results of every direction as values that JSON can carry."""
    first = next(iter(results.values()))
    rows = [{"query": a, "database": b, "queries": r.n_queries, **r.mean} for (a, b), r in results.items()]
    without = {f"{a}→{b}": r.n_without_relevant for (a, b), r in results.items()}
    return {
        "rows": rows,
        "conventions": {**first.conventions, "database_codes": "encoded"},
        "without_relevant": without,
        "protocols": {f"{a}→{b}": r.protocol for (a, b), r in results.items()},
    }


def evaluation_text(facts: Mapping[str, Any]) -> str:
    """Results of every direction as text, with the conventions they follow."""
    text = table(facts["rows"], list(facts["rows"][0]))
    told = ", ".join(f"{name}: {value}" for name, value in facts["conventions"].items())
    return f"{text}\n({told}; queries without anything relevant: {sum(facts['without_relevant'].values())})"


def write_codes(path: Path, codes: BinaryCodes | QuantizedCodes, ids: Array | None) -> None:
    """Write codes as `.npz`, whole or not at all: packed and n_bits, or indices, codebooks and score; and ids."""
    arrays: dict[str, Any]
    if isinstance(codes, BinaryCodes):
        arrays = {"packed": codes.packed, "n_bits": np.int64(codes.n_bits)}
    else:
        arrays = {"indices": codes.indices, "codebooks": codes.codebooks, "score": np.str_(codes.score)}
    target = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, allow_pickle=False, ids=np.asarray(ids), **arrays)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
