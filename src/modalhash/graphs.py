"""Anchor graphs: neighbourhoods of n items through P anchors, so that nothing of size n × n is ever formed.

Rows are items.  Z (n, P) holds each item's nearest anchors with weights that sum to 1; the affinity of items is
A = Z Λ⁻¹ Zᵀ with Λ = diag(Zᵀ1).  Its rows sum to 1, so the Laplacian is L = I - A.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import squared_distances
from modalhash.solvers import fix_signs
from modalhash.views import F64, Matrix, blocks, dense

UNIT = 1e-8  # eigenvalues of A within this of 1 belong to the constants of unconnected parts
RANK = 1e-8  # eigenvalues of A below this are rounding


def centroids(views: Mapping[str, F64], n_anchors: int, seed: int) -> dict[str, F64]:
    """k-means centres of items whose views stand side by side, split into the views again: name -> (P, d).

    The centres correspond: row j of every view is the same centre.  Duplicates are dropped, so P may be smaller.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    together = np.hstack(list(views.values()))
    with threadpool_limits(1), warnings.catch_warnings():  # sums of several threads differ in the last bits
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than anchors
        found = KMeans(n_anchors, n_init=1, max_iter=25, random_state=seed).fit(together).cluster_centers_
    found = found[np.unique(found.round(9), axis=0, return_index=True)[1]]
    edges = np.cumsum([0, *(view.shape[1] for view in views.values())])
    return {name: found[:, low:high] for name, low, high in zip(views, edges[:-1], edges[1:], strict=True)}


def nearest_anchors(matrix: Matrix, mean: F64, anchors: F64, k: int) -> tuple[NDArray[np.intp], F64]:
    """Positions (n, k) of the k nearest anchors of (rows - mean) and their squared distances, in blocks of rows."""
    n, k = matrix.shape[0], min(k, len(anchors))
    found, squares = np.empty((n, k), dtype=np.intp), np.empty((n, k))
    for rows in blocks(n):
        distances = squared_distances(dense(matrix[rows]) - mean, anchors)
        found[rows] = np.sort(np.argpartition(distances, k - 1, axis=1)[:, :k], axis=1)
        squares[rows] = np.take_along_axis(distances, found[rows], axis=1)
    return found, squares


def item_weights(found: NDArray[np.intp], squares: F64, sigma: float, n_anchors: int) -> Matrix:
    """Z (n, P) in CSR form: exp(-d²/σ) of the found anchors, each row divided by its sum (Liu et al. 2011, Eq. 2)."""
    from scipy.sparse import csr_array

    n, k = found.shape
    weights = np.exp((squares.min(axis=1, keepdims=True) - squares) / sigma)  # the shift cancels: no 0/0 far away
    weights /= weights.sum(axis=1, keepdims=True)
    return csr_array((weights.ravel(), found.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n_anchors))


def anchor_weights(anchors: F64, k: int, sigma: float) -> Matrix:
    """S (P, P) in CSR form: exp(-d²/σ) between anchors that are among each other's k nearest, rows sum to 1.

    Every anchor is its own neighbour beside these k; k = 0 gives the identity.
    """
    from scipy.sparse import csr_array

    P = len(anchors)
    squares = squared_distances(anchors, anchors)
    np.fill_diagonal(squares, -1.0)  # each anchor comes first in its own row, duplicates or not
    order = np.argsort(squares, axis=1, kind="stable")[:, : min(k, P - 1) + 1]
    near = np.zeros((P, P), dtype=bool)
    np.put_along_axis(near, order, True, axis=1)
    np.fill_diagonal(squares, 0.0)
    weights = np.where(near & near.T, np.exp(-squares / sigma), 0.0)
    return csr_array(weights / weights.sum(axis=1, keepdims=True))


class AnchorGraph:
    """One anchor graph, kept as H = Z Λ^-1/2 (n, P), so that A = H Hᵀ."""

    def __init__(self, Z: Matrix) -> None:
        degrees = np.asarray(Z.sum(axis=0)).ravel()
        used = np.flatnonzero(degrees > 0)
        self.H = Z[:, used] * (1.0 / np.sqrt(degrees[used]))[None, :]
        self.H = self.H.tocsr()

    def affinity(self, Y: F64) -> F64:
        """A Y for Y (n, K), in O(n K) operations."""
        return np.asarray(self.H @ (self.H.T @ Y))

    def embedding(self, k: int, *, parts: bool = False) -> F64:
        """The k eigenvectors of L = I - A with the smallest positive eigenvalues, unit columns, (n, ≤ k).

        They are the left singular vectors of H below the unit singular values, found from HᵀH in O(n P²).  The graph
        has one unit singular value for each unconnected part.  All of them are dropped; with `parts` only the
        constant is, and what tells the parts apart comes first.  Fewer columns come back where the graph has no more.
        """
        from scipy.linalg import eigh

        values, vectors = eigh((self.H.T @ self.H).toarray(), check_finite=False)
        order = np.argsort(-values, kind="stable")
        values, vectors = values[order], vectors[:, order]
        unit = int(np.sum(values > 1.0 - UNIT))
        values, vectors = values[values > RANK][: unit + k], vectors[:, values > RANK][:, : unit + k]
        E = np.asarray(self.H @ (vectors / np.sqrt(values)))
        if parts:
            E[:, :unit] = E[:, :unit] @ _constant_first(E[:, :unit].sum(axis=0))
        first = 1 if parts else unit
        return fix_signs(E[:, first : first + k])


def _constant_first(weights: F64) -> F64:
    """An orthogonal matrix whose first column is `weights`, normalised."""
    rotation, _ = np.linalg.qr(np.column_stack([weights, np.eye(len(weights))[:, 1:]]))
    return np.asarray(rotation)


def anchor_graph(matrix: Matrix, mean: F64, anchors: F64, k: int, k_anchors: int) -> AnchorGraph:
    """The graph of one view: k nearest anchors an item, widened by each anchor's mutual neighbours: Ẑ = Z S.

    σ is the mean squared distance of items to their k nearest anchors.
    """
    found, squares = nearest_anchors(matrix, mean, anchors, k)
    sigma = float(squares.mean()) or 1.0
    Z = item_weights(found, squares, sigma, len(anchors))
    return AnchorGraph((Z @ anchor_weights(anchors, k_anchors, sigma)).tocsr())
