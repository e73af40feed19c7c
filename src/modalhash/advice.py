"""Which system suits a data set, and why."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np

from modalhash.catalog import RECOMMENDERS, SYSTEMS, module_of, recommender, recommender_variants, system
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
                "labels": _labels(found),
                "views": " and ".join(found.named_views) or f"{found.min_views} or more",
                "missing_views": "in training, too" if found.fits_missing_views else "when encoding only",
                "variants": [variant for variant in getattr(module_of(name), "VARIANTS", {}) if variant != name],
                "summary": found.summary,
            }
        )
    return rows


def describe_recommenders() -> list[dict[str, Any]]:
    """Every recommender with what it needs and what it is for."""
    return [
        {
            "name": name,
            "needs": "ratings and reviews" if recommender(name).needs_reviews else "ratings",
            "views": "any of users and items",
            "variants": [variant for variant in recommender_variants(name) if variant != name],
            "summary": recommender(name).summary,
        }
        for name in RECOMMENDERS
    ]


def _labels(found: type[Hasher]) -> str:
    if not found.needs_labels:
        return "not used"
    return "needed for some items" if found.takes_unlabelled else "needed"


def advise(data: Dataset, given: str | None = None) -> dict[str, Any]:
    """Which systems can learn from the data, why the others cannot, and one recommendation (None if none can).

    given: how the user names the data on the command line; the name of the data set by default.
    """
    rows = []
    for name in SYSTEMS:
        reason = _obstacle(system(name), data)
        rows.append({"name": name, "fits": "no" if reason else "yes", "why": reason or system(name).summary})
    able = [row["name"] for row in rows if row["fits"] == "yes"]
    choice, because = _choose(data, able)
    command = None
    if choice is not None:
        source = shlex.quote(given or data.name)
        command = f"modalhash fit {choice} --data {source} --bits {_bits(choice, data)} --out model"
    return {"data": data.name, "systems": rows, "recommended": choice, "because": because, "try": command}


def _obstacle(found: type[Hasher], data: Dataset) -> str:
    """Why a system cannot learn from the data; empty if it can."""
    if not len(data.split["train"]):
        return "no item is in the training part"
    if found.needs_labels:
        obstacle = _label_obstacle(data, found.takes_unlabelled)
        if obstacle:
            return obstacle
    if found.named_views and set(data.views) != set(found.named_views):
        return f"learns from the views {' and '.join(found.named_views)}, the data has {', '.join(data.views)}"
    if len(data.views) < found.min_views:
        return f"needs {found.min_views} views, the data has {len(data.views)}"
    gaps = {name: missing(matrix) for name, matrix in data.part("train").items()}
    for name, rows in gaps.items():
        if rows.all():
            return f"view {name!r} is missing for every training item"
        if rows.any() and not found.fits_missing_views:
            return f"cannot train with gaps, view {name!r} is missing for {int(rows.sum())} training items"
    nothing = int(np.all(list(gaps.values()), axis=0).sum())
    return f"{nothing} training items have no view at all" if nothing else ""


def _label_obstacle(data: Dataset, takes_unlabelled: bool) -> str:
    if data.labels is None:
        return "needs labels, the data has none"
    matrix, labelled = check_labels(data.labels, len(data))
    train = data.split["train"]
    if not takes_unlabelled and not labelled[train].all():
        return f"needs every training label, {int((~labelled[train]).sum())} are missing"
    return "" if matrix[train].sum() else "needs labels, no training item carries one"


def _choose(data: Dataset, able: list[str]) -> tuple[str | None, str]:
    if not able:
        return None, "no system can learn from this data (views with gaps in training need labels of all items)"
    if "A2LH" in able:
        return "A2LH", "the data has labels, and a supervised system then finds best across views"
    if "RDCMH" in able and len(data.views) > 1:
        return (
            "RDCMH",
            "the data has labels for some items: it learns from those and from the others too (needs PyTorch)",
        )
    labels = "no labels" if data.labels is None else "no labels for all training items"
    if "DSTDH" in able:
        return "DSTDH", f"the data has pictures with tags and {labels}: it learns from noisy tags, and finds by picture"
    if "CCAITQ" in able:
        views = {1: "one view", 2: "two views"}.get(len(data.views), f"{len(data.views)} views")
        return "CCAITQ", f"the data has {views} and {labels}: what the views agree on is all there is to learn"
    if "ITQ" in able:
        return "ITQ", f"the data has one view and {labels}"
    return "UMHOQA", f"the data has gaps in training and {labels}: codes from the views that each item has"


def _bits(choice: str, data: Dataset) -> int:
    """64 bits, or as many as the system can learn from this data."""
    n = len(data.split["train"])
    widths = [int(matrix.shape[1]) for matrix in data.views.values()]
    most = {"ITQ": min(n, sum(widths)), "CCAITQ": min(n, *widths)}
    return min(64, most.get(choice, 64))
