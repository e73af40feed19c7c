"""The shared steps: each is the best point of what it claims to minimise, and equals a slow twin."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import ortho_group

import modalhash as mh
from modalhash.solvers import (
    centred_product,
    fix_signs,
    itq_rotation,
    mean_and_scale,
    principal_directions,
    procrustes,
    ridge,
    signs,
    update_bits,
    view_weights,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_sign_of_zero_is_plus_one() -> None:
    np.testing.assert_array_equal(signs(np.array([0.0, -0.0, -1e-300, 1e-300, -3, 2])), [1, 1, -1, 1, -1, 1])


def test_fix_signs_makes_the_largest_entry_positive(rng: np.random.Generator) -> None:
    columns = rng.standard_normal((7, 4))
    found = fix_signs(columns)
    np.testing.assert_array_equal(np.abs(found), np.abs(columns))
    np.testing.assert_array_equal(found, fix_signs(-columns))
    assert (found[np.abs(found).argmax(axis=0), range(4)] > 0).all()
    assert fix_signs(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 1), (1, 1)])
def test_procrustes_beats_every_other_orthonormal_matrix(shape: tuple[int, int], rng: np.random.Generator) -> None:
    cross = rng.standard_normal(shape)
    best = procrustes(cross)
    small = min(shape)
    np.testing.assert_allclose(best.T @ best if shape[1] == small else best @ best.T, np.eye(small), atol=1e-12)
    assert np.trace(best.T @ cross) == pytest.approx(np.linalg.svd(cross)[1].sum(), rel=1e-12)
    for seed in range(30):
        side = max(shape)
        other = np.eye(1) if side == 1 else ortho_group.rvs(side, random_state=seed)
        assert np.trace(other[: shape[0], : shape[1]].T @ cross) <= np.trace(best.T @ cross) + 1e-12


@pytest.mark.parametrize("weight", [1e-6, 0.5, 30.0])
def test_ridge_has_no_gradient(weight: float, rng: np.random.Generator) -> None:
    X, Y = rng.standard_normal((40, 6)), rng.standard_normal((40, 3))
    W = ridge(X.T @ X, X.T @ Y, weight)
    np.testing.assert_allclose(X.T @ (X @ W - Y) + weight * W, 0, atol=1e-10)


def test_ridge_holds_for_a_singular_gram(rng: np.random.Generator) -> None:
    X, Y = np.ones((5, 3)), rng.standard_normal((5, 2))
    W = ridge(X.T @ X, X.T @ Y, 0.1)
    np.testing.assert_allclose(X.T @ (X @ W - Y) + 0.1 * W, 0, atol=1e-10)


@pytest.mark.parametrize("zeta", [1.1, 2.0, 5.0])
def test_view_weights_beat_every_feasible_point(zeta: float, rng: np.random.Generator) -> None:
    residuals = np.array([0.3, 2.0, 7.0, 0.31])
    best = view_weights(residuals, zeta)
    assert best.sum() == pytest.approx(1) and (best >= 0).all()
    others = np.vstack([rng.dirichlet(np.ones(4), 500), np.clip(best + 1e-3 * rng.standard_normal((200, 4)), 0, None)])
    others /= others.sum(axis=1, keepdims=True)
    assert (others**zeta @ residuals >= best**zeta @ residuals * (1 - 1e-12)).all()


def test_view_weights_of_perfect_views() -> None:
    np.testing.assert_array_equal(view_weights(np.array([0.0, 1.0, 0.0]), 2.0), [0.5, 0, 0.5])
    np.testing.assert_array_equal(view_weights(np.zeros(4), 2.0), [0.25] * 4)
    np.testing.assert_allclose(view_weights(np.array([1e-300, 1e300]), 1.5), [1, 0], atol=1e-12)


def forms(matrix: np.ndarray) -> list[object]:
    return [matrix, np.asfortranarray(matrix), sp.csr_matrix(matrix), sp.csr_array(matrix)]


def test_centred_product_and_moments_are_the_same_dense_and_sparse(rng: np.random.Generator) -> None:
    matrix = np.where(rng.random((5000, 9)) < 0.6, 0, rng.standard_normal((5000, 9)))
    W = rng.standard_normal((9, 4))
    for given in forms(matrix):
        mean, scale = mean_and_scale(given)
        np.testing.assert_allclose(mean, matrix.mean(axis=0), atol=1e-13)
        assert scale == pytest.approx(np.sqrt(matrix.var(axis=0).sum()), rel=1e-12)
        np.testing.assert_allclose(centred_product(given, mean, W), (matrix - mean) @ W, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_a_constant_matrix_has_scale_one(value: float) -> None:
    assert mean_and_scale(np.full((7, 3), value))[1] == 1.0


def plain_svd(views: dict[str, np.ndarray], k: int) -> np.ndarray:
    parts = [(x - x.mean(axis=0)) / np.sqrt(x.var(axis=0).sum()) for x in views.values()]
    directions = fix_signs(np.linalg.svd(np.hstack(parts), full_matrices=False)[2][:k].T)
    widths = np.cumsum([x.shape[1] for x in views.values()])[:-1]
    scaled = zip(np.vsplit(directions, widths), views.values(), strict=True)
    return np.vstack([rows / np.sqrt(x.var(axis=0).sum()) for rows, x in scaled])


@pytest.mark.parametrize(
    ("n", "widths", "k"),
    [(80, (7, 5), 4), (80, (7, 5), 12), (60, (2000, 1500), 6), (20, (2000, 1500), 19), (4, (3, 2), 3)],
)
def test_principal_directions_equal_a_plain_svd(n: int, widths: tuple[int, int], k: int) -> None:
    rng = np.random.default_rng(n + k)
    hidden = rng.standard_normal((n, 24)) * np.linspace(4, 0.5, 24)
    views = {}
    for name, width in zip("ab", widths, strict=True):
        noise = 0.01 * rng.standard_normal((n, width))
        views[name] = np.where(rng.random((n, width)) < 0.3, 0, hidden @ rng.standard_normal((24, width)) + noise)
    means = {name: mean_and_scale(x)[0] for name, x in views.items()}
    scales = {name: mean_and_scale(x)[1] for name, x in views.items()}
    expected = plain_svd(views, k)
    for form in (np.array, sp.csr_array):
        given = {name: form(x) for name, x in views.items()}
        found = principal_directions(given, means, scales, k, 0)
        assert [x.shape for x in found.values()] == [(width, k) for width in widths]
        np.testing.assert_allclose(np.vstack(list(found.values())), expected, atol=1e-6 * np.abs(expected).max())


def test_directions_without_variance_are_zero() -> None:
    matrix = np.outer(np.arange(6.0), [1.0, 2, 3])
    mean, scale = mean_and_scale(matrix)
    found = principal_directions({"a": matrix}, {"a": mean}, {"a": scale}, 3, 0)["a"]
    assert found[:, 0].any() and not found[:, 1:].any()


def test_few_items_of_a_very_wide_view_take_no_width_by_width_matrix() -> None:
    wide = sp.random_array((30, 6000), density=0.05, format="csr", rng=np.random.default_rng(0))
    tracemalloc.start()
    hasher = mh.CCAITQ(n_bits=8, random_state=0).fit({"text": wide, "image": wide[:, :50].toarray()})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(hasher.encode({"text": wide})) == 30
    assert peak < 100e6  # 6000² float64 alone are 288 MB


def test_itq_never_loses_more(rng: np.random.Generator) -> None:
    values = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6))
    losses = []
    for n_iter in range(12):
        rotation = itq_rotation(values, n_iter, np.random.default_rng(5))
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(6), atol=1e-12)
        losses.append(np.sum((signs(values @ rotation) - values @ rotation) ** 2))
    assert (np.diff(losses) <= 1e-9).all() and losses[-1] < losses[0]


def energy(bits: np.ndarray, linear: np.ndarray, coupling: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("nk,kl,nl->n", bits, coupling, bits) - 2 * np.einsum("nk,nk->n", linear, bits))


def problem(rng: np.random.Generator, whole: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    half = rng.integers(-2, 3, (6, 6)).astype(float) if whole else rng.standard_normal((6, 6))
    linear = rng.integers(-4, 5, (50, 6)).astype(float) if whole else 3 * rng.standard_normal((50, 6))
    return signs(rng.standard_normal((50, 6))), linear, half + half.T


@pytest.mark.parametrize("whole", [True, False])  # whole numbers give exact zeros, whose sign is +1
def test_update_bits_equals_a_loop_over_rows_and_never_raises_the_energy(whole: bool, rng: np.random.Generator) -> None:
    bits, linear, coupling = problem(rng, whole)
    for _ in range(4):
        expected, before = bits.copy(), energy(bits, linear, coupling)
        for row, q in zip(expected, linear, strict=True):
            for j in range(6):
                rest = sum(coupling[i, j] * row[i] for i in range(6) if i != j)
                row[j] = 1.0 if q[j] - rest >= 0 else -1.0
        update_bits(bits, linear, coupling)
        np.testing.assert_array_equal(bits, expected)
        assert (energy(bits, linear, coupling) <= before + 1e-9).all()
