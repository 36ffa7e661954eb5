"""Losses of Distill-DBDGAN (ACM TOMM 2023) beside those of `losses`, computed in float32; the choices are in docs."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


class Verdicts(NamedTuple):
    """What a discriminator says of two kinds of maps of the same photos.

    Attributes:
        real: N×1×H×W, of the maps that it should take for real.
        fake: N×1×H×W, of the others.
    """

    real: Tensor
    fake: Tensor


def edge_loss(focus: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of Sobel gradients, along both axes.

    Args:
        focus: N×1×H×W in [0,1].
        truth: N×1×H×W in [0,1].

    Returns:
        Scalar, float32; a step from 0 to 1 counts as 1 where it is.
    """
    return (_gradients(focus.float()) - _gradients(truth.float())).abs().mean()


def discriminator_loss(verdicts: Verdicts) -> Tensor:
    """Relativistic average least-squares loss of a discriminator (Jolicoeur-Martineau, ICLR 2019).

    Averages are taken over the positions of each picture, since real and fake maps are of the same photo: so the loss
    of a batch is the mean of its pictures' losses, on any number of workers.

    Args:
        verdicts: Any float dtype.

    Returns:
        Scalar, float32: least, 0, where real maps are above the fake ones' mean by 1, and fake ones below as much.
    """
    real, fake = _against_each_other(verdicts)
    return (real - 1).square().mean() + (fake + 1).square().mean()


def adversarial_loss(verdicts: Verdicts) -> Tensor:
    """Give a network's loss against a discriminator: `discriminator_loss` with the parts of real and fake exchanged."""
    return discriminator_loss(Verdicts(verdicts.fake, verdicts.real))


@torch.no_grad()
def accuracy(verdicts: Verdicts) -> Tensor:
    """Share of pixels that a discriminator puts on the right side of the other kind's mean, 0.5 by guessing.

    Returns:
        Scalar in [0,1].
    """
    real, fake = _against_each_other(verdicts)
    return ((real > 0).float().mean() + (fake < 0).float().mean()) / 2


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of adapted features.

    Args:
        student: N×C×h×w, from the adapter.
        teacher: N×C×H×W; averaged over positions to the student's size, and takes no gradient.

    Returns:
        Scalar, float32.
    """
    height, width = student.shape[-2:]
    wanted = F.adaptive_avg_pool2d(teacher.detach().float(), (height, width))
    return F.mse_loss(student.float(), wanted)


def _against_each_other(verdicts: Verdicts) -> tuple[Tensor, Tensor]:
    real, fake = verdicts.real.float(), verdicts.fake.float()
    return real - fake.mean((1, 2, 3), keepdim=True), fake - real.mean((1, 2, 3), keepdim=True)


def _gradients(maps: Tensor) -> Tensor:
    across = maps.new_tensor(_SOBEL)[None, None] / 4
    return F.conv2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), torch.cat((across, across.mT)))
