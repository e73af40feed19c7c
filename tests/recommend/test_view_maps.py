"""Ridge maps: the minimiser of their objective, the ridge of least validation error, missing views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from modalhash.hasher import present_rows
from modalhash.recommend.view_maps import RIDGES, _stacked, fit_view_map, validation_error

F64 = NDArray[np.float64]


def problem() -> tuple[dict[str, Any], F64]:
    rng = np.random.default_rng(0)
    views = {"a": rng.standard_normal((60, 3)), "b": rng.standard_normal((60, 2))}
    views["b"][::4] = np.nan
    Y = np.column_stack([np.sin(views["a"][:, 0]), views["a"][:, 1], np.nan_to_num(views["b"][:, 0])])
    return views, Y + 0.05 * rng.standard_normal(Y.shape)


def test_the_map_is_the_minimiser_and_its_ridge_has_the_least_error() -> None:
    views, Y = problem()
    found = fit_view_map(views, Y, np.random.default_rng(1))
    phi = _stacked(found.functions, views, present_rows(views), slice(0, 60))
    gram = phi.T @ phi
    np.testing.assert_allclose(gram @ found.W + found.ridge * found.W, phi.T @ Y, atol=1e-7)
    choices = RIDGES * np.trace(gram) / len(gram)
    errors = []
    for ridge in choices:
        hat = phi @ np.linalg.solve(gram + ridge * np.eye(len(gram)), phi.T)
        errors.append(((Y - hat @ Y) ** 2).sum() / (1 - np.trace(hat) / 60) ** 2)
    assert found.ridge == pytest.approx(choices[int(np.argmin(errors))])


def test_new_rows_get_the_factors_of_their_views() -> None:
    views, Y = problem()
    found = fit_view_map({k: v[:50] for k, v in views.items()}, Y[:50], np.random.default_rng(1))
    new = {k: v[50:] for k, v in views.items()}
    predicted = found.predict(new)
    assert predicted.shape == (10, 3)
    assert ((predicted - Y[50:]) ** 2).sum() < 0.5 * ((Y[50:] - Y[:50].mean(axis=0)) ** 2).sum()
    assert np.allclose(found.predict({k: v[3:4] for k, v in new.items()})[0], predicted[3])
    assert np.isfinite(predicted).all()  # some of them lack view "b"


def test_the_validation_error_is_that_of_the_hat_matrix() -> None:
    rng = np.random.default_rng(2)
    phi, Y = rng.standard_normal((20, 6)), rng.standard_normal((20, 2))
    values, vectors = np.linalg.eigh(phi.T @ phi)
    hat = phi @ np.linalg.solve(phi.T @ phi + 3.0 * np.eye(6), phi.T)
    expected = ((Y - hat @ Y) ** 2).sum() / (1 - np.trace(hat) / 20) ** 2
    assert validation_error(values, vectors.T @ phi.T @ Y, float((Y**2).sum()), 20, 3.0) == pytest.approx(expected)
