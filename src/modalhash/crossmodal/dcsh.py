"""DCSH: deep cross-modality spectral hashing (Hoang et al. 2020), for cross-modal search without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.graphs import AnchorGraph, anchor_graph, centroids
from modalhash.hasher import Hasher, check_integer, check_real
from modalhash.layers import is_constant, joined, of_view, run, standardised, standards
from modalhash.solvers import itq_rotation, mean_and_scale, procrustes, signs
from modalhash.views import F64, Floats, Matrix, dense

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = 10_000  # training rows from which the anchors are learned

VARIANTS: dict[str, dict[str, Any]] = {
    "DCSH": {},
    "DCSH-F": {},  # the form on features, which is the only one here
    "DCSH-L": {"hidden": ()},
    "DCSH-independent": {"joint_anchors": False},
    "DCSH-unrotated": {"rotate": False},
    "DCSH-k_a=0": {"n_anchor_neighbours": 0},
    "DCSH-unscaled": {"unit_variance": False},
}


@dataclass(kw_only=True, eq=False)
class DCSH(Hasher):
    """Learns one binary code from the anchor graphs of all views, then one hash function a view.

    Stage 1 minimises over B in {-1, +1} and (Y^m)ᵀY^m = nI (Eq. 5, with 5b as the penalties of Eq. 9a), for one item,
    Σ_m [tr((Y^m)ᵀL^mY^m) - α tr(BᵀY^m)] / n + λ1/4 ‖BᵀB/n - I‖² + λ2/2 ‖Bᵀ1/n‖².
    Stage 2 minimises over the networks F^m, for batches of n items (Eq. 12),
    Σ_m ‖F^m - B‖² / 2n - γ1 Σ_{m≠t} tr((F^m)ᵀF^t) / n + γ2 Σ_{m,t} ‖(F^m)ᵀF^t / n - I‖².

    | symbol | name | shape |
    |---|---|---|
    | L^m | Laplacian of view m's anchor graph, kept as Ẑ (n × P) | n × n |
    | Y^m | spectral embedding of view m | n × K |
    | B | codes, -1 and +1 | n × K |
    | F^m | outputs of view m's network: d - 1024 - 512 - K (`hidden`; none of them: linear) | n × K |
    | λ1, λ2 | `independence` and `balance` of the bits | scalars |

    `objective_` holds stage 1 after every round and never rises; `losses_` the terms of stage 2, epoch by epoch.
    The printed λ = 1 and γ = 100 weigh sums: ‖BᵀB - nI‖² and, over a batch, tr((F^m)ᵀF^t) and ‖(F^m)ᵀF^t - nI‖².  Here
    λ and γ weigh means, as above, and 0.3 and 0.1 are ours: with γ = 100 the functions forget B.
    With `keep_parts` an unconnected part of a graph is known by its own eigenvector; the text drops them all.
    Views must be complete in training.  A view whose rows are all alike says nothing: its outputs are zero.
    Memory is O(n (K + k (k_a + 1))) beside the views and batches; nothing of size n × n is formed.
    """

    n_anchors: int | None = None
    n_neighbours: int = 3
    n_anchor_neighbours: int = 2
    alpha: float = 1.0
    independence: float = 0.3
    balance: float = 0.3
    max_iter: int = 10
    tolerance: float = 1e-3
    joint_anchors: bool = True
    unit_variance: bool = True
    rotate: bool = True
    keep_parts: bool = True
    hidden: tuple[int, ...] = (1024, 512)
    gamma1: float = 0.1
    gamma2: float = 0.1
    dropout: float = 0.5
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-3
    device: str = "cpu"

    summary: ClassVar[str] = (
        "unsupervised, any number of views: one code from the views' neighbourhoods, deep functions"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_neighbours", "max_iter", "epochs", "batch_size"):
            check_integer(name, getattr(self, name), low=1)
        check_integer("n_anchor_neighbours", self.n_anchor_neighbours, low=0)
        for width in self.hidden:
            check_integer("hidden", width, low=1)
        check_real("learning_rate", self.learning_rate, low=0, inclusive=False)
        for name in ("alpha", "independence", "balance", "tolerance", "gamma1", "gamma2", "dropout"):
            check_real(name, getattr(self, name), low=0)
        if self.dropout >= 1:
            raise ValueError(f"dropout: expected a share below 1, got {self.dropout}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        varied = {m: matrix for m, matrix in views.items() if not is_constant(matrix)}
        if not varied:
            raise ValueError(f"{self.name}: every view is constant: all rows are alike")
        rng = self._rng()
        B = self._learn_codes(self._graphs(varied, rng), rng)
        self.codes_ = BinaryCodes.from_signs(B)
        self._learn_functions(varied, B, rng)

    def _graphs(self, views: dict[str, Matrix], rng: np.random.Generator) -> dict[str, AnchorGraph]:
        """The anchor graph of every view."""
        n = next(iter(views.values())).shape[0]
        if self.n_anchors is not None:
            check_integer("n_anchors", self.n_anchors, low=1, high=n)
        P, seed = self.n_anchors or max(1, min(500, n // 2)), int(rng.integers(2**31))
        sample = np.sort(rng.permutation(n)[: max(SAMPLE, P)])
        means, scales = {}, {}
        for m, matrix in views.items():
            means[m], scale = mean_and_scale(matrix)
            scales[m] = scale if self.unit_variance else 1.0
        rows = {m: (dense(matrix[sample]) - means[m]) / scales[m] for m, matrix in views.items()}
        groups = [rows] if self.joint_anchors else [{m: values} for m, values in rows.items()]
        anchors = {m: U * scales[m] for group in groups for m, U in centroids(group, P, seed).items()}
        k, k_a = self.n_neighbours, self.n_anchor_neighbours
        return {m: anchor_graph(matrix, means[m], anchors[m], k, k_a) for m, matrix in views.items()}

    def _learn_codes(self, graphs: dict[str, AnchorGraph], rng: np.random.Generator) -> F64:
        """B: stage 1 (Alg. 2)."""
        Y = {m: graph.embedding(self.n_bits, parts=self.keep_parts) for m, graph in graphs.items()}
        for m, E in Y.items():
            if E.shape[1] < self.n_bits:
                raise ValueError(
                    f"{self.name}: n_bits={self.n_bits} needs as many eigenvectors; the graph of view {m!r} has "
                    f"{E.shape[1]} (fewer than its anchors: min(500, items / 2) unless n_anchors says otherwise)"
                )
        n = len(next(iter(Y.values())))
        R = aligned(Y) if self.rotate else {m: np.eye(self.n_bits) for m in Y}
        Y = {m: np.sqrt(n) * E @ R[m] for m, E in Y.items()}
        common = itq_rotation(sum(Y.values(), np.zeros(1)), 50, rng)
        Y = {m: values @ common for m, values in Y.items()}
        B = signs(sum(Y.values(), np.zeros(1)))
        self.objective_ = [self._objective(graphs, Y, B)]
        for _ in self._iterations(self.max_iter):
            B = self._better_codes(B, self.alpha * sum(Y.values(), np.zeros(1)))  # Alg. 4
            Y = {m: closest_embedding(graph, Y[m], B, self.alpha) for m, graph in graphs.items()}  # Eq. 10
            self.objective_.append(self._objective(graphs, Y, B))
            if self.objective_[-2] - self.objective_[-1] <= self.tolerance * abs(self.objective_[-2]):
                return B
        self._warn_not_converged(self.max_iter, self.tolerance)
        return B

    def _better_codes(self, B: F64, target: F64) -> F64:
        """The codes that the exact penalty method finds from B, if they are better than B."""
        found = exact_penalty(B, target, self.independence, self.balance)
        weights = (target, self.independence, self.balance)
        return found if code_loss(found, *weights) < code_loss(B, *weights) else B

    def _objective(self, graphs: Mapping[str, AnchorGraph], Y: Mapping[str, F64], B: F64) -> float:
        """Eq. 5 with the penalties of Eq. 9a, divided by n."""
        pull = self.alpha * sum(Y.values(), np.zeros(1))
        smooth = sum(float(np.sum(Y[m] * (Y[m] - graph.affinity(Y[m])))) for m, graph in graphs.items())
        return smooth / len(B) + code_loss(B, pull, self.independence, self.balance)

    def _learn_functions(self, views: dict[str, Matrix], B: F64, rng: np.random.Generator) -> None:
        """The networks: stage 2 (Eq. 12)."""
        import torch

        from modalhash.networks import mlp, to_arrays
        from modalhash.training import TEAM, Features, Plan, new_seed, seeded, train

        self.means_, self.scales_ = {}, {}
        for m, matrix in views.items():
            self.means_[m], self.scales_[m] = standards(matrix)
        features = Features(views, self.means_, self.scales_, self.device)
        codes, team = torch.from_numpy(B.astype(np.float32)), TEAM.get()
        with seeded(new_seed(rng)) as generator:
            networks = {
                m: mlp((matrix.shape[1], *self.hidden, self.n_bits), activation="relu", dropout=self.dropout)
                for m, matrix in views.items()
            }
            together = torch.nn.ModuleList(networks.values()).to(self.device)

            def loss(rows: NDArray[np.int64]) -> dict[str, Tensor]:
                inputs, wanted = features(rows), codes[torch.from_numpy(rows)].to(self.device)
                outputs = [network(inputs[m]) for m, network in networks.items()]
                return function_loss(outputs, wanted, self.gamma1, self.gamma2, team.mean)

            plan = Plan(
                epochs=self.epochs,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                title=f"{self.name} {self.n_bits} bits",
                verbose=self.verbose,
            )
            self.losses_ = train(together, loss, np.arange(len(B)), plan, generator, team=team)
        self.networks_ = joined({m: to_arrays(network) for m, network in networks.items()})

    def _project(self, name: str, block: Matrix) -> Floats:
        network = of_view(self.networks_, name)
        if not network:  # a view without variation
            return np.zeros((block.shape[0], self.n_bits))
        return run(network, standardised(block, self.means_[name], self.scales_[name]), "relu")


def function_loss(
    outputs: list[Tensor],
    codes: Tensor,
    gamma1: float,
    gamma2: float,
    mean: Callable[[Tensor], Tensor] = lambda values: values,
) -> dict[str, Tensor]:
    """The three terms of Eq. 12 for a batch of n items, divided by n, n and n²; outputs: one (n, K) a view.

    mean: makes means over these items means over the batch, where they are a part of it.
    """
    import torch

    n, k = codes.shape
    together = torch.cat(outputs, dim=1)
    gram = mean(together.T @ together / n)  # (F^m)ᵀF^t / n of all pairs of views
    eye = torch.eye(k, device=codes.device).repeat(len(outputs), len(outputs))
    same = torch.eye(len(outputs), device=codes.device).repeat_interleave(k, 0).repeat_interleave(k, 1)
    return {
        "fit": ((together - codes.repeat(1, len(outputs))) ** 2).sum() / (2 * n),
        "agreement": -gamma1 * (gram * eye * (1 - same)).sum(),  # traces of the blocks with m ≠ t
        "independence": gamma2 * ((gram - eye) ** 2).sum(),
    }


def aligned(embeddings: Mapping[str, F64], max_iter: int = 50) -> dict[str, F64]:
    """Rotations R^m (K, K) that maximise Σ_{m≠t} tr((Y^t R^t)ᵀ Y^m R^m), one at a time until they settle (Alg. 3)."""
    Y = dict(embeddings)
    k = next(iter(Y.values())).shape[1]
    R = {m: np.eye(k) for m in Y}
    cross = {(m, t): Y[m].T @ Y[t] for m in Y for t in Y if m != t}
    before = -np.inf
    for _ in range(max_iter if len(Y) > 1 else 0):
        for m in Y:
            R[m] = procrustes(sum((cross[m, t] @ R[t] for t in Y if t != m), np.zeros((k, k))))  # V Uᵀ, Eq. 8
        value = sum(float(np.sum((R[m].T @ cross[m, t]) * R[t].T)) for m, t in cross)  # Eq. 7
        if value - before <= 1e-9 * abs(value):
            break
        before = value
    return R


def code_loss(B: F64, target: F64, independence: float, balance: float) -> float:
    """-tr(Bᵀ target) + λ1/4n ‖BᵀB - nI‖² + λ2/2n ‖Bᵀ1‖², for one item (Eq. 9a, divided by n)."""
    n, k = B.shape
    gram = B.T @ B / n - np.eye(k)
    return float(-np.sum(B * target) / n + independence / 4 * np.sum(gram**2) + balance / 2 * np.sum(B.mean(0) ** 2))


def code_gradient(B: F64, target: F64, independence: float, balance: float) -> F64:
    """n times the gradient of `code_loss` in B (Eq. 18 without its last term)."""
    n, k = B.shape
    coupling = independence * (B.T @ B / n - np.eye(k))
    return np.asarray(B @ coupling + (balance * B.mean(axis=0) - target))


def exact_penalty(start: F64, target: F64, independence: float, balance: float) -> F64:
    """Codes that make `code_loss` small, by the exact penalty method from `start` in [-1, 1] (Alg. 4).

    Projected gradient steps on the loss plus ρ(nK - tr(BᵀV)), with V the point of the sphere ‖V‖² = nK nearest to B,
    while ρ grows until every value is -1 or +1.
    """
    B, V, rho = start.copy(), np.zeros_like(start), 0.1
    for _ in range(400):
        for _ in range(10):
            step = np.clip(B - 0.01 * (code_gradient(B, target, independence, balance) - rho * V), -1.0, 1.0)
            change = float(np.abs(step - B).max())
            B = step
            if change < 1e-3:
                break
        if np.abs(B).min() > 1.0 - 1e-6:
            break
        V = B * (np.sqrt(B.size) / (np.linalg.norm(B) or 1.0))  # Eq. 20
        rho *= 1.05
    return signs(B)


def closest_embedding(graph: AnchorGraph, Y: F64, B: F64, alpha: float, max_iter: int = 100) -> F64:
    """Y with YᵀY = nI that makes tr(YᵀLY) - α tr(BᵀY) small, from a feasible Y (Eq. 10).

    tr(YᵀLY) = const - tr(YᵀAY) is concave on the constraint, so that each Y <- √n · procrustes(2AY + αB)
    minimises an upper bound that touches it: the value never rises.
    """
    n = len(Y)
    before = np.inf
    for _ in range(max_iter):
        pull = 2.0 * graph.affinity(Y) + alpha * B
        value = -float(np.sum((pull + alpha * B) * Y)) / (2.0 * n)  # J without its constant, an item
        if before - value <= 1e-6 * abs(value):
            break
        before = value
        Y = np.sqrt(n) * procrustes(pull)
    return Y
