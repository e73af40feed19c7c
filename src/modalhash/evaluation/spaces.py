"""Float spaces: where queries and items of one direction can be compared by cosine, before anything is coded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modalhash.baselines.cca_itq import correlated_directions, reduced_views
from modalhash.datasets.dataset import Dataset
from modalhash.evaluation.protocol import Protocol
from modalhash.solvers import centred_product, mean_and_scale
from modalhash.views import F64, Matrix, blocks, is_sparse, missing

F32 = NDArray[np.float32]
Kind = Literal["view", "given", "cca"]
WIDEST = 4096  # columns of a sparse view that is made dense
CCA_WIDTH = 128
CCA_RIDGE = 0.1
CCA_REDUCED = 512


@dataclass(frozen=True, eq=False)
class Space:
    """Unit rows of views in one space; their inner product is the float similarity.

    kind: `view` (one view with itself), `given` (views of equal width that share their space) or `cca` (canonical
    correlations learned from training items).  width: dimensions.  maps: view -> mean (d,) and directions (d, width),
    of `cca` only.
    """

    kind: Kind
    width: int
    maps: Mapping[str, tuple[F64, F64]]

    def rows(self, view: str, matrix: Matrix) -> F32:
        """Unit rows (n, width) float32 of a view; rows of zeros stay zero, missing rows become zero."""
        unit = np.zeros((matrix.shape[0], self.width), dtype=np.float32)
        gaps = missing(matrix)
        for rows in blocks(matrix.shape[0]):
            block = matrix[rows].toarray() if is_sparse(matrix) else np.asarray(matrix[rows])
            if view in self.maps:
                block = centred_product(block, *self.maps[view])
            norms = np.linalg.norm(block.astype(np.float64), axis=1, keepdims=True)
            unit[rows] = np.where(gaps[rows, None], 0.0, block / np.where(norms > 0, norms, 1.0))
        return unit

    @property
    def words(self) -> str:
        """The space in words."""
        told = {
            "view": "the view itself",
            "given": "the space that the views share",
            "cca": "canonical correlations of the training items",
        }
        return f"{told[self.kind]}, {self.width} dimensions, cosine"


def space_of(data: Dataset, protocol: Protocol, shared: Sequence[str] = ()) -> Space | str:
    """The float space of a direction, or in words why there is none.

    shared: names of views that share one space, as image-text encoders give.
    Raises ValueError for shared views of unequal widths.
    """
    check_shared(data, shared)
    sides = protocol.query_views, protocol.database_views
    if any(len(names) != 1 for names in sides):
        return "several views at once have no one float space"
    names = list(dict.fromkeys(name for side in sides for name in side))
    for name in names:
        if is_sparse(data.views[name]) and data.views[name].shape[1] > WIDEST:
            return f"view {name!r} is sparse with {data.views[name].shape[1]} columns, more than {WIDEST}"
    if len(names) == 1:
        return Space("view", int(data.views[names[0]].shape[1]), {})
    if set(names) <= set(shared):
        return Space("given", int(data.views[names[0]].shape[1]), {})
    return cca_space(data, names)


def check_shared(data: Dataset, shared: Sequence[str]) -> None:
    """ValueError unless the views exist and have one width."""
    unknown = [name for name in shared if name not in data.views]
    if unknown:
        raise ValueError(f"shared: {data.name} has no view {unknown[0]!r}; its views: {', '.join(data.views)}")
    widths = {name: int(data.views[name].shape[1]) for name in shared}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise ValueError(f"shared: views of one space have equal widths, got {told}")


def cca_space(data: Dataset, names: Sequence[str]) -> Space | str:
    """Canonical correlations of two views, learned from the training items that have both."""
    train = {name: data.views[name][data.split["train"]] for name in names}
    both = ~np.any([missing(matrix) for matrix in train.values()], axis=0)
    if both.sum() < 2:
        return "no two training items have both views, so that nothing correlates them"
    train = {name: matrix[both] for name, matrix in train.items()}
    moments = {name: mean_and_scale(matrix) for name, matrix in train.items()}
    means = {name: mean for name, (mean, _) in moments.items()}
    scales = {name: scale for name, (_, scale) in moments.items()}
    widths = {name: min(int(matrix.shape[1]), int(both.sum()), CCA_REDUCED) for name, matrix in train.items()}
    reduce, reduced = reduced_views(train, means, scales, widths, seed=0)
    width = min(CCA_WIDTH, *widths.values())
    directions = correlated_directions(list(reduced.values()), width, CCA_RIDGE)
    maps = {name: (means[name], reduce[name] @ w) for name, w in zip(names, directions, strict=True)}
    return Space("cca", width, maps)
