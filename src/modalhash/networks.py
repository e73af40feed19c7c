"""Networks of the deep systems: layers, graph convolution on a batch, and their way into plain arrays.

This file needs torch and is imported only where a deep system is fitted; `layers` encodes without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from modalhash.layers import Arrays

try:
    import torch as torch  # for `training`, too
except ImportError as error:  # pragma: no cover - the message is tested in another process
    raise ImportError("the deep systems are fitted with PyTorch: pip install 'modalhash[deep]'") from error
from torch import Tensor, nn

TINY = 1e-8  # what a degree or a length must exceed to be divided by

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "identity": nn.Identity}


def check_device(name: str) -> None:
    """ValueError unless torch can compute on the device of this name."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, TypeError) as error:  # AssertionError: a build without CUDA
        raise ValueError(f"device: {name!r} cannot be used here ({str(error).splitlines()[0]})") from error


def mlp(
    widths: Sequence[int],
    *,
    activation: str = "tanh",
    last: str = "identity",
    batch_norm: bool = False,
    last_batch_norm: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
) -> nn.Sequential:
    """Fully connected layers widths[0] → … → widths[-1].

    Every layer but the last is followed by batch normalisation, activation and dropout as asked for; the last
    by `last_batch_norm` and the activation `last`.  Activations: tanh, relu, identity.
    """
    parts: list[nn.Module] = []
    for i, (d, width) in enumerate(pairwise(widths)):
        final = i == len(widths) - 2
        parts.append(nn.Linear(d, width, bias=bias))
        if last_batch_norm if final else batch_norm:
            parts.append(nn.BatchNorm1d(width))
        parts.append(ACTIVATIONS[last if final else activation]())
        if dropout and not final:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts)


def hash_head(width: int, n_bits: int, *, bias: bool = True) -> nn.Sequential:
    """One linear layer and tanh: relaxed codes in (-1, +1)."""
    return mlp([width, n_bits], last="tanh", bias=bias)


class GraphConvolution(nn.Module):
    """One layer of message passing in a batch: P · dropout(X) · W, P from `propagator`."""

    def __init__(self, d: int, width: int, *, bias: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(d, width, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, propagation: Tensor, values: Tensor) -> Tensor:
        """Messages (b, width) of the items of a batch, from their values (b, d) and P (b, b)."""
        messages: Tensor = propagation @ self.linear(self.dropout(values))
        return messages


class EncoderLayer(nn.Module):
    """One layer of a transformer encoder: attention with one head, two linear layers, each added and normalised."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Tokens (b, T, d) that have looked at those of their item that are `seen`, (b, T) bool; None: all."""
        query, key, value = self.qkv(tokens).unsqueeze(1).chunk(3, dim=3)
        mask = None if seen is None else seen[:, None, None, :]
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).squeeze(1)
        tokens = self.first_norm(tokens + self.out(mixed))
        encoded: Tensor = self.second_norm(tokens + self.down(torch.relu(self.up(tokens))))
        return encoded

    def arrays(self) -> Arrays:
        """The layer for `transformer.encode_tokens`."""
        arrays: Arrays = {}
        for name, part in self.named_children():
            weight, bias = (values.detach().cpu().numpy() for values in part.parameters())
            arrays |= {f"{name}.weight": np.array(weight.T, order="C"), f"{name}.bias": bias.copy()}
        return arrays


class GroupedLinear(nn.Module):
    """A linear layer of its own for every group: a grouped 1 × 1 convolution, as one product of stacks of matrices."""

    def __init__(self, groups: int, d: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(groups, d, width).uniform_(-1, 1) / d**0.5)
        self.bias = nn.Parameter(torch.empty(groups, width).uniform_(-1, 1) / d**0.5)

    def forward(self, values: Tensor) -> Tensor:
        """(b, groups, width) from (b, groups, d)."""
        return torch.baddbmm(self.bias[:, None], values.transpose(0, 1), self.weight).transpose(0, 1)


