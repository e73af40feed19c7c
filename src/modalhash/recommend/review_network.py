"""The trained networks of EDCF as arrays: codes from reviews and interaction features, without torch.

Arrays of one side: "words" (V, d), "filters.h" (h, d, N_f), "filters.h.bias", "ids" (1 + others, I_d), "attention.*",
"layers/0.weight" and so on.  The letters are those of `edcf.EDCF`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.layers import ROWS, of_view, run
from modalhash.recommend.documents import Words
from modalhash.views import F64, blocks

F32 = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]


def review_features(net: Arrays, windows: Sequence[int], rows: Words) -> F32:
    """S of reviews (N, words): for each window and filter the largest activation in the review (5.41-5.43)."""
    outputs = [np.zeros((len(rows), sum(net[f"filters.{h}"].shape[2] for h in windows)), dtype=np.float32)]
    for part in blocks(len(rows), ROWS):
        padded = np.zeros((ROWS, rows.shape[1]), dtype=np.int64)
        padded[: part.stop - part.start] = rows[part]
        V = net["words"][padded]
        found = np.concatenate([_window(V, net[f"filters.{h}"], net[f"filters.{h}.bias"]) for h in windows], axis=1)
        outputs[0][part] = found[: part.stop - part.start]
    return outputs[0]


def _window(V: F32, filters: F32, bias: F32) -> F32:
    """max over the places of ReLU(w ⊗ V + μ), zeros around the review."""
    h, d, width = filters.shape
    n, length, _ = V.shape
    around = np.zeros((n, length + h - 1, d), dtype=np.float32)
    around[:, (h - 1) // 2 : (h - 1) // 2 + length] = V
    z = np.zeros((n * length, width), dtype=np.float32)
    for place in range(h):
        z += np.ascontiguousarray(around[:, place : place + length]).reshape(-1, d) @ filters[place]
    return np.asarray(np.maximum(z.reshape(n, length, width).max(axis=1) + bias, 0), dtype=np.float32)


def attention(net: Arrays, S: F32, ids: NDArray[np.int64], seen: NDArray[np.bool_]) -> F32:
    """a of the reviews of documents, (D, md): softmax over those that are `seen`, all 0 where none is (5.45, 5.46)."""
    if "attention.scores" not in net:
        return np.asarray(seen / np.maximum(seen.sum(axis=1, keepdims=True), 1), dtype=np.float32)
    hidden = S @ net["attention.reviews"] + net["ids"][ids] @ net["attention.ids"] + net["attention.bias"]
    scores = (np.maximum(hidden, 0) * net["attention.scores"]).sum(axis=2)
    scores = np.where(seen, scores, -np.inf)
    largest = np.where(seen.any(axis=1), scores.max(axis=1), 0.0)[:, None]
    weights = np.exp(scores - largest) * seen
    return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30), dtype=np.float32)


def values(net: Arrays, p: F32, S: F32, slots: NDArray[np.int64], ids: NDArray[np.int64]) -> F64:
    """Outputs (D, r) before ATanh of documents: p (D, l), S (N, F) of all reviews, slots (D, md) into S or -1.

    ids: (D, md), 1 + the position of whom a review was written about, or by; 0 if that is not known (5.47, 5.49).
    """
    D, size = slots.shape
    inputs = np.zeros((D, p.shape[1] + size * S.shape[1]), dtype=np.float32)
    inputs[:, : p.shape[1]] = p
    for part in blocks(D, ROWS):
        n = part.stop - part.start
        own, who = np.full((ROWS, size), -1, dtype=np.int64), np.zeros((ROWS, size), dtype=np.int64)
        own[:n], who[:n] = slots[part], ids[part]
        seen = own >= 0
        read = np.zeros((ROWS, size, S.shape[1]), dtype=np.float32)
        read[seen] = S[own[seen]]
        weighed = attention(net, read, who, seen)[:, :, None] * read
        inputs[part, p.shape[1] :] = weighed.reshape(ROWS, -1)[:n]
    return run(of_view(net, "layers"), inputs, "relu")
