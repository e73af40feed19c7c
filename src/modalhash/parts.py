"""A training set in parts: what a fit keeps by row stays with the rows, only sums over them and small matrices travel.

A system that fits this way has a class of rows (a subclass of `Rows`) whose methods return sums over their rows, and
one class of small variables that asks all parts for them.  On one machine there is one part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.views import F64, Matrix, is_sparse, missing

Mask: TypeAlias = NDArray[np.bool_]
Space: TypeAlias = Callable[[str, tuple[int, int]], NDArray[np.float32]]


def in_memory(name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Zeros for the features of a view."""
    return np.zeros(shape, dtype=np.float32)


class Rows:
    """Some rows of a training set: views, labels, who has which view, and room for features.

    views: name -> (n, d); labels: (n, c) 0/1; space(name, shape): zeros (n, q) float32 for the features of a view,
    in memory or on disk.
    """

    def __init__(self, views: Mapping[str, Matrix], labels: Matrix, space: Space = in_memory) -> None:
        self.views, self.labels, self.space = dict(views), labels, space
        self.n, self.n_labels = int(labels.shape[0]), int(labels.shape[1])
        self.present: dict[str, Mask] = {name: ~missing(matrix) for name, matrix in views.items()}
        self.phi: dict[str, NDArray[np.float32]] = {}

    def size(self) -> tuple[int, int]:
        """Rows and labels."""
        return self.n, self.n_labels

    def who_has(self) -> dict[str, Mask]:
        """For each view the rows that have it, (n,)."""
        return self.present

    def n_ones(self) -> int:
        """Labels that items have."""
        return int(self.labels.sum())

    def take(self, name: str, positions: NDArray[np.intp]) -> Matrix:
        """Some rows of a view."""
        return self.views[name][positions]


class Parts(ABC):
    """All rows of a training set in order, one part after another."""

    @abstractmethod
    def each(self, method: str, *given: Any, own: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Any]:
        """What `method` of every part returns, in order; each part gets `given`, then its `own` arguments.

        Nothing is called before the iteration begins, and everything only when it has ended.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of parts."""

    def run(self, method: str, *given: Any, own: Iterable[tuple[Any, ...]] | None = None) -> None:
        """Call `method` of every part."""
        for _ in self.each(method, *given, own=own):
            pass

    def total(self, method: str, *given: Any, own: Iterable[tuple[Any, ...]] | None = None) -> Any:
        """The sum over all parts, added in order: an array, a number, or a tuple or dict of such."""
        results = self.each(method, *given, own=own)
        total = next(results)
        for result in results:
            total = plus(total, result)
        return total

    def sizes(self) -> list[int]:
        """Rows of every part."""
        return [n for n, _ in self.each("size")]

    def n_labels(self) -> int:
        """Columns of the labels."""
        return max(int(c) for _, c in self.each("size"))

    def who_has(self) -> dict[str, Mask]:
        """For each view the rows that have it, (n,) over all parts."""
        found = list(self.each("who_has"))
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def take(self, name: str, positions: NDArray[np.intp]) -> Matrix:
        """Rows of a view at positions among all rows, in the order asked for."""
        edges = np.cumsum([0, *self.sizes()])
        at = np.searchsorted(edges, positions, side="right") - 1
        own = ((positions[at == i] - edges[i],) for i in range(len(self)))
        found = list(self.each("take", name, own=own))
        if len(found) == 1:
            return found[0]
        return stacked(found)[np.argsort(np.argsort(at, kind="stable"), kind="stable")]


class InOrder(Parts):
    """Parts in this process, asked one after another."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self.parts = list(parts)

    def __len__(self) -> int:
        return len(self.parts)

    def each(self, method: str, *given: Any, own: Iterable[tuple[Any, ...]] | None = None) -> Iterator[Any]:
        """Call the parts one by one as the iteration goes on."""
        extra: Iterable[tuple[Any, ...]] = [()] * len(self.parts) if own is None else own
        for part, more in zip(self.parts, extra, strict=True):
            yield getattr(part, method)(*given, *more)


def plus(left: Any, right: Any) -> Any:
    """The sum of two results of one method, member by member."""
    if isinstance(left, tuple):
        members = [plus(a, b) for a, b in zip(left, right, strict=True)]
        return type(left)(*members) if hasattr(left, "_fields") else tuple(members)
    if isinstance(left, dict):
        return {name: plus(value, right[name]) for name, value in left.items()}
    return left + right


def stacked(blocks: Sequence[Matrix]) -> Matrix:
    """Blocks of rows one below another; sparse blocks stay CSR."""
    if not is_sparse(blocks[0]):
        return np.concatenate(blocks)
    from scipy.sparse import vstack

    return vstack(blocks, format="csr")


def drawn_signs(rng: np.random.Generator, sizes: Sequence[int], n_bits: int) -> Iterator[tuple[NDArray[np.uint8]]]:
    """Random codes for every part, packed bits (rows, ⌈n_bits/8⌉): the same in sum, however the rows are cut."""
    for n in sizes:
        yield (np.packbits(rng.standard_normal((n, n_bits)) >= 0, axis=1),)


def unpacked(bits: NDArray[np.uint8], n_bits: int) -> F64:
    """Packed bits as -1.0 and +1.0, (rows, n_bits)."""
    return np.where(np.unpackbits(bits, axis=1, count=n_bits), 1.0, -1.0)
