"""DCSH: deep cross-modality spectral hashing (Hoang et al. 2020), for cross-modal search without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.graphs import AnchorGraph, anchor_graph, centroids
from modalhash.hasher import Hasher, check_integer, check_real
from modalhash.solvers import itq_rotation, mean_and_scale, procrustes, signs
from modalhash.views import Floats, Matrix, dense

F64 = NDArray[np.float64]
SAMPLE = 10_000  # training rows from which the anchors are learned


def aligned(embeddings: Mapping[str, F64], max_iter: int = 50) -> dict[str, F64]:
    """Rotations R^m (K, K) that maximise Σ_{m≠t} tr((Y^t R^t)ᵀ Y^m R^m), one at a time until they settle (Alg. 3)."""
    Y = dict(embeddings)
    k = next(iter(Y.values())).shape[1]
    R = {m: np.eye(k) for m in Y}
    cross = {(m, t): Y[m].T @ Y[t] for m in Y for t in Y if m != t}
    before = -np.inf
    for _ in range(max_iter if len(Y) > 1 else 0):
        for m in Y:
            R[m] = procrustes(sum((cross[m, t] @ R[t] for t in Y if t != m), np.zeros((k, k))))  # V Uᵀ, Eq. 8
        value = sum(float(np.sum((R[m].T @ cross[m, t]) * R[t].T)) for m, t in cross)  # Eq. 7
        if value - before <= 1e-9 * abs(value):
            break
        before = value
    return R


def code_loss(B: F64, target: F64, independence: float, balance: float) -> float:
    """-tr(Bᵀ target) + λ1/4n ‖BᵀB - nI‖² + λ2/2n ‖Bᵀ1‖², for one item (Eq. 9a, divided by n)."""
    n, k = B.shape
    gram = B.T @ B / n - np.eye(k)
    return float(-np.sum(B * target) / n + independence / 4 * np.sum(gram**2) + balance / 2 * np.sum(B.mean(0) ** 2))


def code_gradient(B: F64, target: F64, independence: float, balance: float) -> F64:
    """n times the gradient of `code_loss` in B (Eq. 18 without its last term)."""
    n, k = B.shape
    coupling = independence * (B.T @ B / n - np.eye(k))
    return np.asarray(B @ coupling + (balance * B.mean(axis=0) - target))


def exact_penalty(start: F64, target: F64, independence: float, balance: float) -> F64:
    """Codes that make `code_loss` small, by the exact penalty method from `start` in [-1, 1] (Alg. 4).

    Projected gradient steps on the loss plus ρ(nK - tr(BᵀV)), with V the point of the sphere ‖V‖² = nK nearest to B,
    while ρ grows until every value is -1 or +1.
    """
    B, V, rho = start.copy(), np.zeros_like(start), 0.1
    for _ in range(400):
        for _ in range(10):
            step = np.clip(B - 0.01 * (code_gradient(B, target, independence, balance) - rho * V), -1.0, 1.0)
            change = float(np.abs(step - B).max())
            B = step
            if change < 1e-3:
                break
        if np.abs(B).min() > 1.0 - 1e-6:
            break
        V = B * (np.sqrt(B.size) / (np.linalg.norm(B) or 1.0))  # Eq. 20
        rho *= 1.05
    return signs(B)


def closest_embedding(graph: AnchorGraph, Y: F64, B: F64, alpha: float, max_iter: int = 100) -> F64:
    """Y with YᵀY = nI that makes tr(YᵀLY) - α tr(BᵀY) small, from a feasible Y (Eq. 10).

    tr(YᵀLY) = const - tr(YᵀAY) is concave on the constraint, so that each Y <- √n · procrustes(2AY + αB)
    minimises an upper bound that touches it: the value never rises.
    """
    n = len(Y)
    before = np.inf
    for _ in range(max_iter):
        pull = 2.0 * graph.affinity(Y) + alpha * B
        value = -float(np.sum((pull + alpha * B) * Y)) / (2.0 * n)  # J without its constant, an item
        if before - value <= 1e-6 * abs(value):
            break
        before = value
        Y = np.sqrt(n) * procrustes(pull)
    return Y
