"""RDCMH: ranking-based deep cross-modal hashing (Liu et al. 2019), for cross-modal search with some items labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.hasher import Hasher, check_integer, check_real, check_widths
from modalhash.layers import is_constant, joined, of_view, run, standardised, standards
from modalhash.views import F64, Floats, Matrix, dense

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

Rows = NDArray[np.int64]
F32 = NDArray[np.float32]

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
    | s^aa | s1 from the feature cosine; with labels s1 exp(s2 - s1), s2 their cosine (Eq. 1) | b × b |
    | s^ab | the mean of s^aa and s^bb; for the order of a query's items the mean over all views | b × b |

    Every item of a batch of b is a query and ranks the others.  Its list is cut into `n_bins` bins, equal parts of
    the range of s, and `draws` times one item is drawn from each of three bins: three triplets.
    A query with labels ranks the items with labels, one without ranks all by features; triplets of the latter count
    `feature_weight` times (1 in the text).  An item without labels (a row of NaN) and one that has none of them
    (a row of zeros) are alike, as in Eq. 1.  `similarity` says how a cosine becomes s1, see `Ranking`.
    `margin` is a share of K: 0.25 is K/4, 0 the text, whose optimum is that all codes are equal.  The printed λ = 1
    weighs a sum over items beside a sum over all triplets, which are far more; here it weighs means, and 0.01 is ours:
    with 1 the signs of the first steps stay.
    Views must be complete in training.  A view whose rows are all alike says nothing: its outputs are zero.
    S is computed in a batch; memory is O(n (d + c + K) + b (b + draws)).
    """

    margin: float = 0.25
    lam: float = 0.01
    feature_weight: float = 0.01
    n_bins: int = 5
    draws: int = 16
    hidden: tuple[int, ...] = (512,)
    dropout: float = 0.2
    weighted: bool = True
    similarity: str = "shifted"
    joint: bool = True
    epochs: int = 60
    batch_size: int = 128
    learning_rate: float = 1e-3
    device: str = "cpu"

    needs_labels: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True
    summary: ClassVar[str] = "semi-supervised, any number of views: deep functions that rank as labels and features do"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("epochs", "batch_size", "draws"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("n_bins", self.n_bins, low=3)
        check_widths("hidden", self.hidden)
        check_real("learning_rate", self.learning_rate, low=0, inclusive=False)
        for name in ("margin", "lam", "feature_weight", "dropout"):
            check_real(name, getattr(self, name), low=0)
        if self.dropout >= 1:
            raise ValueError(f"dropout: expected a share below 1, got {self.dropout}")
        if self.similarity not in SIMILARITIES:
            raise ValueError(f"similarity: expected one of {', '.join(SIMILARITIES)}, got {self.similarity!r}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        import torch

        from modalhash.networks import check_device, mlp, to_arrays
        from modalhash.training import new_seed, seeded

        check_device(self.device)
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
                m: mlp((x.shape[1], *layers), activation="relu", last="tanh", dropout=self.dropout).to(self.device)
                for m, x in inputs.items()
            }
            tensors = {m: torch.from_numpy(x).to(self.device) for m, x in inputs.items()}
            self._train(networks, tensors, ranking, rng, generator)
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
            own = ranking.similarities(rows)
            picks, order = ranking.triplets(rows, own, self.n_bins, self.draws, rng)
            order *= np.where(ranking.known[rows], 1.0, self.feature_weight)[:, None, None].astype(np.float32)
            wanted = weights(own, picks, order, self.weighted)
            F = {m: net(inputs[m][torch.from_numpy(rows)]) for m, net in networks.items()}
            terms = {"ranking": ranking_loss(F, picks, wanted, self.margin)}
            return terms | ({"quantisation": quantisation_loss(F, lam)} if lam else {})

        plan = Plan(
            epochs=self.epochs,
            batch_size=self.batch_size,
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
        self.features: dict[str, F32] = {m: unit_rows(x).astype(np.float32) for m, x in inputs.items()}
        most = np.sqrt(max(1.0, float(labels.sum(axis=1).max())))
        self.labels: F32 = (labels / most if similarity == "shared labels" else unit_rows(labels)).astype(np.float32)
        self.known: NDArray[np.bool_] = np.asarray(labels.any(axis=1))

    def similarities(self, rows: Rows) -> dict[str, F32]:
        """s of every view between the items of a batch, (b, b)."""
        s2 = self.labels[rows] @ self.labels[rows].T
        if self.kind == "shared labels":
            return dict.fromkeys(self.features, s2)
        both, found = np.outer(self.known[rows], self.known[rows]), {}
        for m, x in self.features.items():
            cosine = x[rows] @ x[rows].T
            s1 = np.clip(cosine if self.kind == "clipped" else (1.0 + cosine) / 2.0, 0.0, 1.0)
            found[m] = np.where(both, s1 * np.exp(s2 - s1), s1)  # Eq. 1
        return found

    def triplets(
        self, rows: Rows, own: Mapping[str, F32], n_bins: int, draws: int, rng: np.random.Generator
    ) -> tuple[Rows, F32]:
        """Items of three bins of every query's list, most similar first, `draws` times: positions (b, draws, 3).

        The three make three triplets (q, i, j), in the order of PAIRS.  Also returned: (b, draws, 3), 1 where
        s_qi > s_qj and 0 for ties and bins without items.  s is the mean of `own` over the views.
        Every item of the batch is a query and ranks the others; a labelled one ranks labelled items only (if there
        are as many as bins): s with and without labels are not on one scale.
        """
        s = np.mean(list(own.values()), axis=0)
        level = levels(s, self.left_out(rows, n_bins), n_bins)
        counts = (level[:, :, None] == np.arange(n_bins)).sum(axis=1)
        starts = np.cumsum(counts, axis=1) - counts
        keys = rng.random((len(rows), draws, n_bins), dtype=np.float32) + (counts == 0)[:, None, :]  # empty bins last
        bins = np.sort(np.argsort(keys, axis=2)[:, :, :3], axis=2).reshape(len(rows), -1)
        sizes = np.take_along_axis(counts, bins, axis=1)
        places = np.take_along_axis(starts, bins, axis=1) + (rng.random(bins.shape) * sizes).astype(np.int64)
        ranks = np.argsort(level, axis=1, kind="stable")
        picks = np.take_along_axis(ranks, np.minimum(places, len(rows) - 1), axis=1)
        found = np.where(sizes > 0, np.take_along_axis(s, picks, axis=1), np.nan).reshape(-1, draws, 3)
        first, second = np.array(PAIRS).T
        return picks.reshape(found.shape), (found[:, :, first] > found[:, :, second]).astype(np.float32)

    def left_out(self, rows: Rows, n_bins: int) -> NDArray[np.bool_]:
        """Which items of a batch a query does not rank, (b, b): itself, and items without labels if it has some."""
        known, itself = self.known[rows], np.eye(len(rows), dtype=bool)
        return itself | (known[:, None] & ~known[None, :]) if known.sum() > n_bins else itself


def levels(s: F32, left_out: NDArray[np.bool_], n_bins: int) -> Rows:
    """The bin of every item in the list of every query, (b, b): equal parts of the range of s, 0 the most similar.

    Items left out get `n_bins`.
    """
    low = np.where(left_out, np.inf, s).min(axis=1)[:, None]
    high = np.where(left_out, -np.inf, s).max(axis=1)[:, None]
    share = (high - s) / np.maximum(high - low, 1e-9)
    return np.where(left_out, n_bins, np.clip((n_bins * share).astype(np.int64), 0, n_bins - 1))


def unit_rows(rows: Floats) -> Floats:
    """Rows divided by their length; zero rows stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def weights(own: Mapping[str, F32], picks: Rows, order: F32, weighted: bool) -> dict[tuple[str, str], Floats]:
    """The weights of the triplets for every pair of views, (b, draws, 3): 1 - s_ij of the two items, or 1."""
    first, second = np.array(PAIRS).T
    i, j = picks[:, :, first], picks[:, :, second]
    far = {m: 1.0 - s[i, j] if weighted else np.ones(i.shape, dtype=np.float32) for m, s in own.items()}
    return {(a, b): np.asarray(order * (far[a] + far[b]) / 2.0, dtype=np.float32) for a in own for b in own}


def ranking_loss(
    F: Mapping[str, Tensor], picks: Rows, weights: Mapping[tuple[str, str], Floats], margin: float
) -> Tensor:
    """Mean over triplets of Σ_{a,b} w_ij [d(a_q, b_i) - d(a_q, b_j) + margin K]₊ / K (Eq. 3-5, corrected).

    F: view -> (b, K); picks: (b, draws, 3), positions in the batch; weights: pair of views -> (b, draws, 3), in the
    order of PAIRS, 0 for what is no triplet and does not count.
    """
    import torch

    first, second = [list(side) for side in zip(*PAIRS, strict=True)]
    device = next(iter(F.values())).device
    places, total = torch.from_numpy(picks).to(device), torch.zeros((), device=device)
    for (a, b), values in weights.items():
        weight = torch.from_numpy(values).to(device)
        distances = (1.0 - F[a] @ F[b].T / F[a].shape[1]) / 2.0
        chosen = distances.gather(1, places.flatten(1)).view(places.shape)
        violation = torch.relu(chosen[:, :, first] - chosen[:, :, second] + margin)
        total = total + (weight * violation).sum() / (weight > 0).sum().clamp(min=1)
    return total


def quantisation_loss(F: Mapping[str, Tensor], lam: float, codes: Tensor | None = None) -> Tensor:
    """λ/2 Σ_a of the mean of (B - F^a)²; B = sgn(Σ_a F^a) (Eq. 12) unless codes are given."""
    import torch

    outputs = torch.stack(list(F.values()))
    if codes is None:
        codes = torch.where(outputs.detach().sum(dim=0) >= 0, 1.0, -1.0)
    return lam / 2.0 * ((codes - outputs) ** 2).mean(dim=tuple(range(1, outputs.dim()))).sum()
