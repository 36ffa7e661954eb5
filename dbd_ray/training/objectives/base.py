"""The contract of objectives: what the loop, the Ray adapter and the checkpoints know of what a run minimises."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dbd_ray.config import NetworkConfig, TrainConfig
from dbd_ray.hardware import Precision
from dbd_ray.models import FocusNetwork
from dbd_ray.training.losses import Total
from dbd_ray.training.optimizer import make_optimizer, make_schedule
from dbd_ray.training.ranks import Ranks
from dbd_ray.training.samples import Batch

Wrap = Callable[[nn.Module], nn.Module]


class Surroundings(NamedTuple):
    """What an objective is built in.

    Attributes:
        config: The run's settings.
        steps_per_epoch: Optimiser steps per epoch.
        device: The device to train on.
        precision: Number format of forward passes.
        wrap: Makes a network data-parallel.
        ranks: This worker's rank, and the number of workers.
    """

    config: TrainConfig
    steps_per_epoch: int
    device: torch.device
    precision: Precision
    wrap: Wrap
    ranks: Ranks


class Objective(ABC):
    """What a run minimises.

    Every optimiser step takes the gradients of all `terms` first, in one or several passes; `after_step` follows, for
    networks that are trained against the others.

    Args:
        bare: The network to keep, on the device.
        around: What it is built in.

    Attributes:
        bare: The network to keep.
        trained: The networks that `terms` trains, by name, wrapped for data-parallel training; "network" is `bare`.
        optimizer: Optimiser of their parameters.
        schedule: Learning-rate schedule, stepped after every optimiser step.
        around: What it was built in.
    """

    per_depth = frozenset({"depth"})
    """Terms that are means over the pictures with a depth; others are means over all pictures."""

    def __init__(self, bare: FocusNetwork, around: Surroundings, beside: Mapping[str, nn.Module] | None = None) -> None:
        self.bare = bare
        self.around = around
        apart = {"network": bare, **(beside or {})}
        self.trained: dict[str, nn.Module] = {name: around.wrap(network) for name, network in apart.items()}
        self._apart: dict[str, nn.Module] = apart
        config = around.config
        self.optimizer = make_optimizer(apart.values(), config.optimizer)
        self.schedule = make_schedule(
            self.optimizer, config.optimizer, epochs=config.epochs, steps_per_epoch=around.steps_per_epoch
        )

    @property
    def teacher_names(self) -> tuple[str, ...]:
        """name@fingerprint of the finished detectors that it learns from."""
        return ()

    @property
    def teacher(self) -> tuple[FocusNetwork, NetworkConfig] | None:
        """The detector that is trained together with the network, to be kept as well, and its settings."""
        return None

    @abstractmethod
    def terms(self, batch: Batch, over_workers: Total, *, alone: bool = False) -> dict[str, Tensor]:
        """Compute the weighted loss terms of a batch.

        Args:
            batch: Photos on the device, at least one.
            over_workers: Adds up counts over all workers.
            alone: Without the data-parallel wrappers: other ranks do not take part.

        Returns:
            float32 scalars, each a mean over pictures; their sum is minimised.
        """

    def after_step(self, shares: Sequence[Tensor], gradient_norm: Tensor) -> dict[str, float]:
        """Follow an optimiser step, for instance with those of discriminators.

        Args:
            shares: For every pass in which `terms` saw a part of the batch, this rank's share of the batch in it, times
                the number of ranks.
            gradient_norm: Norm of all gradients of the step, before clipping.

        Returns:
            Values to report, whose mean over ranks is that of the batch.

        Raises:
            TrainingError: A loss is not finite; says which.
        """
        return {}

    def reason_to_stop(self, means: Mapping[str, float]) -> str:
        """Say why training on would be in vain; empty if it would not.

        Args:
            means: Means of all values over an epoch and over all ranks.
        """
        return ""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Give the parameters that `optimizer` trains, with names that tell networks apart where there are several."""
        for name, network in self._apart.items():
            prefix = "" if len(self._apart) == 1 else f"{name}."
            yield from ((f"{prefix}{inner}", parameter) for inner, parameter in network.named_parameters())

    def train(self, mode: bool = True) -> None:
        """Set all networks to training or evaluation."""
        for network in self.trained.values():
            network.train(mode)

    def state_dict(self) -> dict[str, Any]:
        """Give all that `load_state_dict` needs to go on bit by bit, as tensors and plain values."""
        return {
            "network": self.bare.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            **({"beside": beside} if (beside := self._states_beside()) else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            RuntimeError, ValueError, KeyError: It is of another network, optimiser or objective.
        """
        self.bare.load_state_dict(state["network"])
        for name, inner in state.get("beside", {}).items():
            self._apart[name].load_state_dict(inner)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _states_beside(self) -> dict[str, Any]:
        return {name: network.state_dict() for name, network in self._apart.items() if name != "network"}

    def _seen_by(self, name: str, *, alone: bool) -> nn.Module:
        return self._apart[name] if alone else self.trained[name]


@contextmanager
def averaged_once(networks: Iterable[nn.Module], *, last: bool) -> Iterator[None]:
    """Add up gradients over the passes of a step, and average them over ranks in the last one."""
    with ExitStack() as apart:
        for network in networks:
            if not last and isinstance(network, DistributedDataParallel):
                apart.enter_context(network.no_sync())
        yield
