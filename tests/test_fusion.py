"""Weights of views, item by item."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import modalhash as mh
from modalhash.catalog import make
from modalhash.evaluation.crossview import directions
from modalhash.evaluation.protocol import with_views
from modalhash.fusion import FusedHasher, adaptive_weights, counted, fuse, who_has
from modalhash.views import missing, remove_rows


@pytest.fixture
def outputs() -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((3, 50, 8))


HAS = np.random.default_rng(1).random((3, 50)) < 0.7
HAS[0, ~HAS.any(axis=0)] = True


def test_weights_go_with_one_over_the_residual() -> None:
    has = np.array([[True, True, False, True], [True, True, True, True]])
    weights = adaptive_weights(np.array([[1.0, 0.0, 7.0, 0.0], [3.0, 2.0, 5.0, 0.0]]), has)
    np.testing.assert_allclose(weights, [[0.75, 1.0, 0.0, 0.5], [0.25, 0.0, 1.0, 0.5]])


def test_rounds_never_raise_the_sum_of_distances(outputs: NDArray[np.float64]) -> None:
    def distances(rounds: int) -> NDArray[np.float64]:
        code = np.where(fuse(outputs, HAS, rounds=rounds)[0] >= 0, 1.0, -1.0)
        return np.asarray((np.linalg.norm(code - outputs, axis=2) * HAS).sum(axis=0))

    values = [distances(rounds) for rounds in range(6)]
    assert all((after <= before + 1e-12).all() for before, after in pairwise(values))
    assert values[-1].sum() < values[0].sum()


def test_rounds_with_a_prior_never_raise_the_weighed_sum_of_distances(outputs: NDArray[np.float64]) -> None:
    prior = HAS * np.array([[1.0], [3.0], [0.5]])

    def distances(rounds: int) -> NDArray[np.float64]:
        code = np.where(fuse(outputs, HAS, prior=prior, scale=0.7, rounds=rounds)[0] >= 0, 0.7, -0.7)
        return np.asarray((np.linalg.norm(code - outputs, axis=2) * prior).sum(axis=0))

    values = [distances(rounds) for rounds in range(6)]
    assert all((after <= before + 1e-12).all() for before, after in pairwise(values))
    assert values[-1].sum() < values[0].sum()
    np.testing.assert_allclose(fuse(outputs, HAS, prior=prior, rounds=0)[1], prior / prior.sum(axis=0))


@pytest.mark.parametrize(("views", "n_bits"), [(3, 8), (12, 8), (12, 1)])  # numpy adds many views in another order
def test_an_item_looks_at_no_other(views: int, n_bits: int) -> None:
    rng = np.random.default_rng(0)
    outputs, has = rng.standard_normal((views, 50, n_bits)), rng.random((views, 50)) < 0.9
    has[0] = True
    sums, weights = fuse(outputs, has)
    for i in range(50):
        own_sums, own_weights = fuse(outputs[:, i : i + 1], has[:, i : i + 1])
        np.testing.assert_array_equal(own_sums[0], sums[i])
        np.testing.assert_array_equal(own_weights[:, 0], weights[:, i])
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[~has] == 0).all()


def test_views_that_never_varied_count_only_alone() -> None:
    has = np.array([[True, False, False], [True, True, False], [True, True, True]])
    found = counted(has, np.array([True, False, False]))
    np.testing.assert_array_equal(found, [[True, False, False], [False, True, False], [False, True, True]])


def test_nobody_has_a_view_that_is_not_given() -> None:
    present = {"b": np.array([True, False, True])}
    np.testing.assert_array_equal(who_has(("a", "b"), present, slice(1, 3)), [[False, False], [False, True]])


class Doubled(FusedHasher):
    """Two views of one width; what goes in comes out."""

    def _fit(self, views: dict[str, Any], labels: Any) -> None:
        self.codes_ = self.encode(views)

    def _project(self, name: str, block: Any) -> Any:
        return np.asarray(block, dtype=np.float64)


def test_weights_can_be_read_and_are_those_of_the_code(outputs: NDArray[np.float64]) -> None:
    views = {"a": outputs[0], "b": np.where(HAS[1][:, None], outputs[1], np.nan)}
    hasher = Doubled(n_bits=8).fit({"a": outputs[0], "b": outputs[1]})
    weights = hasher.view_weights(views)
    assert weights.shape == (50, 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights[~HAS[1]] == [1, 0]).all()
    sums = weights[:, [0]] * views["a"] + weights[:, [1]] * np.nan_to_num(views["b"])
    np.testing.assert_array_equal(hasher.encode(views).signs() > 0, sums >= 0)
    np.testing.assert_array_equal(hasher.view_weights(dict(reversed(views.items()))), weights)
    np.testing.assert_array_equal(hasher.view_weights({"b": outputs[1]}), np.tile([0.0, 1.0], (50, 1)))
    with pytest.raises(ValueError, match="unknown"):
        hasher.view_weights({"c": outputs[0]})


@pytest.fixture
def gappy() -> mh.datasets.Dataset:
    """A planted problem in which every third item has no text."""
    data = mh.datasets.planted("three_views", 120, 0)
    rows = np.arange(120) % 3 == 0
    return replace(data, views={**data.views, "text": remove_rows(data.views["text"], rows)})


SMALL: dict[str, dict[str, Any]] = {
    "SMHOQA": {},
    "UMHOQA": {},
    "BSTH": {"width": 4, "hidden": 8, "words_hidden": 8, "label_epochs": 2, "epochs": 2},
}


@pytest.mark.filterwarnings("ignore::modalhash.hasher.ConvergenceWarning")
@pytest.mark.parametrize("name", SMALL)
def test_a_system_of_one_view_is_evaluated_on_the_items_that_have_it(name: str, gappy: mh.datasets.Dataset) -> None:
    has = ~missing(gappy.views["text"])[gappy.split["train"]]
    train = {m: x[has] for m, x in gappy.part("train").items()}
    hasher = make(name, n_bits=8, random_state=0, only="text", **SMALL[name]).fit(
        train, gappy.part_labels("train")[has]
    )
    assert hasher.needed_views == ("text",) and directions(gappy, hasher) == [("text", "text")]
    rows, views = with_views(gappy, "query", hasher, ())
    assert list(views) == ["text"] and not missing(gappy.views["text"])[rows].any()
    assert len(hasher.encode(views)) == len(rows) < len(gappy.split["query"])


@pytest.mark.parametrize("name", SMALL)
def test_only_names_one_of_the_views(name: str, gappy: mh.datasets.Dataset) -> None:
    system = make(name, n_bits=8, **SMALL[name])
    assert system.needed_views == ()
    with pytest.raises(ValueError, match=f"{name}: only='sound' is none of the views 'image', 'text', 'tags'"):
        system.set_params(only="sound").fit(gappy.part("train"), gappy.part_labels("train"))
    with pytest.raises(TypeError, match=r"only: expected the name of a view or None, got \['text'\]"):
        system.set_params(only=["text"]).fit(gappy.part("train"), gappy.part_labels("train"))
