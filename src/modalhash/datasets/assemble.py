"""A data set of raw pictures and texts: its matrices come from extractors, through the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modalhash.datasets.dataset import Dataset, Positions
from modalhash.views import Matrix


def from_raw(
    name: str,
    raw: Mapping[str, Sequence[Any]],
    extractors: Mapping[str, Any],
    split: Mapping[str, Positions],
    *,
    views: Mapping[str, Matrix] | None = None,
    **columns: Any,
) -> Dataset:
    """A Dataset whose raw views get their matrices from extractors fitted on training rows, or from the cache.

    raw: view -> n texts or encoded pictures; extractors: view -> extractor; views: matrices that are there already;
    columns: labels, ids, titles … of `Dataset`.
    """
    from modalhash.features.cache import fitted

    made: dict[str, Matrix] = {}
    features: dict[str, Any] = {}
    train = split["train"].tolist()
    for view, column in raw.items():
        features[view], made[view] = fitted(extractors[view], column, train)
    return Dataset(name=name, views={**made, **(views or {})}, raw=raw, features=features, split=split, **columns)


def usual_extractors(image: Any = None) -> dict[str, Any]:
    """Extractors, not fitted, of the views `image` (GradientColour unless another is given) and `text` (Tfidf)."""
    from modalhash.features import GradientColour, Tfidf

    return {"image": GradientColour() if image is None else image, "text": Tfidf()}


def check_choice(name: str, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The chosen names as a tuple; ValueError if there is none, one twice or one that is not known."""
    chosen = (given,) if isinstance(given, str) else tuple(given)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(known):
        raise ValueError(f"{name}: expected some of {', '.join(known)}, got {given!r}")
    return chosen
