"""DSTDH: dual-level semantic transfer deep hashing (book, section 2.3), for pictures with noisy tags."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.graphs import AnchorGraph, anchor_graph, centroids
from modalhash.hasher import ConvergenceWarning, Hasher, check_integer, check_real
from modalhash.layers import is_constant, run, standardised
from modalhash.social.functions import linear_layer, tanh_layer
from modalhash.social.transfer import Hypergraph, Transfer, Weights, incidence
from modalhash.solvers import centred_product, itq_rotation, mean_and_scale, principal_directions, signs
from modalhash.views import F64, Floats, Matrix, blocks, dense

SAMPLE = 10_000  # training rows from which anchors and concepts are learned
TEXT_ANCHORS, TEXT_CONCEPTS = 100, 500

VARIANTS: dict[str, dict[str, Any]] = {
    "DSTDH": {},
    "DSTDH-L": {"function": "linear"},
    "DSTDH-D": {"direct": False, "mu": 0.05},  # without the norm of lengths no code flips, and a large μ only holds
    "DSTDH-I": {"indirect": False},
    "DSTDH-NT": {"use_tags": False, "mu": 0.05},
    "DSTDH-T": {"noise_removal": False, "mu": 0.05},
    "DSTDH-R": {"discrete": False},
}


@dataclass(kw_only=True, eq=False)
class DSTDH(Hasher):
    """Learns codes from pictures and their noisy tags, then a function of the picture alone.

    Minimises over Z in {-1, +1} and P, by alternation with multipliers (Eq. 2.12 and 2.13),
    Σ_i ‖z_i - Pᵀy_i‖ - α tr(ZSZᵀ) - β tr(ZGZᵀ) + ν‖F - Z‖² + η‖P‖².

    | symbol | name | shape |
    |---|---|---|
    | X, Y | pictures (view `image`), tags (view `tags`) | d × n, c × n |
    | Z | codes, -1 and +1 | K × n |
    | P | tags to codes (direct transfer) | c × K |
    | S = VΛ⁻¹Vᵀ | pictures that share one of `n_anchors` anchors | n × n, kept as n × m |
    | G = ΘΘᵀ | items that share one of `n_concepts` concepts (indirect transfer) | n × n, kept as n × a |
    | F | outputs of the hash function: one layer and tanh | K × n |
    | μ, ρ | weight of the constraints at first, over √K, and its growth an iteration | scalars |

    Tags are counted as they stand: other values than 0 and 1 are weights.
    """

    n_anchors: int | None = None
    n_neighbours: int = 2
    n_concepts: int | None = None
    bandwidth: float = 1.0
    alpha: float = 3e-2
    beta: float = 1e-3
    nu: float = 0.1
    eta: float = 5e-2
    mu: float = 0.5
    rho: float = 1.1
    max_iter: int = 200
    tolerance: float = 1e-2
    start: str = "itq"
    rounds: int = 3
    function: str = "tanh"
    weight_decay: float = 5e-5
    function_iter: int = 100
    direct: bool = True
    indirect: bool = True
    use_tags: bool = True
    noise_removal: bool = True
    discrete: bool = True

    named_views: ClassVar[tuple[str, ...]] = ("image", "tags")
    encodes_from: ClassVar[tuple[str, ...]] = ("image",)
    summary: ClassVar[str] = (
        "social pictures, no labels: codes from pictures and noisy tags, found by the picture alone"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_neighbours", "max_iter", "rounds", "function_iter"):
            check_integer(name, getattr(self, name), low=1)
        for name in ("alpha", "beta", "nu", "tolerance"):
            check_real(name, getattr(self, name), low=0)
        for name in ("bandwidth", "eta", "mu", "weight_decay"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        check_real("rho", self.rho, low=1, inclusive=False)
        for name, known in (("start", ("itq", "random")), ("function", ("tanh", "linear"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected {' or '.join(known)}, got {getattr(self, name)!r}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        if is_constant(views["image"]):
            raise ValueError(f"{self.name}: view 'image' is constant: all rows are alike")
        rng = self._rng()
        self.means_, self.scale_ = mean_and_scale(views["image"])
        graphs = self._visual_graph(views["image"], rng), self._concept_graph(views, rng)
        Y = views["tags"] if self.direct and self.use_tags else None
        X = np.vstack([self._pictures(views["image"][rows]) for rows in blocks(views["image"].shape[0])])
        Z, squared, relaxed = self._start(views["image"], rng), not self.noise_removal, not self.discrete
        transfer = Transfer(self._weights(), Z, Y, *graphs, squared=squared, relaxed=relaxed)
        self.function_loss_: list[float] = []
        for _ in self._iterations(self.rounds):
            Z = self._learn_codes(transfer)
            transfer.begin(Z, self._learn_function(X, Z))
        self.objective_, self.residuals_ = transfer.objective, transfer.residual
        middle = np.zeros(self.n_bits) if self.discrete else Z.mean(axis=0)
        self.codes_ = BinaryCodes.from_signs(Z - middle)

    def _pictures(self, block: Matrix) -> Floats:
        """Rows of the view `image`, centred and divided by the root of the total variance, dense float32."""
        return standardised(block, self.means_, self.scale_)

    def _weights(self) -> Weights:
        mu = self.mu / float(np.sqrt(self.n_bits))
        return Weights(alpha=self.alpha, beta=self.beta, nu=self.nu, eta=self.eta, mu=mu, rho=self.rho)

    def _count(self, name: str, text: int, n: int) -> int:
        """How many anchors or concepts: as asked for, or the text's number where there are twice as many items."""
        asked = getattr(self, name)
        if asked is not None:
            check_integer(name, asked, low=1, high=n)
        return int(asked or max(1, min(text, n // 2)))

    def _visual_graph(self, images: Matrix, rng: np.random.Generator) -> AnchorGraph:
        """S = VΛ⁻¹Vᵀ over k-means centres of the pictures (Eq. 2.2)."""
        n = images.shape[0]
        m = self._count("n_anchors", TEXT_ANCHORS, n)
        sample = np.sort(rng.permutation(n)[: max(SAMPLE, m)])
        anchors = centroids({"image": dense(images[sample]) - self.means_}, m, new_seed(rng))["image"]
        return anchor_graph(images, self.means_, anchors, self.n_neighbours, 0)

    def _concept_graph(self, views: dict[str, Matrix], rng: np.random.Generator) -> Hypergraph | None:
        """The hypergraph of items and concepts: k-means centres of [picture of unit length, tags] (Eq. 2.4 to 2.9)."""
        n = views["image"].shape[0]
        a = self._count("n_concepts", TEXT_CONCEPTS, n)
        if not self.indirect:
            return None
        sample = np.sort(rng.permutation(n)[: max(SAMPLE, a)])
        concepts = centroids({"both": self._packed(views, sample)}, a, new_seed(rng))["both"]
        return Hypergraph(incidence((self._packed(views, rows) for rows in blocks(n)), n, concepts, self.bandwidth))

    def _packed(self, views: dict[str, Matrix], rows: Any) -> F64:
        """Pictures of unit length and, unless they are left out, tags, side by side."""
        X = self._pictures(views["image"][rows]).astype(np.float64)
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
        return np.hstack([X, dense(views["tags"][rows])]) if self.use_tags else X

    def _start(self, images: Matrix, rng: np.random.Generator) -> F64:
        """Codes to begin with: ITQ of the pictures' principal components, or random ones."""
        n, K = images.shape[0], self.n_bits
        if self.start == "random":
            return signs(rng.standard_normal((n, K)))
        one = {"image": images}
        k = min(K, *images.shape)
        W = principal_directions(one, {"image": self.means_}, {"image": self.scale_}, k, new_seed(rng))["image"]
        values = np.pad(centred_product(images, self.means_, W), ((0, 0), (0, K - W.shape[1])))
        return signs(values @ itq_rotation(values, 50, rng))

    def _learn_codes(self, transfer: Transfer) -> F64:
        """Z: the alternation, run until it settles (Algorithm 2.1)."""
        if not transfer.run(self.max_iter, self.tolerance):
            self._warn_not_settled(transfer.residual[-1])
        return transfer.Z

    def _warn_not_settled(self, gap: float) -> None:
        warnings.warn(
            f"{self.name}: after {self.max_iter} iterations the constraints are off by {gap:.2g} (tolerance "
            f"{self.tolerance:g}); raise max_iter, rho or tolerance",
            ConvergenceWarning,
            stacklevel=5,
        )

    def _learn_function(self, X: Floats, Z: F64) -> F64:
        """The layer that maps pictures to Z (Eq. 2.11), and its outputs for the training items."""
        if self.function == "linear":
            self.layer_ = linear_layer(X, Z, self.weight_decay)
            F = run(self.layer_, X, "identity")
        else:
            self.layer_, loss = tanh_layer(X, Z, self.weight_decay, self.function_iter)
            self.function_loss_.append(loss)
            F = np.tanh(run(self.layer_, X, "identity"))
        if not self.discrete:  # the mean output becomes the threshold
            middle = F.mean(axis=0)
            self.layer_["0.bias"] -= np.arctanh(middle) if self.function == "tanh" else middle
        return F

    def _project(self, name: str, block: Matrix) -> Floats:
        return run(self.layer_, self._pictures(block), "identity")


def new_seed(rng: np.random.Generator) -> int:
    """A seed for a step that wants an integer."""
    return int(rng.integers(2**31))
