"""UMH-OQA: unsupervised multi-modal hashing with online query adaption (book, section 4.3.4), fused quantised codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.composite.umh_oqa_training import BITS, WORDS, Modality, Problem, View
from modalhash.fusion import FusedHasher, Mask, adaptive_weights, counted, shares, weighted_sum, who_has
from modalhash.hasher import check_choice, check_integer, check_real, present_rows, view_outputs
from modalhash.layers import is_constant
from modalhash.quantized import F32, QuantizedCodes
from modalhash.quantizers import Indices, decode, nearest_words
from modalhash.solvers import centred_product, mean_and_scale, row_product
from modalhash.views import F64, Matrix, Views, blocks

ROUNDS = 5  # of weights and words in turn, for an item
WEIGHTS = ("query", "absolute", "learned", "equal")
METRICS = ("l2", "dot", "hamming")
Coded: TypeAlias = tuple[F64, F64, F64, Indices]

VARIANTS: dict[str, dict[str, Any]] = {
    "UMHOQA": {},
    "UMHOQA-img": {"only": "image"},
    "UMHOQA-txt": {"only": "text"},
    "UMHOQA-con": {"concatenate": True},
    "UMHOQA-I": {"weights": "learned"},
    "UMHOQA-II": {"weights": "equal"},
}


@dataclass(kw_only=True, eq=False)
class UMHOQA(FusedHasher):
    """Learns codebooks for a latent space that all views share, and fuses the views of an item with its own weights.

    Minimises (Eq. 4.34) α Σ_l ‖X_l - R_lH_l‖² + Σ_l 1/μ_l ‖H_l - Cν(B)‖², R_lᵀR_l = I, μ >= 0, Σμ_l = 1.

    | symbol | name | shape |
    |---|---|---|
    | X_l | view l, centred, of mean squared length 1 | d_l × n |
    | R_l | basis of the latent space in view l | d_l × D |
    | H_l | latent rows of view l | D × n |
    | C | codebooks, `n_bits` / 4 of 16 words | D × 4·n_bits |
    | ν(B) | the word of each codebook for an item, one-hot | 4·n_bits × n |
    | μ_l | how far view l is from the codes; it weighs 1/μ_l | scalar |
    | α, D | `alpha`, `latent_dim` | scalars |

    `metric`: "l2" stores indices of words with their codebooks; items are compared with the fused latent row of a
    query by look-up tables.  "dot" is the same with inner products, which need no stored norm (4 bytes an item).
    "hamming" gives binary codes of the index bits (the text).  Words are numbered so that index bits follow distances.
    `weights` of the views of an item: "query" (its own, by how far each view is from the words beside how far it is
    in training), "absolute" (its own, by the bare distances: the text), "learned" (those of the training, Eq. 4.59) or
    "equal" (in the training, too).  `only`: learn from one view; `concatenate`: views side by side as one.

    D is `latent_dim`, but at most the items and the columns of the widest view.  A view narrower than D counts as
    filled up with zero columns, so R_l has orthonormal rows instead.  A view that an item lacks is left out of the
    sums, and the terms of view l are multiplied by n / n_l; a view that never varies is set aside.  Codebooks carry a
    ridge of 1e-6 of their average word's weight as a penalty.  Every step is exact or lowers the objective:
    `objective_` never rises.  Stops when it falls by less than `tolerance` (relative).
    """

    alpha: float = 100.0
    latent_dim: int = 64
    sweeps: int = 3
    max_iter: int = 30
    tolerance: float = 1e-3
    metric: str = "l2"
    weights: str = "query"
    concatenate: bool = False

    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = "unsupervised, any number of views fused in one code: sums of codewords, weights an item"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.n_bits % BITS:
            raise ValueError(f"n_bits: expected a multiple of {BITS} (a codebook of {WORDS} words), got {self.n_bits}")
        for name in ("latent_dim", "sweeps", "max_iter"):
            check_integer(name, getattr(self, name), low=1)
        check_real("alpha", self.alpha, low=0, inclusive=False)
        check_real("tolerance", self.tolerance, low=0)
        check_choice("metric", self.metric, METRICS)
        check_choice("weights", self.weights, WEIGHTS)
        if self.only is not None and self.concatenate:
            raise ValueError(f"only: {self.only!r} leaves nothing to concatenate")

    # training
    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        problem = Problem(self, self._modalities(views), self._rng())
        self.objective_ = [problem.objective()]
        for _ in self._iterations(self.max_iter):
            problem.update_words()
            problem.update_bases()
            problem.update_latent()
            problem.update_codebooks()
            problem.update_weights()
            self.objective_.append(problem.objective())
            if self.objective_[-2] - self.objective_[-1] <= self.tolerance * self.objective_[-2]:
                break
        else:
            self._warn_not_converged(self.max_iter, self.tolerance)
        problem.update_words()
        problem.renumber()
        self.functions_: dict[str, F64] = {}  # R_l / scale, none for a view that is set aside
        for modality, R in zip(problem.modalities, problem.R, strict=True):
            self.functions_ |= modality.split(R)
        self.mu_: F64 = problem.mu
        learned = dict.fromkeys(self.functions_, 1.0)
        if not self.concatenate:
            learned = dict(zip(self.functions_, self.alpha / (self.alpha * problem.mu + 1.0), strict=True))
        self.learned_weights_ = np.array([learned.get(name, 1.0) for name in self.widths_])
        self.codebooks_: F32 = problem.C.astype(np.float32)
        self.usual_: F64 = self._usual_distances(views) if self.weights == "query" else np.ones(len(self.widths_))
        self.codes_ = self._stored(problem.A)

    def _modalities(self, views: dict[str, Matrix]) -> list[Modality]:
        """What counts as one view each in the objective; learns the means."""
        used = self._views_to_learn(views)
        present = present_rows(used)
        seen = np.any(list(present.values()), axis=0)
        if not seen.all():
            row = np.argmin(seen)
            raise ValueError(f"{self.name}: row {row} lacks the view {self.only!r}, the only one to learn from")
        self.means_: dict[str, F64] = {}
        known = {}
        for name, matrix in used.items():
            rows = matrix if present[name].all() else matrix[present[name]]
            self.means_[name], scale = mean_and_scale(rows)
            if not is_constant(rows):
                known[name] = View(rows, present[name], self.means_[name], scale)
        if not known:
            raise ValueError(f"{self.name}: no view varies over the {len(seen)} training items")
        if self.concatenate:
            return [Modality(known)]
        return [Modality({name: view}) for name, view in known.items()]

    def _usual_distances(self, views: dict[str, Matrix]) -> F64:
        """Mean ‖R_lᵀx_l - Cν(b)‖ of each view over the training items that have it, their views weighing alike."""
        C, present = self.codebooks_.astype(np.float64), present_rows(views)
        total, count = np.zeros((2, len(self.widths_)))
        for rows in blocks(len(next(iter(present.values())))):
            block = {name: matrix[rows] for name, matrix in views.items()}
            outputs, has = self._latent(block, who_has(self.widths_, present, rows), alike=False)
            A = self._words(C, self._sum(outputs, shares(has.astype(np.float64))))
            total += np.sum(has * _distances(outputs, C, A), axis=1)
            count += has.sum(axis=1)
        usual = total / np.maximum(count, 1)
        return np.asarray(np.where(usual > 0, usual, 1.0))

    # encoding
    def encode(self, views: Views) -> QuantizedCodes | BinaryCodes:  # type: ignore[override]
        """Codes of items from the views that each of them has, with weights of its own (see `view_weights`).

        Raises ValueError for an unknown view, another width than in fit, an item without any view, or without the
        one that was learned from.
        """
        return self._stored(np.vstack([words for _, _, _, words in self._coded(views)]))

    def encode_queries(self, views: Views) -> F32 | QuantizedCodes | BinaryCodes:
        """Fused latent rows Σ_l w_l R_lᵀx_l of queries, (n, D) float32; for the metric "hamming" their codes.

        The text compares codes with codes; that the query is not quantised is ours.  A query gets the same floats alone
        and in any batch.  Raises ValueError as `encode` does.
        """
        if self.metric == "hamming":
            return self.encode(views)
        return np.vstack([fused for _, _, fused, _ in self._coded(views, alike=True)]).astype(np.float32)

    def _weights_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> F64:
        outputs, has = self._latent(block, who_has(self.widths_, present, rows), alike=False)
        return self._weights_and_words(outputs, has)[0]

    def _coded(self, views: Views, *, alike: bool = False) -> Iterator[Coded]:
        """For blocks of rows: latent rows, weights of the views, fused latent rows and words.

        alike: each row is rounded alike in any batch, which takes longer.
        """
        checked, present = self._check_encode(views)
        n = next(iter(checked.values())).shape[0]
        for rows in blocks(n):
            block = {name: matrix[rows] for name, matrix in checked.items()}
            outputs, has = self._latent(block, who_has(self.widths_, present, rows), alike)
            weights, words = self._weights_and_words(outputs, has)
            yield outputs, weights, self._sum(outputs, weights), words

    def _latent(self, block: Mapping[str, Matrix], has: Mask, alike: bool) -> tuple[F64, Mask]:
        """Latent rows R_lᵀx_l (views, rows, D), 0 for a missing view, and the views that count for an item."""
        varied = np.array([name in self.functions_ for name in self.widths_])
        product = row_product if alike else centred_product

        def project(name: str, rows: Matrix) -> F64:
            return product(rows, self.means_[name], self.functions_[name])

        D = self.codebooks_.shape[2]
        return view_outputs(block, self.widths_, has & varied[:, None], D, project), counted(has, varied)

    def _weights_and_words(self, outputs: F64, has: Mask) -> tuple[F64, Indices]:
        """Weights (views, rows) of the views of every item, sum 1, and its words (rows, m) (Eq. 4.52-4.57).

        With R fixed the best H and μ for given words have a closed form together: α/(αμ_l + 1), the weight that is
        left for view l, goes with p_l / ‖R_lᵀx_l - Cν(b)‖, whatever α is; p_l = 1 in the text, the usual distance of
        view l here.  So words and weights are updated in turn, from equal weights, and
        Σ_l p_l ‖R_lᵀx_l - Cν(b)‖ of an item never rises.
        """
        C = self.codebooks_.astype(np.float64)
        weights = shares(has * (self.learned_weights_[:, None] if self.weights == "learned" else 1.0))
        A = self._words(C, self._sum(outputs, weights))
        own = self.weights in ("query", "absolute") and not self.concatenate
        for _ in range(ROUNDS if own else 0):
            weights = adaptive_weights(_distances(outputs, C, A) / self.usual_[:, None], has)
            A = self._words(C, self._sum(outputs, weights), A)
        return weights, A

    def _sum(self, outputs: F64, weights: F64) -> F64:
        """The fused latent rows; of views side by side the plain sum, a missing one at its mean."""
        return weighted_sum(np.ones_like(weights) if self.concatenate else weights, outputs)

    def _words(self, C: F64, E: F64, start: Indices | None = None) -> Indices:
        return nearest_words(C, np.eye(C.shape[2]), E, self.sweeps, start)

    def _stored(self, A: Indices) -> QuantizedCodes | BinaryCodes:
        if self.metric != "hamming":
            return QuantizedCodes(A, self.codebooks_, "l2" if self.metric == "l2" else "dot")
        bits = np.unpackbits(A[:, :, None], axis=2)[:, :, -BITS:]
        return BinaryCodes(np.packbits(bits.reshape(len(A), -1), axis=1), self.n_bits)


def _distances(outputs: F64, C: F64, A: Indices) -> F64:
    """How far the latent rows of the views (views, rows, D) are from the words, (views, rows)."""
    return np.asarray(np.sqrt(((decode(C, A) - outputs) ** 2).sum(axis=2)))
