"""What every network is to its users: a name for its input, and what it returns."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dbd_ray.models.encoders import Encoder


class NetworkOutput(NamedTuple):
    """Raw maps of one forward pass; a focus logit above 0 means in focus.

    Args:
        focus_logits: N×1×H×W at the input's size.
        depth: N×1×H×W at the input's size, unbounded, trained towards 0 = near, 1 = far; None if not predicted.
        side_focus_logits: One N×1×h×w map per decoder level, deepest level first, each at its level's resolution.
        side_depth: Likewise for depth; empty if depth is not predicted.
        features: The encoder's five maps N×C×h×w, shallow to deep.
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
    """Whether its depth is worth showing; where not, depth is a companion of training alone."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def normalize(self, photos: Tensor) -> Tensor:
        """Turn uint8 N×3×H×W RGB into the float32 input of `forward`."""
        mean, std = (
            torch.tensor(v, device=photos.device)[:, None, None] for v in (self.encoder.mean, self.encoder.std)
        )
        return (photos.float() / 255 - mean) / std
