"""Networks: shapes, graph convolution against loops, and the arrays that encode without torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from modalhash import layers
from modalhash.networks import GraphConvolution, cosines, hash_head, mlp, propagator, to_arrays


def trained(network: nn.Sequential, width: int) -> nn.Sequential:
    """The network in eval mode after its batch statistics have moved."""
    network.train()
    for i in range(5):
        network(torch.randn(30, width, generator=torch.Generator().manual_seed(i)) * 3 + 1)
    return network.eval()


def test_an_mlp_has_the_parts_that_were_asked_for() -> None:
    kinds = [type(part).__name__ for part in mlp([5, 4, 3], batch_norm=True, dropout=0.5, last="tanh")]
    assert kinds == ["Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear", "Tanh"]
    kinds = [type(part).__name__ for part in mlp([5, 4, 3], activation="relu", last_batch_norm=True)]
    assert kinds == ["Linear", "ReLU", "Linear", "BatchNorm1d", "Identity"]
    bare = mlp([5, 3], bias=False)[0]
    assert isinstance(bare, nn.Linear) and bare.bias is None
    head = hash_head(5, 3)(torch.randn(4, 5) * 100)
    assert head.shape == (4, 3) and float(head.detach().abs().max()) <= 1


@pytest.mark.parametrize("form", ["symmetric", "rows"])
def test_the_propagator_equals_a_loop(form: str) -> None:
    S = torch.rand(6, 6, dtype=torch.float64)
    S = S + S.T
    D = [sum(float(S[i, j]) for j in range(6)) for i in range(6)]
    found = propagator(S, form).numpy()
    for i in range(6):
        for j in range(6):
            expected = float(S[i, j]) / (np.sqrt(D[i] * D[j]) if form == "symmetric" else D[i])
            assert found[i, j] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("form", ["symmetric", "rows"])
def test_an_item_without_a_positive_degree_is_left_alone(form: str) -> None:
    S = torch.eye(4) + 0.5
    S[1], S[:, 1] = 0.0, 0.0
    S[2] = -S[2]
    found = propagator(S, form)
    assert bool(torch.isfinite(found).all())
    assert not found[1].any() and not found[2].any()


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"form.*'columns'"):
        propagator(torch.eye(2), "columns")


def test_graph_convolution_equals_its_formula() -> None:
    layer = GraphConvolution(5, 3).double()
    P, X = torch.rand(4, 4, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(P, X), P @ (X @ layer.linear.weight.T), rtol=1e-12, atol=1e-12)
    assert layer.linear.bias is None and GraphConvolution(5, 3, bias=True).linear.bias is not None


def test_cosines_equal_a_loop_and_zero_rows_give_zero() -> None:
    A, B = torch.randn(3, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    A[1] = 0.0
    found = cosines(A, B)
    for i in (0, 2):
        for j in range(5):
            expected = float(A[i] @ B[j] / (A[i].norm() * B[j].norm()))
            assert float(found[i, j]) == pytest.approx(expected, rel=1e-12)
    assert not found[1].any() and bool(torch.isfinite(cosines(A)).all())


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
@pytest.mark.parametrize("norms", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("widths", [(6, 5, 4, 3), (6, 3)])
def test_arrays_give_what_the_network_gives(activation: str, norms: tuple[bool, bool], widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = mlp(widths, activation=activation, batch_norm=norms[0], last_batch_norm=norms[1], dropout=0.5)
    network = trained(network, 6)
    X = torch.randn(150, 6) * 3 + 1
    found = layers.run(to_arrays(network), X.numpy(), activation)
    expected = network.double()(X.double()).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float64


def test_the_last_layer_is_float64() -> None:
    kinds = {name: array.dtype for name, array in to_arrays(mlp([6, 5, 4])).items()}
    assert kinds == {"0.weight": np.float32, "0.bias": np.float32, "1.weight": np.float64, "1.bias": np.float64}


@pytest.mark.parametrize(("d", "hidden", "K"), [(13, 31, 8), (200, 128, 64), (333, 57, 33)])
def test_a_row_is_the_same_bit_for_bit_wherever_it_stands(d: int, hidden: int, K: int) -> None:
    rng = np.random.default_rng(0)
    network = to_arrays(mlp([d, hidden, K]))
    X = rng.standard_normal((3 * layers.ROWS + 7, d)).astype(np.float32)
    many = layers.run(network, X, "tanh")
    for i in range(len(X)):
        np.testing.assert_array_equal(layers.run(network, X[i : i + 1], "tanh")[0], many[i])
    np.testing.assert_array_equal(layers.run(network, X[5:], "tanh"), many[5:])


def test_standards_centre_and_scale_the_whole_view() -> None:
    import scipy.sparse as sp

    X = np.random.default_rng(0).random((50, 7)) * 5 + 2
    for form in (np.array, sp.csr_matrix):
        mean, scale = layers.standards(form(X))
        Z = layers.standardised(form(X), mean, scale)
        np.testing.assert_allclose(mean, X.mean(axis=0))
        np.testing.assert_allclose(Z, (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0).mean()), rtol=1e-5, atol=1e-6)
        assert Z.dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_a_constant_view_is_told_from_rounding(value: float) -> None:
    X = np.full((500, 7), value)
    assert layers.is_constant(X) and layers.standards(X)[1] == 1.0
    X[499, 0] += 1.0
    assert not layers.is_constant(X)


def test_networks_of_views_are_joined_and_taken_apart() -> None:
    first, second = to_arrays(mlp([3, 2])), to_arrays(mlp([4, 2]))
    both = layers.joined({"a": first, "ab": second})
    assert list(both) == ["a/0.weight", "a/0.bias", "ab/0.weight", "ab/0.bias"]
    assert list(layers.of_view(both, "a")) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(layers.of_view(both, "ab")["0.weight"], second["0.weight"])
    assert layers.of_view(both, "c") == {}


def test_without_torch_the_message_names_the_extra_and_encoding_still_works() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import modalhash.layers\n"
        "try:\n    import modalhash.training\n"
        "except ImportError as error:\n    print(error)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "modalhash[deep]" in found.stdout
