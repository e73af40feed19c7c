"""Training of a deep system by several processes that share every batch (torch.distributed, gloo)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from modalhash.networks import torch
from modalhash.training import TEAM, Rows, Team


@contextmanager
def data_parallel(
    rank: int | None = None, size: int | None = None, rendezvous: str = "env://"
) -> Iterator[DataParallel]:
    """Inside, a system that can (DCSH) trains with its batches shared out among `size` processes; this one is `rank`.

    All processes call `fit` with the same views and the same random_state, and all of them end with the same model;
    one saves it.  Without numbers they come from the environment, as torchrun sets it.  rendezvous: where the
    processes meet, as torch.distributed takes it (env://, tcp://host:port, file:///path).  Systems that cannot
    share a batch train in every process alike.  Set GLOO_SOCKET_IFNAME to the network that they may use.
    """
    import torch.distributed as dist

    made = not dist.is_initialized()
    if made:
        place, count = -1 if rank is None else rank, -1 if size is None else size  # -1: as the environment says
        dist.init_process_group("gloo", init_method=rendezvous, rank=place, world_size=count)
    token = TEAM.set(team := DataParallel())
    try:
        yield team
    finally:
        TEAM.reset(token)
        if made:
            dist.destroy_process_group()


class DataParallel(Team):
    """Every process takes its part of a batch, weighs its loss by its share, and adds up the gradients of all.

    The gradient is that of the whole batch for losses that are functions of means over the batch, where the means
    go through `mean`.
    """

    def __init__(self) -> None:
        import torch.distributed as dist

        self.group = dist
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.share = 1.0 / self.size

    @contextmanager
    def batch(self, rows: Rows) -> Iterator[Rows]:
        """The rows of a batch that are this process's; ValueError if some process would have none."""
        if len(rows) < self.size:
            raise ValueError(f"batch of {len(rows)} rows: too few for {self.size} processes")
        mine = np.array_split(rows, self.size)[self.rank]
        self.share = len(mine) / len(rows)
        yield mine

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over the batch; its gradient is that of this process's part."""
        whole = values.detach() * self.share
        self.group.all_reduce(whole)
        return values + (whole - values.detach())

    def add_gradients(self, network: torch.nn.Module) -> None:
        """Add up the gradients of all processes, as one vector."""
        held = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in held])
        self.group.all_reduce(together)
        parts = torch.split(together, [gradient.numel() for gradient in held])
        for gradient, part in zip(held, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def added(self, value: torch.Tensor) -> float:
        """A loss term of the batch, from this process's."""
        whole = value * self.share
        self.group.all_reduce(whole)
        return float(whole)
