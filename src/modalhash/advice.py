"""Which system suits a data set, and why."""

from __future__ import annotations

from typing import Any

from modalhash.catalog import SYSTEMS, module_of, system
from modalhash.datasets.dataset import Dataset
from modalhash.hasher import Hasher
from modalhash.views import check_labels, missing


def describe() -> list[dict[str, Any]]:
    """Every system with what it needs and what it is for."""
    rows = []
    for name in SYSTEMS:
        found = system(name)
        rows.append(
            {
                "name": name,
                "labels": "needed" if found.needs_labels else "not used",
                "views": f"{found.min_views} or more",
                "missing_views": "in training, too" if found.fits_missing_views else "when encoding only",
                "variants": [variant for variant in getattr(module_of(name), "VARIANTS", {}) if variant != name],
                "summary": found.summary,
            }
        )
    return rows


def advise(data: Dataset) -> dict[str, Any]:
    """Which systems can learn from the data, why the others cannot, and one recommendation."""
    rows = []
    for name in SYSTEMS:
        reason = _obstacle(system(name), data)
        rows.append({"name": name, "fits": "no" if reason else "yes", "why": reason or system(name).summary})
    able = [row["name"] for row in rows if row["fits"] == "yes"]
    choice, because = _choose(data, able)
    command = f"modalhash fit {choice} --data {data.name} --bits 64 --out model"
    return {"data": data.name, "systems": rows, "recommended": choice, "because": because, "try": command}


def _obstacle(found: type[Hasher], data: Dataset) -> str:
    """Why a system cannot learn from the data; empty if it can."""
    if found.needs_labels:
        if data.labels is None:
            return "needs labels, the data has none"
        _, labelled = check_labels(data.labels, len(data))
        if not found.takes_unlabelled and not labelled[data.split["train"]].all():
            return "needs every training label, some are missing"
    if len(data.views) < found.min_views:
        return f"needs {found.min_views} views, the data has {len(data.views)}"
    if not found.fits_missing_views:
        for name, matrix in data.part("train").items():
            if missing(matrix).any():
                return f"cannot train with gaps, view {name!r} is missing for {int(missing(matrix).sum())} items"
    return ""


def _choose(data: Dataset, able: list[str]) -> tuple[str, str]:
    if "A2LH" in able:
        return "A2LH", "the data has labels, and a supervised system then finds best across views"
    if "CCAITQ" in able:
        return "CCAITQ", "the data has two views and no labels: what the views agree on is all there is to learn"
    if "ITQ" in able:
        return "ITQ", "the data has one view and no labels"
    if "LSH" in able:
        return "LSH", "nothing else can learn from this data"
    raise ValueError(f"{data.name}: no system can learn from it; views with gaps in training need labels")
