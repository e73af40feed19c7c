"""LAGNH: lightweight augmented graph network hashing (book, section 2.4), for images that come with tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.anchors import choose_anchors, squared_distances
from modalhash.hasher import Hasher, check_integer, check_real, check_widths
from modalhash.layers import ROWS, Arrays, standardised, standards
from modalhash.views import F64, Floats, Matrix, blocks, dense

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modalhash.training import Plan, Rows

EPSILON = 1e-8  # beside the sum of attention weights in Eq. 2.26, which is 0 for an item that no tag resembles
GRAPHS = ("both", "image", "tags")
TARGETS = (*GRAPHS, "features")

VARIANTS: dict[str, dict[str, Any]] = {
    "LAGNH": {},
    "LAGNH-no-aux": {"use_tags": False},
    "LAGNH-no-att": {"attention": False},
    "LAGNH-only-Sv": {"graph": "image"},
    "LAGNH-only-Sa": {"graph": "tags"},
    "LAGNH-recons-ZTZ": {"normalise": False},
    "LAGNH-recons-feat": {"target": "features"},
    "LAGNH-recons-S": {"target": "both", "k": 1.0},
    "LAGNH-recons-Sv": {"target": "image", "k": 1.0},
}


@dataclass(kw_only=True, eq=False)
class LAGNH(Hasher):
    """Learns codes of images by graph convolution, from a graph of looks and tags; encodes an image without tags.

    Minimises by Adam, over batches of b items (Eq. 2.36, means over the batch),
    -log σ(D(Z)) + λ1 ‖k S_a - [cos(Z, Z)]₊‖² + λ2 ‖sgn(Z) - Z‖² + λ3 H(Y, σ(Z V + v)), H the cross-entropy.

    | symbol | name | shape |
    |---|---|---|
    | X, Y | `image`, centred and scaled; `tags`, 1 where positive | b × d, b × c |
    | x̄, ȳ | X and Y mapped linearly to d' = `width` columns | b × d' |
    | x_att | x̄ plus the ȳ of the batch, weighted by [cos(x̄, ȳ)]₊ | b × d' |
    | S | μ S_v + S_a: Gaussian kernel of x_att, cosine of tags | b × b |
    | Z | two graph convolutions of x_att along D^-½ S D^-½: d' → `hidden` → K | b × K |
    | D | discriminator between Z and Gaussian values | K → 64 → 32 → 1 |

    `k` raises S_a as the target of the codes: items that share one tag of many have small cosines.
    σ of the kernel is `bandwidth` times the mean distance of two items of the batch; with 1, rows of D^-½ S D^-½ are
    nearly alike and so are the codes.  `hide` is the share of items whose tags their graph rows do not see in a batch,
    as at encode.  With `only_tagged` the two losses on tags count items that have some.
    An item is encoded as a row of a graph of itself and `n_anchors` training items (None: 512, at most n / 2), so that
    its code depends on no other item; a bit is 1 at or above its mean over the training items.
    Epochs None: at least 150 batches and 10 passes.  Memory is O(b² + n_anchors²) beside the views.
    """

    mu: float = 1.0
    k: float = 3.0
    lambda1: float = 20.0
    lambda2: float = 1.0
    lambda3: float = 1.0
    bandwidth: float = 0.3
    hide: float = 0.5
    width: int = 256
    hidden: int = 512
    discriminator: tuple[int, ...] = (64, 32)
    generator_steps: int = 5
    n_anchors: int | None = None
    batch_size: int = 256
    epochs: int | None = None
    learning_rate: float = 1e-3
    use_tags: bool = True
    attention: bool = True
    only_tagged: bool = True
    normalise: bool = True
    graph: str = "both"
    target: str = "tags"
    device: str = "cpu"

    named_views: ClassVar[tuple[str, ...]] = ("image", "tags")
    encodes_from: ClassVar[tuple[str, ...]] = ("image",)
    summary: ClassVar[str] = (
        "unsupervised, images with tags: graph convolution over looks and tags; codes come from the image alone"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("width", "hidden", "generator_steps"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("batch_size", self.batch_size, low=2)
        if self.epochs is not None:
            check_integer("epochs", self.epochs, low=1)
        check_widths("discriminator", self.discriminator)
        for name in ("mu", "bandwidth", "learning_rate"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        for name in ("k", "lambda1", "lambda2", "lambda3", "hide"):
            check_real(name, getattr(self, name), low=0)
        if self.hide > 1:
            raise ValueError(f"hide: expected a share from 0 to 1, got {self.hide}")
        for name, known in (("graph", GRAPHS), ("target", TARGETS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        if not self.use_tags and self.graph == "tags":
            raise ValueError("use_tags: a graph of tags needs them")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        from modalhash.networks import check_device
        from modalhash.training import new_seed, objective, seeded, train

        check_device(self.device)
        n = views["image"].shape[0]
        if self.use_tags and not any(present(views["tags"][rows]).any() for rows in blocks(n)):
            raise ValueError(f"{self.name}: no item has a tag: the view 'tags' holds no positive value")
        if self.n_anchors is not None:
            check_integer("n_anchors", self.n_anchors, low=1, high=n)
        self.mean_, self.scale_ = standards(views["image"])
        rng = self._rng()
        anchors = choose_anchors(np.ones(n, dtype=bool), self.n_anchors or max(1, min(512, n // 2)), rng)
        with seeded(new_seed(rng)) as generator:
            stage = GraphNetwork(self, views)
            self.losses_ = train(stage.network, stage.loss, np.arange(n), self._plan(n), generator)
        self.objective_ = objective(self.losses_)
        self.functions_ = stage.frozen(np.sort(anchors))
        self.thresholds_ = np.zeros(self.n_bits)
        sums = [self._project("image", views["image"][rows]).sum(axis=0) for rows in blocks(n)]
        self.thresholds_ = np.sum(sums, axis=0) / n
        self.codes_ = self.encode(views)

    def _plan(self, n: int) -> Plan:
        from modalhash.training import Plan, epochs_for

        return Plan(
            epochs=self.epochs or epochs_for(n, self.batch_size, steps=150, least=10),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            title=f"{self.name} {self.n_bits} bits",
            verbose=self.verbose,
        )

    @property
    def own_weight(self) -> float:
        """S_ii: how similar an item is to itself, whatever is known of its tags."""
        return {"both": self.mu + float(self.use_tags), "image": self.mu, "tags": 1.0}[self.graph]

    # encoding
    def _project(self, name: str, block: Matrix) -> Floats:
        """Z of images whose tags are not known, minus the thresholds; in zero-padded blocks of one size."""
        X = standardised(block, self.mean_, self.scale_)
        outputs = np.empty((len(X), self.n_bits))
        for part in blocks(len(X), ROWS):
            padded = np.zeros((ROWS, X.shape[1]), dtype=np.float32)
            padded[: part.stop - part.start] = X[part]
            outputs[part] = self._outputs(padded)[: part.stop - part.start]
        return outputs - self.thresholds_

    def _outputs(self, X: NDArray[np.float32]) -> F64:
        """Z of some images, each one a row of the graph of itself and the anchors."""
        f = self.functions_
        x = X @ f["image"]
        A = np.maximum(unit_rows(x) @ f["unit_tags"].T, 0.0)  # Eq. 2.25
        x = A @ f["tags"] / (A.sum(axis=1, keepdims=True) + np.float32(EPSILON)) + x  # Eq. 2.26
        own = self.own_weight
        S = np.zeros((len(x), len(f["attended"])))  # an item without tags has no share in S_a but S_ii
        if self.graph != "tags":
            S = self.mu * np.exp(-squared_distances(x, f["attended"].astype(np.float64)) / (2 * f["sigma"] ** 2))
        D = S.sum(axis=1, keepdims=True) + own
        P, loop = S / np.sqrt(D * f["degrees"]), own / D
        H = np.maximum(
            (P.astype(np.float32) @ f["attended"] + loop.astype(np.float32) * x) @ f["first"], 0.0
        )  # Eq. 2.30
        return np.asarray(P @ f["messages"] + loop * (H.astype(np.float64) @ f["second"]))  # Eq. 2.31


class GraphNetwork:
    """The attention, the graph convolutions and the heads that train them."""

    def __init__(self, system: LAGNH, views: Mapping[str, Matrix]) -> None:
        from torch import nn

        from modalhash.networks import GraphConvolution, mlp
        from modalhash.training import Adversary

        self.system, self.views = system, views
        a, K, d, c = system, system.n_bits, views["image"].shape[1], views["tags"].shape[1]
        parts: dict[str, nn.Module] = {
            "image": nn.Linear(d, a.width, bias=False),
            "tags": nn.Linear(c, a.width, bias=False),
            "first": GraphConvolution(a.width, a.hidden),
            "second": GraphConvolution(a.hidden, K),
            "classifier": nn.Linear(K, c),
        }
        if a.target == "features":
            parts["decoder"] = mlp([K, a.hidden, d], activation="relu")
        self.network = nn.ModuleDict(parts).to(a.device)
        self.adversary = Adversary(
            [K, *a.discriminator, 1], a.learning_rate, a.generator_steps, a.device, logistic=True
        )

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """X and Y of some items."""
        import torch

        a = self.system
        X = torch.from_numpy(standardised(self.views["image"][rows], a.mean_, a.scale_))
        Y = torch.from_numpy(present(self.views["tags"][rows]))
        return X.to(a.device), (Y if a.use_tags else torch.zeros_like(Y)).to(a.device)

    def attended(self, X: Tensor, Y: Tensor) -> Tensor:
        """x_att: what the image shows, and the tags of the batch that it resembles."""
        from modalhash.networks import cosines, torch

        x, y = self.network["image"](X), self.network["tags"](Y)
        if not (self.system.attention and self.system.use_tags):
            return x  # type: ignore[no-any-return]
        A = torch.relu(cosines(x, y))  # Eq. 2.25
        return A @ y / (A.sum(dim=1, keepdim=True) + EPSILON) + x  # type: ignore[no-any-return]  # Eq. 2.26

    def graphs(self, attended: Tensor, Y: Tensor) -> dict[str, Tensor]:
        """S_v, S_a and S of a batch by the names of GRAPHS."""
        a, width = self.system, self.system.bandwidth * mean_distance(attended)
        S_v = kernel(attended, width or 1.0)  # Eq. 2.27
        S_a = shared_tags(Y)  # Eq. 2.28
        return {"image": a.mu * S_v, "tags": S_a, "both": a.mu * S_v + S_a if a.use_tags else a.mu * S_v}  # Eq. 2.29

    def outputs(self, attended: Tensor, S: Tensor) -> tuple[Tensor, Tensor]:
        """Z^(1) and Z of a batch."""
        from modalhash.networks import propagator, torch

        P = propagator(S)
        first = torch.relu(self.network["first"](P, attended))  # Eq. 2.30
        return first, self.network["second"](P, first)  # Eq. 2.31

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        """The terms of Eq. 2.36 for a batch, weighted; the discriminator takes its own step now and then."""
        from modalhash.networks import bits, mean_square, torch

        a = self.system
        X, Y = self.batch(rows)
        seen = Y * (torch.rand(len(Y), 1, device=Y.device) >= a.hide)
        attended = self.attended(X, seen)
        _, Z = self.outputs(attended, self.graphs(attended, seen)[a.graph])
        self.adversary.step(Z)
        terms = {
            "adversary": self.adversary.loss(Z),
            "quantization": a.lambda2 * mean_square(Z, bits(Z)),
        }  # Eq. 2.32, 2.34
        if a.target == "features":
            terms["reconstruction"] = a.lambda1 * mean_square(self.network["decoder"](Z), X)
        elif a.use_tags or a.target != "tags":
            terms["reconstruction"] = a.lambda1 * self.reconstruction(Z, attended, Y)
        if a.use_tags:
            terms["tags"] = a.lambda3 * self.tag_loss(Z, Y)
        return terms

    def reconstruction(self, Z: Tensor, attended: Tensor, Y: Tensor) -> Tensor:
        """‖k S - [cos(Z, Z)]₊‖² for the graph to rebuild, a constant with largest value k (Eq. 2.33)."""
        from modalhash.networks import cosines, torch

        a = self.system
        most = {"tags": 1.0, "image": a.mu, "both": a.mu + float(a.use_tags)}[a.target]
        found = torch.relu(cosines(Z)) if a.normalise else Z @ Z.T
        errors = (a.k / most * self.graphs(attended.detach(), Y)[a.target] - found) ** 2
        known = self.tagged(Y) if a.target == "tags" else torch.ones_like(Y[:, 0])
        return weighted_mean(errors, known[:, None] * known)

    def tag_loss(self, Z: Tensor, Y: Tensor) -> Tensor:
        """The cross-entropy of the tags as a linear map of Z gives them (Eq. 2.35)."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        errors = binary_cross_entropy_with_logits(self.network["classifier"](Z), Y, reduction="none")
        return weighted_mean(errors.mean(dim=1), self.tagged(Y))

    def tagged(self, Y: Tensor) -> Tensor:
        """1 for items whose tags count in the losses, (b,)."""
        import torch

        return Y.amax(dim=1) if self.system.only_tagged else torch.ones_like(Y[:, 0])

    def frozen(self, anchors: NDArray[np.intp]) -> Arrays:
        """The weights, and what the anchors have to say to an item, as arrays; the last layer in float64."""
        import torch

        a, net = self.system, self.network.state_dict()
        with torch.no_grad():
            X, Y = self.batch(anchors)
            attended = self.attended(X, Y)
            S = self.graphs(attended, Y)[a.graph]
            first, _ = self.outputs(attended, S)
            tagged = Y[Y.amax(dim=1) > 0] if a.attention else Y[:0]
            f = {"image": net["image.weight"].T, "tags": tagged @ net["tags.weight"].T}
        f |= {"attended": attended, "first": net["first.linear.weight"].T}
        arrays = {name: np.array(values.cpu().numpy(), order="C") for name, values in f.items()}
        arrays["unit_tags"] = unit_rows(arrays["tags"])
        arrays["second"] = np.array(net["second.linear.weight"].T.double().cpu().numpy(), order="C")
        arrays["messages"] = first.double().cpu().numpy() @ arrays["second"]
        arrays["degrees"] = S.double().sum(dim=1).cpu().numpy()
        arrays["sigma"] = np.array(a.bandwidth * mean_distance(attended) or 1.0)
        return arrays


