"""SMH-OQA: supervised hashing with online query adaption (book, section 4.3.3), for search with all views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import choose_anchors, dense_anchors, squared_distances
from modalhash.codes import BinaryCodes
from modalhash.composite.asymmetric import Augmented, Problem, Solution
from modalhash.fusion import FusedHasher, Mask, counted, fuse, shares, who_has
from modalhash.hasher import check_choice, check_integer, check_real, present_rows
from modalhash.layers import is_constant
from modalhash.views import F64, Floats, Matrix, blocks, dense

ALL = "all"  # the name of all views side by side

VARIANTS: dict[str, dict[str, Any]] = {
    "SMHOQA": {},
    "SMHOQA-img": {"only": "image"},
    "SMHOQA-txt": {"only": "text"},
    "SMHOQA-con": {"concatenate": True},
    "SMHOQA-I": {"weights": "fixed"},
    "SMHOQA-II": {"weights": "equal"},
    "SMHOQA-III": {"kernel": False},
    "SMHOQA-IV": {"discrete": False},
}


@dataclass(kw_only=True, eq=False)
class SMHOQA(FusedHasher):
    """Learns codes and one map a view from labels; an item's code weighs its views by how well each agrees with it.

    Minimises, with S = 2 YᵀY - 11ᵀ (Eq. 4.8),
    Σ_l v_l/μ_l ‖H - W_l φ_l‖² + α‖K S - BᵀRH‖² + β‖B - RH‖² + δ Σ_l ‖W_l‖².

    | symbol | name | shape |
    |---|---|---|
    | Y | labels | c × n |
    | φ_l | view l: distances to anchors through an RBF kernel, centred, and a row of ones | (p + 1) × n |
    | B | codes, -1 and +1 | K × n |
    | H | what the views have in common | K × n |
    | W_l | view l to the common part | K × (p + 1) |
    | R | rotation of the common part towards the codes | K × K |
    | μ_l | virtual weight of view l, Σ μ_l = 1 | scalar |
    | v_l | share of the items that have view l | scalar |

    The code of any item, training items too, is sgn(Σ_l w_l W_l φ_l) over the views that it has; `rotate` puts R before
    the sum.  `codes_` are the learned B, which carry the labels and cannot be compared with these codes.
    weights: `adaptive`, w_l ∝ v_l/(μ_l ‖γ b - W_l φ_l‖) in turn with the code b, γ the mean size of H; `printed`,
    1/‖b - W_l φ_l‖; `fixed`, v_l/μ_l; `equal`, 1 in the fit, too.  only: the one view to learn and encode from;
    concatenate: the views side by side as one; alpha: 1000/(K n) unless given; unit_labels: columns of Y have norm 1.
    solver: `discrete` never raises `objective_`; `alm` (with `penalty`) may, and its best iterate is kept.
    An item that lacks a view is left out of that view's term.  Memory is O(n · (K + c + views · anchors)).
    """

    n_anchors: int | None = None
    alpha: float | None = None
    beta: float = 1e-5
    delta: float = 1e-3
    penalty: float = 1e-2
    max_iter: int = 30
    tolerance: float = 5e-3
    solver: str = "discrete"
    weights: str = "adaptive"
    concatenate: bool = False
    kernel: bool = True
    discrete: bool = True
    rotate: bool = False
    unit_labels: bool = False

    needs_labels: ClassVar[bool] = True
    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = "supervised, any number of views fused into one code: closed-form steps, weights by item"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("max_iter", self.max_iter, low=1)
        check_real("tolerance", self.tolerance, low=0)
        for name in ("alpha", "beta", "delta", "penalty"):
            if name != "alpha" or self.alpha is not None:
                check_real(name, getattr(self, name), low=0, inclusive=False)
        if self.n_anchors is not None:
            check_integer("n_anchors", self.n_anchors, low=1)
        check_choice("solver", self.solver, ("discrete", "alm"))
        check_choice("weights", self.weights, ("adaptive", "printed", "fixed", "equal"))
        if self.solver == "alm" and not self.discrete:
            raise ValueError("solver: 'alm' learns discrete codes only; discrete=False needs 'discrete'")
        if self.only is not None and self.concatenate:
            raise ValueError(f"only: {self.only!r} leaves nothing to concatenate")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        views, rng = self._views_to_learn(views), self._rng()
        present = present_rows(views)
        phi = self._fit_features(views, present, rng)
        has = {ALL: np.ones(len(phi[ALL]), dtype=bool)} if self.concatenate else present
        telling = {} if self.concatenate else {m: phi[m] for m in phi if varies(views[m], has[m])}
        problem = (Augmented if self.solver == "alm" else Problem)(self, telling or phi, has, labels, rng)
        best = self._solve(problem)
        self.codes_ = BinaryCodes.from_signs(best.B if self.discrete else best.B - best.B.mean(axis=0))
        learned = dict(zip(best.W, (best.w / best.w.sum()).tolist(), strict=True))
        self.view_weights_: dict[str, float] = {m: learned.get(m, 0.0) for m in phi}
        self.scale_ = float(np.abs(best.H).mean())
        mean = best.H.mean(axis=0)  # all that a view without variation can say
        maps = {m: best.W[m] if m in best.W else constant_map(phi[m].shape[1], mean) for m in phi}
        self.functions_: dict[str, F64] = {m: W @ best.R.T if self.rotate else W for m, W in maps.items()}

    def _solve(self, problem: Problem) -> Solution:
        """The best of all iterates; stops once the objective falls no more (in three iterations by `alm`)."""
        self.objective_ = [problem.objective()]
        best, calm, patience = problem.solution(), 0, 3 if self.solver == "alm" else 1
        for _ in self._iterations(self.max_iter):
            lowest = min(self.objective_)
            problem.iterate()
            self.objective_.append(problem.objective())
            if self.objective_[-1] <= lowest:
                best = problem.solution()
            calm = calm + 1 if lowest - self.objective_[-1] <= self.tolerance * abs(lowest) else 0
            if calm == patience:
                break
        else:
            self._warn_not_converged(self.max_iter, self.tolerance)
        return best

    # features
    def _fit_features(
        self, views: dict[str, Matrix], present: dict[str, Mask], rng: np.random.Generator
    ) -> dict[str, Floats]:
        """φ of every training row, (n, p + 1) float32 a view; zero rows where it is missing."""
        order = choose_anchors(np.all(list(present.values()), axis=0), len(next(iter(present.values()))), rng)
        self.anchors_: dict[str, F64] = {}
        self.spreads_: dict[str, F64] = {}
        self.kernel_widths_: dict[str, float] = {}
        self.means_: dict[str, F64] = {}
        groups = {ALL: list(views)} if self.concatenate else {name: [name] for name in views}
        parts = {group: {m: views[m] for m in names} for group, names in groups.items()}
        if self.kernel:
            return {group: self._fit_kernel(group, given, present, order) for group, given in parts.items()}
        return {group: self._fit_linear(group, given, present) for group, given in parts.items()}

    def _fit_linear(self, group: str, views: dict[str, Matrix], present: dict[str, Mask]) -> Floats:
        """Learn the means of one view (or of all side by side); φ are the centred rows."""
        n = len(next(iter(present.values())))
        self.means_ |= {m: column_means(matrix, present[m]) for m, matrix in views.items()}
        phi = np.zeros((n, sum(matrix.shape[1] for matrix in views.values()) + 1), dtype=np.float32)
        for rows in blocks(n):
            block, has = {m: matrix[rows] for m, matrix in views.items()}, {m: present[m][rows] for m in views}
            phi[rows] = self._features(group, block, has)
        phi[~np.any([present[m] for m in views], axis=0)] = 0.0
        return phi

    def _fit_kernel(
        self, group: str, views: dict[str, Matrix], present: dict[str, Mask], order: NDArray[np.intp]
    ) -> Floats:
        """Learn anchors, width and means of the kernel of one view (or of all side by side); φ from its distances."""
        n, own = len(order), np.any([present[m] for m in views], axis=0)
        anchors = self._choose(views, present, order)
        phi = np.zeros((n, len(anchors) + 1), dtype=np.float32)
        values = phi[:, :-1]
        for m, matrix in views.items():
            self.anchors_[m] = dense_anchors(matrix, anchors)
            self.spreads_[m] = self._add_distances(values, m, matrix, present[m])
            values[own & ~present[m]] += self.spreads_[m].astype(np.float32)
        distance = sum(float(np.sqrt(values[rows], dtype=np.float64).sum()) for rows in blocks(n))
        self.kernel_widths_[group] = sigma = distance / (own.sum() * len(anchors)) or 1.0
        values *= np.float32(-0.5 / sigma**2)
        np.exp(values, out=values)
        self.means_[group] = column_means(values, own)
        values -= self.means_[group].astype(np.float32)
        phi[:, -1] = 1.0
        phi[~own] = 0.0
        return phi

    def _add_distances(self, values: Floats, name: str, matrix: Matrix, own: Mask) -> F64:
        """Add the squared distances of a view to its anchors to `values`, in place; their means over its items."""
        total = np.zeros(values.shape[1])
        for rows in blocks(len(own)):
            seen = own[rows]
            squares = squared_distances(matrix[rows] if seen.all() else matrix[rows][seen], self.anchors_[name])
            values[rows][seen] += squares
            total += squares.sum(axis=0)
        return np.asarray(total / own.sum())

    def _choose(self, views: dict[str, Matrix], present: dict[str, Mask], order: NDArray[np.intp]) -> NDArray[np.intp]:
        """Positions of the anchors: items that have the views."""
        fit = order[np.all([present[m][order] for m in views], axis=0)]
        wanted = self.n_anchors or max(1, min(1000, len(fit) // 2))
        if wanted > len(fit):
            names = ", ".join(map(repr, views))
            raise ValueError(f"n_anchors: {wanted} anchors need as many training rows with {names}, got {len(fit)}")
        return fit[:wanted]

    def _features(self, group: str, block: Mapping[str, Matrix], has: Mapping[str, Mask]) -> F64:
        """φ of a block of rows, (rows, p + 1), minus the training mean, and ones.

        Where the views stand side by side, a missing one counts as its mean (without kernel) or its mean distances.
        """
        n = len(next(iter(has.values())))
        names = list(self.widths_) if self.concatenate else [group]
        parts = []
        for m in names:
            own = has[m] if m in has else np.zeros(n, dtype=bool)
            part = np.tile(self.spreads_[m], (n, 1)) if self.kernel else np.zeros((n, self.widths_[m]))
            if own.any():
                rows = block[m] if own.all() else block[m][own]
                part[own] = squared_distances(rows, self.anchors_[m]) if self.kernel else dense(rows) - self.means_[m]
            parts.append(part)
        if self.kernel:
            parts = [np.exp(sum(parts) * (-0.5 / self.kernel_widths_[group] ** 2)) - self.means_[group]]
        return np.hstack([*parts, np.ones((n, 1))])

    # codes
    def _project(self, name: str, block: Matrix) -> Floats:
        return self._features(name, {name: block}, {name: np.ones(block.shape[0], dtype=bool)}) @ self.functions_[name]

    def _outputs_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> tuple[F64, Mask]:
        """Outputs of all fitted views and who has which; views side by side are one that everyone has."""
        if not self.concatenate:
            return super()._outputs_of(block, present, rows)
        whole = self._features(ALL, block, {m: present[m][rows] for m in block}) @ self.functions_[ALL]
        return whole[None], np.ones((1, len(whole)), dtype=bool)

    def _weigh(self, outputs: F64, has: Mask) -> F64:
        """Weights (views, rows) of each item (Eq. 4.30): those of the fit over ‖γ b - W_l φ_l‖, with its code b."""
        offline = np.array([self.view_weights_.get(m, 0.0) for m in ([ALL] if self.concatenate else self.widths_)])
        own = counted(has, offline > 0)
        prior = own.astype(np.float64)
        if self.weights in ("adaptive", "fixed"):
            prior *= np.where(offline > 0, offline, 1.0)[:, None]
        if self.weights in ("equal", "fixed"):
            return shares(prior)
        return fuse(outputs, own, prior=prior, scale=1.0 if self.weights == "printed" else self.scale_)[1]

    def _weights_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> F64:
        """Weights (views, rows) of all fitted views; views side by side share the weight."""
        if self.concatenate:
            return shares(who_has(self.widths_, present, rows).astype(np.float64))
        return super()._weights_of(block, present, rows)


def constant_map(height: int, value: F64) -> F64:
    """W (height, K) that answers `value` (K,) to everything."""
    return np.asarray(np.vstack([np.zeros((height - 1, len(value))), value]))


def column_means(matrix: Matrix, own: Mask) -> F64:
    """Means (d,) over the rows that `own` names, in float64."""
    total = np.zeros(matrix.shape[1])
    for rows in blocks(matrix.shape[0]):
        total += dense(matrix[rows][own[rows]]).sum(axis=0)
    return np.asarray(total / own.sum())


def varies(matrix: Matrix, own: Mask) -> bool:
    """Whether the rows that `own` names differ."""
    return not is_constant(matrix if own.all() else matrix[own])