class BitHeads(nn.Module):
    """One network a bit, on its own concept: d → d/2 → batch normalisation → tanh → 1 → tanh."""

    def __init__(self, n_bits: int, d: int) -> None:
        super().__init__()
        inner = max(1, d // 2)
        self.first, self.second = GroupedLinear(n_bits, d, inner), GroupedLinear(n_bits, inner, 1)
        self.norm = nn.BatchNorm1d(n_bits * inner)

    def forward(self, concepts: Tensor) -> Tensor:
        """Relaxed codes (b, K) from concepts (b, K, d)."""
        hidden = self.first(concepts)
        hidden = torch.tanh(self.norm(hidden.flatten(1)).view(hidden.shape))
        return torch.tanh(self.second(hidden)).squeeze(2)

    def arrays(self) -> Arrays:
        """The heads for `transformer.bit_values`, batch normalisation folded in."""
        first, bias, second, last = (
            values.detach().cpu().double().numpy()
            for values in (self.first.weight, self.first.bias, self.second.weight, self.second.bias)
        )
        factor, shift = (values.reshape(bias.shape) for values in _running(self.norm))
        return {
            "0.weight": (first * factor[:, None]).astype(np.float32),
            "0.bias": (bias * factor + shift).astype(np.float32),
            "1.weight": second[:, :, 0].copy(),
            "1.bias": last[:, 0].copy(),
        }


def propagator(affinity: Tensor, form: str = "symmetric") -> Tensor:
    """D^-1/2 S D^-1/2 (`symmetric`) or D^-1 S (`rows`) of a dense affinity S (b, b) with degrees D.

    An item without a positive degree sends and gets nothing: its row is zero.
    """
    degree = affinity.sum(dim=1)
    safe = degree.clamp(min=TINY)
    if form == "rows":
        return torch.where(degree > TINY, 1.0 / safe, 0.0)[:, None] * affinity
    if form != "symmetric":
        raise ValueError(f"form: expected 'symmetric' or 'rows', got {form!r}")
    root = torch.where(degree > TINY, safe.rsqrt(), 0.0)
    return root[:, None] * affinity * root[None, :]


def cosines(left: Tensor, right: Tensor | None = None) -> Tensor:
    """Cosine of every row of `left` with every row of `right` (of `left` itself if None); 0 for zero rows."""
    a = nn.functional.normalize(left, dim=1, eps=TINY)
    b = a if right is None else nn.functional.normalize(right, dim=1, eps=TINY)
    return a @ b.T


def mean_square(left: Tensor, right: Tensor | float) -> Tensor:
    """The mean of the squared differences."""
    return torch.mean((left - right) ** 2)


def add(terms: Iterable[Tensor]) -> Tensor:
    """The sum of some scalars."""
    return torch.stack(list(terms)).sum()


def bits(values: Tensor) -> Tensor:
    """-1 or +1 of each value, sign(0) = +1; no gradient flows through it."""
    return torch.where(values.detach() >= 0, 1.0, -1.0)


def to_arrays(network: nn.Sequential) -> Arrays:
    """A trained `mlp` as arrays for `layers.run`: batch normalisation, at its running statistics, is folded in.

    Hidden layers are float32, the last is float64.  Activations and dropout hold nothing and leave no trace.
    """
    folded: list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]] = []
    for part in network:
        if isinstance(part, nn.Linear):
            weight = part.weight.detach().cpu().double().numpy().T
            bias = np.zeros(weight.shape[1]) if part.bias is None else part.bias.detach().cpu().double().numpy()
            folded.append((weight, bias))
        elif isinstance(part, nn.BatchNorm1d):
            weight, bias = folded[-1]
            factor, shift = _running(part)
            folded[-1] = (weight * factor, bias * factor + shift)
    kinds = [np.float32] * (len(folded) - 1) + [np.float64]
    arrays: Arrays = {}
    for i, ((weight, bias), kind) in enumerate(zip(folded, kinds, strict=True)):
        arrays |= {f"{i}.weight": np.array(weight, dtype=kind), f"{i}.bias": np.array(bias, dtype=kind)}
    return arrays


def _running(norm: nn.BatchNorm1d) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    """Factor and shift that batch normalisation amounts to once its statistics stand still."""
    assert norm.running_mean is not None and norm.running_var is not None
    mean, variance, weight, bias = (
        values.detach().cpu().double().numpy()
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    factor = weight / np.sqrt(variance + norm.eps)
    return factor, bias - mean * factor
