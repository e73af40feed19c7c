"""What A2LH keeps by row, features and codes, and its sums over rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import rbf
from modalhash.codes import BinaryCodes
from modalhash.moments import Moments
from modalhash.parts import Rows
from modalhash.solvers import signs, update_bits
from modalhash.views import F64, Floats, Matrix, blocks, dense


class LabelledRows(Rows):
    """Some rows of Z = [L; 1; B; φ_1; …]: `labels` (n, c), `B` (n, K), `phi` (n, q) float32 a view."""

    B: F64

    # features
    def fill(self, name: str, anchors: F64 | None, sigma: float) -> F64:
        """φ of the rows that have a view, zero elsewhere; returns its column sums.  Without anchors φ is the view."""
        matrix, present = self.views[name], self.present[name]
        width = matrix.shape[1] if anchors is None else len(anchors)
        phi = self.phi[name] = self.space(name, (self.n, width))
        total = np.zeros(width)
        for rows in blocks(self.n):
            has = present[rows]
            values = features(matrix[rows][has], anchors, sigma)
            total += values.sum(axis=0)
            phi[rows][has] = values
        return total

    def centre(self, name: str, mean: NDArray[np.float32]) -> None:
        """Take the mean from φ of the rows that have the view."""
        for rows in blocks(self.n):
            self.phi[name][rows][self.present[name][rows]] -= mean

    # the alternation
    def data(self, rows: slice) -> F64:
        """Rows of Zᵀ: labels, one, codes, features."""
        ones = np.ones((rows.stop - rows.start, 1))
        return np.hstack([dense(self.labels[rows]), ones, self.B[rows], *(x[rows] for x in self.phi.values())])

    def start(self, projection: F64, flips: F64) -> F64:
        """Codes from labels by a random projection (c, K) with random signs (1, K); returns Z Zᵀ."""
        self.B = signs(np.asarray(self.labels @ projection))
        self.B *= flips
        widths = {"L": self.n_labels, "1": 1, "B": self.B.shape[1]}
        G = Moments(widths | {f"φ {m}": x.shape[1] for m, x in self.phi.items()})
        for rows in blocks(self.n):
            G.add(self.data(rows))
        return G.gram

    def update_codes(self, target: F64, coupling: F64 | None, divisor: float | None) -> tuple[F64, int]:
        """Update B from target (K, rows of Z); returns B Zᵀ and how many values changed.

        With `divisor` B is real-valued; with `coupling` (K, K) it is updated bit by bit.
        """
        cross, changed = np.zeros((self.B.shape[1], target.shape[1])), 0
        for rows in blocks(self.n):
            before = self.B[rows].copy()
            Q = self.data(rows) @ target.T
            if divisor is not None:
                self.B[rows] = Q / divisor  # Eq. 38
            elif coupling is None:
                self.B[rows] = signs(Q)  # Eq. 22, with the sign
            else:
                update_bits(self.B[rows], Q, coupling)  # variant -M
            changed += int(np.count_nonzero(before != self.B[rows]))
            cross += self.B[rows].T @ self.data(rows)
        return cross, changed

    def given_labels(self) -> Matrix:
        """The labels as they were given."""
        return self.labels

    def put_codes(self, B: F64) -> None:
        """Replace the codes."""
        self.B = B

    # the hash functions
    def settle(self) -> NDArray[np.uint8]:
        """Make B signs; returns them as packed bits."""
        self.B = signs(self.B)
        return BinaryCodes.from_signs(self.B).packed

    def function_sums(self, name: str) -> tuple[F64, F64]:
        """φφᵀ and φBᵀ over the rows that have the view."""
        return function_sums(self.phi[name], self.B, self.present[name])


def features(block: Matrix, anchors: F64 | None, sigma: float) -> F64:
    """φ of rows that have the view (Eq. 1), not centred."""
    return dense(block) if anchors is None else rbf(block, anchors, sigma)


def function_sums(phi: Floats, B: F64, present: NDArray[np.bool_]) -> tuple[F64, F64]:
    """φφᵀ (q, q) and φBᵀ (q, K) over the rows that have the view."""
    gram, cross = np.zeros((phi.shape[1],) * 2), np.zeros((phi.shape[1], B.shape[1]))
    for rows in blocks(len(phi)):
        block = phi[rows][present[rows]].astype(np.float64)
        gram += block.T @ block
        cross += block.T @ B[rows][present[rows]]
    return gram, cross


def packed_codes(parts: Sequence[NDArray[np.uint8]], n_bits: int) -> BinaryCodes:
    """The codes of all parts in order."""
    return BinaryCodes(np.concatenate(parts), n_bits)
