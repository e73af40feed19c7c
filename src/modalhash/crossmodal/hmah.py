"""HMAH: hierarchical message aggregation hashing (book, section 3.3), for cross-modal search with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.hasher import Hasher, check_integer, check_real
from modalhash.layers import joined, of_view, run, standardised, standards_of
from modalhash.views import F64, Floats, Matrix, Views, blocks, check_encode_views, dense

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modalhash.training import Plan, Rows

WORDS = ("text", "tags")  # views that get the narrower first layer of the text's word networks
TEACHERS = ("complementary", "intra", "separate", "none")
FUSIONS = ("weights", "none", "concatenate")

VARIANTS: dict[str, dict[str, Any]] = {
    "HMAH": {},
    "HMAH-1": {"teacher": "none"},
    "HMAH-2": {"teacher": "separate"},
    "HMAH-3": {"teacher": "intra"},
    "HMAH-4": {"fusion": "none"},
    "HMAH-5": {"fusion": "concatenate"},
    "HMAH-6": {"adversary": False},
}


@dataclass(kw_only=True, eq=False)
class HMAH(Hasher):
    """Learns codes with a teacher that sees the labels as a graph, and one small student network a view.

    Minimises by Adam, first over the teacher, then over the students (means of squares over a batch),
    α‖cos(T, T) - S‖² + β‖T - B‖² + ‖D(T) - 1‖², and
    μ(‖cos(H_f, H_f) - C‖² + ‖cos(H_x, H_y) - C‖² + Σ_m ‖cos(H_m, H_m) - C_m‖²) + Σ_H ‖H - B‖².

    | symbol | name | shape |
    |---|---|---|
    | S | 2 σ(l_i·l_j) - 1 | b × b |
    | T, T_m | the teacher's values, the columns of view m in them | b × K, b × K/M |
    | B | sgn(T) | b × K |
    | C, C_m | cos(T, T), cos(T_m, T_m) | b × b |
    | H_m, H_f | student of view m; Σ_m w_m ∘ H_m, Σ_m w_m = 1 for every bit | b × K |
    | D | discriminator between T and Gaussian values | K → 64 → 32 → 1 |

    **Codes of items are fused**: an item with all its views gets sgn(H_f), one with a single view the code of that
    view's student; a query usually has one view.  `codes_` are the teacher's B, which have seen the labels.
    `n_bits` must be a multiple of 2M for M views.  Everything is seen in batches of b items.
    Epochs None: at least 90 batches and 20 passes, so that small sets are trained as long.  `encoder`, `student` and
    `discriminator` are widths of hidden layers; views called text or tags start with at most `words_width`.
    A view that never varies is set aside.
    """

    alpha: float = 100.0
    beta: float = 1e-3
    mu: float = 1.0
    encoder: tuple[int, ...] = (2048, 1024, 512)
    student: tuple[int, ...] = (2048, 512)
    words_width: int = 300
    discriminator: tuple[int, ...] = (64, 32)
    dropout: float = 0.5
    generator_steps: int = 5
    batch_size: int = 512
    epochs: int | None = None
    student_epochs: int | None = None
    learning_rate: float = 1e-3
    validation: float = 0.0
    patience: int = 10
    teacher: str = "complementary"
    fusion: str = "weights"
    adversary: bool = True
    as_printed: bool = False
    device: str = "cpu"

    needs_labels: ClassVar[bool] = True
    min_views: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "supervised, two views or more: a graph network teaches one small network a view; items get fused codes"
    )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("batch_size", "words_width", "generator_steps", "patience", "epochs", "student_epochs"):
            if getattr(self, name) is not None or not name.endswith("epochs"):
                check_integer(name, getattr(self, name), low=2 if name == "batch_size" else 1)
        if not self.encoder:
            raise ValueError("encoder: expected at least one width, got ()")
        for name in ("encoder", "student", "discriminator"):
            for width in getattr(self, name):
                check_integer(name, width, low=1)
        check_real("learning_rate", self.learning_rate, low=0, inclusive=False)
        for name in ("alpha", "beta", "mu", "dropout", "validation"):
            check_real(name, getattr(self, name), low=0)
        if self.dropout >= 1 or self.validation >= 1:
            raise ValueError(f"dropout, validation: expected less than 1, got {self.dropout} and {self.validation}")
        for name, known in (("teacher", TEACHERS), ("fusion", FUSIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")

    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        from modalhash.networks import to_arrays
        from modalhash.training import new_seed, objective, seeded, split_rows, train

        self.means_, self.scales_ = standards_of(views, self.name)
        self._check_parts(len(self.means_))
        n = next(iter(views.values())).shape[0]
        rng = self._rng()
        rows, held_out = split_rows(n, self.validation, rng)
        self.losses_: dict[str, list[float]] = {}
        with seeded(new_seed(rng)) as generator:
            T: dict[str, F64] = {}
            if self.teacher != "none":
                teacher = Teacher(self, views, labels)
                terms = train(teacher.network, teacher.loss, rows, self._plan("teacher", n), generator, held_out)
                self.losses_ |= {f"teacher: {name}": values for name, values in terms.items()}
                self.objective_ = objective(terms)
                T = teacher.values(n, generator)
            students = Students(self, views, labels, T)
            terms = train(students.network, students.loss, rows, self._plan("students", n), generator, held_out)
        self.losses_ |= {f"students: {name}": values for name, values in terms.items()}
        self.student_objective_ = objective(terms)
        if self.teacher == "none":
            self.objective_ = self.student_objective_
        self.students_ = joined({name: to_arrays(students.of(name)) for name in self.means_})
        self.fusion_ = students.fusion()
        whole = self.teacher in ("complementary", "intra")  # other teachers have no code of an item
        self.codes_ = BinaryCodes.from_signs(np.hstack(list(T.values()))) if whole else self.encode(views)

    def _check_parts(self, views: int) -> None:
        """The parts of a code must share its bits evenly."""
        parts = {"complementary": 2 * views, "intra": views}.get(self.teacher, 1)
        if self.fusion == "concatenate":
            parts = max(parts, views)
        if self.n_bits % parts:
            raise ValueError(f"n_bits: {self.name} with {views} views needs a multiple of {parts}, got {self.n_bits}")

    def _plan(self, stage: str, n: int) -> Plan:
        from modalhash.training import Plan, epochs_for

        epochs = self.epochs if stage == "teacher" else self.student_epochs
        return Plan(
            epochs=epochs or epochs_for(n, self.batch_size, steps=90, least=20),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience if self.validation else None,
            title=f"{self.name} {self.n_bits} bits, {stage}",
            verbose=self.verbose,
        )

    def widths(self, name: str, hidden: tuple[int, ...]) -> list[int]:
        """Widths of a network of one view, up to its last hidden layer."""
        first = min(hidden[0], self.words_width) if name in WORDS and hidden else None
        return [len(self.means_[name]), *([first, *hidden[1:]] if first else hidden)]

    # encoding
    def _student(self, name: str, block: Matrix) -> F64:
        """H_m of a block of rows (Eq. 3.12)."""
        if name not in self.means_:
            return np.zeros((block.shape[0], self.n_bits))
        X = standardised(block, self.means_[name], self.scales_[name])
        return np.asarray(np.tanh(run(of_view(self.students_, name), X, "tanh")))

    def _project(self, name: str, block: Matrix) -> Floats:
        """w_m ∘ H_m: the sum over the views is H_f (Eq. 3.13), one view alone has the signs of its student."""
        weight = self.fusion_.get(f"{name}/weight", np.ones(self.n_bits))
        return np.asarray(weight * self._student(name, block))

    def encode(self, views: Views) -> BinaryCodes:
        """Codes of items: fused where an item has all views, of the student of the views that it has otherwise.

        views: name -> (n, d); a view may be absent, or missing for some rows.  sign(0) = +1.  Raises ValueError for
        an unknown view, another width than in fit, or an item without any view.
        """
        codes = super().encode(views)
        if self.fusion != "concatenate":
            return codes
        checked, present = check_encode_views(views, self.widths_)
        if not all(name in checked for name in self.means_):
            return codes
        whole = np.all([present[name] for name in self.means_], axis=0)
        packed = codes.packed.copy()
        for rows in blocks(len(codes)):
            has = whole[rows]
            if has.any():
                parts = [self._part(name, checked[name][rows][has]) for name in self.means_]
                packed[rows][has] = np.packbits(np.hstack(parts) >= 0, axis=1)
        return BinaryCodes(packed, self.n_bits)

    def _part(self, name: str, block: Matrix) -> F64:
        """The columns of one view in a concatenated code (Eq. 3.22)."""
        head = of_view(self.fusion_, name)
        return np.asarray(np.einsum("nk,kj->nj", self._student(name, block), head["0.weight"]) + head["0.bias"])


class Stage:
    """What both stages see of a batch: its features and the similarity of its labels."""

    network: nn.ModuleDict

    def __init__(self, system: HMAH, views: Mapping[str, Matrix], labels: Matrix) -> None:
        from modalhash.training import Features

        self.system, self.labels, self.names = system, labels, list(system.means_)
        self.features = Features(views, system.means_, system.scales_, system.device)

    def similarity(self, rows: Rows) -> Tensor:
        """S of a batch (Eq. 3.3)."""
        import torch

        L = torch.from_numpy(dense(self.labels[rows])).float().to(self.system.device)
        return 2 * torch.sigmoid(L @ L.T) - 1


class Teacher(Stage):
    """The hierarchical message aggregation networks, and the discriminator that they play against."""

    def __init__(self, system: HMAH, views: Mapping[str, Matrix], labels: Matrix) -> None:
        super().__init__(system, views, labels)
        from torch import nn

        from modalhash.networks import mlp
        from modalhash.training import Adversary

        K, M = system.n_bits, len(self.names)
        width = {"complementary": K // (2 * M), "intra": K // M, "separate": K}[system.teacher]
        parts: dict[str, nn.Module] = {}
        for i, name in enumerate(self.names):
            parts[f"encoder {i}"] = mlp(
                system.widths(name, system.encoder), batch_norm=True, last_batch_norm=True, last="tanh"
            )
            parts[f"intra {i}"] = self._aggregation(system.encoder[-1], width, heads=1)
        if system.teacher == "complementary":
            parts["cross"] = self._aggregation(system.encoder[-1], width, heads=M)
        self.network = nn.ModuleDict(parts).to(system.device)
        self.adversary = None
        if system.adversary:
            widths, every = [K, *system.discriminator, 1], system.generator_steps
            self.adversary = Adversary(widths, system.learning_rate, every, system.device)

    def _aggregation(self, d: int, width: int, heads: int) -> nn.ModuleDict:
        """Two graph convolutions d → width → width; as printed, one d → d and a hash layer for every view."""
        from torch import nn

        from modalhash.networks import GraphConvolution, hash_head

        dropout = self.system.dropout
        if self.system.as_printed:
            hash_layers = {f"head {i}": hash_head(d, width) for i in range(heads)}
            return nn.ModuleDict({"first": GraphConvolution(d, d), **hash_layers})
        first, second = GraphConvolution(d, width, dropout=dropout), GraphConvolution(width, width, dropout=dropout)
        return nn.ModuleDict({"first": first, "second": second})

    def _aggregate(self, part: Any, P: Tensor, F: list[Tensor]) -> list[Tensor]:
        """Messages between all rows of F, taken apart again by view."""
        import torch

        messages = part["first"](P, torch.cat(F))
        if self.system.as_printed:
            return [part[f"head {i}"](torch.tanh(own)) for i, own in enumerate(messages.chunk(len(F)))]
        return list(torch.tanh(part["second"](P, messages)).chunk(len(F)))

    def outputs(self, X: Mapping[str, Tensor], S: Tensor) -> list[Tensor]:
        """T_m of every view: its own messages beside those from the other views (Eq. 3.6)."""
        from modalhash.networks import propagator, torch

        net, M, form = self.network, len(X), "symmetric" if self.system.as_printed else "rows"
        F = [net[f"encoder {i}"](x) for i, x in enumerate(X.values())]  # Eq. 3.1
        P = propagator(S, form)
        T = [self._aggregate(net[f"intra {i}"], P, [F[i]])[0] for i in range(M)]  # Eq. 3.2
        if "cross" not in net:
            return T
        eye = torch.eye(len(S), device=S.device)
        S_c = torch.cat([torch.cat([eye if i == j else S for j in range(M)], dim=1) for i in range(M)])  # Eq. 3.4
        across = self._aggregate(net["cross"], propagator(S_c, form), F)  # Eq. 3.5
        return [torch.cat(pair, dim=1) for pair in zip(T, across, strict=True)]

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        """The terms of Eq. 3.16 for a batch, weighted; the discriminator takes its own step now and then."""
        from modalhash.networks import add, bits, cosines, mean_square, torch

        a, S = self.system, self.similarity(rows)
        T = self.outputs(self.features(rows), S)
        spaces = T if a.teacher == "separate" else [torch.cat(T, dim=1)]  # Eq. 3.7
        J1 = add(mean_square(cosines(t), S) for t in spaces)  # Eq. 3.9
        J2 = add(mean_square(t, bits(t)) for t in spaces)  # Eq. 3.10
        terms = {"similarity": a.alpha * J1, "quantization": a.beta * J2}
        if self.adversary is not None:
            if self.network.training:
                self.adversary.step(torch.cat(spaces))
            terms["adversary"] = add(self.adversary.loss(t) for t in spaces)  # Eq. 3.11
        return terms

    def values(self, n: int, generator: Any) -> dict[str, F64]:
        """T_m of all training items, in eval mode, in batches drawn once."""
        from modalhash.networks import torch
        from modalhash.training import batches

        width = self.system.n_bits // (1 if self.system.teacher == "separate" else len(self.names))
        T = {name: np.empty((n, width)) for name in self.names}
        with torch.no_grad():
            for rows in batches(np.arange(n), self.system.batch_size, generator):
                outputs = self.outputs(self.features(rows), self.similarity(rows))
                for name, values in zip(self.names, outputs, strict=True):
                    T[name][rows] = values.cpu().numpy()
        return T


class Students(Stage):
    """One network a view that follows the teacher's values T, and how their outputs are fused."""

    def __init__(self, system: HMAH, views: Mapping[str, Matrix], labels: Matrix, T: Mapping[str, F64]) -> None:
        super().__init__(system, views, labels)
        from torch import nn

        from modalhash.networks import mlp, torch

        K, M = system.n_bits, len(self.names)
        self.T = [torch.from_numpy(values).float() for values in T.values()]
        parts: dict[str, nn.Module] = {}
        for i, name in enumerate(self.names):
            widths = [*system.widths(name, system.student), K]
            parts[f"student {i}"] = mlp(widths, batch_norm=True, last_batch_norm=True, last="tanh")
        if system.fusion == "weights":
            self.logits = nn.Parameter(torch.zeros(M, K, device=system.device))
            parts["weights"] = nn.ParameterList([self.logits])
        elif system.fusion == "concatenate":
            self.parts = [mlp([K, K // M]) for _ in range(M)]
            parts |= {f"part {i}": part for i, part in enumerate(self.parts)}
        self.network = nn.ModuleDict(parts).to(system.device)

    def of(self, name: str) -> Any:
        """The network of one view."""
        return self.network[f"student {self.names.index(name)}"]

    def outputs(self, X: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor | None]:
        """H_m of every view (Eq. 3.12), and H_f unless nothing is fused (Eq. 3.13, 3.22)."""
        import torch

        net = self.network
        H = [net[f"student {i}"](x) for i, x in enumerate(X.values())]
        if self.system.fusion == "weights":
            return H, (torch.stack(H) * self.weights()[:, None]).sum(dim=0)
        if self.system.fusion == "concatenate":
            return H, torch.cat([part(h) for part, h in zip(self.parts, H, strict=True)], dim=1)
        return H, None

    def weights(self) -> Tensor:
        """w, (M, K): positive, adding up to 1 for every bit, equal at the start."""
        return self.logits.softmax(dim=0)

    def fusion(self) -> dict[str, NDArray[Any]]:
        """What fuses the outputs of a fitted model, as arrays."""
        from modalhash.networks import to_arrays

        if self.system.fusion == "weights":
            w = self.weights().detach().cpu().double().numpy()
            return {f"{name}/weight": w[i] for i, name in enumerate(self.names)}
        if self.system.fusion == "concatenate":
            return joined({name: to_arrays(part) for name, part in zip(self.names, self.parts, strict=True)})
        return {}

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        """The terms of Eq. 3.17 for a batch, weighted; those of Eq. 3.18 without a shared teacher."""
        from modalhash.networks import add, bits, cosines, mean_square, torch

        a = self.system
        H, H_f = self.outputs(self.features(rows))
        T = [values[torch.from_numpy(rows)].to(a.device) for values in self.T]
        if a.teacher in ("separate", "none"):
            B = bits(H_f if H_f is not None else torch.stack(H).mean(dim=0))
            S = self.similarity(rows)
            terms = self._correlations(H, H_f, S, [S] * len(H))  # Eq. 3.19
            if T:
                terms["teacher"] = add(mean_square(h, t) for h, t in zip(H, T, strict=True))
        else:
            whole = torch.cat(T, dim=1)
            B = bits(whole)
            terms = self._correlations(H, H_f, cosines(whole), [cosines(t) for t in T])  # Eq. 3.14
        relaxed = H if H_f is None else [*H, H_f]
        return terms | {"codes": add(mean_square(h, B) for h in relaxed)}  # Eq. 3.15, 3.20

    def _correlations(self, H: list[Tensor], H_f: Tensor | None, C: Tensor, own: list[Tensor]) -> dict[str, Tensor]:
        """Q1: the cosines of fused, crossed and own outputs towards those given."""
        from modalhash.networks import add, cosines, mean_square

        mu = self.system.mu
        terms = {} if H_f is None else {"fused": mu * mean_square(cosines(H_f), C)}
        crossed = [mean_square(cosines(h, other), C) for h, other in combinations(H, 2)]
        intra = [mean_square(cosines(h), c) for h, c in zip(H, own, strict=True)]
        return terms | {"cross": mu * add(crossed), "intra": mu * add(intra)}
