"""Nested codes: the first bits of a code are a shorter code, because bits are ordered by what each adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.hasher import Hasher, check_integer
from modalhash.views import F64, Matrix, blocks, dense

FIRST = 16  # bits of the first block of rotations


@dataclass(kw_only=True, eq=False)
class Nested(Hasher):
    """A system whose bits can be ordered (`nested=True`) so that every prefix of a code is a code of its own."""

    nested: bool = False

    def prefix(self, n_bits: int) -> Self:
        """The same model with codes of the first n_bits bits: encode(x) of it equals encode(x).prefix(n_bits).

        Raises ValueError unless the model was fitted with nested=True and has as many bits.
        """
        self._check_fitted()
        check_integer("n_bits", n_bits, low=1, high=self.n_bits)
        if not self.nested:
            raise ValueError(f"{self.name}: bits have no order; fit with nested=True to cut codes")
        shorter = type(self)(**{**self.get_params(), "n_bits": n_bits})
        state: dict[str, Any] = {key: value for key, value in vars(self).items() if key.endswith("_")}
        functions = {name: np.ascontiguousarray(W[:, :n_bits]) for name, W in state["functions_"].items()}
        vars(shorter).update(state | {"functions_": functions, "codes_": state["codes_"].prefix(n_bits)})
        return shorter


def label_alignment(bits: BinaryCodes, labels: Matrix) -> tuple[F64, F64]:
    """What `greedy_order` needs to order bits by the labels: see `alignment`; labels (n, c), dense or sparse."""
    return alignment(bits, lambda rows: dense(labels[rows]))


def alignment(bits: BinaryCodes, target: Callable[[slice], F64]) -> tuple[F64, F64]:
    """bᵀTb of every bit (K,), and (bᵀb')² of every two (K, K), with bits b (n,) of -1 and +1 less their mean.

    T = HXXᵀH is the likeness that codes should have, X (n, d) = target(rows) a block of rows, H the centring.
    """
    n, K, width = len(bits), bits.n_bits, target(slice(0, 1)).shape[1]
    sums, moments = np.zeros(width + K), np.zeros((width + K, K))
    for rows in blocks(n):
        B = bits[rows].signs().astype(np.float64)
        Z = np.hstack([target(rows), B])
        sums += Z.sum(axis=0)
        moments += Z.T @ B
    moments -= np.outer(sums, sums[width:]) / n
    return (moments[:width] ** 2).sum(axis=0), moments[width:] ** 2


def greedy_order(gains: F64, overlaps: F64, edges: list[int] | None = None) -> NDArray[np.intp]:
    """An order of bits in which each next one raises the alignment of the prefix most, (K,) positions.

    The alignment of a prefix P with the target T is that of kernels (Cristianini et al. 2001),
    ⟨Σ_P bbᵀ, T⟩ / ‖Σ_P bbᵀ‖ up to a constant: Σ_P gains over the root of the summed overlaps.  A bit is worth much if
    it keeps together what T holds alike, and little if bits before it say the same.  Ties: the lower position first;
    constant bits come last of their block.
    gains, overlaps: as `alignment` gives them.  edges: ends of blocks whose bits stay in their block, all bits if None.
    """
    K = len(gains)
    order: list[int] = []
    total, square, shared = 0.0, 0.0, np.zeros(K)
    for low, high in blocks_of(edges or [K]):
        left = np.arange(low, high)
        while len(left):
            norm = np.sqrt(np.maximum(square + 2 * shared[left] + overlaps[left, left], 0))
            varies = overlaps[left, left] > 0
            score = np.divide(total + gains[left], norm, out=np.full(len(left), -1.0), where=varies & (norm > 0))
            best = int(left[np.argmax(score)])
            total += gains[best]
            square += 2 * shared[best] + overlaps[best, best]
            shared += overlaps[best]
            order.append(best)
            left = left[left != best]
    return np.array(order, dtype=np.intp)


def block_ends(n_bits: int) -> list[int]:
    """Where the blocks of nested codes end: 16, 32, 64 … below n_bits, then n_bits."""
    ends = []
    end = FIRST
    while end < n_bits:
        ends.append(end)
        end *= 2
    return [*ends, n_bits]


def blocks_of(edges: list[int]) -> Iterator[tuple[int, int]]:
    """First and last position of each block (the latter excluded)."""
    yield from zip([0, *edges[:-1]], edges, strict=True)
