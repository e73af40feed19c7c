"""Planted problems are reproducible, and scored so that "solved" and "not solved" lie far apart."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import modalhash as mh
from modalhash.datasets.planted import KINDS
from modalhash.hasher import ConvergenceWarning


@cache
def score(kind: str, name: str, n_bits: int) -> float:
    data = mh.datasets.planted(kind, 400, 0)
    system: Any = getattr(mh, name)(n_bits=n_bits, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        system.fit(data.part("train"), data.part_labels("train"))
    other = next(name for name in data.views if name != "image")
    index = mh.Index.build(system.encode({other: data.part("database")[other]}))
    queries = system.encode_queries({"image": data.part("query")["image"]})
    relevant = mh.metrics.SharedLabels(data.part_labels("query"), data.part_labels("database"))
    return mh.metrics.retrieval(index, queries, relevant).mean["AP"]


# kind, bits of CCA-ITQ (as many as it can on `rings`), bands of LSH, CCA-ITQ and A2LH
BANDS = [
    ("clusters", 16, (0.25, 0.45), (0.97, 1.0), (0.97, 1.0)),
    ("nuisance", 16, (0.18, 0.30), (0.22, 0.36), (0.80, 1.0)),
    ("rings", 2, (0.30, 0.38), (0.30, 0.40), (0.97, 1.0)),
    ("multilabel", 16, (0.26, 0.40), (0.32, 0.48), (0.80, 1.0)),
    ("three_views", 16, (0.18, 0.30), (0.22, 0.38), (0.80, 1.0)),
    ("social", 16, (0.10, 0.20), (0.40, 0.60), (0.55, 0.75)),
]


@pytest.mark.parametrize(("kind", "bits", "lsh", "cca", "a2lh"), BANDS, ids=[band[0] for band in BANDS])
def test_solved_and_unsolved_lie_far_apart(
    kind: str, bits: int, lsh: tuple[float, float], cca: tuple[float, float], a2lh: tuple[float, float]
) -> None:
    for name, n_bits, (low, high) in (("LSH", 16, lsh), ("CCAITQ", bits, cca), ("A2LH", 16, a2lh)):
        assert low <= score(kind, name, n_bits) <= high + 1e-9, name


def test_every_kind_has_a_band() -> None:
    assert {band[0] for band in BANDS} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_data(kind: str) -> None:
    data = mh.datasets.planted(kind, 60, 4)
    assert data.checksum == mh.datasets.planted(kind, 60, 4).checksum
    others = [mh.datasets.planted(kind, 60, 5), mh.datasets.planted(kind, 61, 4)]
    assert len({data.checksum, *(other.checksum for other in others)}) == 3
    assert len({mh.datasets.planted(other, 60, 4).checksum for other in KINDS}) == len(KINDS)
    assert len(data) == 60 and len(data.split["query"]) == 15 and data.name == f"planted-{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_items_and_labels_are_whole(kind: str) -> None:
    data = mh.datasets.planted(kind, 200, 0)
    labels = np.asarray(data.labels)
    assert set(np.unique(labels)) == {0, 1}
    counts = labels.sum(axis=1)
    assert counts.min() == 1 and counts.max() == (3 if kind == "multilabel" else 1)
    assert len(data.views) == (3 if kind == "three_views" else 2)
    assert len({matrix.shape[1] for matrix in data.views.values()}) == (1 if kind == "rings" else len(data.views))
    assert all(matrix.dtype == np.float32 and len(matrix) == 200 for matrix in data.views.values())


@pytest.mark.parametrize(
    ("kind", "n", "seed", "error"),
    [
        ("spirals", 100, 0, ValueError),
        ("rings", 19, 0, ValueError),
        ("rings", 100.0, 0, TypeError),
        ("rings", 100, -1, ValueError),
        ("rings", 100, None, TypeError),
    ],
)
def test_unknown_problems_are_refused(kind: Any, n: Any, seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"spirals|n:|seed:"):
        mh.datasets.planted(kind, n, seed)
