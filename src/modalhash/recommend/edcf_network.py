"""The network of EDCF while it is trained: attentive TextCNN, ATanh codes, LSTM, and the terms of its loss.

This file needs torch and is imported only in a fit; `review_network` and `sentence_writer` are its twins on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalhash.layers import Arrays
from modalhash.networks import mlp, to_arrays, torch
from modalhash.recommend.documents import PAD, UNKNOWN
from modalhash.recommend.sentence_writer import LEVELS

Tensor = torch.Tensor
nn = torch.nn
CLIP = 1e-4  # ε: H_sim stays in [ε, 1 - ε] where its logarithm is taken


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Widths of the network; the names are those of the parameters of EDCF."""

    words: int
    others: tuple[int, int]
    n_bits: int
    rank: int
    word_width: int
    n_filters: int
    windows: tuple[int, ...]
    id_width: int
    attention_width: int
    hidden: tuple[int, ...]
    lstm_width: int
    reviews_each: int
    dropout: float
    attention: bool


@dataclass(frozen=True, eq=False)
class Documents:
    """What one side of some pairs reads: rows (N, words) of the distinct reviews, slots (D, md) into them or -1.

    ids: (D, md), 1 + who wrote each review (items) or what it is about (users), 0 for unknown; p: (D, l).
    """

    rows: NDArray[np.int32]
    slots: NDArray[np.int64]
    ids: NDArray[np.int64]
    p: NDArray[np.float32]


