"""Trained transformer encoders and bit-wise heads as arrays: their forward pass in numpy, without torch.

Every function sees a whole zero-padded block of `layers.ROWS` items, so that shapes, and with them rounding, are the
same whatever items stand beside one another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64

F32 = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
EPSILON = 1e-5  # of layer normalisation


def sinusoids(length: int, width: int) -> F32:
    """Position encodings (length, width): sines in the even columns, cosines in the odd ones, of falling frequency."""
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(width) // 2 * 2 / width)
    return np.where(np.arange(width) % 2, np.cos(angles), np.sin(angles)).astype(np.float32)


def encode_tokens(network: Arrays, tokens: F32, seen: NDArray[np.bool_] | None = None) -> F32:
    """Tokens (rows, T, d) after all layers of an encoder; they look at those that are `seen`, (rows, T)."""
    for i in range(sum(name.endswith("qkv.weight") for name in network)):
        layer = {name.removeprefix(f"{i}."): array for name, array in network.items() if name.startswith(f"{i}.")}
        query, key, value = np.split(_linear(layer, "qkv", tokens), 3, axis=2)
        mixed = np.matmul(_attention(query, key, seen), np.ascontiguousarray(value))
        tokens = _normalised(layer, "first_norm", tokens + _linear(layer, "out", mixed))
        inner = np.maximum(_linear(layer, "up", tokens), 0)
        tokens = _normalised(layer, "second_norm", tokens + _linear(layer, "down", inner))
    return tokens


def _linear(layer: Arrays, name: str, tokens: F32) -> F32:
    rows, length, width = tokens.shape
    flat = tokens.reshape(rows * length, width) @ layer[f"{name}.weight"] + layer[f"{name}.bias"]
    return np.asarray(flat.reshape(rows, length, -1))


def _attention(query: F32, key: F32, seen: NDArray[np.bool_] | None) -> F32:
    """softmax(Q Kᵀ / √d) of every item, (rows, T, T)."""
    scores = np.matmul(query, np.ascontiguousarray(key.transpose(0, 2, 1))) / np.float32(np.sqrt(query.shape[2]))
    if seen is not None:
        scores = np.where(seen[:, None, :], scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return np.asarray(weights / weights.sum(axis=2, keepdims=True))


def _normalised(layer: Arrays, name: str, tokens: F32) -> F32:
    centred = tokens - tokens.mean(axis=2, keepdims=True)
    variance = np.square(centred).mean(axis=2, keepdims=True)
    return np.asarray(
        centred / np.sqrt(variance + np.float32(EPSILON)) * layer[f"{name}.weight"] + layer[f"{name}.bias"]
    )


def bit_values(heads: Arrays, concepts: F32) -> F64:
    """Values (rows, K) before the last tanh of one small network a bit, from its concepts (rows, K, d).

    The hidden layer of all bits is one product of stacks; the projection to the bit is in float64.
    """
    stacked = np.ascontiguousarray(concepts.transpose(1, 0, 2))
    hidden = np.tanh(np.matmul(stacked, heads["0.weight"]) + heads["0.bias"][:, None, :])
    return np.asarray((hidden.astype(np.float64) * heads["1.weight"][:, None, :]).sum(axis=2).T + heads["1.bias"])
