"""Trained networks as arrays: what encodes after the fit, without torch.

A network is a dict of arrays, "0.weight" (d, width) and "0.bias" (width,) for its first layer and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Floats, Matrix, blocks, dense

Arrays = dict[str, NDArray[Any]]
ROWS = 64  # rows that a network sees at once, zero-padded, so that a row never depends on its neighbours

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "relu": lambda values: np.maximum(values, 0),
    "identity": lambda values: values,
}


def standards(matrix: Matrix) -> tuple[F64, float]:
    """Mean of every column, (d,), and one scale: the root mean square of the centred view, 1 for a constant view.

    One scale for the whole view keeps the proportions of its columns; a constant view is told from rounding.
    """
    n, d = matrix.shape
    mean, square = np.zeros(d), 0.0
    for rows in blocks(n):
        mean += dense(matrix[rows]).sum(axis=0) / n
    for rows in blocks(n):
        square += float(np.sum((dense(matrix[rows]) - mean) ** 2))
    scale = float(np.sqrt(square / (n * d)))
    return mean, scale if scale > 1e-6 * float(np.abs(mean).max(initial=0.0)) else 1.0


def is_constant(matrix: Matrix) -> bool:
    """True if all rows are the same."""
    first = dense(matrix[:1])
    return all(bool((dense(matrix[rows]) == first).all()) for rows in blocks(matrix.shape[0]))


def standards_of(views: Mapping[str, Matrix], system: str) -> tuple[dict[str, F64], dict[str, float]]:
    """Means and scales of the views that vary over the items; ValueError unless there are two of them."""
    found = {name: standards(matrix) for name, matrix in views.items() if not is_constant(matrix)}
    if len(found) < 2:
        raise ValueError(f"{system}: needs two views that vary over the items, got {list(found)} out of {list(views)}")
    return {name: mean for name, (mean, _) in found.items()}, {name: scale for name, (_, scale) in found.items()}


def standardised(block: Matrix, mean: F64, scale: float) -> NDArray[np.float32]:
    """Rows minus the mean, divided by the scale, dense float32."""
    return ((dense(block) - mean) / scale).astype(np.float32)


def run(network: Mapping[str, NDArray[Any]], rows: Floats, activation: str) -> F64:
    """The outputs (n, K) of a network for its inputs (n, d), before the last activation.

    Hidden layers run in float32, the last in float64; rows go through in zero-padded blocks of one size, so
    that the output of a row is the same, bit for bit, whatever rows stand beside it.
    """
    act, depth = ACTIVATIONS[activation], sum(name.endswith(".weight") for name in network)
    last = depth - 1
    outputs = np.empty((len(rows), network[f"{last}.weight"].shape[1]))
    for part in blocks(len(rows), ROWS):
        values: NDArray[Any] = np.zeros((ROWS, rows.shape[1]), dtype=np.float32)
        values[: part.stop - part.start] = rows[part]
        for i in range(last):
            values = act(values @ network[f"{i}.weight"] + network[f"{i}.bias"])
        final = values.astype(np.float64) @ network[f"{last}.weight"] + network[f"{last}.bias"]
        outputs[part] = final[: part.stop - part.start]
    return outputs


def joined(networks: Mapping[str, Mapping[str, NDArray[Any]]]) -> Arrays:
    """The networks of several views as one dict, "VIEW/0.weight" and so on, as a fitted model keeps them."""
    return {f"{view}/{name}": array for view, network in networks.items() for name, array in network.items()}


def of_view(networks: Mapping[str, NDArray[Any]], view: str) -> Arrays:
    """The network of one view out of those that `joined` put together; empty for a view without one."""
    return {name.removeprefix(f"{view}/"): array for name, array in networks.items() if name.startswith(f"{view}/")}