class SideNetwork(nn.Module):
    """From interaction features and reviews of one side to r values (5.41-5.49)."""

    def __init__(self, sizes: Sizes, others: int) -> None:
        super().__init__()
        a, width = sizes, sizes.n_filters * len(sizes.windows)
        self.windows = a.windows
        self.filters = nn.ModuleList(nn.Conv1d(a.word_width, a.n_filters, h) for h in a.windows)
        self.ids: nn.Embedding | None = None
        if a.attention:
            self.ids = nn.Embedding(1 + others, a.id_width)
            self.by_review = nn.Linear(width, a.attention_width)
            self.by_id = nn.Linear(a.id_width, a.attention_width, bias=False)
            self.scores = nn.Linear(a.attention_width, 1, bias=False)  # μ2 would cancel in the softmax
        self.unread = nn.Dropout(a.dropout)
        self.layers = mlp(  # normalised, so that no bit starts out the same for everyone
            [a.rank + a.reviews_each * width, *a.hidden, a.n_bits],
            activation="relu",
            batch_norm=True,
            last_batch_norm=True,
            dropout=a.dropout,
        )

    def review_features(self, V: Tensor) -> Tensor:
        """S (N, F) of embedded reviews (N, words, d), zeros around them."""
        V = V.transpose(1, 2)
        parts = []
        for h, convolution in zip(self.windows, self.filters, strict=True):
            z = convolution(nn.functional.pad(V, ((h - 1) // 2, h // 2)))  # (5.41)
            parts.append(torch.relu(z.amax(dim=2)))
        return torch.cat(parts, dim=1)  # (5.42), (5.43)

    def weights(self, S: Tensor, ids: Tensor, seen: Tensor) -> Tensor:
        """a (D, md) over the reviews that are seen, 0 where a document has none."""
        if self.ids is None:
            return seen / seen.sum(dim=1, keepdim=True).clamp(min=1)
        hidden = torch.relu(self.by_review(S) + self.by_id(self.ids(ids)))
        scores = self.scores(hidden).squeeze(2).masked_fill(~seen, -1e9)  # (5.45)
        return torch.softmax(scores, dim=1) * seen  # (5.46)

    def forward(self, words: nn.Embedding, given: Documents) -> Tensor:
        """Values (D, r) before ATanh."""
        slots, ids = torch.from_numpy(given.slots), torch.from_numpy(given.ids)
        seen = slots >= 0
        S = self.review_features(words(torch.from_numpy(given.rows)))
        nothing = S.new_zeros(1, S.shape[1])
        read = torch.cat([S, nothing])[torch.where(seen, slots, len(S))]  # (D, md, F)
        read = self.unread(self.weights(read, ids, seen)[:, :, None] * read)  # (5.47)
        values: Tensor = self.layers(torch.cat([torch.from_numpy(given.p), read.flatten(1)], dim=1))
        return values

    def arrays(self, words: nn.Embedding) -> Arrays:
        """The side for `review_network`."""
        arrays: Arrays = {"words": _array(words.weight)}
        for h, convolution in zip(self.windows, self.filters, strict=True):
            assert isinstance(convolution, nn.Conv1d) and convolution.bias is not None
            arrays[f"filters.{h}"] = np.ascontiguousarray(_array(convolution.weight).transpose(2, 1, 0))
            arrays[f"filters.{h}.bias"] = _array(convolution.bias)
        if self.ids is not None:
            arrays["ids"] = _array(self.ids.weight)
            arrays["attention.reviews"] = _array(self.by_review.weight.T)
            arrays["attention.bias"] = _array(self.by_review.bias)
            arrays["attention.ids"] = _array(self.by_id.weight.T)
            arrays["attention.scores"] = _array(self.scores.weight[0])
        return arrays | {f"layers/{name}": array for name, array in to_arrays(self.layers).items()}


class WriterNetwork(nn.Module):
    """The LSTM that spells a sentence out of two codes (5.52-5.56)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.context = nn.Linear(2 * sizes.n_bits + LEVELS, sizes.word_width)
        self.lstm = nn.LSTM(sizes.word_width, sizes.lstm_width, batch_first=True)
        self.output = nn.Linear(sizes.lstm_width, sizes.words)

    def start_at(self, rows: NDArray[np.int32]) -> None:
        """Before it learns, the writer knows how frequent every word is in rows (n, width)."""
        counts = np.bincount(rows.ravel(), minlength=self.output.out_features) + 1.0
        with torch.no_grad():
            self.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))

    def forward(self, words: nn.Embedding, C: Tensor, rows: Tensor) -> Tensor:
        """Logits (places, V) of the known words of rows (b, width), the targets, from contexts (b, 2r + 6)."""
        x = torch.tanh(self.context(C))[:, None]  # (5.55)
        states, _ = self.lstm(torch.cat([x, words(rows[:, :-1])], dim=1))
        logits: Tensor = self.output(states[counted(rows)])
        return logits

    def arrays(self, words: nn.Embedding) -> Arrays:
        """The writer for `sentence_writer`, in float64."""
        lstm = dict(self.lstm.named_parameters())
        arrays = {
            "words": words.weight,
            "context": self.context.weight.T,
            "context.bias": self.context.bias,
            "input": lstm["weight_ih_l0"].T,
            "hidden": lstm["weight_hh_l0"].T,
            "bias": lstm["bias_ih_l0"] + lstm["bias_hh_l0"],
            "output": self.output.weight.T,
            "output.bias": self.output.bias,
        }
        return {name: _array(values) for name, values in arrays.items()}


class EDCFNetwork(nn.Module):
    """Both sides, the scale α of ATanh for each, the writer, and how uncertain either task is."""

    def __init__(self, sizes: Sizes, rates: tuple[float, float], start: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.words, sizes.word_width, padding_idx=PAD)
        self.sides = nn.ModuleList(SideNetwork(sizes, others) for others in sizes.others)
        self.writer = WriterNetwork(sizes)
        self.alpha_rate, self.weight_rate = rates
        self.log_alpha_by_rate = nn.Parameter(torch.zeros(2))  # Adam's steps of it count `alpha_rate` times
        self.s_by_rate = nn.Parameter(torch.tensor(start) / self.weight_rate)

    @property
    def alpha(self) -> Tensor:
        """α of users and of items, (2,)."""
        return torch.exp(self.alpha_rate * self.log_alpha_by_rate)

    @property
    def s(self) -> Tensor:
        """s = log φ² of preference and explanation, (2,)."""
        return self.weight_rate * self.s_by_rate

    def raise_alpha(self, least: float) -> None:
        """α of both sides is `least` at least."""
        with torch.no_grad():
            self.log_alpha_by_rate.clamp_(min=float(np.log(least)) / self.alpha_rate)

    def values(self, side: int, given: Documents) -> Tensor:
        """Values of one side before ATanh, (D, r)."""
        found: Tensor = self.side(side)(self.words, given)
        return found

    def side(self, side: int) -> SideNetwork:
        """The network of users (0) or items (1)."""
        found = self.sides[side]
        assert isinstance(found, SideNetwork)
        return found

    def codes(self, side: int, given: Documents) -> Tensor:
        """ATanh of the values (5.50)."""
        return torch.tanh(self.alpha[side] * self.values(side, given))


def counted(rows: Tensor) -> Tensor:
    """Places whose word is to be learned: no padding, no unknown word."""
    return (rows != PAD) & (rows != UNKNOWN)


def similarity(b: Tensor, d: Tensor) -> Tensor:
    """H_sim of pairs of codes, (pairs,) in [0, 1] (5.40)."""
    return 0.5 + (b * d).sum(dim=1) / (2 * b.shape[1])


def contexts(b: Tensor, d: Tensor) -> Tensor:
    """C (pairs, 2r + 6): both codes and the preference in stars, through which no gradient flows."""
    stars = torch.floor(similarity(b, d).detach() * (LEVELS - 1) + 0.5).long().clamp(0, LEVELS - 1)
    return torch.cat([b, d, nn.functional.one_hot(stars, LEVELS).to(b.dtype)], dim=1)


def preference_loss(H: Tensor, wanted: Tensor) -> Tensor:
    """L_PP (5.51), the mean over pairs; wanted: rating over the largest rating."""
    H = H.clamp(CLIP, 1 - CLIP)
    return -(wanted * torch.log(H) + (1 - wanted) * torch.log(1 - H)).mean()


def explanation_loss(logits: Tensor, rows: Tensor) -> Tensor:
    """L_EG (5.58), the mean over the words that count; logits: (places, V) as the writer gives them."""
    return nn.functional.cross_entropy(logits, rows[counted(rows)].long())


def weighted(losses: Sequence[Tensor], s: Tensor, lambda1: float) -> list[Tensor]:
    """exp(-s_i) L_i of every task, and (λ1/2) Σ s_i (5.59 with s = log φ²)."""
    return [*(torch.exp(-own) * loss for own, loss in zip(s, losses, strict=True)), 0.5 * lambda1 * s.sum()]


def _array(values: Tensor) -> NDArray[np.float32]:
    return np.array(values.detach().cpu().numpy(), dtype=np.float32, order="C")
