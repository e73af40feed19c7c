"""The two networks of BSTH and their losses: prototypes of labels, and views that become one concept a bit.

This file needs torch and is imported only where BSTH is fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from modalhash.layers import Arrays, joined
from modalhash.networks import BitHeads, EncoderLayer, GroupedLinear, bits, cosines, mean_square, mlp, to_arrays
from modalhash.transformer import sinusoids

if TYPE_CHECKING:
    from modalhash.composite.bsth import BSTH


class Prototypes(nn.Module):
    """One embedding a label, from all labels' embeddings in a transformer encoder; codes are sums of prototypes."""

    def __init__(self, c: int, n_bits: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(c, n_bits))
        self.encoder, self.heads = EncoderLayer(n_bits, 2 * n_bits), GroupedLinear(c, n_bits, n_bits)
        self.classifier = nn.Linear(n_bits, c)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """h^L (n, K) = l P of labels (n, c) (Eq. 4.74), and P (c, K) (Eq. 4.70-4.73)."""
        P = self.heads(self.encoder(self.embedding[None]))[0]
        return labels @ P, P


class LabelNetwork(nn.Module):
    """The variant without prototypes: a network of two layers on the label vector."""

    def __init__(self, c: int, n_bits: int) -> None:
        super().__init__()
        self.layers, self.classifier = mlp((c, n_bits, n_bits), activation="relu"), nn.Linear(n_bits, c)

    def forward(self, labels: Tensor) -> tuple[Tensor, None]:
        """h^L (n, K)."""
        return self.layers(labels), None


class Concepts(nn.Module):
    """From views to one concept a bit, fused over the views that an item has, and from the concepts to bits."""

    def __init__(self, system: BSTH, names: Mapping[str, int], c: int) -> None:
        super().__init__()
        K, d = system.n_bits, system.width
        self.names, self.n_bits, self.width, self.form = list(names), K, d, system.encoder
        self.features = nn.ModuleList(
            mlp(
                (columns, system.hidden_of(name), d),
                activation="relu",
                last="tanh",
                dropout=system.dropout,
            )
            for name, columns in names.items()
        )
        self.decouple, self.encoders = nn.ModuleList(), nn.ModuleList()
        if self.form != "none":
            self.decouple.extend(nn.Linear(d, K * d) for _ in names)
            self.encoders.extend(
                nn.ModuleList(EncoderLayer(d, 2 * d) for _ in range(system.n_layers))
                for _ in (names if self.form == "separate" else ("all",))
            )
        self.heads: nn.Module
        if self.form == "none":
            self.heads = mlp((d, 4 * d, K), batch_norm=True, last="tanh")
        else:
            self.heads = BitHeads(K, d) if system.bitwise else mlp((d, K), last="tanh")
        self.bitwise, self.classifier = system.bitwise, nn.Linear(K, c)
        places = [sinusoids(K, d) if system.has_positions(name) else 0 * sinusoids(K, d) for name in names]
        self.register_buffer("positions", torch.stack([torch.from_numpy(place) for place in places]))

    def concepts(self, views: Mapping[str, Tensor], has: Tensor) -> Tensor:
        """Refined concepts (M, b, K, d) of the views (Eq. 4.62-4.64); has: (M, b) bool."""
        features = [net(views[name]) for net, name in zip(self.features, self.names, strict=True)]
        if self.form == "none":
            return torch.stack(features)[:, :, None]
        positions: Tensor = self.get_buffer("positions")
        coarse = [
            net(f).view(-1, self.n_bits, self.width) + place
            for net, f, place in zip(self.decouple, features, positions, strict=True)
        ]
        if self.form == "separate":
            return torch.stack([through(layers, C) for layers, C in zip(self.encoders, coarse, strict=True)])
        seen = (has | ~has.any(dim=0)).T.repeat_interleave(self.n_bits, dim=1)
        together = through(self.encoders[0], torch.cat(coarse, dim=1), seen)
        return torch.stack(together.chunk(len(self.names), dim=1))

    def forward(self, views: Mapping[str, Tensor], *has: Tensor) -> Tensor:
        """h (b, K) of items from the views that they have, (M, b) bool (Eq. 4.65-4.67).

        With several such masks the results stand one below another.
        """
        refined = self.concepts(views, has[0])
        fused = [mean_concepts(refined, has[0])]
        for some in has[1:]:
            fused.append(mean_concepts(self.concepts(views, some) if self.form == "shared" else refined, some))
        values = torch.cat(fused)
        h: Tensor = self.heads(values if self.bitwise and self.form != "none" else values.sum(dim=1))
        return h

    def arrays(self) -> dict[str, Arrays]:
        """All that encodes: networks of the views, their decoupling with positions added, encoders, heads."""
        positions = self.get_buffer("positions").cpu().numpy()
        features = [to_arrays(cast(nn.Sequential, net)) for net in self.features]
        stacks = [stack_arrays(layers) for layers in self.encoders]
        decouple: Arrays = {}
        for name, net, place in zip(self.names, self.decouple, positions, strict=self.form != "none"):
            weight, bias = (values.detach().cpu().numpy() for values in net.parameters())
            decouple |= {f"{name}/weight": weight.T.copy(), f"{name}/bias": bias + place.ravel()}
        encoders: Arrays = stacks[0] if self.form == "shared" else joined(dict(zip(self.names, stacks, strict=False)))
        heads = self.heads
        return {
            "features": joined(dict(zip(self.names, features, strict=True))),
            "decouple": decouple,
            "encoders": encoders,
            "heads": heads.arrays() if isinstance(heads, BitHeads) else to_arrays(cast(nn.Sequential, heads)),
        }


