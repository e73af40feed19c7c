"""One short loop that trains a network: named loss terms, seeded batches, progress, early stop."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modalhash.layers import standardised
from modalhash.networks import check_device, mlp, torch
from modalhash.views import Matrix

Rows = NDArray[np.int64]
Loss = Callable[[Rows], "dict[str, torch.Tensor]"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a network is trained: Adam over `epochs` passes in batches of `batch_size` rows.

    With `patience`, training stops when the loss on the rows held out has not fallen for as many epochs, and
    the best weights come back.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int | None = None
    title: str = "training"
    verbose: bool = False


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """torch's random numbers from `seed` inside, the caller's state as it was after; yields a generator for batches."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def new_seed(rng: np.random.Generator) -> int:
    """A seed for `seeded` from a system's random numbers."""
    return int(rng.integers(2**31))


def train(
    network: torch.nn.Module,
    loss: Loss,
    rows: Rows,
    plan: Plan,
    generator: torch.Generator,
    held_out: Rows | None = None,
    team: Team | None = None,
) -> dict[str, list[float]]:
    """Train in place and return the mean of every loss term, epoch by epoch; leaves the network in eval mode.

    `loss(rows)` gets the positions of a batch and returns named terms (scalars, means over the batch, weighted);
    their sum is what falls.  `held_out` must come from the training rows; its sum is kept as "held out".
    team: processes that share every batch, None for this one alone.
    Raises ValueError when the loss is no longer finite.  Ctrl-C goes to the caller.
    """
    team = Team() if team is None else team
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    history: dict[str, list[float]] = {}
    best, best_state, waited = np.inf, None, 0
    for epoch in _epochs(plan):
        network.train()
        sums: dict[str, float] = {}
        for batch in batches(rows, plan.batch_size, generator):
            with team.batch(batch) as mine:
                terms = loss(mine)
            total = torch.stack(list(terms.values())).sum()
            if not bool(torch.isfinite(total)):
                raise ValueError(
                    f"{plan.title}: the loss is {float(total.detach())} in epoch {epoch}; lower learning_rate"
                )
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(total * team.share)
            team.add_gradients(network)
            optimiser.step()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + team.added(term.detach()) * len(batch) / len(rows)
        if held_out is not None:
            sums["held out"] = _evaluate(network, loss, held_out, plan.batch_size)
        for name, value in sums.items():
            history.setdefault(name, []).append(value)
        if held_out is not None and plan.patience is not None:
            if sums["held out"] < best:
                best, best_state, waited = sums["held out"], copy.deepcopy(network.state_dict()), 0
            else:
                waited += 1
            if waited >= plan.patience:
                break
    if best_state is not None:
        network.load_state_dict(best_state)
    network.eval()
    return history


class Team:
    """The processes that train one network; this is a team of one, `distributed.DataParallel` one of several."""

    share = 1.0  # of the batch that is this process's

    @contextmanager
    def batch(self, rows: Rows) -> Iterator[Rows]:
        """The rows of a batch that are this process's."""
        yield rows

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over a batch, of a mean over this process's rows of it."""
        return values

    def add_gradients(self, network: torch.nn.Module) -> None:
        """Add up the gradients of all processes."""

    def added(self, value: torch.Tensor) -> float:
        """A loss term of the batch, from this process's."""
        return float(value)


TEAM: ContextVar[Team] = ContextVar("TEAM", default=Team())  # noqa: B039 - a team of one has no state


class Adversary:
    """A discriminator D between relaxed codes and Gaussian values, trained by Adam, one step in `every` calls.

    Least squares, or with `logistic` the log-likelihood, whose generator maximises log σ(D) (non-saturating).
    """

    def __init__(
        self,
        widths: Sequence[int],
        learning_rate: float,
        every: int = 5,
        device: str = "cpu",
        *,
        logistic: bool = False,
    ) -> None:
        self.network = mlp(widths, activation="relu").to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=learning_rate)
        self.every, self.calls, self.logistic = every, 0, logistic

    def _off(self, values: torch.Tensor, target: float) -> torch.Tensor:
        """How far D is from saying `target` (1: Gaussian, 0: codes) of the values (b, K)."""
        said = self.network(values)
        if self.logistic:
            return torch.nn.functional.binary_cross_entropy_with_logits(said, torch.full_like(said, target))
        return torch.mean((said - target) ** 2)

    def loss(self, values: torch.Tensor) -> torch.Tensor:
        """How far the values (b, K) are from passing for Gaussian: mean of (D(values) - 1)² or of -log σ(D(values))."""
        return self._off(values, 1.0)

    def step(self, values: torch.Tensor) -> None:
        """Learn to tell the values (as constants) from Gaussian ones, on every `every`-th call."""
        self.calls += 1
        if self.calls % self.every:
            return
        values = values.detach()
        loss = self._off(values, 0.0) + self._off(torch.randn_like(values), 1.0)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()


def objective(history: dict[str, list[float]]) -> list[float]:
    """The sum of the loss terms, epoch by epoch."""
    terms = [values for name, values in history.items() if name != "held out"]
    return [sum(values) for values in zip(*terms, strict=True)]


class Features:
    """Rows of views on call: standardised, dense float32 tensors, only of views that have a mean."""

    def __init__(
        self,
        views: Mapping[str, Matrix],
        means: Mapping[str, NDArray[np.float64]],
        scales: Mapping[str, float],
        device: str = "cpu",
    ) -> None:
        check_device(device)
        self.views, self.means, self.scales, self.device = views, means, scales, device

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Some rows of every view, (b, d) each."""
        return {
            name: torch.from_numpy(standardised(self.views[name][rows], mean, self.scales[name])).to(self.device)
            for name, mean in self.means.items()
        }


def batch_size_for(n: int, most: int, steps: int) -> int:
    """A batch size that gives small sets `steps` batches an epoch: n / steps, at least 32 and at most `most`."""
    return max(32, min(most, n // steps))


def epochs_for(n: int, size: int, *, steps: int, least: int) -> int:
    """Passes over n rows that make at least `steps` batches of `size` rows, and no fewer than `least`."""
    return max(least, -(-steps // max(1, -(-n // size))))


def batches(rows: Rows, size: int, generator: torch.Generator | None = None) -> Iterator[Rows]:
    """The rows in random order (as they are without a generator), in even parts of about `size`, never of one row."""
    order = torch.arange(len(rows)) if generator is None else torch.randperm(len(rows), generator=generator)
    parts = max(1, min(-(-len(rows) // size), len(rows) // 2))  # batch normalisation needs two rows
    yield from np.array_split(rows[order.numpy()], parts)


def split_rows(n: int, share: float, rng: np.random.Generator) -> tuple[Rows, Rows | None]:
    """Rows to train on and rows held out for the early stop: a share of n, at least two, or None for share 0."""
    if not share:
        return np.arange(n), None
    order, held = rng.permutation(n), min(max(2, round(share * n)), n - 2)
    if held < 2:
        raise ValueError(f"early stop: {n} training rows are too few to hold some out")
    return np.sort(order[held:]), np.sort(order[:held])


def _evaluate(network: torch.nn.Module, loss: Loss, rows: Rows, size: int) -> float:
    """The mean loss in eval mode."""
    network.eval()
    with torch.no_grad():
        parts = [sum(float(term) for term in loss(part).values()) * len(part) for part in batches(rows, size)]
    return sum(parts) / len(rows)


def _epochs(plan: Plan) -> Any:
    if not plan.verbose:
        return range(plan.epochs)
    from rich.progress import track

    return track(range(plan.epochs), description=plan.title)
