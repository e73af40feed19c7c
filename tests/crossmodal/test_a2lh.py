"""A2LH: its objective against the n x n formula, and each update as the stationary point of its variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import modalhash as mh
from modalhash.crossmodal.a2lh import Problem

F64 = NDArray[np.float64]


def problem(**params: Any) -> Problem:
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 4)) < 0.4).astype(float)
    phi = {name: (x := rng.standard_normal((40, 6)).astype(np.float32)) - x.mean(axis=0) for name in ("a", "b")}
    system = mh.A2LH(n_bits=5, **{"alpha": 0.7, "eta": 0.9, "beta": 2.0, "ridge": 1e-9, **params})
    return Problem(system, phi, labels, rng)


def whole(p: Problem) -> float:
    """Eq. 9 with the n x n matrix S."""
    a, L, B = p.system, np.asarray(p.labels).T, p.B.T
    U = p.U @ p.data(slice(0, p.n)).T
    E = p.R @ L if a.multi_semantic else B
    total = np.sum((E.T @ p.C @ U - p.K * (2 * L.T @ L - 1)) ** 2) + a.alpha * np.sum((B - p.C @ U) ** 2)
    total += sum(mu**a.zeta * np.sum((x.T - p.V[m] @ U) ** 2) for mu, (m, x) in zip(p.mu, p.phi.items(), strict=True))
    total += a.eta * np.sum(U**2)
    if a.multi_semantic:
        total += a.beta * np.sum((E - B) ** 2) + a.eta * np.sum(E**2)
    return float(total)


UPDATES = ("update_view_weights", "update_label_map", "update_code_map", "update_codes", "update_common")


@pytest.mark.parametrize("multi_semantic", [True, False])
def test_the_objective_equals_its_formula_and_no_update_raises_it(multi_semantic: bool) -> None:
    p = problem(multi_semantic=multi_semantic)
    for _ in range(3):
        for name in (*UPDATES, "update_view_maps"):
            if name == "update_label_map" and not multi_semantic:
                continue
            before = whole(p)
            assert p.objective() == pytest.approx(before, rel=1e-6)
            getattr(p, name)()
            # with B as sign of its target, B and what U is made of move together, so U is renewed first
            if name == "update_codes":
                p.update_common()
            assert whole(p) <= before * (1 + 1e-7), name


def set_common(p: Problem, U: F64) -> None:
    p.U, p.UG = U, U @ p.G.gram
    p.UU = p.UG @ U.T + p.system.ridge * np.eye(len(U))


def set_label_map(p: Problem, R: F64) -> None:
    p.R = R


def set_code_map(p: Problem, C: F64) -> None:
    p.C = C


@pytest.mark.parametrize(
    ("update", "name", "move"),
    [
        ("update_label_map", "R", set_label_map),
        ("update_code_map", "C", set_code_map),
        ("update_common", "U", set_common),
    ],
)
def test_closed_form_updates_have_no_gradient(update: str, name: str, move: Callable[[Problem, F64], None]) -> None:
    p = problem()
    p.update_view_weights()
    getattr(p, update)()
    best, lowest, rng = np.array(getattr(p, name)), whole(p), np.random.default_rng(1)
    for _ in range(10):
        step = 0.1 * rng.standard_normal(best.shape) * np.abs(best).max()
        move(p, best + step)
        up = whole(p)
        move(p, best - step)
        down = whole(p)
        move(p, best)
        assert up > lowest and down > lowest
        assert abs(up - down) <= 1e-5 * (up + down - 2 * lowest)
