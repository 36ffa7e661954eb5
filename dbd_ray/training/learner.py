"""The learner: the state that a training run changes, and how it is built. Ray is not needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from timm.utils import ModelEmaV3
from torch import nn

from dbd_ray.config import TrainConfig
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import Precision, choose_training_precision
from dbd_ray.models import FocusNetwork
from dbd_ray.training.detector_teachers import DetectorTeacher, load_detector_teachers
from dbd_ray.training.ledger import Entry
from dbd_ray.training.objectives import Objective, Surroundings, make_objective
from dbd_ray.training.ranks import ALONE, Ranks


@dataclass
class Learner:
    """The state of a training run, which `training.state` saves and restores.

    Attributes:
        config: The run's settings.
        objective: What is minimised: the networks, and their optimisers.
        ema: Averaged weights of the network to keep, or None.
        epoch: Number of completed epochs.
        step: Number of completed optimiser steps.
        history: One dict of metrics per completed epoch.
        started_from: name@fingerprint of the detector whose weights the run began with, or None.
        ledger: One entry per completed epoch.
        trained: Names of this rank's rows, by step, since the last completed epoch; not saved.
    """

    config: TrainConfig
    objective: Objective
    ema: ModelEmaV3 | None
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    started_from: str | None = None
    ledger: list[Entry] = field(default_factory=list)
    trained: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def bare(self) -> FocusNetwork:
        """The network that is trained and kept, without a wrapper."""
        return self.objective.bare

    @property
    def best_network(self) -> FocusNetwork:
        """The network to evaluate and to keep: the averaged one where there is one."""
        return self.bare if self.ema is None else cast(FocusNetwork, self.ema.module)

    @property
    def device(self) -> torch.device:
        """The device that is trained on."""
        return self.objective.around.device

    @property
    def precision(self) -> Precision:
        """Number format of forward passes."""
        return self.objective.around.precision

    @property
    def ranks(self) -> Ranks:
        """This worker's rank, and the number of workers."""
        return self.objective.around.ranks


def make_learner(
    config: TrainConfig,
    bare: FocusNetwork,
    *,
    steps_per_epoch: int,
    device: torch.device,
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network,
    teachers: Sequence[DetectorTeacher] = (),
    ranks: Ranks = ALONE,
) -> Learner:
    """Build a learner before its first step.

    Args:
        config: The run's settings.
        bare: The network, see `models.build_network`.
        steps_per_epoch: Optimiser steps per epoch.
        device: The device to train on.
        wrap: Makes a network data-parallel, e.g. ray.train.torch.prepare_model.
        teachers: The detector teachers that `config.objective` names; empty: they are loaded here.
        ranks: This worker's rank, and the number of workers.

    Raises:
        ConfigError: The training split is smaller than one batch, or a detector teacher cannot be loaded.
    """
    if steps_per_epoch < 1:
        raise ConfigError(f"batch_size={config.batch_size}: larger than an epoch of the training split; lower it")
    # channels last: 1.6 times as fast as contiguous for this decoder on a CPU, and what GPUs' tensor cores want
    bare = bare.to(device).to(memory_format=torch.channels_last)
    precision = choose_training_precision(device, config.precision)
    around = Surroundings(config, steps_per_epoch, device, precision, wrap, ranks)
    return Learner(
        config=config,
        objective=make_objective(bare, around, teachers or load_detector_teachers(config.objective)),
        ema=ModelEmaV3(bare, decay=config.ema_decay, use_warmup=True) if config.ema_decay else None,
    )
