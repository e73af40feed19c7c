"""RDCMH: ranking-based deep cross-modal hashing (Liu et al. 2019), for cross-modal search with some items labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher, check_integer, check_real
from modalhash.layers import is_constant, joined, of_view, run, standardised, standards
from modalhash.views import F64, Floats, Matrix, dense

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

Rows = NDArray[np.int64]

CANDIDATES = 2_000  # the most items that a query's list ranks
PAIRS = tuple(combinations(range(3), 2))  # (i, j) among three items of falling similarity
SIMILARITIES = ("clipped", "shifted", "shared labels")

VARIANTS: dict[str, dict[str, Any]] = {
    "RDCMH": {},
    "RDCMH-NW": {"weighted": False},
    "RDCMH-ND": {"hidden": ()},
    "RDCMH-NS": {"similarity": "shared labels"},
    "RDCMH-NJ": {"joint": False},
}


@dataclass(kw_only=True, eq=False)
class RDCMH(Hasher):
    """Learns networks whose codes rank items as labels and features do; labels may be known for some items only.

    Minimises the means over triplets (q, i, j) with s_qi > s_qj, drawn afresh in every batch, of (Eq. 4, corrected)
    Σ_{a,b} (1 - s_ij^ab) [d(a_q, b_i) - d(a_q, b_j) + margin]₊ / K + λ/2 Σ_a ‖B - F^a‖² / K,
    where a and b run over the views, b over the view that is searched, and d(f, g) = (K - f·g)/2.

    | symbol | name | shape |
    |---|---|---|
    | F^a | outputs of view a's network, d - `hidden` - K, and tanh | n × K |
    | B | codes, sgn(Σ_a F^a) (Eq. 12) | n × K |
    | s^aa | s1 from the feature cosine; with labels s1 exp(s2 - s1), s2 their cosine (Eq. 1) | batch × n |
    | s^ab | the mean of s^aa and s^bb; for the order of a query's items the mean over all views | batch × n |

    A query with labels ranks the items with labels, one without ranks all by features; triplets of the latter count
    `feature_weight` times (1 in the text).  An item without labels (a row of NaN) and one that has none of them
    (a row of zeros) are alike, as in Eq. 1.  `similarity` says how a cosine becomes s1, see `Ranking`.
    `margin` is a share of K: 0.25 is K/4, 0 the text, whose optimum is that all codes are equal.  The printed λ = 1
    weighs a sum over items beside a sum over all triplets, which are far more; here it weighs means, and 0.01 is ours:
    with 1 the signs of the first steps stay.  `batch_size` counts triplets, three a query.
    Views must be complete in training.  A view whose rows are all alike says nothing: its outputs are zero.
    S is computed for the queries of a batch; memory is O(n (d + c + K + batch_size)).
    """

    margin: float = 0.25
    lam: float = 0.01
    feature_weight: float = 0.01
    n_bins: int = 5
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.2
    weighted: bool = True
    similarity: str = "shifted"
    joint: bool = True
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 1e-3

    needs_labels: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True
    summary: ClassVar[str] = "semi-supervised, any number of views: deep functions that rank as labels and features do"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("epochs", "batch_size"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("n_bins", self.n_bins, low=3)
        for width in self.hidden:
            check_integer("hidden", width, low=1)
        check_real("learning_rate", self.learning_rate, low=0, inclusive=False)
        for name in ("margin", "lam", "feature_weight", "dropout"):
            check_real(name, getattr(self, name), low=0)
        if self.dropout >= 1:
            raise ValueError(f"dropout: expected a share below 1, got {self.dropout}")
        if self.similarity not in SIMILARITIES:
            raise ValueError(f"similarity: expected one of {', '.join(SIMILARITIES)}, got {self.similarity!r}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        import torch

        from modalhash.networks import mlp, to_arrays
        from modalhash.training import new_seed, seeded

        varied = {m: matrix for m, matrix in views.items() if not is_constant(matrix)}
        n = next(iter(views.values())).shape[0]
        if not varied:
            raise ValueError(f"{self.name}: every view is constant: all rows are alike")
        if n <= self.n_bins:
            raise ValueError(f"{self.name}: needs more items than n_bins={self.n_bins}, got {n} items")
        rng = self._rng()
        self.means_, self.scales_ = {}, {}
        inputs = {}
        for m, matrix in varied.items():
            self.means_[m], self.scales_[m] = standards(matrix)
            inputs[m] = standardised(matrix, self.means_[m], self.scales_[m])
        ranking = Ranking(inputs, dense(labels), self.similarity)
        with seeded(new_seed(rng)) as generator:
            layers = (*self.hidden, self.n_bits)
            networks = {
                m: mlp((x.shape[1], *layers), activation="relu", last="tanh", dropout=self.dropout)
                for m, x in inputs.items()
            }
            self._train(networks, {m: torch.from_numpy(x) for m, x in inputs.items()}, ranking, rng, generator)
        self.networks_ = joined({m: to_arrays(network) for m, network in networks.items()})
        self.codes_ = self.encode(varied)  # Eq. 12

    def _train(
        self,
        networks: dict[str, nn.Sequential],
        inputs: dict[str, Tensor],
        ranking: Ranking,
        rng: np.random.Generator,
        generator: Generator,
    ) -> None:
        """Eq. 4 with triplets drawn for every batch; without `joint` the codes come after the ranking."""
        import torch

        from modalhash.training import Plan, train

        lam = self.lam if self.joint else 0.0

        def loss(rows: Rows) -> dict[str, Tensor]:
            picks, order, weights = ranking.triplets(rows, self.n_bins, rng)
            order *= np.where(ranking.known[rows], 1.0, self.feature_weight)[:, None].astype(np.float32)
            if not self.weighted:
                weights = {pair: np.ones_like(values) for pair, values in weights.items()}
            items = torch.from_numpy(np.column_stack([rows, picks]))  # q and one item of each of three bins
            F = {m: net(inputs[m][items.ravel()]).view(*items.shape, -1) for m, net in networks.items()}
            wanted = {pair: torch.from_numpy(values * order) for pair, values in weights.items()}
            terms = {"ranking": ranking_loss(F, wanted, self.margin)}
            return terms | ({"quantisation": quantisation_loss(F, lam)} if lam else {})

        plan = Plan(
            epochs=self.epochs,
            batch_size=max(2, self.batch_size // len(PAIRS)),  # queries
            learning_rate=self.learning_rate,
            title=f"{self.name} {self.n_bits} bits",
            verbose=self.verbose,
        )
        rows = np.arange(len(ranking.labels))
        self.losses_ = train(torch.nn.ModuleList(networks.values()), loss, rows, plan, generator)
        if not self.joint:
            last = torch.nn.ModuleList(network[-2] for network in networks.values())
            with torch.no_grad():
                below = {m: network[:-2](inputs[m]) for m, network in networks.items()}
                B = sum(networks[m][-2:](x) for m, x in below.items())
            B = torch.where(torch.as_tensor(B) >= 0, 1.0, -1.0)

            def after(rows: Rows) -> dict[str, Tensor]:
                F = {m: networks[m][-2:](x[torch.from_numpy(rows)]) for m, x in below.items()}
                return {"codes": quantisation_loss(F, 1.0, B[torch.from_numpy(rows)])}

            self.losses_ |= train(last, after, rows, plan, generator)

    def _project(self, name: str, block: Matrix) -> Floats:
        network = of_view(self.networks_, name)
        if not network:  # a view without variation
            return np.zeros((block.shape[0], self.n_bits))
        return np.tanh(run(network, standardised(block, self.means_[name], self.scales_[name]), "relu"))


class Ranking:
    """Semi-supervised similarities of items (Eq. 1), made for the items that a batch asks for.

    similarity: "clipped" (feature cosines below 0 count as 0), "shifted" ((1 + cosine) / 2, so that every pair keeps
    an order), or "shared labels" (their number over the largest number that an item has; features play no part).
    """

    def __init__(self, inputs: Mapping[str, Floats], labels: F64, similarity: str) -> None:
        self.kind = similarity
        self.features = {m: unit_rows(x) for m, x in inputs.items()}
        if similarity == "shared labels":
            self.labels = labels / np.sqrt(max(1.0, float(labels.sum(axis=1).max())))
        else:
            self.labels = unit_rows(labels)
        self.known: NDArray[np.bool_] = np.asarray(labels.any(axis=1))

    def similarity(self, view: str, left: Rows, right: Rows) -> F64:
        """s of a view between items `left` (b, 1) or (b, k) and `right`, of a shape that fits (numpy broadcasting)."""
        s2 = products(self.labels, left, right)
        if self.kind == "shared labels":
            return s2
        cosine = products(self.features[view], left, right)
        s1 = np.clip(cosine, 0.0, 1.0) if self.kind == "clipped" else np.clip((1.0 + cosine) / 2.0, 0.0, 1.0)
        return np.where(self.known[left] & self.known[right], s1 * np.exp(s2 - s1), s1)  # Eq. 1

    def triplets(
        self, queries: Rows, n_bins: int, rng: np.random.Generator
    ) -> tuple[Rows, NDArray[np.float32], dict[tuple[str, str], NDArray[np.float32]]]:
        """For every query (b,) one item of each of three bins of its ranking list, most similar first: (b, 3).

        The three make three triplets (q, i, j), in the order of PAIRS.  Also returned: (b, 3), 1 where s_qi > s_qj
        and 0 for ties, and the weights 1 - s_ij of every pair of views, (b, 3).
        The list ranks at most CANDIDATES random items other than the query.  A labelled query ranks labelled items
        only (if there are as many as bins): s with and s without labels are not on one scale.
        """
        n = len(self.known)
        candidates = rng.permutation(n)[: CANDIDATES + 1]
        views = list(self.features)
        s = sum((self.similarity(m, queries[:, None], candidates[None, :]) for m in views), np.zeros(1)) / len(views)
        left_out = candidates[None, :] == queries[:, None]
        if self.known[candidates].sum() > n_bins:
            left_out |= self.known[queries][:, None] & ~self.known[candidates][None, :]
        s[left_out] = -1.0  # last, and cut off
        ranks = np.argsort(-s, axis=1, kind="stable")  # candidates come in random order, and so do ties
        edges = (~left_out).sum(axis=1)[:, None] * np.arange(n_bins + 1) // n_bins
        bins = np.sort(np.argsort(rng.random((len(queries), n_bins)), axis=1)[:, :3], axis=1)
        places = rng.integers(np.take_along_axis(edges, bins, axis=1), np.take_along_axis(edges, bins + 1, axis=1))
        chosen = np.take_along_axis(ranks, places, axis=1)
        found, picks = np.take_along_axis(s, chosen, axis=1), candidates[chosen]
        first, second = np.array(PAIRS).T
        own = {m: self.similarity(m, picks[:, first], picks[:, second]) for m in views}
        weights = {(a, b): (1.0 - (own[a] + own[b]) / 2.0).astype(np.float32) for a in views for b in views}
        return picks, (found[:, first] > found[:, second]).astype(np.float32), weights


def unit_rows(rows: Floats) -> Floats:
    """Rows divided by their length; zero rows stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def products(rows: Floats, left: Rows, right: Rows) -> F64:
    """Inner products of rows[left] and rows[right]: one matrix product for (b, 1) and (1, c), else pair by pair."""
    if left.shape[1] == 1 and right.shape[0] == 1:
        return np.asarray(rows[left[:, 0]] @ rows[right[0]].T, dtype=np.float64)
    return np.asarray(np.sum(rows[left] * rows[right], axis=-1), dtype=np.float64)


