"""The objective of SMH-OQA: every update is optimal or never raises it, and nothing of size n x n is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from modalhash.composite.asymmetric import FLOOR, Augmented, Problem
from modalhash.composite.smh_oqa import SMHOQA
from modalhash.composite.smh_oqa_rows import FusedRows, unit_rows
from modalhash.datasets import planted
from modalhash.parts import InOrder
from modalhash.solvers import procrustes, signs
from modalhash.views import F64, dense

WEIGHTS = {"alpha": 0.03, "beta": 2.0, "delta": 0.5}  # large enough that a dropped term shows
SETTINGS: list[dict[str, Any]] = [
    {},
    {"weights": "equal"},
    {"discrete": False},
    {"unit_labels": True},
    {"kernel": False},
    {"alpha": None, "beta": 1e-5, "delta": 1e-3},
]


def rows_of(problem: Problem) -> FusedRows:
    """The one part of a fit on one machine."""
    assert isinstance(problem.parts, InOrder)
    (rows,) = problem.parts.parts
    assert isinstance(rows, FusedRows)
    return rows


class Twin:
    """Eq. 4.8 as it is written, columns are items, every n x n matrix written out."""

    def __init__(self, problem: Problem) -> None:
        self.p, self.a, rows = problem, problem.system, rows_of(problem)
        Y = dense(rows.Y)
        self.S = 2 * Y @ Y.T - np.ones((problem.n, problem.n))
        self.phi = {m: x.astype(np.float64).T for m, x in rows.phi.items()}
        self.has = rows.has > 0
        self.values: dict[str, Any] = {"B": rows.B.T, "R": problem.R, "H": rows.H.T, "mu": problem.mu}
        self.values |= {f"W {m}": W.T for m, W in problem.W.items()}

    def objective(self, **changed: Any) -> float:
        v, a, K = {**self.values, **changed}, self.a, self.p.K
        B, RH = v["B"], v["R"] @ v["H"]
        total = self.p.alpha * np.sum((K * self.S - B.T @ RH) ** 2) + a.beta * np.sum((B - RH) ** 2)
        for (m, phi), has, mu in zip(self.phi.items(), self.has, v["mu"], strict=True):
            weight = 1.0 if a.weights == "equal" else has.mean() / mu
            residual = np.sum((v["H"] - v[f"W {m}"] @ phi)[:, has] ** 2) + FLOOR * K * has.sum()
            total += weight * residual + a.delta * np.sum(v[f"W {m}"] ** 2)
        return float(total)


def small(kind: type[Problem] = Problem, *, gaps: bool = False, n: int = 40, **params: Any) -> Any:
    data = planted("multilabel", n, 1)
    views = {name: np.asarray(matrix, dtype=np.float64).copy() for name, matrix in data.views.items()}
    if gaps:
        views["image"][:7] = np.nan
        views["text"][n - 5 :] = np.nan
    system = SMHOQA(**{"n_bits": 5, "n_anchors": 7, "random_state": 3, **WEIGHTS, **params})
    system.widths_ = {name: matrix.shape[1] for name, matrix in views.items()}
    parts, rng = InOrder([system._rows(views, np.asarray(data.labels, dtype=np.float64))]), np.random.default_rng(3)
    present, groups = parts.who_has(), {name: [name] for name in views}
    system._fit_features(parts, groups, present, rng)
    return kind(system, parts, groups, present, rng)


@pytest.mark.parametrize("params", SETTINGS)
@pytest.mark.parametrize("gaps", [False, True])
def test_objective_equals_its_definition(params: dict[str, Any], gaps: bool) -> None:
    problem = small(gaps=gaps, **params)
    for _ in range(3):
        assert problem.objective() == pytest.approx(Twin(problem).objective(), rel=1e-9)
        problem.iterate()


@pytest.mark.parametrize("params", SETTINGS)
@pytest.mark.parametrize("gaps", [False, True])
def test_no_update_raises_the_objective(params: dict[str, Any], gaps: bool) -> None:
    problem = small(gaps=gaps, **params)
    value = Twin(problem).objective()
    first = value
    for _ in range(5):
        for variable in ("view_weights", "rotation", "common", "codes", "maps"):
            getattr(problem, f"update_{variable}")()
            assert Twin(problem).objective() <= value * (1 + 1e-9), variable
            value = Twin(problem).objective()
    assert value < 0.7 * first


UPDATES = {"H": "common", "W image": "maps", "W text": "maps"}


@pytest.mark.parametrize("variable", UPDATES)
@pytest.mark.parametrize("params", SETTINGS)
@pytest.mark.parametrize("gaps", [False, True])
def test_closed_form_updates_have_zero_gradient(variable: str, params: dict[str, Any], gaps: bool) -> None:
    problem = small(gaps=gaps, **params)
    problem.iterate()
    getattr(problem, f"update_{UPDATES[variable]}")()
    assert_stationary(Twin(problem), variable)


def assert_stationary(twin: Twin, variable: str) -> None:
    value, best, rng = twin.values[variable], twin.objective(), np.random.default_rng(0)
    for _ in range(8):
        step = rng.standard_normal(value.shape) * 1e-2 * np.abs(value).mean()
        up, down = twin.objective(**{variable: value + step}), twin.objective(**{variable: value - step})
        curvature = up + down - 2 * best
        assert curvature > 0
        assert abs(up - down) < 1e-4 * curvature + 1e-9 * best


def test_relaxed_codes_have_zero_gradient() -> None:
    problem = small(discrete=False)
    problem.iterate()
    problem.update_codes()
    assert_stationary(Twin(problem), "B")


@pytest.mark.parametrize("gaps", [False, True])
def test_view_weights_are_the_best_on_the_simplex(gaps: bool) -> None:
    problem = small(gaps=gaps)
    problem.iterate()
    problem.update_view_weights()
    twin = Twin(problem)
    assert problem.mu.sum() == pytest.approx(1)
    for share in np.linspace(0.01, 0.99, 33):
        assert twin.objective(mu=np.array([share, 1 - share])) >= twin.objective() * (1 - 1e-12)


def test_rotation_ends_where_no_rotation_near_by_is_better() -> None:
    problem = small()
    for _ in range(3):
        problem.iterate()
    for _ in range(400):
        problem.update_rotation()
    twin, rng = Twin(problem), np.random.default_rng(0)
    np.testing.assert_allclose(problem.R @ problem.R.T, np.eye(5), atol=1e-10)
    for scale in (1e-3, 1e-2, 1e-1):
        for _ in range(10):
            other = procrustes(problem.R + scale * rng.standard_normal((5, 5)))
            assert twin.objective(R=other) >= twin.objective() * (1 - 1e-9)


def test_a_bit_that_can_fall_is_flipped() -> None:
    problem = small()
    problem.iterate()
    for _ in range(20):
        problem.update_codes()
    twin = Twin(problem)
    best = twin.objective()
    for bit in range(5):
        for i in range(problem.n):
            B = twin.values["B"].copy()
            B[bit, i] *= -1
            assert twin.objective(B=B) >= best * (1 - 1e-12)


@pytest.mark.parametrize("unit", [False, True])
def test_products_with_s_are_those_of_the_whole_matrix(unit: bool) -> None:
    problem = small(unit_labels=unit)
    rows = rows_of(problem)
    values = np.random.default_rng(0).standard_normal((problem.n, 3))
    np.testing.assert_allclose(rows.S(rows.sums(values)), Twin(problem).S @ values)
    rows.Y = sp.csr_array(rows.Y)
    np.testing.assert_allclose(rows.S(rows.sums(values)), Twin(problem).S @ values)
    assert problem.objective() == pytest.approx(Twin(problem).objective())


def test_unit_rows_have_norm_one_or_none() -> None:
    rows = unit_rows(np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 1])


# augmented Lagrange multipliers
class Printed(Augmented):
    """The steps of the text as they are printed, misprints and all (Eq. 4.18, 4.19, 4.26)."""

    def update_rotation(self) -> None:
        a, rows = self.system, rows_of(self)
        B, H, Y = rows.B, rows.H, rows.Y
        C = a.beta * B.T @ H + 2 * self.alpha * self.K * (B.T @ Y) @ (H.T @ Y).T
        C += 2 * self.alpha * self.K * np.outer(B.sum(axis=0), H.sum(axis=0))
        C += a.penalty * self.Z_R - self.G_R - self.alpha * B.T @ B @ self.Z_R @ H.T @ H
        self.R = procrustes(C)

    def update_common(self) -> None:
        a, R, rows = self.system, self.R, rows_of(self)
        B, Y = rows.B, rows.Y
        S = 2 * Y @ (B.T @ Y).T + B.sum(axis=0)
        target = sum((w * P for w, P in zip(self.w, rows.P.values(), strict=True)), a.beta * B @ R)
        rows.H = (target + self.alpha * self.K * S @ R) / (self.w.sum() + self.alpha + a.beta)

    def update_codes(self) -> None:
        before = self.Z_R
        super().update_codes()
        B, H = rows_of(self).B, rows_of(self).H
        BRH = B.T @ B @ self.R.T @ (H.T @ H)
        G = self.G_R - self.system.penalty * (self.R - self.Z_R)
        self.Z_R = procrustes(self.system.penalty * self.R + G - self.alpha * BRH)
        self.G_R = G + self.system.penalty * (self.R - self.Z_R)
        assert before.shape == self.Z_R.shape


@pytest.mark.parametrize("penalty", [1e-2, 1.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_corrected_multipliers_fall_and_the_printed_ones_rise(penalty: float, seed: int) -> None:
    ends = {}
    for kind in (Problem, Augmented, Printed):
        problem = small(kind, n=120, n_bits=8, penalty=penalty, alpha=None, beta=1e-5, delta=1e-3, random_state=seed)
        start, values = problem.objective(), []
        for _ in range(12):
            problem.iterate()
            values.append(problem.objective() / start)
        ends[kind] = min(values) if kind is not Printed else max(values)
    assert ends[Problem] <= ends[Augmented] < 0.9
    assert ends[Printed] > 1.5


def linear_part(step: Any, value: F64) -> F64:
    """The gradient of a function of a matrix by central differences."""
    gradient = np.zeros_like(value)
    for at in np.ndindex(*value.shape):
        shift = np.zeros_like(value)
        shift[at] = 1e-5
        gradient[at] = (step(value + shift) - step(value - shift)) / 2e-5
    return gradient


def test_multiplier_steps_maximise_their_linear_objective() -> None:
    """R, B, Z_B and Z_R are sgn or proc of minus the gradient of Eq. 4.9, the other copy held in the quartic term."""
    problem = small(Augmented, n=20, n_bits=3, penalty=0.7)
    problem.iterate()
    problem.iterate()
    t, a, K, rows = Twin(problem), problem.system, problem.K, rows_of(problem)
    S, lam = t.S, a.penalty
    H, B, R = (t.values[name] for name in ("H", "B", "R"))
    Z_B, Z_R, G_B, G_R = rows.Z_B.T, problem.Z_R, rows.G_B.T, problem.G_R

    def penalised(B: F64, R: F64, Z_B: F64, Z_R: F64, quartic: float) -> float:
        value = -2 * problem.alpha * K * np.sum(S * (B.T @ R @ H)) - 2 * a.beta * np.sum(B * (R @ H)) + quartic
        value += lam / 2 * (np.sum((R - Z_R + G_R / lam) ** 2) + np.sum((B - Z_B + G_B / lam) ** 2))
        return float(value - lam / 2 * (np.sum(R**2) + np.sum(B**2) + np.sum(Z_R**2) + np.sum(Z_B**2)))

    def cross(B: F64, other: F64, R: F64, Z: F64) -> float:
        return float(problem.alpha * np.sum((B.T @ R @ H) * (other.T @ Z @ H)))

    problem.update_rotation()
    gradient = linear_part(lambda X: penalised(B, X, Z_B, Z_R, cross(B, B, X, Z_R)), R)
    np.testing.assert_allclose(problem.R, procrustes(-gradient), atol=1e-6)
    R = problem.R
    problem.update_codes()
    gradient = linear_part(lambda X: penalised(X, R, Z_B, Z_R, cross(X, Z_B, R, R)), B)
    np.testing.assert_array_equal(rows.B.T, signs(-gradient))
    B = rows.B.T
    gradient = linear_part(lambda X: penalised(B, R, X, Z_R, cross(B, X, R, R)), Z_B)
    np.testing.assert_array_equal(rows.Z_B.T, signs(-gradient))
    gradient = linear_part(lambda X: penalised(B, R, Z_B, X, cross(B, B, R, X)), Z_R)
    np.testing.assert_allclose(problem.Z_R, procrustes(-gradient), atol=1e-6)
    np.testing.assert_allclose(rows.G_B.T, G_B + lam * (B - rows.Z_B.T))
    np.testing.assert_allclose(problem.G_R, G_R + lam * (R - problem.Z_R))
