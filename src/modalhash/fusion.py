"""Fused codes: the views of an item weighed by how well each agrees with the code, item by item, without parameters.

Arrays of weights, of residuals and of who has which view are (views, n), views in the order in which they were fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher, view_outputs
from modalhash.solvers import signs
from modalhash.views import F64, Matrix, Views, blocks

ROUNDS = 4  # of weights and code in turn

Mask = NDArray[np.bool_]


def adaptive_weights(residuals: F64, has: Mask) -> F64:
    """Weights of the views of each item, in proportion to 1 / residual, sum 1 an item, 0 for a view that it lacks.

    residuals: (views, n) >= 0, how far each view's output is from the code; has: (views, n).  Views without any
    residual share all the weight.
    """
    left = np.where(has, residuals, np.inf)
    smallest = left.min(axis=0)
    perfect = has & (left <= 0)
    return shares(np.where(smallest > 0, smallest / np.maximum(left, 1e-300), perfect))


def fuse(
    outputs: F64, has: Mask, *, prior: F64 | None = None, scale: float = 1.0, rounds: int = ROUNDS
) -> tuple[F64, F64]:
    """Σ_l w_l o_l (n, K) of each item's outputs, and the weights w (views, n) that were used.

    outputs: (views, n, K); has: (views, n); prior p: (views, n), > 0 where `has`, 1 if None.  From the weights p,
    code b = sgn(Σ w_l o_l) and w_l ∝ p_l / ‖scale·b - o_l‖ in turn: reweighted least squares, so that
    Σ_l p_l ‖scale·b - o_l‖ of an item never rises.  No item looks at another.
    """
    prior = has.astype(np.float64) if prior is None else prior
    weights = shares(prior)
    for _ in range(rounds):
        distances = np.sqrt(((scale * signs(weighted_sum(weights, outputs)) - outputs) ** 2).sum(axis=2))
        weights = shares(prior * adaptive_weights(distances, has))
    return weighted_sum(weights, outputs), weights


def shares(weights: F64) -> F64:
    """Weights (views, n) divided by their sum over the views of each item.

    Views are added one by one: numpy adds many of them in another order for one item than for several.
    """
    return np.asarray(weights / sum(weights))


def weighted_sum(weights: F64, outputs: F64) -> F64:
    """Σ_l w_l o_l (n, K) of outputs (views, n, K)."""
    return np.asarray(sum(w[:, None] * o for w, o in zip(weights, outputs, strict=True)))


def who_has(names: Iterable[str], present: Mapping[str, Mask], rows: slice) -> Mask:
    """Who of a block of rows has which of the named views, (views, rows); nobody has a view that is not given."""
    nobody = np.zeros_like(next(iter(present.values()))[rows])
    return np.stack([present[name][rows] if name in present else nobody for name in names])


def counted(has: Mask, varied: Mask) -> Mask:
    """Views that count for each item: a view that never varied in training only where an item has no other.

    has: (views, n); varied: (views,).
    """
    telling = has & varied[:, None]
    return np.where(telling.any(axis=0), telling, has)


@dataclass(kw_only=True, eq=False)
class FusedHasher(Hasher):
    """A system whose code of an item is a weighted sum of its views, with weights of the item's own.

    `only` names the one view to learn and to encode from; an item that lacks it has no code, other views are not read.
    """

    only: str | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.only is not None and not isinstance(self.only, str):
            raise TypeError(f"only: expected the name of a view or None, got {self.only!r}")

    @property
    def needed_views(self) -> tuple[str, ...]:
        """`only`, if it is set."""
        return () if self.only is None else (self.only,)

    def _views_to_learn(self, views: dict[str, Matrix]) -> dict[str, Matrix]:
        """All views, or `only`; ValueError if there is no such view."""
        if self.only is None:
            return views
        if self.only not in views:
            raise ValueError(f"{self.name}: only={self.only!r} is none of the views {', '.join(map(repr, views))}")
        return {self.only: views[self.only]}

    def _outputs_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> tuple[F64, Mask]:
        """Outputs of all fitted views, given or not, in the order of `widths_`, and who has which view."""
        has = who_has(self.widths_, present, rows)
        return view_outputs(block, self.widths_, has, self.n_bits, self._project), has

    def _fuse(self, outputs: F64, has: Mask) -> F64:
        return weighted_sum(self._weigh(outputs, has), outputs)

    def _weigh(self, outputs: F64, has: Mask) -> F64:
        """Weights (views, rows) of the views in the code."""
        return fuse(outputs, has)[1]

    def _weights_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> F64:
        """Weights (views, rows) of all fitted views for a block of rows."""
        return self._weigh(*self._outputs_of(block, present, rows))

    def view_weights(self, views: Views) -> F64:
        """Weights (n, views) that `encode` gives to the views of each item, 0 for a view that it lacks; rows sum to 1.

        Columns in the order in which the views were fitted (`widths_`).  Raises ValueError as `encode` does.
        """
        checked, present = self._check_encode(views)
        n = next(iter(checked.values())).shape[0]
        parts = (({m: matrix[rows] for m, matrix in checked.items()}, rows) for rows in blocks(n))
        return np.vstack([self._weights_of(block, present, rows).T for block, rows in parts])
