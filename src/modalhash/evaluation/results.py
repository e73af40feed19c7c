"""Results as files: one JSON object a run, with all that is needed to read the figures right, written whole."""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.health import ball_facts, distance_facts, health
from modalhash.evaluation.leaks import leaks
from modalhash.evaluation.protocol import Protocol, learned_codes, measure, prepare
from modalhash.folders import FORMAT, read_json
from modalhash.hasher import Hasher
from modalhash.index.memory import Codes
from modalhash.metrics import RetrievalResult


def measured(
    hasher: Hasher,
    data: Dataset,
    protocol: Protocol,
    seconds: Mapping[str, float],
    seed: int | None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Encode, search, measure: the record of a fitted system, with the health of the codes that were searched.

    seconds: what is known already (fit …); encode and measure are added.  facts: as for `record`.
    """
    started = time.perf_counter()
    search = prepare(hasher, data, protocol)
    encoded = time.perf_counter()
    result = measure(search, protocol)
    taken = {"encode": encoded - started, "measure": time.perf_counter() - encoded}
    content = record(hasher, data, protocol, result, {**seconds, **taken}, seed, facts, search.index.codes)
    return content | {"queries_left_out": search.queries_left_out, "items_left_out": search.items_left_out}


def record(
    hasher: Hasher,
    data: Dataset,
    protocol: Protocol,
    result: RetrievalResult,
    seconds: Mapping[str, float],
    seed: int | None,
    facts: Mapping[str, Any] | None = None,
    codes: Codes | None = None,
) -> dict[str, Any]:
    """A run as values that JSON can carry: the result card of one seed.

    Protocol and its hash, the data's name, checksum, split and leaks, seed, versions, machine (no host name, no paths),
    hyper-parameters, means, a summary of the values per query, curves, bytes an item, seconds by name (fit, encode …).
    facts: what `data_facts` says, where it is known already.  codes: those that were searched; their `health` is told.
    Raises ValueError if the result was measured under another protocol.
    """
    if result.protocol != protocol.hash:
        raise ValueError(f"result: measured under protocol {result.protocol or 'none'}, expected {protocol.hash}")
    found = codes
    if found is None:
        learned = protocol.database_codes == "learned"
        found = learned_codes(hasher, data) if learned else getattr(hasher, "codes_", None)
    content = {
        "format": FORMAT,
        "system": hasher.name,
        "protocol": protocol.as_dict() | {"hash": protocol.hash},
        "data": dict(facts or data_facts(data)),
        "seed": seed,
        "versions": versions(),
        "machine": machine(),
        "parameters": {name: _plain(value) for name, value in hasher.get_params().items()},
        "bytes_per_item": None if found is None else found.bytes_per_item,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "n_queries": result.n_queries,
        "n_without_relevant": result.n_without_relevant,
        "mean": {name: _plain(value) for name, value in result.mean.items()},
        "per_query": {name: summary(values) for name, values in result.per_query.items()},
        "curves": {name: _short(values) for name, values in result.curves.items()},
    }
    if codes is None:
        return content
    told = {"empty_balls": ball_facts(result.curves), "distances": distance_facts(result.curves)}
    return content | {"health": _short({**health(codes), **told})}


def data_facts(data: Dataset) -> dict[str, Any]:
    """Name, checksum, sizes and leak findings of a data set."""
    return {
        "name": data.name,
        "checksum": data.checksum,
        "items": len(data),
        "split": {part: len(rows) for part, rows in data.split.items()},
        "findings": [finding.message for finding in leaks(data)],
    }


def summary(values: NDArray[np.float64]) -> dict[str, float | int]:
    """How the values of the queries that count are spread: count, sd, smallest, quartiles, largest."""
    counted = values[~np.isnan(values)]
    if not len(counted):
        return {"count": 0}
    marks = np.quantile(counted, [0, 0.25, 0.5, 0.75, 1])
    names = ("min", "q25", "median", "q75", "max")
    spread = {name: float(mark) for name, mark in zip(names, marks, strict=True)}
    return {"count": len(counted), "sd": float(counted.std()), **spread}


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    from importlib.metadata import version

    from modalhash import __version__

    python = platform.python_version()
    return {"modalhash": __version__, "numpy": np.__version__, "scipy": version("scipy"), "python": python}


def machine() -> dict[str, Any]:
    """Processor and number of cores; no host name, no paths."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": model or platform.processor() or platform.machine(), "cores": os.cpu_count()}


def _plain(value: Any) -> Any:
    """A value that strict JSON can carry: no NaN, no numpy scalars, lists for tuples."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> Any:
    """Numbers with six digits, whole numbers as integers, in lists and objects, too."""
    if isinstance(value, Mapping):
        return {key: _short(inner) for key, inner in value.items()}
    if isinstance(value, list | np.ndarray):
        return [_short(inner) for inner in value]
    number = float(value)
    return int(number) if number.is_integer() else float(f"{number:.6g}")


NUMBERS = re.compile(r"\[\n\s*([-+\d.eE,\s]+?)\n\s*\]")  # line breaks stand in no JSON string


def write_result(path: Path, content: Mapping[str, Any]) -> None:
    """Write a result file, whole or not at all; a file that is there is replaced.  Numbers of a list share a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)  # NaN is no JSON
        text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
        temporary.write_text(text + "\n", encoding="utf8")
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All result files of a folder, in the order of their names; ValueError names a damaged one."""
    return [read_json(path) for path in sorted(folder.glob("*.json")) if path.name != TABLE_FILE]


TABLE_FILE = "table.json"  # what a folder of results is meant to be: rows, lengths, seeds, what was cut
COMPARISON_FILE = "comparison.json"  # what `compare` found: its rows are cards, its cells beside them are not
