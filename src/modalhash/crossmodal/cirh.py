"""CIRH: correlation-identity reconstruction hashing (book, section 3.4), for cross-modal search without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from modalhash.codes import BinaryCodes
from modalhash.hasher import Hasher, check_integer, check_real
from modalhash.layers import joined, of_view, run, standardised, standards_of
from modalhash.views import F64, Floats, Matrix

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modalhash.training import Plan, Rows


VARIANTS: dict[str, dict[str, Any]] = {
    "CIRH": {},
    "CIRH-ACR": {"lambda2": 0.0},
    "CIRH-ISR": {"lambda1": 0.0},
    "CIRH-CSA": {"aggregate": False},
    "CIRH-MCGC": {"refine_graph": False},
    "CIRH-GCN": {"convolve": False},
    "CIRH-FUN": {"consistent_functions": False},
    "CIRH-Sigmoid": {"sigmoid": False},
}


@dataclass(kw_only=True, eq=False)
class CIRH(Hasher):
    """Learns codes that rebuild both the views and the graph of their similarities, then one function a view.

    Minimises by Adam, first over the codes' networks, then over the functions (means of squares over a batch),
    λ1 Σ_m ‖X'_m - X_m‖² + λ2 Σ_H ‖S - cos(H, H)‖² + ‖B - H_J‖², H over H_1 … H_M and H_J, B = sgn(H_J), and
    Σ_{m<l} ‖f_m - f_l‖² + Σ_m ‖B - f_m‖² + β Σ_{m≤l} ‖S - cos(f_m, f_l)‖².

    | symbol | name | shape |
    |---|---|---|
    | X_m | view m, centred and scaled | b × d_m |
    | S | graph of the views' similarities | b × b |
    | V_m, V_Gm, V_J | latent view, after its graph convolution, after that over all views | b × width |
    | H_m, H_J | relaxed codes of a view and of the item | b × K |
    | B | codes, -1 and +1 | b × K |
    | f_m | hash function of view m: d_m → hidden → K, tanh | b × K |

    Everything is seen in batches of b items; the n × n graph is never formed.  `batch_size` None: n/10 within
    32 … 512, so that small sets get as many steps.  `alpha1` is the weight of the first view in S; the others
    share the rest.  `hidden` None: as wide as the view, at most 1,024.  A view that never varies is set aside.
    The functions of an item's views are summed before the sign.  `codes_` are the signs of H_J.
    """

    alpha1: float = 0.5
    alpha2: float = 0.6
    cut: float = 0.95
    lambda1: float = 10.0
    lambda2: float = 1.0
    beta: float = 0.01
    width: int = 512
    hidden: int | None = None
    batch_size: int | None = None
    epochs: int = 30
    function_epochs: int = 30
    learning_rate: float = 1e-3
    function_learning_rate: float = 1e-3
    validation: float = 0.0
    patience: int = 10
    aggregate: bool = True
    refine_graph: bool = True
    convolve: bool = True
    consistent_functions: bool = True
    sigmoid: bool = True
    device: str = "cpu"

    min_views: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "unsupervised, two views or more: graph convolution learns the codes, one small network a view finds them"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("width", "epochs", "function_epochs", "patience"):
            check_integer(name, getattr(self, name), low=1)
        for name in ("hidden", "batch_size"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), low=1 if name == "hidden" else 2)
        for name in ("learning_rate", "function_learning_rate"):
            check_real(name, getattr(self, name), low=0, inclusive=False)
        for name in ("alpha1", "alpha2", "cut", "lambda1", "lambda2", "beta", "validation"):
            check_real(name, getattr(self, name), low=0)
        for name in ("alpha1", "alpha2", "cut"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}: expected a number from 0 to 1, got {getattr(self, name)}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        from modalhash.networks import to_arrays
        from modalhash.training import batch_size_for, new_seed, objective, seeded, split_rows, train

        self.means_, self.scales_ = standards_of(views, self.name)
        n = next(iter(views.values())).shape[0]
        rng = self._rng()
        rows, held_out = split_rows(n, self.validation, rng)
        size = self.batch_size or batch_size_for(n, most=512, steps=10)
        with seeded(new_seed(rng)) as generator:
            stage = CodeStage(self, views)
            codes = train(stage.network, stage.loss, rows, self._plan("codes", size), generator, held_out)
            B = stage.codes(n, size, generator)
            functions = FunctionStage(self, views, B)
            found = train(functions.network, functions.loss, rows, self._plan("functions", size), generator, held_out)
        self.codes_ = BinaryCodes.from_signs(B)
        self.functions_ = joined({name: to_arrays(functions.of(name)) for name in self.means_})
        self.losses_ = {f"codes: {name}": values for name, values in codes.items()}
        self.losses_ |= {f"functions: {name}": values for name, values in found.items()}
        self.objective_ = objective(codes)
        self.function_objective_ = objective(found)

    def _plan(self, stage: str, size: int) -> Plan:
        from modalhash.training import Plan

        return Plan(
            epochs=self.epochs if stage == "codes" else self.function_epochs,
            batch_size=size,
            learning_rate=self.learning_rate if stage == "codes" else self.function_learning_rate,
            patience=self.patience if self.validation else None,
            title=f"{self.name} {self.n_bits} bits, {stage}",
            verbose=self.verbose,
        )

    def _project(self, name: str, block: Matrix) -> Floats:
        if name not in self.means_:
            return np.zeros((block.shape[0], self.n_bits))
        X = standardised(block, self.means_[name], self.scales_[name])
        return np.asarray(np.tanh(run(of_view(self.functions_, name), X, HIDDEN)))


HIDDEN = "relu"  # activation inside the hash functions


class Stage:
    """What both stages see of a batch: its features and the graph of their similarities."""

    network: nn.ModuleDict

    def __init__(self, system: CIRH, views: Mapping[str, Matrix]) -> None:
        from modalhash.training import Features

        self.system, self.widths = system, {name: len(mean) for name, mean in system.means_.items()}
        self.features = Features(views, system.means_, system.scales_, system.device)

    def graph(self, X: Mapping[str, Tensor]) -> Tensor:
        """S of a batch (Eq. 3.23-3.27)."""
        from modalhash.networks import cosines, torch

        a = self.system
        weights = [a.alpha1, *[(1.0 - a.alpha1) / (len(X) - 1)] * (len(X) - 1)]
        S1 = torch.stack([weight * cosines(x) for weight, x in zip(weights, X.values(), strict=True)]).sum(dim=0)
        if not a.refine_graph:
            return S1
        k = int(a.cut * len(S1))
        if k:
            S1 = S1.scatter(1, S1.topk(k, dim=1, largest=False).indices, 0.0)  # Eq. 3.25, with 0 for -1
        S1 = (S1 + S1.T) / 2
        S2 = (2 * torch.sigmoid(S1) - 1 if a.sigmoid else S1) + torch.eye(len(S1), device=S1.device)  # Eq. 3.26
        return a.alpha2 * S1 + (1 - a.alpha2) * S2  # Eq. 3.27


class CodeStage(Stage):
    """Stage one: encoders, graph convolutions and decoders around the relaxed codes."""

    def __init__(self, system: CIRH, views: Mapping[str, Matrix]) -> None:
        super().__init__(system, views)
        from torch import nn

        from modalhash.networks import GraphConvolution, hash_head, mlp

        K, w, M = system.n_bits, system.width, len(self.widths)
        parts: dict[str, nn.Module] = {
            "joint": GraphConvolution(w, w) if system.aggregate else nn.Linear(M * w, w),
            "head of the joint": nn.Linear(w, K),
            "hash": hash_head((M + 1) * K, K),
        }
        for i, d in enumerate(self.widths.values()):
            parts[f"encoder {i}"] = mlp([d, w], last="relu", last_batch_norm=True)
            parts[f"convolution {i}"] = GraphConvolution(w, w)
            parts[f"head {i}"] = nn.Linear(2 * w, K)
            parts[f"decoder {i}"] = mlp([K, w, d], activation="relu", batch_norm=True, last_batch_norm=True)
        self.network = nn.ModuleDict(parts).to(system.device)

    def relaxed(self, X: Mapping[str, Tensor], S: Tensor) -> tuple[list[Tensor], Tensor]:
        """H_1 … H_M and H_J of a batch."""
        from modalhash.networks import propagator, torch

        net, M, b = self.network, len(X), len(S)
        V = [net[f"encoder {i}"](x) for i, x in enumerate(X.values())]
        eye = torch.eye(b, device=S.device)
        P = propagator(S) if self.system.convolve else eye
        V_G = [torch.relu(net[f"convolution {i}"](P, v)) for i, v in enumerate(V)]  # Eq. 3.28
        if self.system.aggregate:
            across = [torch.cat([S if i == j else eye for j in range(M)], dim=1) for i in range(M)]
            P_c = propagator(torch.cat(across)) if self.system.convolve else torch.eye(M * b, device=S.device)
            V_J = torch.relu(net["joint"](P_c, torch.cat(V)).reshape(M, b, -1).sum(dim=0))  # Eq. 3.30
        else:
            V_J = torch.relu(net["joint"](torch.cat(V, dim=1)))
        H = [net[f"head {i}"](torch.cat([v, V_J], dim=1)) for i, v in enumerate(V_G)]
        H_J = net["hash"](torch.cat([*H, net["head of the joint"](V_J)], dim=1))
        return H, H_J

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        """The terms of Eq. 3.35 for a batch, weighted."""

        from modalhash.networks import add, bits, cosines, mean_square

        a, X = self.system, self.features(rows)
        S = self.graph(X)
        H, H_J = self.relaxed(X, S)
        terms = {"DIS": mean_square(bits(H_J), H_J)}  # Eq. 3.32
        if a.lambda1:
            rebuilt = [self.network[f"decoder {i}"](h) for i, h in enumerate(H)]
            errors = [mean_square(r, x) for r, x in zip(rebuilt, X.values(), strict=True)]
            terms["CCR"] = a.lambda1 * add(errors)  # Eq. 3.29
        if a.lambda2:
            errors = [mean_square(S, cosines(h)) for h in (*H, H_J)]
            terms["ACR"] = a.lambda2 * add(errors)  # Eq. 3.31
        return terms

    def codes(self, n: int, size: int, generator: Any) -> F64:
        """B of all training items, in eval mode, in batches drawn once."""
        import torch

        from modalhash.solvers import signs
        from modalhash.training import batches

        B = np.empty((n, self.system.n_bits))
        with torch.no_grad():
            for rows in batches(np.arange(n), size, generator):
                X = self.features(rows)
                B[rows] = signs(self.relaxed(X, self.graph(X))[1].cpu().numpy())
        return B


class FunctionStage(Stage):
    """Stage two: one hash function a view, towards the codes and the graph."""

    def __init__(self, system: CIRH, views: Mapping[str, Matrix], B: F64) -> None:
        super().__init__(system, views)
        import torch
        from torch import nn

        from modalhash.networks import mlp

        self.B = torch.from_numpy(B).float()
        nets = [
            mlp([d, system.hidden or min(d, 1024), system.n_bits], activation=HIDDEN, last="tanh")
            for d in self.widths.values()
        ]
        self.network = nn.ModuleDict({f"function {i}": net for i, net in enumerate(nets)}).to(system.device)

    def of(self, name: str) -> Any:
        """The network of one view."""
        return self.network[f"function {list(self.widths).index(name)}"]

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        """The terms of Eq. 3.36 for a batch, weighted."""
        from modalhash.networks import add, cosines, mean_square, torch

        a, X = self.system, self.features(rows)
        B = self.B[torch.from_numpy(rows)].to(a.device)
        f = [self.network[f"function {i}"](x) for i, x in enumerate(X.values())]
        terms = {"codes": add(mean_square(B, own) for own in f)}
        if a.consistent_functions:
            S = self.graph(X)
            pairs = list(combinations(f, 2))
            terms["agreement"] = add(mean_square(own, other) for own, other in pairs)  # Eq. 3.33
            errors = [mean_square(S, cosines(own, other)) for own, other in (*zip(f, f, strict=True), *pairs)]
            terms["graph"] = a.beta * add(errors)  # Eq. 3.34
        return terms
