"""Anchor graphs: affinities by their definition, eigenvectors as a dense Laplacian has them, memory linear in n."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from modalhash.datasets import planted
from modalhash.graphs import AnchorGraph, anchor_graph, anchor_weights, centroids, item_weights, nearest_anchors

F64 = NDArray[np.float64]


def connected(n: int, P: int, seed: int = 0) -> AnchorGraph:
    """A graph of uniform points, which hangs together."""
    rng = np.random.default_rng(seed)
    rows = rng.random((n, 2))
    return anchor_graph(rows, rows.mean(axis=0), rows[:P] - rows.mean(axis=0), 4, 2)


def apart(n: int, P: int, groups: int) -> AnchorGraph:
    """A graph of `groups` far clouds: as many unconnected parts."""
    rng = np.random.default_rng(1)
    rows = rng.random((n, 2)) + 100.0 * (np.arange(n) % groups)[:, None]
    return anchor_graph(rows, np.zeros(2), rows[:P], 3, 2)


def laplacian(graph: AnchorGraph) -> F64:
    H = graph.H.toarray()
    return np.asarray(np.eye(len(H)) - H @ H.T)


def test_weights_of_items_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    rows, anchors, sigma = rng.standard_normal((9, 3)), rng.standard_normal((6, 3)), 0.7
    Z = item_weights(*nearest_anchors(rows, np.zeros(3), anchors, 2), sigma, 6).toarray()
    for x, found in zip(rows, Z, strict=True):
        squares = ((anchors - x) ** 2).sum(axis=1)
        near = np.argsort(squares)[:2]
        expected = np.zeros(6)
        expected[near] = np.exp(-squares[near] / sigma)
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)


def test_far_items_keep_weights_that_sum_to_one() -> None:
    rows = np.array([[0.0], [1e6]])
    Z = item_weights(*nearest_anchors(rows, np.zeros(1), np.array([[0.0], [1.0], [5.0]]), 2), 1e-3, 3)
    np.testing.assert_allclose(Z.sum(axis=1), 1.0)


def test_anchors_know_their_mutual_neighbours_and_themselves() -> None:
    anchors = np.array([[0.0], [1.0], [2.1], [10.0]])
    S = anchor_weights(anchors, 1, 1.0).toarray()
    assert (S > 0).tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, False],  # its nearest anchor, 1, has a nearer one
        [False, False, False, True],
    ]
    np.testing.assert_allclose(S.sum(axis=1), 1.0)
    assert S[0, 1] == pytest.approx(np.exp(-1) / (1 + np.exp(-1)))
    np.testing.assert_array_equal(anchor_weights(anchors, 0, 1.0).toarray(), np.eye(4))
    twice = anchor_weights(np.zeros((3, 1)), 1, 1.0).toarray()  # duplicates must not push an anchor out of its own row
    assert (np.diag(twice) > 0).all()


def test_affinities_are_transition_probabilities() -> None:
    graph = connected(200, 30)
    A = np.eye(200) - laplacian(graph)
    np.testing.assert_allclose(A.sum(axis=1), 1.0)
    np.testing.assert_allclose(A, A.T)
    Y = np.random.default_rng(0).standard_normal((200, 3))
    np.testing.assert_allclose(graph.affinity(Y), A @ Y)


def test_eigenvectors_are_those_of_the_dense_laplacian() -> None:
    graph = connected(400, 60)
    values, vectors = np.linalg.eigh(laplacian(graph))
    assert values[0] == pytest.approx(0, abs=1e-10) and values[1] > 1e-6
    E = graph.embedding(20)
    np.testing.assert_allclose(E.T @ E, np.eye(20), atol=1e-9)
    np.testing.assert_allclose(np.sum(E * (laplacian(graph) @ E), axis=0), values[1:21], atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(E * vectors[:, 1:21], axis=0)), 1.0, atol=1e-6)
    np.testing.assert_array_equal(E[np.argmax(np.abs(E), axis=0), np.arange(20)] > 0, True)
    np.testing.assert_allclose(graph.embedding(20, parts=True), E, atol=1e-9)  # one part: nothing to keep


def test_all_unit_singular_values_are_dropped_or_told_apart() -> None:
    graph = apart(400, 60, 4)
    values = np.linalg.eigvalsh(laplacian(graph))
    assert (np.abs(values[:4]) < 1e-10).all() and values[4] > 1e-6
    E = graph.embedding(10)
    np.testing.assert_allclose(np.sum(E * (laplacian(graph) @ E), axis=0), values[4:14], atol=1e-9)
    kept = graph.embedding(10, parts=True)
    np.testing.assert_allclose(kept.T @ kept, np.eye(10), atol=1e-9)
    np.testing.assert_allclose(np.sum(kept * (laplacian(graph) @ kept), axis=0), values[1:11], atol=1e-9)
    np.testing.assert_allclose(kept.sum(axis=0), 0.0, atol=1e-8)  # orthogonal to the constant
    part = np.arange(400) % 4
    for j in range(3):
        assert max(np.ptp(kept[part == g, j]) for g in range(4)) < 1e-8  # constant in each part


def test_no_more_columns_than_the_graph_has() -> None:
    assert connected(100, 20).embedding(500).shape == (100, 19)
    assert apart(100, 20, 4).embedding(500).shape[1] == 16
    assert apart(100, 20, 4).embedding(500, parts=True).shape[1] == 19


def test_centres_correspond_over_the_views_and_repeat() -> None:
    data = planted("clusters", 60, 0)
    views = {name: np.asarray(matrix, dtype=np.float64) for name, matrix in data.views.items()}
    first, second = centroids(views, 5, 0), centroids(views, 5, 0)
    assert {name: centre.shape for name, centre in first.items()} == {"image": (5, 40), "text": (5, 30)}
    for name, centre in first.items():
        np.testing.assert_array_equal(centre, second[name])
    groups = np.argmax(np.asarray(data.labels), axis=1)
    means = {name: np.array([rows[groups == g].mean(axis=0) for g in range(5)]) for name, rows in views.items()}
    order = [int(np.argmin(((first["image"] - mean) ** 2).sum(axis=1))) for mean in means["image"]]
    for name, centre in first.items():
        np.testing.assert_allclose(centre[order], means[name], atol=1e-6)


def test_repeated_rows_give_fewer_centres() -> None:
    assert len(centroids({"x": np.repeat(np.eye(3), 5, axis=0)}, 7, 0)["x"]) == 3


def test_memory_of_the_graph_grows_with_n_only() -> None:
    n, rng = 50_000, np.random.default_rng(0)
    rows = rng.standard_normal((n, 4)).astype(np.float32)
    tracemalloc.start()
    graph = anchor_graph(rows, np.zeros(4), rows[:100].astype(np.float64), 3, 2)
    Y = graph.embedding(16)
    graph.affinity(Y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6  # one bit for each pair of items alone would be 312 MB
