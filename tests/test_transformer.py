"""Encoders and heads in numpy: each against a loop that is written out, and against torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from modalhash.layers import ROWS
from modalhash.networks import BitHeads, EncoderLayer, GroupedLinear
from modalhash.transformer import bit_values, encode_tokens, sinusoids


def tokens(length: int = 5, width: int = 6) -> Any:
    return np.random.default_rng(0).standard_normal((ROWS, length, width)).astype(np.float32)


def layers(width: int = 6) -> tuple[list[EncoderLayer], dict[str, Any]]:
    torch.manual_seed(0)
    stack = [EncoderLayer(width, 9) for _ in range(2)]
    for layer in stack:
        for norm in (layer.first_norm, layer.second_norm):
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
    return stack, {f"{i}.{name}": x for i, layer in enumerate(stack) for name, x in layer.arrays().items()}


def one_layer(net: dict[str, Any], i: int, X: Any, seen: Any) -> Any:
    """One item, token by token."""
    W = {name.removeprefix(f"{i}."): x.astype(float) for name, x in net.items() if name.startswith(f"{i}.")}

    def norm(x: Any, name: str) -> Any:
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * W[f"{name}.weight"] + W[f"{name}.bias"]

    T, d = X.shape
    q, k, v = ((X @ W["qkv.weight"] + W["qkv.bias"])[:, j * d : (j + 1) * d] for j in range(3))
    out = np.empty_like(X)
    for t in range(T):
        w = np.array([np.exp(q[t] @ k[s] / np.sqrt(d)) if seen[s] else 0.0 for s in range(T)])
        mixed = sum(w[s] * v[s] for s in range(T)) / w.sum()
        x = norm(X[t] + mixed @ W["out.weight"] + W["out.bias"], "first_norm")
        inner = np.maximum(x @ W["up.weight"] + W["up.bias"], 0)
        out[t] = norm(x + inner @ W["down.weight"] + W["down.bias"], "second_norm")
    return out


@pytest.mark.parametrize("masked", [False, True])
def test_an_encoder_equals_loops_and_torch(masked: bool) -> None:
    stack, net = layers()
    X = tokens()
    seen = np.random.default_rng(1).random((ROWS, 5)) < (0.6 if masked else 2.0)
    seen[:, 0] = True
    found = encode_tokens(net, X, seen if masked else None)
    for row in (0, 3, ROWS - 1):
        expected = X[row].astype(float)
        for i in range(2):
            expected = one_layer(net, i, expected, seen[row])
        np.testing.assert_allclose(found[row], expected, atol=2e-5)
    out = torch.from_numpy(X)
    for layer in stack:
        out = layer(out, torch.from_numpy(seen) if masked else None)
    np.testing.assert_allclose(found, out.detach().numpy(), atol=1e-5)


def test_more_than_nine_layers_are_told_apart() -> None:
    torch.manual_seed(0)
    stack = [EncoderLayer(4, 4) for _ in range(11)]
    net = {f"{i}.{name}": x for i, layer in enumerate(stack) for name, x in layer.arrays().items()}
    out = torch.from_numpy(tokens(3, 4))
    for layer in stack:
        out = layer(out)
    np.testing.assert_allclose(encode_tokens(net, tokens(3, 4)), out.detach().numpy(), atol=1e-4)


def test_tokens_that_are_not_seen_change_nothing() -> None:
    _, net = layers()
    X, other = tokens(), tokens()
    seen = np.ones((ROWS, 5), dtype=bool)
    seen[:, 3] = False
    other[:, 3] = 7.0
    first, second = (encode_tokens(net, given, seen)[:, [0, 1, 2, 4]] for given in (X, other))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("width", [1, 2, 7])
def test_heads_equal_a_loop_over_bits(width: int) -> None:
    torch.manual_seed(0)
    heads = BitHeads(4, width)
    torch.nn.init.normal_(heads.norm.weight)
    torch.nn.init.normal_(heads.norm.bias)
    C = torch.from_numpy(tokens(4, width))
    for _ in range(3):
        heads(C * 2 + 1)  # running statistics
    heads.eval()
    norm, inner = heads.norm, max(1, width // 2)
    assert norm.running_mean is not None and norm.running_var is not None
    expected = torch.empty(ROWS, 4)
    for k in range(4):
        own = slice(k * inner, (k + 1) * inner)
        z = C[:, k] @ heads.first.weight[k] + heads.first.bias[k]
        z = (z - norm.running_mean[own]) / torch.sqrt(norm.running_var[own] + norm.eps) * norm.weight[own] + norm.bias[
            own
        ]
        expected[:, k] = (torch.tanh(z) @ heads.second.weight[k] + heads.second.bias[k])[:, 0]
    np.testing.assert_allclose(heads(C).detach(), torch.tanh(expected).detach(), atol=1e-6)
    np.testing.assert_allclose(bit_values(heads.arrays(), C.numpy()), expected.detach(), atol=1e-5)
    assert bit_values(heads.arrays(), C.numpy()).dtype == np.float64


def test_a_grouped_layer_is_a_grouped_convolution() -> None:
    torch.manual_seed(0)
    layer = GroupedLinear(3, 4, 2)
    values = torch.randn(5, 3, 4)
    kernel = layer.weight.transpose(1, 2).reshape(6, 4, 1)
    expected = torch.nn.functional.conv1d(values.reshape(5, 12, 1), kernel, layer.bias.reshape(6), groups=3)
    np.testing.assert_allclose(layer(values).detach(), expected.reshape(5, 3, 2).detach(), atol=1e-6)


def test_rows_do_not_hang_on_their_place_in_the_block() -> None:
    _, net = layers()
    X = tokens()
    shifted = np.zeros_like(X)
    shifted[:3] = X[40:43]
    np.testing.assert_array_equal(encode_tokens(net, shifted)[:3], encode_tokens(net, X)[40:43])


def test_position_encodings_are_sines_and_cosines() -> None:
    found = sinusoids(5, 7)
    for i in range(5):
        for j in range(7):
            angle = i / 10_000 ** ((j - j % 2) / 7)
            assert found[i, j] == pytest.approx(np.cos(angle) if j % 2 else np.sin(angle), abs=1e-6)
