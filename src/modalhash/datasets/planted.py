"""Planted problems: small data whose right answer is known, so that a system can be seen to solve them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from modalhash.datasets.dataset import Dataset, random_split
from modalhash.hasher import check_integer
from modalhash.views import F64


def planted(kind: str, n: int = 400, seed: int = 0) -> Dataset:
    """A data set with a known answer: items are relevant to each other exactly where they share a label.

    kind:
    `clusters`: the views share well separated clusters; whoever finds what the views share solves it.
    `nuisance`: the views share strong directions that say nothing about the labels; only labels help.
    `rings`: each view shows its classes as rings around one centre; linear maps of a view cannot tell them apart.
    `multilabel`: items carry one to three of eight labels, each a direction in both views, beside a shared nuisance.
    `three_views`: as `nuisance`, with three views of different widths.
    `social`: a picture with strong nuisance (view `image`), and 0/1 tags that tell the class (view `tags`): half of its
    own words, now and then another, and three rows in ten are those of other items.
    n >= 20 items, a quarter of them queries.  Raises ValueError for an unknown kind.
    """
    check_integer("n", n, low=20)
    check_integer("seed", seed, low=0)
    if kind not in KINDS:
        raise ValueError(f"unknown planted problem {kind!r}; known: {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, n, list(KINDS).index(kind)])
    views, labels = KINDS[kind](n, rng)
    split = random_split(n, query=0.25, validation=0.1, seed=seed)
    return Dataset(name=f"planted-{kind}", views=views, labels=labels, split=split)


def _classes(n: int, c: int, rng: np.random.Generator) -> F64:
    return np.asarray(np.eye(c)[rng.permutation(np.arange(n) % c)])


def _view(signal: F64, width: int, noise: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random linear picture of hidden values plus noise, (n, width)."""
    mixing = rng.standard_normal((signal.shape[1], width)) / np.sqrt(signal.shape[1])
    return np.asarray(signal @ mixing + noise * rng.standard_normal((len(signal), width)), dtype=np.float32)


def _clusters(n: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], F64]:
    labels = _classes(n, 5, rng)
    hidden = 3.0 * labels @ rng.standard_normal((5, 5)) + 0.5 * rng.standard_normal((n, 5))
    return {"image": _view(hidden, 40, 0.5, rng), "text": _view(hidden, 30, 0.5, rng)}, labels


def _nuisance(
    n: int, rng: np.random.Generator, widths: tuple[int, ...] = (40, 30)
) -> tuple[dict[str, NDArray[np.float32]], F64]:
    labels = _classes(n, 5, rng)
    signal = labels @ rng.standard_normal((5, 5))
    shared = 4.0 * rng.standard_normal((n, 12))
    names = ("image", "text", "tags")
    return {
        name: _view(np.hstack([2.0 * signal, shared]), width, 0.1, rng)
        for name, width in zip(names, widths, strict=False)
    }, labels


def _rings(n: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], F64]:
    labels = _classes(n, 3, rng)
    views = {}
    for name in ("image", "text"):
        radius = 1.0 + 2.0 * labels @ np.arange(3) + 0.1 * rng.standard_normal(n)
        angle = rng.uniform(0, 2 * np.pi, n)
        views[name] = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)
    return views, labels


def _multilabel(n: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], F64]:
    labels = _classes(n, 8, rng)
    for extra in range(1, 3):
        more = rng.random(n) < 0.5 / extra
        labels[more, rng.integers(0, 8, more.sum())] = 1.0
    shared = 3.0 * rng.standard_normal((n, 12))
    hidden = np.hstack([3.0 * labels, shared])
    return {"image": _view(hidden, 60, 0.1, rng), "text": _view(hidden, 50, 0.1, rng)}, labels


def _three_views(n: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], F64]:
    return _nuisance(n, rng, widths=(40, 30, 35))


def _social(n: int, rng: np.random.Generator) -> tuple[dict[str, NDArray[np.float32]], F64]:
    labels = _classes(n, 8, rng)
    hidden = np.hstack([2.0 * labels @ rng.standard_normal((8, 8)), 4.0 * rng.standard_normal((n, 12))])
    image = _view(hidden, 60, 0.1, rng)
    own = rng.random((8, 40)) < 0.15
    tags = (rng.random((n, 40)) < 0.5 * (labels @ own) + 0.03).astype(np.float32)
    strangers = np.flatnonzero(rng.random(n) < 0.3)
    tags[strangers] = tags[rng.permutation(strangers)]
    return {"image": image, "tags": tags}, labels


KINDS: dict[str, Callable[[int, np.random.Generator], tuple[dict[str, NDArray[np.float32]], F64]]] = {
    "clusters": _clusters,  # the order seeds the data: a new kind goes to the end
    "multilabel": _multilabel,
    "nuisance": _nuisance,
    "rings": _rings,
    "three_views": _three_views,
    "social": _social,
}
