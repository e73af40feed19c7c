"""Training of EDCF: one batch of users after the other, all terms of (5.59) at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from modalhash.networks import torch
from modalhash.recommend.edcf_network import (
    Documents,
    EDCFNetwork,
    contexts,
    explanation_loss,
    preference_loss,
    similarity,
    weighted,
)
from modalhash.recommend.edcf_problem import Pairs, Problem
from modalhash.training import Rows

POWER = 4  # α ≥ final^(progress⁴): small for half of the training, then codes


@dataclass(frozen=True, kw_only=True)
class Weights:
    """λ1, λ2, λ3 of (5.59), whether the weights of the tasks are learned, and which tasks there are."""

    lambda1: float
    lambda2: float
    lambda3: float
    learned: bool
    tasks: str


class Objective:
    """The loss of a batch of users, and α on its way up: at least final^(progress⁴) after each batch."""

    def __init__(self, network: EDCFNetwork, problem: Problem, weights: Weights, final: float, steps: int) -> None:
        self.network, self.problem, self.weights = network, problem, weights
        self.final, self.steps, self.step = final, steps, 0
        network.s_by_rate.requires_grad_(weights.learned)

    def __call__(self, users: Rows) -> dict[str, torch.Tensor]:
        """Named terms of (5.59) of the ratings of some users, weighted."""
        self.step += 1
        self._raise_alpha()
        pairs = self.problem.pairs(np.asarray(users, dtype=np.int64))
        if self.weights.tasks == "explanation":
            pairs = only_rated(pairs)
        if len(pairs) == 1:  # batch normalisation needs two rows
            pairs = twice(pairs)
        b, d = (self._codes(side, pairs) for side in (0, 1))
        losses = [self._preference(b, d, pairs), self._explanation(b, d, pairs)]
        s = self.network.s
        kept = [task != self.weights.tasks for task in ("explanation", "preference")]
        tasks = weighted(losses, s * s.new_tensor(kept), self.weights.lambda1)
        terms = {"preference": tasks[0], "explanation": tasks[1]}
        terms["uncertainty"] = tasks[2]
        terms["alpha"] = self.weights.lambda2 * (self.network.alpha**-2).sum()
        terms["weights"] = self.weights.lambda3 * squares(self.network)
        return terms

    def _raise_alpha(self) -> None:
        if self.weights.tasks == "explanation":
            return
        self.network.raise_alpha(self.final ** (min(1.0, self.step / self.steps) ** POWER))

    def _codes(self, side: int, pairs: Pairs) -> torch.Tensor:
        given = documents_of(self.problem, side, pairs, interactions=self.weights.tasks != "explanation")
        if self.weights.tasks == "explanation":
            return torch.tanh(self.network.values(side, given))
        return self.network.codes(side, given)

    def _preference(self, b: torch.Tensor, d: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        if self.weights.tasks == "explanation":
            return b.new_zeros(())
        return preference_loss(similarity(b, d), torch.from_numpy(pairs.wanted))

    def _explanation(self, b: torch.Tensor, d: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        told = np.flatnonzero(pairs.sentences >= 0)
        if self.weights.tasks == "preference" or not len(told):
            return b.new_zeros(())
        rows = torch.from_numpy(self.problem.given.sentences[pairs.sentences[told]].astype(np.int64))
        at = torch.from_numpy(told)
        logits = self.network.writer(self.network.words, contexts(b[at], d[at]), rows)
        return explanation_loss(logits, rows)


def documents_of(problem: Problem, side: int, pairs: Pairs, *, interactions: bool) -> Documents:
    """What one side of some pairs reads; each distinct review stands once in `rows`."""
    slots, ids = problem.reads(side, pairs)
    p = problem.interactions(pairs)[side]
    cold = problem.is_cold(len(pairs))
    ids[cold], p[cold] = 0, 0.0
    if not interactions:
        p[:] = 0.0
    distinct, inverse = np.unique(slots[slots >= 0], return_inverse=True)
    slots[slots >= 0] = inverse
    return Documents(problem.given.rows[distinct], slots, ids, p)


def only_rated(pairs: Pairs) -> Pairs:
    """The pairs that were not drawn."""
    kept = pairs.wanted > 0
    return Pairs(pairs.users[kept], pairs.items[kept], pairs.wanted[kept], pairs.sentences[kept])


def twice(pairs: Pairs) -> Pairs:
    """The pairs, and once more."""
    return Pairs(*(np.tile(getattr(pairs, field.name), 2) for field in fields(pairs)))


def squares(network: EDCFNetwork) -> torch.Tensor:
    """‖Θ‖² of all parameters but α and s."""
    scalars = {id(network.log_alpha_by_rate), id(network.s_by_rate)}
    return torch.stack([(values**2).sum() for values in network.parameters() if id(values) not in scalars]).sum()