def present(tags: Matrix) -> NDArray[np.float32]:
    """1 where an item has a tag (a positive value), dense."""
    return np.asarray(dense(tags) > 0, dtype=np.float32)


def unit_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), EPSILON), dtype=np.float32)


def squares(values: Tensor) -> Tensor:
    """Squared distances of all pairs of rows, (b, b), never negative, 0 of a row to itself."""
    norms = (values**2).sum(dim=1)
    found = (norms[:, None] + norms - 2 * values @ values.T).clamp(min=0)
    return found - found.diag().diag()


def mean_distance(values: Tensor) -> float:
    """The mean distance of two different rows, a constant to the gradient; 0 for a single row."""
    b = len(values)
    return float(squares(values.detach()).sqrt().double().sum()) / max(1, b * (b - 1))


def kernel(values: Tensor, sigma: float) -> Tensor:
    """exp(-‖x_i - x_j‖² / 2σ²) of all pairs of rows."""
    return (squares(values) / (-2 * sigma**2)).exp()


def shared_tags(Y: Tensor) -> Tensor:
    """Cosine of the tags of all pairs of items, 1 of an item with itself, even one without tags."""
    from modalhash.networks import cosines

    return cosines(Y).fill_diagonal_(1.0)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """The mean of some values by weight, 0 where nothing weighs."""
    return (values * weights).sum() / weights.sum().clamp(min=1.0)