def ranking_loss(F: Mapping[str, Tensor], weights: Mapping[tuple[str, str], Tensor], margin: float) -> Tensor:
    """Mean over triplets of Σ_{a,b} w_ij [d(a_q, b_i) - d(a_q, b_j) + margin K]₊ / K (Eq. 3-5, corrected).

    F: view -> (b, 4, K), the query and its three items; weights: pair of views -> (b, 3), in the order of PAIRS.
    """
    import torch

    total = torch.zeros(())
    for (a, b), weight in weights.items():
        distances = (1.0 - (F[a][:, :1] * F[b][:, 1:]).mean(dim=2)) / 2.0  # d / K of the query to the three items
        for p, (i, j) in enumerate(PAIRS):
            total = total + (weight[:, p] * torch.relu(distances[:, i] - distances[:, j] + margin)).mean() / len(PAIRS)
    return total


def quantisation_loss(F: Mapping[str, Tensor], lam: float, codes: Tensor | None = None) -> Tensor:
    """λ/2 Σ_a of the mean of (B - F^a)²; B = sgn(Σ_a F^a) (Eq. 12) unless codes are given."""
    import torch

    outputs = torch.stack(list(F.values()))
    if codes is None:
        codes = torch.where(outputs.detach().sum(dim=0) >= 0, 1.0, -1.0)
    return lam / 2.0 * ((codes - outputs) ** 2).mean(dim=tuple(range(1, outputs.dim()))).sum()
