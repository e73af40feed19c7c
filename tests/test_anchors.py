"""The RBF anchor map against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import modalhash as mh
from modalhash.anchors import choose_anchors, dense_anchors, kernel_width, rbf, squared_distances

rng = np.random.default_rng(0)
ROWS = np.where(rng.random((30, 6)) < 0.4, 0, rng.standard_normal((30, 6)))
ANCHORS = ROWS[:5].copy()


def naive(rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    return np.array([[sum((x - a) ** 2) for a in anchors] for x in rows])


@pytest.mark.parametrize("form", [np.array, sp.csr_matrix, sp.csr_array])
def test_squared_distances_equal_the_formula_dense_and_sparse(form: type) -> None:
    np.testing.assert_allclose(squared_distances(form(ROWS), ANCHORS), naive(ROWS, ANCHORS), atol=1e-12)


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_squared_distances_are_never_negative(form: type) -> None:
    far = 1e6 + rng.standard_normal((50, 20)).astype(np.float32)
    found = squared_distances(form(far), np.asarray(far, dtype=np.float64))
    assert (found >= 0).all() and found.shape == (50, 50)


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_rbf_equals_the_formula(form: type) -> None:
    sigma = 0.7
    expected = np.exp(-naive(ROWS, ANCHORS) / (2 * sigma**2))
    found = rbf(form(ROWS), ANCHORS, sigma)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found > 0).all() and (found <= 1).all()


def test_the_kernel_width_is_the_mean_distance() -> None:
    assert kernel_width(ROWS, ANCHORS) == pytest.approx(np.sqrt(naive(ROWS, ANCHORS)).mean(), rel=1e-8)
    assert kernel_width(np.zeros((4, 3)), np.zeros((2, 3))) == 1.0


def test_rows_are_not_written_to() -> None:
    rows = ROWS.copy()
    rbf(rows, ANCHORS, 1.0)
    np.testing.assert_array_equal(rows, ROWS)


def test_anchors_are_distinct_and_complete_items_come_first() -> None:
    complete = np.arange(40) % 4 > 0
    few = choose_anchors(complete, 30, np.random.default_rng(1))
    assert len(set(few.tolist())) == 30 and complete[few].all()
    many = choose_anchors(complete, 35, np.random.default_rng(1))
    assert len(set(many.tolist())) == 35 and complete[many].sum() == 30
    assert len(choose_anchors(complete, 100, np.random.default_rng(1))) == 40


def test_anchors_of_a_system_come_from_all_of_the_data_not_from_its_first_rows() -> None:
    data = mh.datasets.planted("nuisance", 200, 0)
    labels = np.asarray(data.labels)
    order = np.argsort(np.argmax(labels, axis=1), kind="stable")  # data sorted by class, as many sets are
    views = {name: matrix[order] for name, matrix in data.views.items()}
    hasher = mh.A2LH(n_bits=8, n_anchors=60, random_state=0).fit(views, labels[order])
    for name, anchors in hasher.anchors_.items():
        places = np.flatnonzero((views[name][:, None] == anchors.astype(np.float32)[None]).all(axis=2).any(axis=1))
        assert len(places) == 60
        assert np.histogram(places, bins=5, range=(0, 200))[0].min() >= 5


def test_dense_anchors_of_a_sparse_view() -> None:
    found = dense_anchors(sp.csr_matrix(ROWS), np.array([3, 1]))
    np.testing.assert_array_equal(found, ROWS[[3, 1]])
    assert found.dtype == np.float64
