"""A2LH: adaptive asymmetric label-guided hashing (Long 2022), for cross-modal search with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from modalhash.anchors import choose_anchors, kernel_width
from modalhash.crossmodal.a2lh_rows import LabelledRows, features, packed_codes
from modalhash.hasher import check_integer, check_real
from modalhash.moments import Moments
from modalhash.nested import Nested, block_ends, grown
from modalhash.parts import InOrder, Mask, Parts, Space, in_memory
from modalhash.solvers import procrustes, ridge, signs, view_weights
from modalhash.views import F64, Floats, Matrix, dense

SAMPLE = 10_000  # training rows from which the kernel width is estimated

VARIANTS: dict[str, dict[str, Any]] = {
    "A2LH": {},
    "A2LH-D": {},  # the same system on deep features, which are inputs here
    "A2LH-K": {"kernel": False},
    "A2LH-M": {"multi_semantic": False},
    "A2LH-B": {"discrete": False},
}


@dataclass(kw_only=True, eq=False)
class A2LH(Nested):
    """Learns codes from labels and kernelised views by closed-form steps, then one linear hash function a view.

    Minimises, with S = 2 LᵀL - 11ᵀ and hash functions fitted to B afterwards (Eq. 33),
    ‖(RL)ᵀCU - K S‖² + α‖B - CU‖² + β‖RL - B‖² + Σ_m μ_m^ζ ‖φ_m - V_m U‖² + η(‖RL‖² + ‖U‖²).

    | symbol | name | shape |
    |---|---|---|
    | L | labels | c × n |
    | φ_m | view m: distances to anchors through an RBF kernel, centred | q × n |
    | B | codes, -1 and +1 | K × n |
    | U | what the views have in common | q × n |
    | V_m | view m from the common part, orthonormal columns | q × q |
    | R, C | labels to codes, common part to codes | K × c, K × q |
    | μ_m | weight of view m, Σ μ_m = 1 | scalar |

    A view that an item lacks counts as its mean in φ (zero); hash functions use only the rows that have the view.
    Stops when the objective falls by less than `tolerance` (relative) or no bit changed in two iterations.
    LLᵀ and UUᵀ carry a ridge of `ridge` in every term where they appear, so each step stays the exact minimiser
    and `objective_` never rises.  Memory is O(n · (d + c + K + anchors)); the n × n matrix S is never formed.
    nested: learn codes of 16, 32, 64 … bits, and keep at each length those of its bits that add most to the bits before
    them (see `greedy_order`; the target is LᵀL), so that every prefix of a code is a code.  `objective_` and
    `view_weights_` are then those of the longest codes.
    """

    n_anchors: int | None = None
    alpha: float = 1e-2
    beta: float = 10.0
    eta: float = 1e-3
    zeta: float = 2.0
    omega: float = 1e-2
    ridge: float = 1e-6
    max_iter: int = 50
    tolerance: float = 5e-3
    kernel: bool = True
    multi_semantic: bool = True
    discrete: bool = True

    needs_labels: ClassVar[bool] = True
    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = (
        "supervised, any number of views: closed-form steps, linear hash functions on kernel features"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("max_iter", self.max_iter, low=1)
        check_real("zeta", self.zeta, low=1, inclusive=False)
        for name in ("alpha", "eta", "omega", "ridge"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        for name in ("beta", "tolerance"):
            check_real(name, getattr(self, name), low=0)

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        self._fit_parts(InOrder([self._rows(views, labels)]))

    def _rows(self, views: dict[str, Matrix], labels: Matrix, space: Space = in_memory) -> LabelledRows:
        """Some rows of a training set, as `_fit_parts` takes them."""
        return LabelledRows(views, labels, space)

    def _fit_parts(self, parts: Parts) -> None:
        """Learn from rows in parts; `widths_` is set."""
        rng = self._rng()
        present = parts.who_has()
        self._fit_features(parts, present, rng)
        if self.nested:
            self._learn_nested(parts, rng)
        else:
            self._learn(Problem(self, parts, rng))
        self.codes_ = packed_codes(list(parts.each("settle")), self.n_bits)
        self.functions_ = {m: self._hash_function(parts, m) for m in present}

    def _learn(self, problem: Problem) -> None:
        """Alternate until the objective is steady; the codes stay with the rows."""
        self.objective_ = [problem.objective()]
        converged, steady = False, 0
        for _ in self._iterations(self.max_iter):
            problem.update_view_weights()
            if self.multi_semantic:
                problem.update_label_map()
            problem.update_code_map()
            steady = 0 if problem.update_codes() else steady + 1
            problem.update_common()
            problem.update_view_maps()
            self.objective_.append(problem.objective())
            fall = self.objective_[-2] - self.objective_[-1]
            converged = fall <= self.tolerance * abs(self.objective_[-2]) or steady == 2
            if converged:
                break
        if not converged:
            self._warn_not_converged(self.max_iter, self.tolerance)
        self.view_weights_ = {name: float(weight) for name, weight in zip(problem.views, problem.mu, strict=True)}

    def _learn_nested(self, parts: Parts, rng: np.random.Generator) -> None:
        """Codes of which the first 16, 32 … bits come from codes of that length."""
        if len(parts) > 1:
            raise ValueError(f"{self.name}: nested codes need all rows in one part, got {len(parts)} parts")
        (labels,) = parts.each("given_labels")
        B = np.zeros((labels.shape[0], 0))
        for length in block_ends(self.n_bits):
            self._learn(Problem(self, parts, rng, length))
            learned = packed_codes(list(parts.each("settle")), length).signs().astype(np.float64)
            chosen = grown(B, learned, lambda rows: dense(labels[rows]))
            B = np.hstack([B, learned])[:, chosen]
        parts.run("put_codes", B)

    def _hash_function(self, parts: Parts, name: str) -> F64:
        """W (q, K) that maps φ to the codes by ridge regression, over the rows that have the view."""
        gram, cross = parts.total("function_sums", name)
        return ridge(gram, cross, self.omega)  # Eq. 34

    def _fit_features(self, parts: Parts, present: dict[str, Mask], rng: np.random.Generator) -> None:
        """φ of every training row and view, (n, q) float32, kept with the rows; zero rows where a view is missing."""
        if self.n_anchors is not None:
            check_integer("n_anchors", self.n_anchors, low=1)
        if self.kernel:
            self._choose_anchors(parts, present, rng)
        self.means_: dict[str, F64] = {}
        for m, rows in present.items():
            total = parts.total("fill", m, *self._map_of(m))
            self.means_[m] = total / rows.sum()
            parts.run("centre", m, self.means_[m].astype(np.float32))

    def _choose_anchors(self, parts: Parts, present: dict[str, Mask], rng: np.random.Generator) -> None:
        """Learn anchors and kernel widths."""
        n, fewest = len(next(iter(present.values()))), min(int(rows.sum()) for rows in present.values())
        if self.n_anchors is not None and self.n_anchors > fewest:
            raise ValueError(
                f"n_anchors: {self.n_anchors} anchors need as many training rows in every view, got {fewest}"
            )
        q = self.n_anchors or max(1, min(1000, fewest // 2))
        self.anchors_: dict[str, F64] = {}
        self.kernel_widths_: dict[str, float] = {}
        common = choose_anchors(np.all(list(present.values()), axis=0), n, rng)
        sample = np.sort(rng.permutation(n)[:SAMPLE])
        for m, rows in present.items():
            self.anchors_[m] = dense(parts.take(m, common[rows[common]][:q]))
            self.kernel_widths_[m] = kernel_width(parts.take(m, sample[rows[sample]]), self.anchors_[m])

    def _map_of(self, name: str) -> tuple[F64 | None, float]:
        """Anchors and width of the kernel of a view, none without a kernel."""
        return (self.anchors_[name], self.kernel_widths_[name]) if self.kernel else (None, 1.0)

    def _features(self, name: str, block: Matrix) -> F64:
        """φ of a block of rows that have the view (Eq. 1), minus the training mean."""
        return features(block, *self._map_of(name)) - self.means_[name]

    def _project(self, name: str, block: Matrix) -> Floats:
        return np.asarray(self._features(name, block) @ self.functions_[name])


class Problem:
    """The first step of A2LH: the variables and one method an update, each the exact minimiser over its variable.

    U is never stored: each update makes it a linear map of the data Z = [L; 1; B; φ_1; …], kept as the
    coefficients `U` (q, rows of Z), so that U Uᵀ = U G Uᵀ with the moments G = Z Zᵀ.  An iteration reads
    the data once (for B, which stays with the rows) and works on matrices whose size does not depend on n.
    """

    def __init__(self, system: A2LH, parts: Parts, rng: np.random.Generator, n_bits: int | None = None) -> None:
        self.system, self.parts = system, parts
        self.n, self.K, c = sum(parts.sizes()), n_bits or system.n_bits, parts.n_labels()
        widths = {m: len(mean) for m, mean in system.means_.items()}
        self.views = list(widths)
        q = min(widths.values())
        if not system.kernel and system.n_anchors is not None:
            q = min(q, system.n_anchors)
        projection = rng.standard_normal((c, self.K))
        flips = signs(rng.random((1, self.K)) - 0.5)
        self.mu = np.full(len(widths), 1.0 / len(widths))
        self.V = {
            m: np.eye(q) if system.kernel else procrustes(rng.standard_normal((width, q)))
            for m, width in widths.items()
        }
        self.G = Moments({"L": c, "1": 1, "B": self.K} | {f"φ {m}": width for m, width in widths.items()})
        self.G.gram += parts.total("start", projection, flips)
        self.R: F64 = np.zeros((self.K, c))
        self.C: F64 = np.zeros((self.K, q))
        self.update_common()
        self.C = np.asarray(np.linalg.solve(self.UU, self.cross("B").T).T)
        if system.multi_semantic:
            self.update_label_map()

    # products with U and with E, the side of the similarity term that holds the labels: RL, or B without R
    def cross(self, name: str) -> F64:
        """X Uᵀ for one block X of Z."""
        return np.asarray(self.UG[:, self.G.at(name)].T)

    @property
    def LL(self) -> F64:
        """LLᵀ with its ridge."""
        return np.asarray(self.G["L", "L"] + self.system.ridge * np.eye(self.R.shape[1]))

    def EE(self) -> F64:
        """E Eᵀ."""
        return np.asarray(self.R @ self.LL @ self.R.T if self.system.multi_semantic else self.G["B", "B"])

    def E(self, name: str) -> F64:
        """E Xᵀ for one block X of Z."""
        return np.asarray(self.R @ self.G["L", name] if self.system.multi_semantic else self.G["B", name])

    def ESU(self) -> F64:
        """E S Uᵀ, with S = 2 LᵀL - 11ᵀ taken apart."""
        return np.asarray(2.0 * self.E("L") @ self.cross("L") - self.E("1") @ self.cross("1"))

    # one update a variable
    def update_view_weights(self) -> None:
        """Update μ."""
        self.mu = view_weights(self.residuals(), self.system.zeta)  # Eq. 12

    def update_label_map(self) -> None:
        """Update R."""
        a, K, C = self.system, self.K, self.C
        CULt, CU1 = C @ self.cross("L").T, C @ self.cross("1").T
        CUSLt = 2.0 * CULt @ self.G["L", "L"] - CU1 @ self.G["1", "L"]
        left = C @ self.UU @ C.T + (a.beta + a.eta) * np.eye(K)
        right = K * CUSLt + a.beta * self.G["B", "L"]
        self.R = np.asarray(np.linalg.solve(self.LL, np.linalg.solve(left, right).T).T)  # Eq. 15

    def update_code_map(self) -> None:
        """Update C."""
        alpha, K = self.system.alpha, self.K
        left = self.EE() + alpha * np.eye(K)
        right = K * self.ESU() + alpha * self.cross("B")
        self.C = np.asarray(np.linalg.solve(self.UU, np.linalg.solve(left, right).T).T)  # Eq. 18

    def update_codes(self) -> bool:
        """Update B and say whether any value of it changed."""
        a, K, G = self.system, self.K, self.G
        target: F64 = a.alpha * (self.C @ self.U)
        coupling = None
        if a.multi_semantic:
            target[:, G.at("L")] += a.beta * self.R
        else:
            target[:, G.at("L")] += 2.0 * K * self.C @ self.cross("L").T
            target[:, G.at("1")] -= K * self.C @ self.cross("1").T
            coupling = self.C @ self.UU @ self.C.T
        divisor = None if a.discrete else a.alpha + a.beta
        cross, changed = self.parts.total("update_codes", target, coupling, divisor)
        G.clear("B")
        G.add_cross("B", cross)
        return bool(changed)

    def update_common(self) -> None:
        """Update U, and its products with the data."""
        a, K, C, G = self.system, self.K, self.C, self.G
        weights = self.mu**a.zeta
        target = np.zeros((C.shape[1], G.size))
        target[:, G.at("L")] = 2.0 * K * C.T @ self.E("L")
        target[:, G.at("1")] = -K * C.T @ self.E("1")
        target[:, G.at("B")] = a.alpha * C.T
        for m, weight in zip(self.views, weights, strict=True):
            target[:, G.at(f"φ {m}")] = weight * self.V[m].T
        s = weights.sum() + a.eta
        H = self.EE() + a.alpha * np.eye(K)
        inner = s * np.eye(K) + H @ C @ C.T  # Woodbury: (CᵀHC + sI)⁻¹ = (I - Cᵀ(sI + HCCᵀ)⁻¹HC) / s
        self.U = (target - C.T @ np.linalg.solve(inner, H @ (C @ target))) / s  # Eq. 25, all views summed
        self.UG = self.U @ G.gram
        self.UU = self.UG @ self.U.T + a.ridge * np.eye(len(self.U))

    def update_view_maps(self) -> None:
        """Update V_m."""
        self.V = {m: procrustes(self.cross(f"φ {m}")) for m in self.views}  # Eq. 26, solved exactly

    def residuals(self) -> F64:
        """‖φ_m - V_m U‖² of every view."""
        UU = np.trace(self.UU) - self.system.ridge * len(self.U)
        parts = [
            np.trace(self.G[f"φ {m}", f"φ {m}"]) - 2.0 * np.sum(self.V[m] * self.cross(f"φ {m}")) + UU
            for m in self.views
        ]
        return np.maximum(parts, 0.0)

    def objective(self) -> float:
        """Eq. 9, corrected: the value that no update may raise."""
        a, K, C, G = self.system, self.K, self.C, self.G
        CUUC, EE, UU = C @ self.UU @ C.T, self.EE(), np.trace(self.UU) - a.ridge * len(self.U)
        SS = 4.0 * np.sum(G["L", "L"] ** 2) - 4.0 * np.sum(G["L", "1"] ** 2) + float(self.n) ** 2
        BB = np.trace(G["B", "B"])
        total = np.sum(CUUC * EE) - 2.0 * K * np.sum(self.ESU() * C) + K**2 * SS
        total += a.alpha * (BB - 2.0 * np.sum(C * self.cross("B")) + np.trace(CUUC))
        total += np.sum(self.mu**a.zeta * self.residuals()) + a.eta * UU
        if a.multi_semantic:
            total += a.beta * (np.trace(EE) - 2.0 * np.sum(self.R * G["B", "L"]) + BB) + a.eta * np.trace(EE)
        return float(total)
