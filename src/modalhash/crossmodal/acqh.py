"""ACQH: asymmetric correlation quantization hashing (Wang & Yang 2020), for cross-modal search with labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher, check_integer, check_real, present_rows
from modalhash.quantized import F32, QuantizedCodes
from modalhash.quantizers import Indices, co_occurrences, decode, nearest_words
from modalhash.solvers import centred_product, ridge, row_product
from modalhash.views import F64, Matrix, Views, blocks, check_encode_views, dense

State: TypeAlias = tuple[dict[str, F64], F64, F64, F64, Indices]
Product: TypeAlias = Callable[[Matrix, F64, F64], F64]

VARIANTS: dict[str, dict[str, Any]] = {
    "ACQH": {},  # the text has no ablations; its figures 10-12 vary mu, lam and n_codebooks
    "ACQH-greedy": {"sweeps": 0},  # step A exactly as printed
}
PATIENCE = 3  # iterations without a new best before the fit stops: step A may raise the objective for a while


@dataclass(kw_only=True, eq=False)
class ACQH(Hasher):
    """Learns database codes as sums of codewords, and one linear map a view that turns queries into real vectors.

    Minimises, with S = LᵀL (Eq. 6), Σ_m ‖(W_mᵀX_m)ᵀCA - S‖² + λ‖CA - MᵀL - e tᵀ‖² + μ‖M‖².

    | symbol | name | shape |
    |---|---|---|
    | X_m | view m, centred, with a row of ones | (d_m + 1) × n |
    | L | labels | c × n |
    | W_m | query map of view m | (d_m + 1) × K |
    | C | codebooks, `n_codebooks` of `n_words` words | K × m·words |
    | A | the word of each codebook for an item, one-hot | m·words × n |
    | M, t | labels to embeddings, drift of an item | c × K, n |
    | λ, μ | `lam`, `mu` | scalars |

    `n_bits` is the embedding width K and may exceed the width of a view; an item is stored in `n_codebooks` bytes.
    With fewer than `n_words` training items a codebook has as many words as there are items.
    `codes_` are the learned codes of the training items, which are the database of the text.  They follow from the
    labels alone: items with equal labels have equal codes, so a table that searches them searches labels.

    Ours: views are centred and get a constant, so that a shift of a view changes nothing.  `ridge` times the mean
    eigenvalue of X_mX_mᵀ is added to it and n·1e-9 to CA(CA)ᵀ, both as penalties inside the objective; AAᵀ gets n·1e-9.
    Step A is the text's greedy choice (Eq. 17) and then `sweeps` passes that choose each word again, given the others.
    A row that lacks a view is left out of that view's term.  New items: see `encode`.
    Step A may raise the objective: `objective_` is kept per iteration and the best iterate is returned.  Stops when
    three iterations have not lowered the best by `tolerance` of ‖S‖².  The data are read four times, never in an
    iteration: that works on the distinct label rows, however many items have each.  The n × n matrix S is never formed.
    """

    n_codebooks: int = 4
    n_words: int = 256
    lam: float = 1e-4
    mu: float = 1e-3
    ridge: float = 0.03
    sweeps: int = 1
    max_iter: int = 40
    tolerance: float = 1e-5

    needs_labels: ClassVar[bool] = True
    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = "supervised, any number of views: real-valued queries, database items as sums of codewords"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("n_codebooks", self.n_codebooks, low=1)
        check_integer("n_words", self.n_words, low=2, high=256)
        check_integer("sweeps", self.sweeps, low=0)
        check_integer("max_iter", self.max_iter, low=1)
        for name in ("lam", "mu", "ridge"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        check_real("tolerance", self.tolerance, low=0)

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        present = present_rows(views)
        self.means_: dict[str, F64] = {m: column_means(matrix, present[m]) for m, matrix in views.items()}
        problem = Problem(self, views, labels, present)
        self.objective_ = [problem.objective()]
        best, lowest, idle = problem.state(), self.objective_[0], 0
        for _ in self._iterations(self.max_iter):
            problem.update_query_maps()
            problem.update_label_map()
            problem.update_drift()
            problem.update_codebooks()
            problem.update_words()
            self.objective_.append(problem.objective())
            idle = 0 if self.objective_[-1] < lowest - self.tolerance * problem.SS else idle + 1
            if self.objective_[-1] < lowest:
                best, lowest = problem.state(), self.objective_[-1]
            if idle == PATIENCE:
                break
        else:
            self._warn_not_converged(self.max_iter, self.tolerance)
        problem.set_state(best)
        self.functions_: dict[str, F64] = problem.W
        self.metric_: F64 = problem.metric()
        self.codes_ = QuantizedCodes(problem.A[problem.group], problem.C.astype(np.float32), "dot")
        self.embedding_mean_, self.predictors_ = problem.predictors(views, present)
        self.overlap_, self.agreement_ = problem.overlaps(views, present, self.predictors_)

    def encode_queries(self, views: Views) -> F32:
        """Real vectors W_mᵀx of queries, (n, K) float32: the mean over the views that each of them has.

        A query gets the same floats alone and in any batch.  Raises ValueError as `encode` does.
        """
        checked, present = self._given(views)
        weights = present / present.sum(axis=1, keepdims=True)
        return self._sum_of_maps(checked, self.functions_, weights, row_product).astype(np.float32)

    def encode(self, views: Views) -> QuantizedCodes:  # type: ignore[override]
        """Codes of new items: the words that come closest, in the metric G of step A, to their predicted embedding.

        The text gives codes to training items only, so this is ours: CA is regressed on each view, and the predictions
        from the views that an item has are added with the weights that fit CA best (for one view: its prediction).
        Raises ValueError for an unknown view, another width than in fit, or an item without any view.
        """
        checked, present = self._given(views)
        weights = combination_weights(self.overlap_, self.agreement_, present)
        C, G = self.codes_.codebooks.astype(np.float64), self.metric_
        E = self.embedding_mean_ + self._sum_of_maps(checked, self.predictors_, weights, centred_product)
        return QuantizedCodes(nearest_words(C, G, E @ G, self.sweeps), self.codes_.codebooks, self.codes_.score)

    def _given(self, views: Views) -> tuple[dict[str, Matrix], NDArray[np.bool_]]:
        """Checked views, and which of the fitted views each row has, (n, views)."""
        self._check_fitted()
        checked, present = check_encode_views(views, self.widths_)
        nothing = np.zeros(next(iter(checked.values())).shape[0], dtype=bool)
        return checked, np.column_stack([present.get(m, nothing) for m in self.widths_])

    def _sum_of_maps(self, views: dict[str, Matrix], maps: dict[str, F64], weights: F64, product: Product) -> F64:
        """Σ_m weight_m · (map of view m), (n, K); a view with weight 0 is not read."""
        outputs = np.zeros((len(weights), self.n_bits))
        for rows in blocks(len(weights)):
            for i, m in enumerate(self.widths_):
                has = np.flatnonzero(weights[rows, i]) + rows.start
                if len(has):
                    values = product(views[m][has], self.means_[m], maps[m][:-1]) + maps[m][-1]
                    outputs[has] += weights[has, i, None] * values
        return outputs


def column_means(matrix: Matrix, present: NDArray[np.bool_]) -> F64:
    """Means (d,) of the rows that have the view."""
    total = np.zeros(matrix.shape[1])
    for rows in blocks(matrix.shape[0]):
        total += dense(matrix[rows][present[rows]]).sum(axis=0)
    return np.asarray(total / present.sum())


def distinct_rows(labels: Matrix) -> tuple[F64, NDArray[np.intp]]:
    """The distinct rows of a 0/1 matrix, (u, c), and the number (n,) of each row among them."""
    packed = np.vstack([np.packbits(dense(labels[rows]) > 0, axis=1) for rows in blocks(labels.shape[0])])
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return dense(labels[first]), group.ravel()


def combination_weights(overlap: F64, agreement: F64, present: NDArray[np.bool_]) -> F64:
    """Least-squares weights (n, views) of predictions for each set of views present (n, views).

    overlap: (views, views) mean inner products of predictions; agreement: (views,) those with what is predicted.
    """
    patterns, which = np.unique(present, axis=0, return_inverse=True)
    weights = np.zeros(patterns.shape)
    for row, has in zip(weights, patterns, strict=True):
        row[has] = np.linalg.lstsq(overlap[np.ix_(has, has)], agreement[has])[0]
    return np.asarray(weights[which.ravel()])


class Problem:
    """The variables of ACQH and one method an update, on sums over the data and the distinct label rows.

    S and the start depend on an item through its labels only, so items with equal labels share their words and drift:
    Y (u, c) holds the distinct label rows, w how many items have each, A (u, m) and t (u,) their words and drift.
    """

    def __init__(
        self, system: ACQH, views: dict[str, Matrix], labels: Matrix, present: dict[str, NDArray[np.bool_]]
    ) -> None:
        self.system, self.K, rng = system, system.n_bits, system._rng()
        n = labels.shape[0]
        self.Y, self.group = distinct_rows(labels)
        self.w = np.bincount(self.group).astype(np.float64)
        self.tiny = 1e-9 * n
        self.LL = self.Y.T @ (self.w[:, None] * self.Y)
        self.XX, self.XL, self.SS = {}, {}, 0.0
        for m, matrix in views.items():
            self.XX[m], self.XL[m] = self._sums(m, matrix, present[m])
            w = np.bincount(self.group[present[m]], minlength=len(self.w))
            self.SS += float(np.sum(self.LL * (self.Y.T @ (w[:, None] * self.Y))))  # ‖S‖² over rows with the view
        words = min(system.n_words, n)
        self.M = rng.standard_normal((len(self.LL), self.K))
        self.C = rng.standard_normal((system.n_codebooks, words, self.K))
        self.t = np.zeros(len(self.Y))
        self.A = nearest_words(self.C, np.eye(self.K), self.Y @ self.M)
        self.W = {m: np.zeros((len(XX), self.K)) for m, XX in self.XX.items()}

    def _sums(self, m: str, matrix: Matrix, present: NDArray[np.bool_]) -> tuple[F64, F64]:
        """X_mX_mᵀ with its ridge, and X_mLᵀ."""
        width = matrix.shape[1] + 1
        XX, XL = np.zeros((width, width)), np.zeros((width, self.Y.shape[1]))
        for rows, X in self._features(m, matrix, present):
            XX += X.T @ X
            XL += X.T @ self.Y[self.group[rows]]
        spread = np.trace(XX[:-1, :-1]) / (width - 1)
        rounding = 1e-20 * len(self.group) * (1.0 + np.max(self.system.means_[m] ** 2))
        XX += self.system.ridge * (spread if spread > rounding else 1.0) * np.eye(width)  # 1 for a constant view
        return XX, XL

    def _features(self, m: str, matrix: Matrix, present: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], F64]]:
        """Blocks of rows that have the view: their positions and X_mᵀ, (rows, d_m + 1) float64."""
        for rows in blocks(matrix.shape[0]):
            has = np.flatnonzero(present[rows]) + rows.start
            yield has, with_one(dense(matrix[has]) - self.system.means_[m])

    def state(self) -> State:
        """The variables, to come back to."""
        return self.W, self.M, self.t, self.C, self.A

    def set_state(self, state: State) -> None:
        """Come back to earlier values of the variables."""
        self.W, self.M, self.t, self.C, self.A = state

    # products of the variables
    @property
    def D(self) -> F64:
        """CA, one row for each distinct label row."""
        return decode(self.C, self.A)

    @property
    def P(self) -> F64:
        """MᵀL + e tᵀ, one row for each distinct label row."""
        return np.asarray(self.Y @ self.M + self.t[:, None])

    def DD(self) -> F64:
        """CA(CA)ᵀ with its ridge."""
        D = self.D
        return np.asarray(D.T @ (self.w[:, None] * D) + self.tiny * np.eye(self.K))

    def over_labels(self, values: F64) -> F64:
        """L values, (c, columns), from values of the distinct label rows (u, columns)."""
        return np.asarray(self.Y.T @ (self.w[:, None] * values))

    def metric(self) -> F64:
        """G = Σ_m W_mᵀX_mX_mᵀW_m + λI."""
        G = sum((W.T @ self.XX[m] @ W for m, W in self.W.items()), self.system.lam * np.eye(self.K))
        return np.asarray((G + G.T) / 2)

    def target(self) -> F64:
        """T = (Σ_m W_mᵀX_mLᵀ)L + λP, one row for each distinct label row."""
        return np.asarray(self.Y @ sum(self.XL[m].T @ W for m, W in self.W.items()) + self.system.lam * self.P)

    # one update a variable
    def update_query_maps(self) -> None:
        """Update every W_m."""
        right = ridge(self.DD(), self.over_labels(self.D).T, 0.0).T
        self.W = {m: ridge(self.XX[m], self.XL[m] @ right, 0.0) for m in self.XX}  # Eq. 8, 9

    def update_label_map(self) -> None:
        """Update M."""
        weight = self.system.mu / self.system.lam
        self.M = ridge(self.LL, self.over_labels(self.D - self.t[:, None]), weight)  # Eq. 11, with the sign

    def update_drift(self) -> None:
        """Update t."""
        self.t = (self.D - self.Y @ self.M).mean(axis=1)  # Eq. 12

    def update_codebooks(self) -> None:
        """Update C."""
        m, words, K = self.C.shape
        used, columns = np.unique(self.A + words * np.arange(m), return_inverse=True)
        columns = columns.reshape(self.A.shape)
        AT = np.zeros((len(used), K))
        np.add.at(AT, columns, (self.w[:, None] * self.target())[:, None])
        CG = ridge(co_occurrences(columns, self.w, len(used)), AT, self.tiny)
        C = np.zeros((m * words, K))  # the ridge keeps words that no item uses at zero
        C[used] = ridge(self.metric(), CG.T, 0.0).T  # Eq. 13
        self.C = C.reshape(m, words, K)

    def update_words(self) -> None:
        """Update A."""
        self.A = nearest_words(self.C, self.metric(), self.target(), self.system.sweeps)  # Eq. 15-18, with λ in h

    def objective(self) -> float:
        """Eq. 6, with the ridges on XXᵀ and CA(CA)ᵀ."""
        s, D, DD = self.system, self.D, self.DD()
        LD = self.over_labels(D)
        total = self.SS
        for m, W in self.W.items():
            total += np.sum((W.T @ self.XX[m] @ W) * DD) - 2.0 * np.sum((self.XL[m].T @ W) * LD)
        return float(total + s.lam * np.sum(self.w[:, None] * (D - self.P) ** 2) + s.mu * np.sum(self.M**2))

    # what `encode` needs of new items
    def predictors(self, views: dict[str, Matrix], present: dict[str, NDArray[np.bool_]]) -> tuple[F64, dict[str, F64]]:
        """The mean (K,) of CA, and CA minus it regressed on every view, (d_m + 1, K) a view."""
        D, maps = self.D, {}
        mean = self.w @ D / self.w.sum()
        for m, matrix in views.items():
            XD = np.zeros((len(self.XX[m]), self.K))
            for rows, X in self._features(m, matrix, present[m]):
                XD += X.T @ (D[self.group[rows]] - mean)
            maps[m] = ridge(self.XX[m], XD, 0.0)
        return mean, maps

    def overlaps(
        self, views: dict[str, Matrix], present: dict[str, NDArray[np.bool_]], maps: dict[str, F64]
    ) -> tuple[F64, F64]:
        """Mean inner products, in the metric G, of predictions with each other (views, views) and with CA (views,)."""
        G, D = self.metric(), self.D
        D = D - self.w @ D / self.w.sum()
        sums, counts = np.zeros((len(views), len(views) + 1)), np.zeros((len(views), len(views) + 1))
        for rows in blocks(len(self.group)):
            has = np.column_stack([present[m][rows] for m in views] + [np.ones(rows.stop - rows.start)])
            E = np.stack([self._predictions(views[m], m, rows, present[m], maps[m]) for m in views])
            everything = np.concatenate([E, D[self.group[rows]][None]])
            sums += np.einsum("aik,bik->ab", E @ G, everything, optimize=True)
            counts += has[:, :-1].T @ has
        means = sums / np.maximum(counts, 1.0)
        return means[:, :-1], means[:, -1]

    def _predictions(self, matrix: Matrix, m: str, rows: slice, present: NDArray[np.bool_], weights: F64) -> F64:
        """Predictions from one view for a block of rows; zero where the view is missing."""
        values = np.zeros((rows.stop - rows.start, self.K))
        has = present[rows]
        values[has] = with_one(dense(matrix[rows][has]) - self.system.means_[m]) @ weights
        return values


def with_one(values: F64) -> F64:
    """Values (rows, d) and a column of ones."""
    return np.column_stack([values, np.ones(len(values))])
