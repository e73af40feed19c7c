"""The training loop: seeds, history, early stop, progress, and what it says when a loss explodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modalhash.networks import mlp
from modalhash.training import Plan, Rows, batches, objective, seeded, split_rows, train

X = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
ALL = np.arange(100)


class Fit:
    """A regression with two named terms."""

    def __init__(self, dropout: float = 0.0) -> None:
        self.network, self.calls = mlp([4, 6, 1], dropout=dropout), 0

    def loss(self, rows: Rows) -> dict[str, Tensor]:
        self.calls += 1
        output = self.network(X[rows])
        return {"fit": torch.mean((output - Y[rows]) ** 2), "size": 0.01 * torch.mean(output**2)}


def fitted(
    seed: int, *, dropout: float = 0.0, held_out: Rows | None = None, epochs: int = 30, patience: int | None = None
) -> tuple[Fit, dict[str, list[float]]]:
    plan = Plan(epochs=epochs, batch_size=16, learning_rate=0.02, patience=patience)
    rows = ALL if held_out is None else np.setdiff1d(ALL, held_out)
    with seeded(seed) as generator:
        fit = Fit(dropout)
        return fit, train(fit.network, fit.loss, rows, plan, generator, held_out)


def weights(network: nn.Module) -> bytes:
    return b"".join(values.numpy().tobytes() for values in network.state_dict().values())


def test_the_loss_falls_and_the_terms_add_up() -> None:
    fit, history = fitted(0)
    assert list(history) == ["fit", "size"] and len(history["fit"]) == 30
    assert history["fit"][-1] < 0.1 * history["fit"][0]
    assert objective(history) == [a + b for a, b in zip(history["fit"], history["size"], strict=True)]
    assert not fit.network.training and fit.calls == 30 * 7


def test_the_history_is_the_mean_over_the_rows() -> None:
    fit = Fit()
    with seeded(0) as generator:
        plan = Plan(epochs=1, batch_size=30, learning_rate=1e-12)
        history = train(fit.network, fit.loss, ALL, plan, generator)
    with torch.no_grad():
        assert history["fit"][0] == pytest.approx(float(fit.loss(ALL)["fit"]), rel=1e-5)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (weights(fitted(seed, dropout=0.3)[0].network) for seed in (1, 1, 2))
    assert first == second != other


def test_the_state_of_the_caller_stays() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fitted(1, dropout=0.3)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(KeyboardInterrupt), seeded(3):
        torch.rand(3)
        raise KeyboardInterrupt
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batches_are_even_cover_the_rows_and_never_hold_one() -> None:
    for n in (2, 3, 5, 16, 17, 33, 100):
        for size in (2, 7, 16, 1000):
            parts = list(batches(np.arange(n), size, torch.Generator().manual_seed(0)))
            lengths = [len(part) for part in parts]
            assert sorted(np.concatenate(parts)) == list(range(n))
            assert min(lengths) >= 2 and max(lengths) - min(lengths) <= 1 and max(lengths) <= size + 1
    assert [part.tolist() for part in batches(np.arange(4), 2)] == [[0, 1], [2, 3]]
    first, second = (next(batches(ALL, 10, torch.Generator().manual_seed(s))) for s in (0, 1))
    assert first.tolist() != second.tolist()


def test_training_stops_early_with_the_best_weights() -> None:
    rows = np.arange(80, 100)
    fit, history = fitted(0, held_out=rows, epochs=400, patience=3)
    epochs = len(history["held out"])
    assert epochs < 400 and len(history["fit"]) == epochs
    best = int(np.argmin(history["held out"]))
    assert best == epochs - 1 - 3
    with torch.no_grad():
        assert float(sum(fit.loss(rows).values())) == pytest.approx(history["held out"][best], rel=1e-5)
    assert len(objective(history)) == epochs and objective(history)[0] == history["fit"][0] + history["size"][0]


def test_rows_are_held_out_of_the_training_rows() -> None:
    kept, held = split_rows(50, 0.1, np.random.default_rng(0))
    assert held is not None and len(held) == 5 and sorted([*kept, *held]) == list(range(50))
    assert split_rows(50, 0.0, np.random.default_rng(0))[1] is None
    with pytest.raises(ValueError, match="3 training rows"):
        split_rows(3, 0.1, np.random.default_rng(0))


def test_a_loss_that_explodes_is_refused() -> None:
    network = mlp([4, 1])
    with seeded(0) as generator, pytest.raises(ValueError, match=r"HMAH: the loss is nan in epoch 0; lower learning"):
        train(
            network,
            lambda rows: {"odd": torch.mean(network(X[rows])) * float("nan")},
            ALL,
            Plan(epochs=2, batch_size=10, title="HMAH"),
            generator,
        )


def test_ctrl_c_goes_to_the_caller() -> None:
    def stop(rows: Rows) -> dict[str, Tensor]:
        raise KeyboardInterrupt

    with seeded(0) as generator, pytest.raises(KeyboardInterrupt):
        train(mlp([4, 1]), stop, ALL, Plan(epochs=2, batch_size=10), generator)


def test_progress_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    fit = Fit()
    for verbose in (False, True):
        plan = Plan(epochs=2, batch_size=50, title="CIRH codes", verbose=verbose)
        with seeded(0) as generator:
            train(fit.network, fit.loss, ALL, plan, generator)
        assert ("CIRH codes" in capsys.readouterr().out) is verbose
