"""The workers of a run: how a batch is dealt out to them, and how they exchange values."""

from typing import Any, NamedTuple, cast

import torch
import torch.distributed
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn


class Ranks(NamedTuple):
    """This worker's rank among all; with more than one, torch.distributed must be set up.

    Attributes:
        rank: This worker's rank, from 0.
        world_size: Number of workers.
    """

    rank: int = 0
    world_size: int = 1

    def part(self, size: int) -> range:
        """Return this worker's places of `size`, dealt out in order and as evenly as possible, more to the first."""
        smallest, larger = divmod(size, self.world_size)
        start = self.rank * smallest + min(self.rank, larger)
        return range(start, start + smallest + (self.rank < larger))

    def total(self, values: Tensor) -> Tensor:
        """Add up a tensor over all workers; in place where there are several."""
        if self.world_size > 1:
            torch.distributed.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Collect a picklable value of every worker, by rank."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average numbers over all workers."""
        parts = self.gather(values)
        return {name: sum(part[name] for part in parts) / len(parts) for name in values}


ALONE = Ranks()


def with_synchronised_batchnorms(network: nn.Module) -> nn.Module:
    """Let a network's batch norms take their statistics over all workers; parameters and their names stay."""
    return cast(nn.Module, convert_sync_batchnorm(network))  # timm's own: torch's drops activations that norms hold
