"""The base class of all networks, their input and their output."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dbd_ray.errors import ConfigError
from dbd_ray.models.encoder_modules import Encoder

SMALLEST_SIDE_PX = 32  # the deepest encoder stage has stride 32


class NetworkOutput(NamedTuple):
    """Raw maps of one forward pass; a focus logit above 0 means in focus.

    Args:
        focus_logits: N×1×H×W at the input's size.
        depth: N×1×H×W at the input's size, unbounded, trained towards 0 = near, 1 = far; None if not predicted.
        side_focus_logits: One N×1×h×w map per decoder level, deepest level first, each at its level's resolution.
        side_depth: Likewise for depth; empty if depth is not predicted.
        features: The encoder's maps N×C×h×w, shallow to deep; five but for `dbdgan_teacher`, which has four.
    """

    focus_logits: Tensor
    depth: Tensor | None
    side_focus_logits: tuple[Tensor, ...]
    side_depth: tuple[Tensor, ...]
    features: tuple[Tensor, ...] = ()


class FocusNetwork(nn.Module):
    """Base of all networks: uint8 photos are normalised by the backbone's own mean and std.

    Args:
        encoder: The backbone; its parameters are named `encoder.*`.
    """

    shows_depth = False
    """Whether depth is part of its results; if not, depth is a training target only."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def normalize(self, photos: Tensor) -> Tensor:
        """Turn uint8 N×3×H×W RGB into the float32 input of `forward`."""
        mean, std = (
            torch.tensor(v, device=photos.device)[:, None, None] for v in (self.encoder.mean, self.encoder.std)
        )
        return (photos.float() / 255 - mean) / std


def checked_size(image: Tensor) -> tuple[int, int]:
    """Give the (height, width) in pixels of a network's input, N×3×H×W.

    Raises:
        ConfigError: A side is shorter than `SMALLEST_SIDE_PX`.
    """
    size = (image.shape[-2], image.shape[-1])
    if min(size) < SMALLEST_SIDE_PX:
        raise ConfigError(
            f"image: {size[0]}×{size[1]} px is too small, enlarge it to at least {SMALLEST_SIDE_PX} px a side"
        )
    return size
