"""Optimiser and learning-rate schedule from their settings."""

import math
from collections.abc import Iterable
from itertools import chain

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from dbd_ray.config import OptimizerConfig

BACKBONE_PREFIX = "encoder."
POLY_POWER = 0.9


def make_optimizer(networks: Iterable[nn.Module], config: OptimizerConfig) -> torch.optim.Optimizer:
    """Build the optimiser; backbones get their own learning rate, norms and biases no AdamW decay.

    Args:
        networks: Networks whose backbones' parameters are named `encoder.*`.
        config: Settings.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in chain.from_iterable(network.named_parameters() for network in networks):
        # decay of one-dimensional parameters is the original SGD recipe's habit, and harmful with AdamW
        decayed = config.name == "sgd" or parameter.ndim > 1
        groups.setdefault((name.startswith(BACKBONE_PREFIX), decayed), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.lr * (config.backbone_lr_scale if in_backbone else 1.0),
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (in_backbone, decayed), parameters in groups.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(settings, lr=config.lr, momentum=config.momentum or 0.0)
    return torch.optim.AdamW(settings, lr=config.lr, betas=config.betas or (0.9, 0.999))


def make_schedule(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, *, epochs: int, steps_per_epoch: int
) -> LambdaLR:
    """Build the per-step schedule: linear warm-up, then constant, poly(0.9) or half a cosine down to 0."""
    total = epochs * steps_per_epoch
    warmup = round(config.warmup_epochs * steps_per_epoch)

    def scale(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        if config.schedule == "poly":
            return (1 - done) ** POLY_POWER
        if config.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        return 1.0

    return LambdaLR(optimizer, scale)
