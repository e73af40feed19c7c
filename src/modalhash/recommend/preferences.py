"""What users like, as a view of the users: mean features of the items that they rated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modalhash.recommend.ratings import check_ratings
from modalhash.views import F64, Matrix, Views, check_views, is_sparse, missing


def preferences(ratings: Matrix, item_views: Views) -> dict[str, NDArray[np.float32]]:
    """Views of users from the ratings given and the views of items: "likes NAME" (users, d) float32 for each view.

    A row is the mean of the features of the items that the user rated, weighed by the ratings; a user of whom no item
    with the view counts lacks it (NaN).  Only the ratings passed here are read: pass those that are kept for
    training, and nothing of a withheld rating can reach a code.  Ratings must be positive.
    Raises ValueError for negative ratings and views with another number of rows than items.
    """
    kept = check_ratings(ratings)
    if kept.data.min() < 0:
        raise ValueError(f"ratings: expected positive ratings, found {kept.data.min():g}")
    checked = check_views(item_views)
    m = next(iter(checked.values())).shape[0]
    if m != kept.shape[1]:
        raise ValueError(f"item_views: expected {kept.shape[1]} rows, one an item, got {m}")
    return {f"likes {name}": _means(kept, matrix) for name, matrix in checked.items()}


def _means(kept: Matrix, matrix: Matrix) -> NDArray[np.float32]:
    has = np.flatnonzero(~missing(matrix))
    weights = kept[:, has]
    sums = weights @ matrix[has].astype(np.float64)
    totals: F64 = np.asarray(weights.sum(axis=1)).ravel()
    values = np.asarray(sums.toarray() if is_sparse(sums) else sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = values / totals[:, None]
    means[totals == 0] = np.nan
    return np.asarray(means, dtype=np.float32)
