"""Nested codes: the first bits of a code are a shorter code, because bits come in the order of what each adds.

Bits are learned at 16, 32, 64 … bits.  The codes of 16 bits come first; at each further length those of its bits
follow that add most to the bits before them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.hasher import Hasher, check_integer
from modalhash.views import F64, blocks

FIRST = 16  # bits that are learned together first


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


def greedy_order(gains: F64, overlaps: F64, count: int, first: int = 0) -> NDArray[np.intp]:
    """The first `first` bits, then bits of which each raises the alignment most, `count` positions in all.

    The alignment of chosen bits P with the target T is that of kernels (Cristianini et al. 2001),
    ⟨Σ_P bbᵀ, T⟩ / ‖Σ_P bbᵀ‖ up to a constant: Σ_P gains over the root of the summed overlaps.  A bit is worth much if
    it keeps together what T holds alike, and little if bits before it say the same.  Ties: the lower position first;
    constant bits come last.  gains, overlaps: as `alignment` gives them.
    """
    order = list(range(first))
    total, square, shared = gains[:first].sum(), overlaps[:first, :first].sum(), overlaps[:first].sum(axis=0)
    left, own = np.arange(first, len(gains)), np.diag(overlaps)
    while len(order) < count:
        norm = np.sqrt(np.maximum(square + 2 * shared[left] + own[left], 0))
        score = np.divide(total + gains[left], norm, out=np.full(len(left), -1.0), where=own[left] > 0)
        best = int(left[np.argmax(score)])
        total += gains[best]
        square += 2 * shared[best] + own[best]
        shared = shared + overlaps[best]
        order.append(best)
        left = left[left != best]
    return np.array(order, dtype=np.intp)


def block_ends(n_bits: int) -> list[int]:
    """The lengths at which nested codes are learned: 16, 32, 64 … below n_bits, then n_bits."""
    longest = int(n_bits)
    below = [FIRST << i for i in range(longest.bit_length()) if FIRST << i < longest]
    return [*below, longest]


def grown(kept: F64, learned: F64, target: Callable[[slice], F64]) -> NDArray[np.intp]:
    """Which columns of [kept, learned], values (n, ·) whose signs are bits, are the nested codes of learned's length.

    kept: the nested codes so far, which stay in front; learned: codes of the next length.
    """
    bits = BinaryCodes.from_signs(np.hstack([kept, learned]))
    return greedy_order(*alignment(bits, target), count=learned.shape[1], first=kept.shape[1])
