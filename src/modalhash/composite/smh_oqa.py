"""SMH-OQA: supervised hashing with online query adaption (book, section 4.3.3), for search with all views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import choose_anchors, squared_distances
from modalhash.codes import BinaryCodes
from modalhash.composite.asymmetric import Augmented, Problem, Solution
from modalhash.composite.smh_oqa_rows import FusedRows, centred_parts
from modalhash.fusion import FusedHasher, Mask, counted, fuse, shares, who_has
from modalhash.hasher import check_choice, check_integer, check_real
from modalhash.parts import InOrder, Parts, Space, in_memory
from modalhash.views import F64, Floats, Matrix, dense

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
        self._fit_parts(InOrder([self._rows(views, labels)]))

    def _rows(self, views: dict[str, Matrix], labels: Matrix, space: Space = in_memory) -> FusedRows:
        """Some rows of a training set, as `_fit_parts` takes them."""
        return FusedRows(self._views_to_learn(views), labels, space)

    def _fit_parts(self, parts: Parts) -> None:
        """Learn from rows in parts; `widths_` is set."""
        rng, present = self._rng(), parts.who_has()
        groups = {ALL: list(present)} if self.concatenate else {name: [name] for name in present}
        self._fit_features(parts, groups, present, rng)
        telling = {} if self.concatenate else {m: names for m, names in groups.items() if varies(parts, m, present[m])}
        problem = (Augmented if self.solver == "alm" else Problem)(self, parts, telling or groups, present, rng)
        best = self._solve(problem)
        B, H, sizes = parts.total("best_sums")
        thresholds = np.zeros(self.n_bits) if self.discrete else B / problem.n
        self.codes_ = BinaryCodes(np.concatenate(list(parts.each("best_codes", thresholds))), self.n_bits)
        learned = dict(zip(best.W, (best.w / best.w.sum()).tolist(), strict=True))
        self.view_weights_: dict[str, float] = {m: learned.get(m, 0.0) for m in groups}
        self.scale_ = float(sizes / (problem.n * self.n_bits))
        mean = H / problem.n  # all that a view without variation can say
        maps = {m: best.W[m] if m in best.W else constant_map(self._width(m) + 1, mean) for m in groups}
        self.functions_: dict[str, F64] = {m: W @ best.R.T if self.rotate else W for m, W in maps.items()}

    def _width(self, group: str) -> int:
        """Columns of φ, without the ones, of a view (views side by side are never without variation)."""
        return len(self.anchors_[group]) if self.kernel else self.widths_[group]

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
        self, parts: Parts, groups: dict[str, list[str]], present: dict[str, Mask], rng: np.random.Generator
    ) -> None:
        """φ of every training row, (n, p + 1) float32 a view, kept with the rows; zero rows where it is missing."""
        order = choose_anchors(np.all(list(present.values()), axis=0), len(next(iter(present.values()))), rng)
        self.anchors_: dict[str, F64] = {}
        self.spreads_: dict[str, F64] = {}
        self.kernel_widths_: dict[str, float] = {}
        self.means_: dict[str, F64] = {}
        for group, names in groups.items():
            own = {m: present[m] for m in names}
            if self.kernel:
                self._fit_kernel(group, parts, own, order)
            else:
                self._fit_linear(group, parts, own)

    def _fit_linear(self, group: str, parts: Parts, present: dict[str, Mask]) -> None:
        """Learn the means of one view (or of all side by side); φ are the centred rows."""
        means = {m: np.asarray(parts.total("column_sums", m) / own.sum()) for m, own in present.items()}
        self.means_ |= means
        parts.run("fill_linear", group, means)

    def _fit_kernel(self, group: str, parts: Parts, present: dict[str, Mask], order: NDArray[np.intp]) -> None:
        """Learn anchors, width and means of the kernel of one view (or of all side by side); φ from its distances."""
        names, count = list(present), int(np.any(list(present.values()), axis=0).sum())
        anchors = self._choose(present, order)
        parts.run("make_room", group, len(anchors))
        for m, own in present.items():
            self.anchors_[m] = dense(parts.take(m, anchors))
            self.spreads_[m] = np.asarray(parts.total("add_distances", group, m, self.anchors_[m]) / own.sum())
            parts.run("add_means", group, names, m, self.spreads_[m])
        self.kernel_widths_[group] = sigma = parts.total("distance_sum", group) / (count * len(anchors)) or 1.0
        self.means_[group] = np.asarray(parts.total("exponentiate", group, names, sigma) / count)
        parts.run("centre", group, names, self.means_[group].astype(np.float32))

    def _choose(self, present: dict[str, Mask], order: NDArray[np.intp]) -> NDArray[np.intp]:
        """Positions of the anchors: items that have the views."""
        fit = order[np.all([own[order] for own in present.values()], axis=0)]
        wanted = self.n_anchors or max(1, min(1000, len(fit) // 2))
        if wanted > len(fit):
            names = ", ".join(map(repr, present))
            raise ValueError(f"n_anchors: {wanted} anchors need as many training rows with {names}, got {len(fit)}")
        return fit[:wanted]

    def _features(self, group: str, block: Mapping[str, Matrix], has: Mapping[str, Mask]) -> F64:
        """φ of a block of rows, (rows, p + 1), minus the training mean, and ones.

        Where the views stand side by side, a missing one counts as its mean (without kernel) or its mean distances.
        """
        n = len(next(iter(has.values())))
        names = list(self.widths_) if self.concatenate else [group]
        if not self.kernel:
            return np.hstack([*centred_parts(block, has, {m: self.means_[m] for m in names}), np.ones((n, 1))])
        parts = []
        for m in names:
            own = has[m] if m in has else np.zeros(n, dtype=bool)
            part = np.tile(self.spreads_[m], (n, 1))
            if own.any():
                part[own] = squared_distances(block[m] if own.all() else block[m][own], self.anchors_[m])
            parts.append(part)
        values = np.exp(sum(parts) * (-0.5 / self.kernel_widths_[group] ** 2)) - self.means_[group]
        return np.hstack([values, np.ones((n, 1))])

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


def varies(parts: Parts, name: str, own: Mask) -> bool:
    """Whether the rows that have a view, (n,) `own`, differ."""
    first = dense(parts.take(name, np.flatnonzero(own)[:1]))
    return any(parts.each("differs", name, first))
