"""ACQH: asymmetric correlation quantization hashing (Wang & Yang 2020), for cross-modal search with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher, check_integer, check_real, present_rows
from modalhash.quantized import F32, QuantizedCodes
from modalhash.solvers import centred_product, ridge
from modalhash.views import Matrix, Views, blocks, check_encode_views, dense

F64 = NDArray[np.float64]
Indices = NDArray[np.uint8]

VARIANTS: dict[str, dict[str, Any]] = {
    "ACQH": {},  # the text has no ablations; its figures 10-12 vary mu, lam and n_codebooks
}


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

    `n_bits` is the embedding width K and may exceed the width of a view; an item is stored in `n_codebooks` bytes.
    `codes_` are the learned codes of the training items, which are the database of the text.  They follow from the
    labels alone: items with equal labels have equal codes, so a table that searches them searches labels.

    Ours: features are centred and a constant is added, so that a shift of a view changes nothing; `ridge` times the mean
    eigenvalue of X_mX_mᵀ is added to it, and n·1e-9 to CA(CA)ᵀ, both as penalties of the objective, so that each step
    stays an exact minimiser; AAᵀ gets 1e-6.  Step A takes, for each distinct label row, the better of the text's greedy
    choice and the words it had.  A row that lacks a view is left out of that view's term.  New items: see `encode`.
    `objective_` is kept per iteration and the best iterate is returned.  Stops when the objective has fallen by less
    than `tolerance` (relative to ‖S‖²).  After one pass over the data, time and memory of an iteration depend on the
    number of distinct label rows, not on n; the n × n matrix S is never formed.
    """

    n_codebooks: int = 4
    n_words: int = 256
    lam: float = 1e-4
    mu: float = 1e-3
    ridge: float = 1e-3
    max_iter: int = 40
    tolerance: float = 1e-6
    refine: str = "better"
    centre: bool = True

    needs_labels: ClassVar[bool] = True
    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = "supervised, any number of views: real-valued queries, database items as sums of codewords"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_integer("n_codebooks", self.n_codebooks, low=1)
        check_integer("n_words", self.n_words, low=1, high=256)
        check_integer("max_iter", self.max_iter, low=1)
        for name in ("lam", "mu", "ridge"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        check_real("tolerance", self.tolerance, low=0)

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        present = present_rows(views)
        self.means_: dict[str, F64] = {m: column_means(matrix, present[m]) for m, matrix in views.items()}
        if not self.centre:
            self.means_ = {m: np.zeros_like(mean) for m, mean in self.means_.items()}
        problem = Problem(self, views, labels, present)
        self.objective_ = [problem.objective()]
        best, converged = problem.state(), False
        for _ in self._iterations(self.max_iter):
            problem.update_query_maps()
            problem.update_label_map()
            problem.update_drift()
            problem.update_codebooks()
            problem.update_words()
            self.objective_.append(problem.objective())
            if self.objective_[-1] <= min(self.objective_):
                best = problem.state()
            converged = self.objective_[-2] - self.objective_[-1] <= self.tolerance * problem.scale
            if converged:
                break
        if not converged:
            self._warn_not_converged(self.max_iter, self.tolerance)
        problem.W, problem.M, problem.t, problem.C, problem.A = best
        self.functions_: dict[str, F64] = problem.W
        self.metric_: F64 = problem.metric()
        self.codes_ = QuantizedCodes(problem.A[problem.group], problem.C.astype(np.float32), "dot")
        self.embeddings_: dict[str, F64] = problem.predictors(views, present)

    def encode_queries(self, views: Views) -> F32:
        """Real vectors W_mᵀx of queries, (n, K) float32: the mean over the views that each of them has."""
        return self._mean_output(views, self.functions_).astype(np.float32)

    def encode(self, views: Views) -> QuantizedCodes:  # type: ignore[override]
        """Codes of items by the words that come closest, in the metric G of step A, to the embedding predicted for them.

        The text gives codes to training items only, so this is ours: CA is regressed on each view, and the predictions
        are averaged over the views that an item has.  Raises ValueError as `Hasher.encode` does.
        """
        embedding = self._mean_output(views, self.embeddings_)
        C = self.codes_.codebooks.astype(np.float64)
        indices = np.empty((len(embedding), len(C)), dtype=np.uint8)
        for rows in blocks(len(embedding)):
            indices[rows] = nearest_words(C, self.metric_, embedding[rows] @ self.metric_)
        return QuantizedCodes(indices, self.codes_.codebooks, self.codes_.score)

    def _mean_output(self, views: Views, maps: Mapping[str, F64]) -> F64:
        self._check_fitted()
        checked, present = check_encode_views(views, self.widths_)
        n = next(iter(checked.values())).shape[0]
        outputs = np.zeros((n, self.n_bits))
        for rows in blocks(n):
            for m, matrix in checked.items():
                has = np.flatnonzero(present[m][rows]) + rows.start
                if len(has):
                    outputs[has] += centred_product(matrix[has], self.means_[m], maps[m][:-1]) + maps[m][-1]
        return np.asarray(outputs / np.sum(list(present.values()), axis=0)[:, None])


def column_means(matrix: Matrix, present: NDArray[np.bool_]) -> F64:
    """Means (d,) of the rows that have the view."""
    total = np.zeros(matrix.shape[1])
    for rows in blocks(matrix.shape[0]):
        total += dense(matrix[rows][present[rows]]).sum(axis=0)
    return np.asarray(total / present.sum())


def distinct_rows(labels: Matrix) -> tuple[F64, NDArray[np.intp]]:
    """The distinct rows of a 0/1 matrix, (u, c), and the number (n,) of each row among them."""
    packed = np.vstack([np.packbits(dense(labels[rows]) > 0, axis=1) for rows in blocks(labels.shape[0])])
    keys = packed.view([("", np.uint8)] * packed.shape[1]).ravel()
    values, group = np.unique(keys, return_inverse=True)
    bits = values.view(np.uint8).reshape(len(values), -1)
    return np.unpackbits(bits, axis=1, count=labels.shape[1]).astype(np.float64), group.ravel()


def decode(C: F64, A: Indices) -> F64:
    """CA: the sum of the chosen words, (rows, K), from codebooks (m, words, K) and indices (rows, m)."""
    return np.asarray(sum(words[column] for words, column in zip(C, A.T, strict=True)))


def nearest_words(C: F64, G: F64, T: F64) -> Indices:
    """Indices (rows, m): codebook by codebook, the word j that minimises C_jᵀGC_j - 2C_jᵀ(T - G·sum so far) (Eq. 17).

    C: (m, words, K); G: (K, K); T: (rows, K).
    """
    A = np.empty((len(T), len(C)), dtype=np.uint8)
    for rows in blocks(len(T)):
        left = T[rows].copy()
        for j, words in enumerate(C):
            GC = words @ G
            A[rows, j] = best = np.argmin(np.sum(words * GC, axis=1) - 2.0 * left @ words.T, axis=1)
            left -= GC[best]
    return A


def sweep_words(C: F64, G: F64, T: F64, A: Indices) -> Indices:
    """ICM."""
    A = A.copy()
    left = T - decode(C, A) @ G
    for j, words in enumerate(C):
        GC = words @ G
        left += GC[A[:, j]]
        A[:, j] = best = np.argmin(np.sum(words * GC, axis=1) - 2.0 * left @ words.T, axis=1)
        left -= GC[best]
    return A


def costs(D: F64, G: F64, T: F64) -> F64:
    """dᵀGd - 2dᵀT of every row (Eq. 14 without its constant)."""
    return np.asarray(np.sum(D * (D @ G - 2.0 * T), axis=1))


class Problem:
    """The variables of ACQH and one method an update, on sums over the data and the distinct label rows.

    S and the start depend on an item through its labels only, so items with equal labels share their words and drift:
    Y (u, c) holds the distinct label rows, w how many items have each, A (u, m) and t (u,) their words and drift.
    """

    def __init__(
        self, system: ACQH, views: dict[str, Matrix], labels: Matrix, present: dict[str, NDArray[np.bool_]]
    ) -> None:
        self.system, rng = system, system._rng()
        n, self.K = labels.shape[0], system.n_bits
        self.Y, self.group = distinct_rows(labels)
        self.w = np.bincount(self.group).astype(np.float64)
        self.XX: dict[str, F64] = {}
        self.XL: dict[str, F64] = {}
        self.SS = 0.0
        LL = self.Y.T @ (self.w[:, None] * self.Y)
        for m, matrix in views.items():
            self.XX[m], self.XL[m] = self._sums(m, matrix, present[m])
            w = np.bincount(self.group[present[m]], minlength=len(self.w))
            self.SS += float(np.sum(LL * (self.Y.T @ (w[:, None] * self.Y))))
        self.scale = self.SS or 1.0
        self.LL, self.b = LL, 1e-9 * n
        words = min(system.n_words, n)
        self.M = rng.standard_normal((LL.shape[0], self.K))
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
        XX += self.system.ridge * (np.trace(XX[:-1, :-1]) / (width - 1) or 1.0) * np.eye(width)
        return XX, XL

    def _features(self, m: str, matrix: Matrix, present: NDArray[np.bool_]) -> Any:
        """Rows of X_mᵀ block by block: the positions that have the view and (rows, d_m + 1) float64."""
        for rows in blocks(matrix.shape[0]):
            has = np.flatnonzero(present[rows]) + rows.start
            X = np.ones((len(has), matrix.shape[1] + 1))
            X[:, :-1] = dense(matrix[has]) - self.system.means_[m]
            if not self.system.centre:
                X[:, -1] = 0
            yield has, X

    def state(self) -> tuple[dict[str, F64], F64, F64, F64, Indices]:
        """The variables, to come back to."""
        return self.W, self.M, self.t, self.C, self.A

    @property
    def D(self) -> F64:
        """CA, one row for each distinct label row."""
        return decode(self.C, self.A)

    def DD(self, D: F64) -> F64:
        """CA(CA)ᵀ with its ridge."""
        return np.asarray(D.T @ (self.w[:, None] * D) + self.b * np.eye(self.K))

    def LD(self, D: F64) -> F64:
        """L(CA)ᵀ."""
        return np.asarray(self.Y.T @ (self.w[:, None] * D))

    def metric(self) -> F64:
        """G = Σ_m W_mᵀX_mX_mᵀW_m + λI."""
        G = sum(W.T @ self.XX[m] @ W for m, W in self.W.items()) + self.system.lam * np.eye(self.K)
        return np.asarray((G + G.T) / 2)

    def target(self) -> F64:
        """T = (Σ_m W_mᵀX_mLᵀ)L + λP with P = MᵀL + e tᵀ, one row for each distinct label row."""
        P = self.Y @ self.M + self.t[:, None]
        return np.asarray(self.Y @ sum(self.XL[m].T @ W for m, W in self.W.items()) + self.system.lam * P)

    # one update a variable
    def update_query_maps(self) -> None:
        """Update every W_m."""
        D = self.D
        SD, DD = self.LD(D), self.DD(D)
        right = np.linalg.solve(DD, SD.T).T
        self.W = {m: ridge(self.XX[m], self.XL[m] @ right, 0.0) for m in self.XX}  # Eq. 8, 9

    def update_label_map(self) -> None:
        """Update M."""
        s = self.system
        self.M = ridge(self.LL, self.LD(self.D - self.t[:, None]), s.mu / s.lam)  # Eq. 11, with the sign

    def update_drift(self) -> None:
        """Update t."""
        self.t = (self.D - self.Y @ self.M).mean(axis=1)  # Eq. 12

    def update_codebooks(self) -> None:
        """Update C."""
        m, words, K = self.C.shape
        AA, AT = co_occurrences(self.A, self.w, words), np.zeros((m * words, K))
        np.add.at(AT, self.A + words * np.arange(m), (self.w[:, None] * self.target())[:, None])
        CG = ridge(AA, AT, 1e-6)
        self.C = np.linalg.solve(self.metric(), CG.T).T.reshape(m, words, K)  # Eq. 13

    def update_words(self) -> None:
        """Update A."""
        G, T = self.metric(), self.target()
        A = nearest_words(self.C, G, T)  # Eq. 15-18
        if self.system.refine != "greedy":
            if self.system.refine == "icm":
                A = sweep_words(self.C, G, T, A)
            worse = costs(decode(self.C, A), G, T) > costs(self.D, G, T)
            A[worse] = self.A[worse]
        self.A = A

    def objective(self) -> float:
        """Eq. 6, with the ridges on XXᵀ and CA(CA)ᵀ."""
        s, D = self.system, self.D
        DD, LD = self.DD(D), self.LD(D)
        fit = sum(np.sum((W.T @ self.XX[m] @ W) * DD) - 2.0 * np.sum((self.XL[m].T @ W) * LD) for m, W in self.W.items())
        drift = D - self.Y @ self.M - self.t[:, None]
        return float(self.SS + fit + s.lam * np.sum(self.w[:, None] * drift**2) + s.mu * np.sum(self.M**2))

    def predictors(self, views: dict[str, Matrix], present: dict[str, NDArray[np.bool_]]) -> dict[str, F64]:
        """CA regressed on every view, (d_m + 1, K) a view."""
        D, maps = self.D, {}
        for m, matrix in views.items():
            XD = np.zeros((len(self.XX[m]), self.K))
            for rows, X in self._features(m, matrix, present[m]):
                XD += X.T @ D[self.group[rows]]
            maps[m] = ridge(self.XX[m], XD, 0.0)
        return maps


def co_occurrences(A: Indices, w: F64, words: int) -> F64:
    """AAᵀ (m·words, m·words): how often two words are chosen together, from indices (rows, m) and counts (rows,)."""
    size = A.shape[1] * words
    columns = A + words * np.arange(A.shape[1])
    cells = columns[:, :, None] * size + columns[:, None, :]
    weights = np.broadcast_to(w[:, None, None], cells.shape)
    return np.bincount(cells.ravel(), weights.ravel(), minlength=size * size).reshape(size, size)
