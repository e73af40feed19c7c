"""Paired bootstrap: the mean, bounds that normal theory knows, owners drawn whole."""

from __future__ import annotations

import numpy as np
import pytest

from modalhash.evaluation.bootstrap import paired_bootstrap


def test_bounds_are_those_of_normal_theory() -> None:
    rng = np.random.default_rng(0)
    first, noise = rng.standard_normal(400), rng.standard_normal(400)
    found = paired_bootstrap(first + 0.3 + noise, first, draws=4000)
    assert found.mean == pytest.approx(0.3 + noise.mean())
    half = 1.96 * noise.std() / 20
    assert found.high - found.mean == pytest.approx(half, rel=0.1)
    assert found.mean - found.low == pytest.approx(half, rel=0.1)
    narrow = paired_bootstrap(first + 0.3 + noise, first, draws=4000, level=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_rankings_of_one_owner_are_drawn_together() -> None:
    noise = np.random.default_rng(1).standard_normal(100)
    alone = paired_bootstrap(noise, np.zeros(100), draws=2000)
    copies = np.repeat(noise, 9)
    owners = np.repeat(np.arange(100), 9)
    together = paired_bootstrap(copies, np.zeros(900), owners, draws=2000)
    assert together.mean == pytest.approx(alone.mean)
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=1e-9)
    apart = paired_bootstrap(copies, np.zeros(900), draws=2000)
    assert apart.high - apart.low < 0.5 * (together.high - together.low)


def test_owners_of_many_rankings_weigh_more() -> None:
    found = paired_bootstrap(np.array([1.0, 1, 1, 0]), np.zeros(4), np.array([7, 7, 7, 2]))
    assert found.mean == 0.75 and found.low == 0.0 and found.high == 1.0


def test_rankings_without_a_value_do_not_count_and_seeds_repeat() -> None:
    first = np.array([1.0, np.nan, 3.0, 5.0])
    second = np.array([0.0, 9.0, np.nan, 0.0])
    found = paired_bootstrap(first, second, draws=50, seed=3)
    assert found.mean == 3.0
    assert found == paired_bootstrap(first, second, draws=50, seed=3)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="expected one length"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="no ranking counts"):
        paired_bootstrap(np.full(3, np.nan), np.zeros(3))
    with pytest.raises(ValueError, match="level"):
        paired_bootstrap(np.zeros(3), np.zeros(3), level=1.0)
