"""The contract of every system: fit on views, encode views to codes, save and load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.model import MODEL as MODEL
from modalhash.model import ConvergenceWarning as ConvergenceWarning
from modalhash.model import Model
from modalhash.model import check_choice as check_choice
from modalhash.model import check_integer as check_integer
from modalhash.model import check_real as check_real
from modalhash.model import check_widths as check_widths
from modalhash.views import F64, Floats, Matrix, Views, blocks, check_encode_views, check_labels, check_views, missing


@dataclass(kw_only=True, eq=False)
class Hasher(Model, ABC):
    """A system that learns codes of `n_bits` bits from views.

    A subclass sets the class facts below and writes two methods: `_fit` (learn; attributes that end in "_"
    are saved) and `_project` (one block of one view to real values whose signs are the bits).
    """

    needs_labels: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False  # rows of NaN among the labels; `_fit` gets them as rows of zeros
    fits_missing_views: ClassVar[bool] = False
    min_views: ClassVar[int] = 1
    named_views: ClassVar[tuple[str, ...]] = ()  # the views of a system that learns from these and no others
    encodes_from: ClassVar[tuple[str, ...]] = ()  # views that `encode` reads; none: all that were fitted
    summary: ClassVar[str] = ""

    # learned by fit
    def fit(self, views: Views, labels: Matrix | None = None) -> Self:
        """Learn from training items.

        views: name -> (n, d), dense or sparse, the same rows in each; labels: (n, c) 0/1 or (n,) integer classes,
        needed by supervised systems only.  Returns self.  Raises ValueError or TypeError on bad input.
        """
        self._check_parameters()
        checked = check_views(views)
        if len(checked) < self.min_views:
            raise ValueError(f"{self.name}: needs at least {self.min_views} views, got {', '.join(map(repr, checked))}")
        if self.named_views and set(checked) != set(self.named_views):
            wanted, got = (" and ".join(map(repr, names)) for names in (self.named_views, checked))
            raise ValueError(f"{self.name}: learns from the views {wanted}, got {got}")
        n = next(iter(checked.values())).shape[0]
        self._check_gaps({name: missing(matrix) for name, matrix in checked.items()})
        if labels is None and self.needs_labels:
            raise ValueError(f"{self.name}: needs labels, got None")
        targets = None
        if labels is not None:
            targets, labelled = check_labels(labels, n)
            if self.needs_labels and not self.takes_unlabelled and not labelled.all():
                raise ValueError(
                    f"{self.name}: row {np.argmin(labelled)} is not labelled, and this system needs every label"
                )
        self._forget()
        self.widths_: dict[str, int] = {name: int(matrix.shape[1]) for name, matrix in checked.items()}
        try:
            self._fit(checked, targets)
        except BaseException:  # Ctrl-C, too: half a model must not pass for a fitted one
            self._forget()
            raise
        return self

    @abstractmethod
    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        """Learn from checked views and 0/1 labels."""

    def _project(self, name: str, block: Matrix) -> Floats:
        """Real values (rows, n_bits) of rows that have the view; a system that overrides `encode` needs none."""
        raise TypeError(f"{self.name}: has no hash function of one view")

    def encode(self, views: Views) -> BinaryCodes:
        """Codes of items from the views that each of them has.

        views: name -> (n, d); a view may be absent, or missing for some rows.  With several views the outputs of
        the hash functions are summed before the sign; sign(0) = +1.  Raises ValueError for an unknown view,
        another width than in fit, or an item without any view.
        """
        packed = [np.packbits(values >= 0, axis=1) for values in self._signed(views)]
        return BinaryCodes(np.concatenate(packed), self.n_bits)

    @property
    def has_outputs(self) -> bool:
        """Whether the bits are signs of real values; not where a system has an `encode` of its own."""
        return type(self).encode is Hasher.encode

    def outputs(self, views: Views) -> F64:
        """Real values (n, n_bits) whose signs are the bits of `encode`, for those who compare floats with codes.

        Raises ValueError as `encode` does, TypeError where the system has no such values (`has_outputs`).
        """
        if not self.has_outputs:
            raise TypeError(f"{self.name}: its codes are not the signs of real values")
        return np.concatenate(list(self._signed(views)))

    def _signed(self, views: Views) -> Iterator[F64]:
        """The values whose signs are the bits, block by block."""
        checked, present = self._check_encode(views)
        for rows in blocks(next(iter(checked.values())).shape[0]):
            block = {name: matrix[rows] for name, matrix in checked.items()}
            yield self._fuse(*self._outputs_of(block, present, rows))

    def _check_encode(self, views: Views) -> tuple[dict[str, Matrix], dict[str, NDArray[np.bool_]]]:
        """Checked views in the order of `fit`, only those that codes come from, and the rows that have each."""
        self._check_fitted()
        checked, present = check_encode_views(views, self.widths_)
        for name in self.needed_views:
            if name not in checked or not present[name].all():
                row = f"row {np.argmin(present[name])} lacks it" if name in checked else "it is absent"
                raise ValueError(f"{self.name}: codes come from the view {name!r}, and {row}")
        if self.needed_views:
            checked = {name: checked[name] for name in self.needed_views}
        return checked, {name: present[name] for name in checked}

    def _outputs_of(
        self, block: Mapping[str, Matrix], present: Mapping[str, NDArray[np.bool_]], rows: slice
    ) -> tuple[F64, NDArray[np.bool_]]:
        """Outputs of the hash functions, (views, rows, n_bits) with 0 for a missing view, and who has which view."""
        has = np.stack([present[name][rows] for name in block])
        return view_outputs(block, block, has, self.n_bits, self._project), has

    def _fuse(self, outputs: F64, has: NDArray[np.bool_]) -> F64:
        """One real-valued code (rows, n_bits) from the outputs of the views; fused systems weigh them."""
        return np.asarray(outputs.sum(axis=0))

    def encode_queries(self, views: Views) -> Any:
        """Codes of queries; the same as `encode` unless the system treats queries apart."""
        return self.encode(views)

    @property
    def needed_views(self) -> tuple[str, ...]:
        """Views without which an item has no code, the only ones that `encode` reads; none: any fitted view will do."""
        return self.encodes_from

    def _check_gaps(self, gaps: Mapping[str, NDArray[np.bool_]]) -> None:
        """ValueError for rows without a view, (n,) a view, that the system cannot learn from."""
        for name, rows in gaps.items():
            if rows.all():
                raise ValueError(f"view {name!r}: every row is missing")
            if rows.any() and not self.fits_missing_views:
                raise ValueError(
                    f"{self.name}: cannot train with missing views; row {np.argmax(rows)} has no view {name!r}"
                )
        nothing = np.all(list(gaps.values()), axis=0)
        if nothing.any():
            raise ValueError(f"row {np.argmax(nothing)} has no view at all")


def view_outputs(
    block: Mapping[str, Matrix],
    names: Iterable[str],
    has: NDArray[np.bool_],
    width: int,
    project: Callable[[str, Matrix], Floats],
) -> F64:
    """project(name, rows) for the items that have a view, 0 for the others, (views, rows, width)."""
    outputs = np.zeros((*has.shape, width))
    for output, own, name in zip(outputs, has, names, strict=True):
        if own.any():
            output[own] = project(name, block[name] if own.all() else block[name][own])
    return outputs


def present_rows(views: Mapping[str, Matrix]) -> dict[str, NDArray[np.bool_]]:
    """For each view the rows that have it, (n,) bool."""
    return {name: ~missing(matrix) for name, matrix in views.items()}
