"""Training-free codes of a float space: what each keeps, and that it agrees with an independent implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modalhash.evaluation.float_codes import MAKERS, padded, rabitq_codes, random_rotation
from modalhash.evaluation.spaces import F32
from modalhash.evaluation.vectors import Vectors
from modalhash.solvers import itq_rotation, procrustes, signs


def unit_rows(n: int, d: int, seed: int = 0, spread: float = 1.0) -> F32:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 4)) @ rng.standard_normal((4, d)) * spread + rng.standard_normal((n, d)) + 0.5
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


ITEMS, QUERIES = unit_rows(600, 32), unit_rows(40, 32, seed=1)
EXACT = np.asarray(QUERIES @ ITEMS.T)


def recall(index: Any, queries: Any, k: int = 10) -> float:
    truth = np.argsort(-EXACT, axis=1)[:, :k]
    found = index.search(queries, k).ids
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(truth.tolist(), found.tolist(), strict=True)]))


@pytest.mark.parametrize(
    ("name", "bits", "stored", "least"),
    [
        ("float32", 0, 128, 1.0),
        ("int8", 0, 32, 0.95),
        ("int8", 64, 8, 0.05),
        ("cut", 256, 32, 0.05),
        ("sign", 0, 4, 0.15),
        ("sign", 16, 2, 0.05),
        ("mean-sign", 0, 4, 0.15),
        ("rotation", 0, 4, 0.2),
        ("rotation", 16, 2, 0.1),
        ("ITQ", 16, 2, 0.12),
        ("RaBitQ", 0, 12, 0.3),
        ("RaBitQ", 80, 10, 0.1),
        ("PQ", 32, 4, 0.3),
        ("OPQ", 32, 4, 0.3),
    ],
)
def test_every_code_stores_what_it_says_and_finds(name: str, bits: int, stored: float, least: float) -> None:
    if name in ("PQ", "OPQ"):
        pytest.importorskip("faiss")
    codes = MAKERS[name](ITEMS, bits, 0)
    index, queries = codes.index(ITEMS), codes.queries(QUERIES)
    assert (index if index.codes is None else index.codes).bytes_per_item == stored
    assert recall(index, queries) >= least  # 0.017 by chance
    again = MAKERS[name](ITEMS, bits, 0)
    np.testing.assert_array_equal(
        again.index(ITEMS).search(again.queries(QUERIES), 5).ids, index.search(queries, 5).ids
    )


@pytest.mark.parametrize(
    ("name", "bits", "told"),
    [
        ("int8", 8 * 32, "32 of 32 dimensions"),
        ("cut", 16, "0 of 32 dimensions"),
        ("sign", 40, "n_bits=40"),
        ("rotation", 40, "no 40 bits"),
        ("RaBitQ", 64, "leave 0 for signs"),
    ],
)
def test_what_a_budget_cannot_pay_for_is_refused(name: str, bits: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        MAKERS[name](ITEMS, bits, 0)


def test_product_codes_need_training_items_and_parts() -> None:
    pytest.importorskip("faiss")
    with pytest.raises(ValueError, match="as many training items, got 100"):
        MAKERS["PQ"](ITEMS[:100], 32, 0)
    with pytest.raises(ValueError, match="64 parts of 32"):
        MAKERS["OPQ"](ITEMS, 512, 0)


def test_a_rotation_keeps_lengths_and_is_the_seeds() -> None:
    turn = random_rotation(32, 3)
    np.testing.assert_allclose(turn.T @ turn, np.eye(32), atol=1e-12)
    np.testing.assert_array_equal(turn, random_rotation(32, 3))
    assert np.abs(turn - random_rotation(32, 4)).max() > 0.1


def test_mean_sign_is_sign_of_what_lies_above_the_mean() -> None:
    codes = MAKERS["mean-sign"](ITEMS, 0, 0).queries(QUERIES)
    expected = np.where(ITEMS.mean(axis=0, dtype=np.float64) <= QUERIES, 1, -1)
    np.testing.assert_array_equal(codes.signs(), expected)


def test_rabitq_estimates_distances_without_bias() -> None:
    exact = ((QUERIES[:, None] - ITEMS[None, :50]) ** 2).sum(axis=2)
    mean = ITEMS.mean(axis=0, dtype=np.float64)
    found, plain = [], []
    for seed in range(300):
        turn = random_rotation(32, seed)
        codes = rabitq_codes(mean, turn)
        asked = codes.queries(QUERIES)
        squares = np.einsum("qd,qd->q", asked, asked)[:, None]
        found.append(codes.index(ITEMS[:50]).distances(asked) + squares)
        turned = (ITEMS[:50] - mean) @ turn  # without the factor: bits of the item's own length
        decoded = signs(turned) * np.linalg.norm(turned, axis=1, keepdims=True) / np.sqrt(32)
        plain.append(((asked[:, None] - decoded[None]) ** 2).sum(axis=2))
    error = np.abs(np.mean(found, axis=0) - exact).mean()
    spread = np.std(found, axis=0).mean() / np.sqrt(300)
    assert error < 1.5 * spread  # nothing but chance
    assert np.abs(np.mean(plain, axis=0) - exact).mean() > 3 * error


def test_rabitq_agrees_with_faiss() -> None:
    faiss: Any = pytest.importorskip("faiss")
    if not hasattr(faiss, "IndexRaBitQ"):
        pytest.skip("this faiss has no RaBitQ")
    turn, mean = random_rotation(32, 5), ITEMS.mean(axis=0, dtype=np.float64)
    codes = rabitq_codes(mean, turn)
    asked = codes.queries(QUERIES)
    ours = codes.index(ITEMS).distances(asked) + np.einsum("qd,qd->q", asked, asked)[:, None]
    theirs = faiss.IndexRaBitQ(32, faiss.METRIC_L2)
    theirs.qb = 0  # queries stay floats, as ours
    turned = np.ascontiguousarray((ITEMS @ turn).astype(np.float32))
    theirs.train(turned)
    theirs.add(turned)
    assert theirs.code_size == codes.index(ITEMS).bytes_per_item
    distances, ids = theirs.search(np.ascontiguousarray((QUERIES @ turn).astype(np.float32)), len(ITEMS))
    np.testing.assert_allclose(np.take_along_axis(ours, ids, axis=1), distances, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [32, 40])  # 5 parts: dimensions are padded to 35
def test_product_codes_agree_with_faiss(bits: int) -> None:
    faiss: Any = pytest.importorskip("faiss")
    codes = MAKERS["PQ"](ITEMS, bits, 0)
    index, asked = codes.index(ITEMS), codes.queries(QUERIES)
    width = asked.shape[1] - 1
    theirs = faiss.IndexPQ(width, bits // 8, 8)
    theirs.pq.cp.seed, theirs.pq.cp.min_points_per_centroid = 1, 1
    theirs.train(padded(ITEMS, width))
    theirs.add(padded(ITEMS, width))
    distances, ids = theirs.search(padded(QUERIES, width), len(ITEMS))
    ours = 2 * index.distances(asked) + np.einsum("qd,qd->q", QUERIES, QUERIES)[:, None]
    np.testing.assert_allclose(np.take_along_axis(ours, ids, axis=1), distances, rtol=1e-4, atol=1e-5)


def test_itq_is_the_naive_loop_and_no_worse_than_that_of_faiss() -> None:
    """faiss multiplies U by V where Vᵀ is meant, so its loss does not fall: ours must not be above it."""
    values = np.asarray((ITEMS - ITEMS.mean(axis=0)) @ random_rotation(32, 0)[:, :16], dtype=np.float64)
    ours = itq_rotation(values, 20, np.random.default_rng(7))
    naive = procrustes(np.random.default_rng(7).standard_normal((16, 16)))
    losses = []
    for _ in range(20):
        bits = np.where(values @ naive >= 0, 1.0, -1.0)
        losses.append(float(((bits - values @ naive) ** 2).sum()))
        left, _, right = np.linalg.svd(values.T @ bits)
        naive = left @ right
    np.testing.assert_allclose(ours, naive, atol=1e-8)
    assert (np.diff(losses) <= 1e-9).all()
    faiss: Any = pytest.importorskip("faiss")
    theirs = faiss.ITQMatrix(16)
    theirs.train(np.ascontiguousarray(values.astype(np.float32)))
    turned = values @ faiss.vector_to_array(theirs.A).reshape(16, 16).T
    assert losses[-1] <= float(((signs(turned) - turned) ** 2).sum())


def test_itq_codes_find_what_those_of_faiss_find() -> None:
    faiss: Any = pytest.importorskip("faiss")
    theirs = faiss.ITQTransform(32, 16, True)
    theirs.train(ITEMS)
    truth = np.argsort(-EXACT, axis=1)[:, :10]
    bits = [signs(theirs.apply(rows)) for rows in (QUERIES, ITEMS)]
    found = np.argsort(-(bits[0] @ bits[1].T), axis=1, kind="stable")[:, :10]
    peer = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.tolist(), found.tolist(), strict=True)])
    codes = MAKERS["ITQ"](ITEMS, 16, 0)
    assert recall(codes.index(ITEMS), codes.queries(QUERIES)) >= peer - 0.03


def test_vectors_are_searched_by_distance_then_position() -> None:
    twice = Vectors(np.vstack([ITEMS[:5], ITEMS[:5]]), 128.0)
    found = twice.search(ITEMS[:3], 2).ids
    np.testing.assert_array_equal(found, [[0, 5], [1, 6], [2, 7]])
    assert twice.search(ITEMS[:1], 99).ids.shape == (1, 10)
    shifted = Vectors(ITEMS[:2], 128.0, np.array([10, 0], dtype=np.float32))
    assert shifted.search(ITEMS[:1], 1).ids.tolist() == [[1]]


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"modalhash\[compare\]"):
        MAKERS["PQ"](ITEMS, 32, 0)
