"""Second moments equal ZᵀZ, whatever the order in which rows come and go."""

from __future__ import annotations

import numpy as np
import pytest

from modalhash.moments import Moments

rng = np.random.default_rng(0)
WIDTHS = {"a": 3, "b": 1, "c": 4}
Z = rng.standard_normal((50, 8))
PLACES = {"a": slice(0, 3), "b": slice(3, 4), "c": slice(4, 8)}


def filled() -> Moments:
    moments = Moments(WIDTHS)
    for start in range(0, 50, 20):
        moments.add(Z[start : start + 20])
    return moments


def test_blocks_add_up() -> None:
    moments = filled()
    np.testing.assert_allclose(moments.gram, Z.T @ Z, rtol=1e-12, atol=1e-12)
    for a, here in PLACES.items():
        assert moments.at(a) == here
        np.testing.assert_allclose(moments.rows(a), Z[:, here].T @ Z, atol=1e-12)
        for b, there in PLACES.items():
            np.testing.assert_allclose(moments[a, b], Z[:, here].T @ Z[:, there], atol=1e-12)


@pytest.mark.parametrize("name", WIDTHS)
def test_a_block_is_forgotten_and_filled_again(name: str) -> None:
    moments, changed = filled(), Z.copy()
    changed[:, PLACES[name]] = rng.standard_normal((50, WIDTHS[name]))
    moments.clear(name)
    assert not moments.gram[PLACES[name]].any() and not moments.gram[:, PLACES[name]].any()
    for start in range(0, 50, 17):
        rows = changed[start : start + 17]
        moments.add_rows(name, rows[:, PLACES[name]], rows)
    np.testing.assert_allclose(moments.gram, changed.T @ changed, atol=1e-12)


def test_what_is_read_is_a_part_of_the_gram() -> None:
    moments = filled()
    assert moments.size == 8
    np.testing.assert_allclose(moments.gram, moments.gram.T, atol=1e-12)