def mean_concepts(refined: Tensor, has: Tensor) -> Tensor:
    """The mean (b, K, d) of the concepts of the views that an item has; 0 for an item that has none."""
    weights = has.float() / has.sum(dim=0).clamp(min=1)
    return torch.einsum("mbkd,mb->bkd", refined, weights)


def through(layers: nn.Module, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
    """Tokens after every layer of an encoder."""
    for layer in layers.children():
        tokens = layer(tokens, seen)
    return tokens


def stack_arrays(layers: nn.Module) -> Arrays:
    """The layers of an encoder, "0.qkv.weight" and so on."""
    parts = [cast(EncoderLayer, layer).arrays() for layer in layers.children()]
    return {f"{i}.{name}": array for i, part in enumerate(parts) for name, array in part.items()}


def label_loss(
    h: Tensor, scores: Tensor, L: Tensor, prototypes: Tensor | None, R: Tensor, gamma: tuple[float, ...]
) -> dict[str, Tensor]:
    """The terms of Eq. 4.86 for n items, means over items and bits (4.85: the squared sum over the bits of an item)."""
    terms = {
        "classification": gamma[0] * mean_square(torch.sigmoid(scores), L),  # Eq. 4.82
        "quantization": gamma[1] * mean_square(h, bits(h)),  # Eq. 4.83
    }
    if prototypes is not None and gamma[2]:
        terms["co-occurrence"] = gamma[2] * mean_square(cosines(prototypes), R)  # Eq. 4.84
    return terms | {"balance": gamma[3] * torch.mean(h.sum(dim=1) ** 2)}  # Eq. 4.85


def code_loss(h: Tensor, scores: Tensor, L: Tensor, B: Tensor, beta: tuple[float, ...]) -> dict[str, Tensor]:
    """The terms of Eq. 4.81 for a batch, means; B: codes of the labels, rows of 0 for items that have none."""
    labelled = (B != 0).any(dim=1, keepdim=True)
    S = 2 * torch.sigmoid(L @ L.T) - 1  # Eq. 4.80
    return {
        "classification": beta[0] * mean_square(torch.sigmoid(scores), L),  # Eq. 4.77
        "quantization": beta[1] * torch.mean((h - B) ** 2 * labelled),  # Eq. 4.78
        "similarity": beta[2] * mean_square(cosines(h), S),  # Eq. 4.79
    }
