"""Weights of views, item by item."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modalhash.fusion import FusedHasher, adaptive_weights, fuse


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
        code = np.where(fuse(outputs, HAS, rounds)[0] >= 0, 1.0, -1.0)
        return np.asarray((np.linalg.norm(code - outputs, axis=2) * HAS).sum(axis=0))

    values = [distances(rounds) for rounds in range(6)]
    assert all((after <= before + 1e-12).all() for before, after in pairwise(values))
    assert values[-1].sum() < values[0].sum()


def test_an_item_looks_at_no_other(outputs: NDArray[np.float64]) -> None:
    sums, weights = fuse(outputs, HAS)
    for i in (0, 7, 49):
        own = [fuse(outputs[:, i : i + 1], HAS[:, i : i + 1])][0]
        np.testing.assert_array_equal(own[0][0], sums[i])
        np.testing.assert_array_equal(own[1][:, 0], weights[:, i])
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[~HAS] == 0).all()


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
