"""BSTH: bit-aware semantic transformer hashing (book, section 4.4), for search with all views at once, with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from modalhash.codes import BinaryCodes
from modalhash.fusion import FusedHasher, Mask, fuse, who_has
from modalhash.hasher import check_choice, check_integer, check_real, present_rows
from modalhash.layers import ROWS, is_constant, of_view, run, standardised, standards
from modalhash.solvers import signs
from modalhash.transformer import bit_values, encode_tokens
from modalhash.views import F64, Matrix, blocks, dense

if TYPE_CHECKING:
    from torch import Tensor

    from modalhash.training import Plan, Rows

WORDS = ("text", "tags")  # views that get the narrower network of the text's word vectors
ENCODERS = ("separate", "shared", "none")
SUPERVISION = ("prototypes", "labels")

VARIANTS: dict[str, dict[str, Any]] = {
    "BSTH": {},
    "BSTH-T": {"only": "text"},
    "BSTH-I": {"only": "image"},
    "BSTH-FMLP": {"encoder": "none"},
    "BSTH-SH": {"bitwise": False},
    "BSTH-NC": {"gamma": (0.001, 100.0, 0.0, 0.01)},
    "BSTH-PMLP": {"supervision": "labels"},
    "BSTH-SHARE": {"encoder": "shared"},
    "BSTH-no-positions": {"positions": ()},
    "BSTH-image-positions": {"positions": ("image",)},
    "BSTH-text-positions": {"positions": ("text",)},
}


@dataclass(kw_only=True, eq=False)
class BSTH(FusedHasher):
    """Learns one concept a bit from every view, fuses the concepts, and makes each fused concept a bit.

    Minimises by Adam (means over items), first over the prototypes P of the labels, then over the views' networks,
    γ1‖l~ᴸ - l‖² + γ2‖hᴸ - bᴸ‖² + γ3‖cos(P, P) - R~‖² + γ4 (hᴸ1)² with hᴸ = lP, and
    β1‖l~ - l‖² + β2‖h - bᴸ‖² + β3‖cos(h, h) - S‖².

    | symbol | name | shape |
    |---|---|---|
    | P | prototypes of the labels, out of a transformer encoder over the labels | c × K |
    | R~ | shares of items in which two labels meet; diagonal 1 | c × c |
    | bᴸ | sgn(hᴸ), codes of the labels | n × K |
    | C_m | concepts of view m: d - `hidden` - `width`, decoupled to K rows, then a transformer encoder | K × `width` |
    | h | heads, one a bit, of the mean of C_m over the views that an item has | n × K |
    | l~, l~ᴸ | sigmoid of a linear layer on h, on hᴸ | n × c |
    | S | 2 σ(l_i·l_j) - 1 | b × b |

    **Codes of items are fused**, from the views that each of them has; views may be missing in training, too.
    `codes_` are bᴸ, which have seen the labels.  With `view_dropout`, each batch is seen twice, whole and with every
    view of an item left out with that probability (never all).  `adaptive` weighs the views of an item by how well
    their own bits agree with its code (see `fusion`), else they weigh the same.
    The text's sizes are width=128, hidden=2048, words_hidden=1024 (views called text or tags), batch_size=1024; work
    in an epoch grows with items × views × n_bits × width² first of all.  Small sets are seen in batches of an eighth,
    at least 32 rows; epochs None: at least 300 batches and 40 passes.  A view that never varies is set aside:
    `view_weights` gives it 0, so that rows of items of which nothing else is known are all 0.
    """

    width: int = 32
    hidden: int = 512
    words_hidden: int = 512
    n_layers: int = 2
    beta: tuple[float, ...] = (1.0, 0.01, 1.0)
    gamma: tuple[float, ...] = (0.001, 100.0, 1.0, 0.01)
    dropout: float = 0.2
    view_dropout: float = 0.5
    encoder: str = "separate"
    bitwise: bool = True
    supervision: str = "prototypes"
    positions: tuple[str, ...] | None = None
    adaptive: bool = False
    label_epochs: int = 100
    epochs: int | None = None
    batch_size: int = 256
    learning_rate: float = 1e-3
    device: str = "cpu"

    needs_labels: ClassVar[bool] = True
    fits_missing_views: ClassVar[bool] = True
    summary: ClassVar[str] = "supervised, any number of views: a transformer encoder gives every bit its own concept"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("width", "hidden", "words_hidden", "n_layers", "label_epochs", "epochs", "batch_size"):
            if getattr(self, name) is not None or name != "epochs":
                check_integer(name, getattr(self, name), low=2 if name == "batch_size" else 1)
        check_real("learning_rate", self.learning_rate, low=0, inclusive=False)
        for name, length in (("beta", 3), ("gamma", 4)):
            if not isinstance(getattr(self, name), tuple) or len(getattr(self, name)) != length:
                raise ValueError(f"{name}: expected {length} weights, got {getattr(self, name)!r}")
            for weight in getattr(self, name):
                check_real(name, weight, low=0)
        for name in ("dropout", "view_dropout"):
            check_real(name, getattr(self, name), low=0)
            if getattr(self, name) >= 1:
                raise ValueError(f"{name}: expected a share below 1, got {getattr(self, name)}")
        check_choice("encoder", self.encoder, ENCODERS)
        check_choice("supervision", self.supervision, SUPERVISION)
        if self.positions is not None and not isinstance(self.positions, tuple):
            raise TypeError(f"positions: expected a tuple of view names or None, got {self.positions!r}")

    def hidden_of(self, name: str) -> int:
        """Width of the hidden layer of a view's own network."""
        return self.words_hidden if name in WORDS else self.hidden

    def has_positions(self, name: str) -> bool:
        """True if the concepts of a view are told apart by position encodings."""
        return self.positions is None or name in self.positions

    # learning
    def _fit(self, views: dict[str, Matrix], labels: Matrix | None) -> None:
        from modalhash.networks import check_device
        from modalhash.training import new_seed, seeded

        check_device(self.device)
        assert labels is not None
        if labels.shape[0] < 2:
            raise ValueError(f"{self.name}: needs at least 2 items, got {labels.shape[0]}")
        for name in self.positions or ():
            if name not in views:
                raise ValueError(f"positions: view {name!r} is unknown; views: {', '.join(map(repr, views))}")
        self._learn_standards(self._views_to_learn(views))
        with seeded(new_seed(self._rng())) as generator:
            B = self._learn_labels(labels, generator)
            self.codes_ = BinaryCodes.from_signs(B)
            self._learn_views(views, labels, np.where(dense(labels.sum(axis=1)).reshape(-1, 1) > 0, B, 0.0), generator)

    def _learn_standards(self, views: Mapping[str, Matrix]) -> None:
        """Mean and scale of the views that say something."""
        self.means_, self.scales_ = {}, {}
        for name, has in present_rows(views).items():
            matrix = views[name] if has.all() else views[name][has]
            if not is_constant(matrix):
                self.means_[name], self.scales_[name] = standards(matrix)
        if not self.means_:
            raise ValueError(f"{self.name}: needs a view that varies over the items, got {', '.join(map(repr, views))}")

    def _learn_labels(self, labels: Matrix, generator: Any) -> F64:
        """bᴸ of all items: stage 1, all items at once."""
        import torch

        from modalhash.composite.concepts import LabelNetwork, Prototypes, label_loss
        from modalhash.training import train

        n, c = labels.shape
        L = torch.from_numpy(dense(labels)).float().to(self.device)
        R = (L.T @ L / n).fill_diagonal_(1.0)
        network = (Prototypes if self.supervision == "prototypes" else LabelNetwork)(c, self.n_bits).to(self.device)

        def loss(rows: Rows) -> dict[str, Tensor]:
            h, P = network(L)
            return label_loss(h, network.classifier(h), L, P, R, self.gamma)

        self.label_losses_ = train(network, loss, np.arange(n), self._plan("labels", n, self.label_epochs), generator)
        with torch.no_grad():
            return signs(network(L)[0].cpu().double().numpy())

    def _learn_views(self, views: Mapping[str, Matrix], labels: Matrix, B: F64, generator: Any) -> None:
        """The networks of the views: stage 2."""
        import torch

        from modalhash.composite.concepts import Concepts, code_loss
        from modalhash.training import Features, batch_size_for, epochs_for, objective, train

        n, c = labels.shape
        features = Features(views, self.means_, self.scales_, self.device)
        present = present_rows(views)
        has = torch.from_numpy(np.stack([present[name] for name in self.means_])).to(self.device)
        leave_out = bool(self.view_dropout) and len(self.means_) > 1
        network = Concepts(self, {name: len(mean) for name, mean in self.means_.items()}, c).to(self.device)

        def loss(rows: Rows) -> dict[str, Tensor]:
            own = has[:, torch.from_numpy(rows)]
            X = {
                name: torch.where(mask[:, None], x, 0.0)
                for mask, (name, x) in zip(own, features(rows).items(), strict=True)
            }
            masks = (own, self._some_views(own)) if leave_out and network.training else (own,)
            h = network(X, *masks)
            L, targets = (
                torch.from_numpy(dense(part[rows])).float().repeat(len(masks), 1).to(self.device)
                for part in (labels, B)
            )
            return code_loss(h, network.classifier(h), L, targets, self.beta)

        size = batch_size_for(n, self.batch_size, steps=8)
        epochs = self.epochs or epochs_for(n, size, steps=300, least=40)
        self.losses_ = train(network, loss, np.arange(n), self._plan("views", size, epochs), generator)
        self.objective_ = objective(self.losses_)
        arrays = network.arrays()
        self.features_, self.decouple_ = arrays["features"], arrays["decouple"]
        self.encoders_, self.heads_ = arrays["encoders"], arrays["heads"]

    def _some_views(self, has: Tensor) -> Tensor:
        """The views that the items of a batch are left with, (M, b) bool, at least one of those that they have."""
        import torch

        draws = torch.rand(has.shape, device=has.device).masked_fill(~has, -1.0)
        return has & ((draws >= self.view_dropout) | (draws == draws.max(dim=0).values))

    def _plan(self, stage: str, size: int, epochs: int) -> Plan:
        from modalhash.training import Plan

        return Plan(
            epochs=epochs,
            batch_size=max(2, size),
            learning_rate=self.learning_rate,
            title=f"{self.name} {self.n_bits} bits, {stage}",
            verbose=self.verbose,
        )

    # encoding
    def _outputs_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> tuple[F64, Mask]:
        """Values (1, rows, K) whose signs are the bits: the views have been fused on the way to them."""
        values = self._fused(block, present, rows)[0][None]
        return values, np.ones(values.shape[:2], dtype=bool)

    def _fuse(self, outputs: F64, has: Mask) -> F64:
        return np.asarray(outputs[0])

    def _weights_of(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> F64:
        """Weights (views, rows) of the views in the fused concepts; 0 for all where only constant views are known."""
        found = dict(zip(self.means_, self._fused(block, present, rows)[1], strict=True))
        nothing = np.zeros(next(iter(block.values())).shape[0])
        return np.stack([found.get(name, nothing) for name in self.widths_])

    def _fused(self, block: Mapping[str, Matrix], present: Mapping[str, Mask], rows: slice) -> tuple[F64, F64]:
        """Values (rows, K) of a block of rows, and the weights (M, rows) of the views in `means_`."""
        has = who_has(self.means_, present, rows)
        n = has.shape[1]
        values, weights = np.empty((n, self.n_bits)), np.empty((len(has), n))
        for part in blocks(n, ROWS):
            length = part.stop - part.start
            own = np.zeros((len(has), ROWS), dtype=bool)
            own[:, :length] = has[:, part]
            features = {
                name: self._features(name, block[name][part], mask)
                for name, mask in zip(self.means_, own, strict=True)
                if mask.any()
            }
            concepts = self._concepts(features, own)
            shares = self._shares(concepts, own)
            values[part] = self._head_values(self._mean(concepts, shares))[:length]
            weights[:, part] = shares[:, :length]
        return values, weights

    def _features(self, name: str, rows: Matrix, mask: Mask) -> NDArray[np.float32]:
        """f of one view (Eq. 4.62) in a block of ROWS rows, as if rows of zeros where it is missing."""
        X = np.zeros((ROWS, self.widths_[name]), dtype=np.float32)
        X[: rows.shape[0]] = standardised(rows, self.means_[name], self.scales_[name])
        X[~mask] = 0.0
        return np.tanh(run(of_view(self.features_, name), X, "relu")).astype(np.float32)

    def _shares(self, concepts: Mapping[str, NDArray[np.float32]], has: Mask) -> F64:
        """Weights (M, rows) of the views of each item."""
        equal = has / np.maximum(has.sum(axis=0), 1)
        several = has.sum(axis=0) > 1
        if not self.adaptive or not several.any():
            return np.asarray(equal)
        outputs = np.zeros((*has.shape, self.n_bits))
        for output, name in zip(outputs, self.means_, strict=True):
            if name in concepts:
                output[:] = np.tanh(self._head_values(concepts[name]))
        equal[:, several] = fuse(outputs[:, several], has[:, several])[1]
        return np.asarray(equal)

    def _mean(self, concepts: Mapping[str, NDArray[np.float32]], shares: F64) -> NDArray[np.float32]:
        """The fused concepts (rows, K, width) (Eq. 4.65)."""
        fused = np.zeros((ROWS, 1 if self.encoder == "none" else self.n_bits, self.width), dtype=np.float32)
        for name, share in zip(self.means_, shares.astype(np.float32), strict=True):
            if name in concepts:
                fused += share[:, None, None] * concepts[name]
        return fused

    def _head_values(self, fused: NDArray[np.float32]) -> F64:
        """h before its last tanh (Eq. 4.67)."""
        if self.bitwise and self.encoder != "none":
            return bit_values(self.heads_, fused)
        return run(self.heads_, fused.sum(axis=1), "tanh")

    def _concepts(self, features: Mapping[str, NDArray[np.float32]], has: Mask) -> dict[str, NDArray[np.float32]]:
        """Refined concepts (rows, K, width) of the views (Eq. 4.63-4.64)."""
        if self.encoder == "none":
            return {name: f[:, None] for name, f in features.items()}
        coarse = {name: self._coarse(name, f) for name, f in features.items()}
        if self.encoder == "separate":
            return {name: encode_tokens(of_view(self.encoders_, name), C) for name, C in coarse.items()}
        absent = np.zeros((ROWS, self.n_bits, self.width), dtype=np.float32)
        seen = np.repeat((has | ~has.any(axis=0)).T, self.n_bits, axis=1)
        tokens = np.concatenate([coarse.get(name, absent) for name in self.means_], axis=1)
        together = np.split(encode_tokens(self.encoders_, tokens, seen), len(self.means_), axis=1)
        return dict(zip(self.means_, together, strict=True))

    def _coarse(self, name: str, f: NDArray[np.float32]) -> NDArray[np.float32]:
        network = of_view(self.decouple_, name)
        return np.asarray((f @ network["weight"] + network["bias"]).reshape(ROWS, self.n_bits, self.width))
