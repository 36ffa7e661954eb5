"""The `lite` network: depth distillation made small enough for CPUs.

Kept from Cun & Pun (ECCV 2020, section 3.2): a field pyramid whose branches are selected per channel by global
statistics, attention computed from a level's own side output, supervision of every level, and depth as a second
training task. Changed for CPUs: every convolution of the decoder is separable; there is no level at stride 2 and
nothing is computed at full resolution: the finest level, at stride 4, predicts all pixels of its square at once;
each level adds to the map of the level below instead of all maps being enlarged and fused; depth heads run in
training only.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dbd_ray.config import NetworkConfig
from dbd_ray.models.build import register_model
from dbd_ray.models.encoders import build_encoder
from dbd_ray.models.output import FocusNetwork, NetworkOutput, checked_size

FINEST_STRIDE = 4
FINEST_WIDTH = 48  # narrower than `width`: this level has the most positions
PYRAMID = ((3, 1), (5, 1), (5, 2))  # (kernel, dilation) of the cascade, after the identity branch
GATE_CHANNELS = 8


def _pointwise(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
    )


def _depthwise(channels: int, kernel: int, dilation: int) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel, padding=padding, dilation=dilation, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    )


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, (like.shape[-2], like.shape[-1]), mode="bilinear", align_corners=False)


class SeparableFieldBlock(nn.Module):
    """SRFB with separable convolutions: branches of growing receptive fields, mixed per channel by global weights.

    Args:
        channels: Width of input and output.
        branches: 2 to 4: the identity and the first `branches - 1` of the cascade.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(_depthwise(channels, kernel, dilation), _pointwise(channels, channels))
            for kernel, dilation in PYRAMID[: branches - 1]
        )
        self.descriptor = nn.Linear(channels, max(channels // 4, 16))
        self.selector = nn.Linear(self.descriptor.out_features, branches * channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×H×W."""
        fields = [features]
        for stage in self.stages:
            fields.append(stage(fields[-1]))
        # the mean of the sum is the sum of the means, of far fewer numbers
        total = torch.stack([field.mean((2, 3)) for field in fields]).sum(0)
        weights = self.selector(self.descriptor(total).relu())
        weights = weights.unflatten(1, (len(fields), -1)).softmax(1)[..., None, None]
        mixed = fields[0] * weights[:, 0]
        for index, field in enumerate(fields[1:], start=1):
            mixed = mixed + field * weights[:, index]
        return mixed


class SideGate(nn.Module):
    """SAB as a factor in (0, 2) on the features, computed from the level's own focus logits."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(1, GATE_CHANNELS, 3, padding=1)
        self.outer = nn.Conv2d(GATE_CHANNELS, 1, 3, padding=1)

    def forward(self, features: Tensor, focus_logits: Tensor) -> Tensor:
        """Map features N×C×H×W and focus logits N×1×H×W to features N×C×H×W."""
        gated: Tensor = features * (1 + self.outer(self.inner(focus_logits).relu()).tanh())
        return gated


class LiteLevel(nn.Module):
    """One decoder level: add the level below to the skip, apply the field block, add to the map from below, and gate.

    Args:
        channels_below: Width of the level below; None for the deepest level.
        channels_skip: Width of the encoder's map at this level.
        width: Width of this level.
        maps: Channels of each head: the number of pixels that each position predicts.
        config: `branches`, `sab` and `depth` are used.
    """

    def __init__(
        self, channels_below: int | None, channels_skip: int, width: int, maps: int, config: NetworkConfig
    ) -> None:
        super().__init__()
        self.skip = _pointwise(channels_skip, width)
        self.below = nn.Identity() if channels_below in (None, width) else _pointwise(int(channels_below or 0), width)
        self.field = SeparableFieldBlock(width, config.branches)
        self.focus_head = nn.Conv2d(width, maps, 1)
        self.depth_head = nn.Conv2d(width, maps, 1) if config.depth else None
        self.gate = SideGate() if config.sab and maps == 1 else None

    def forward(
        self, skip: Tensor, below: tuple[Tensor, Tensor, Tensor | None] | None, with_depth: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the features for the next level, the focus logits, and the depth where it is wanted and known.

        Args:
            skip: N×C'×H×W, the encoder's map of this level.
            below: What the level below returned; None for the deepest level.
            with_depth: Whether the caller wants depth.
        """
        features = self.skip(skip)
        if below is not None:
            # narrowed before it is enlarged: the same numbers for a quarter of the work
            features = features + _enlarged(self.below(below[0]), skip)
        features = self.field(features)
        focus_logits = self.focus_head(features)
        depth = self.depth_head(features) if with_depth and self.depth_head is not None else None
        if below is not None:
            focus_logits = focus_logits + _enlarged(below[1], skip)
            depth = depth if depth is None or below[2] is None else depth + _enlarged(below[2], skip)
        if self.gate is not None:
            features = self.gate(features, focus_logits)
        return features, focus_logits, depth


@register_model("lite")
class Lite(FocusNetwork):
    """Predicts focus, and in training depth, on a light backbone.

    Args:
        config: Backbone, `width`, `branches`, `sab` and `depth`.

    Raises:
        ConfigError: The backbone is unknown or unfit.
        CheckpointError: The backbone's weights cannot be loaded.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__(build_encoder(config))
        # the stage at stride 2 feeds the next one and has no level of its own
        skips = self.encoder.channels[:0:-1]
        widths = (config.width,) * (len(skips) - 1) + (FINEST_WIDTH,)
        maps = (1,) * (len(skips) - 1) + (FINEST_STRIDE**2,)
        below = (None, *widths[:-1])
        self.levels = nn.ModuleList(
            LiteLevel(*channels, config) for channels in zip(below, skips, widths, maps, strict=True)
        )

    @torch.no_grad()
    def scale_logits(self, factor: float) -> None:
        """Multiply the focus logits of all levels, in place; their signs stay.

        Args:
            factor: Above 1 makes maps harder, below 1 softer.
        """
        for level in cast(Iterable[LiteLevel], self.levels):
            for parameter in level.focus_head.parameters():
                parameter.mul_(factor)
            if level.gate is not None:
                level.gate.inner.weight.div_(factor)  # the gate gets the logits that it was trained with

    def forward(self, image: Tensor, *, with_depth: bool = True) -> NetworkOutput:
        """Predict focus and depth, with arguments and result as of `DepthDistillation.forward`."""
        size = checked_size(image)
        taps = self.encoder(image)
        found: list[tuple[Tensor, Tensor, Tensor | None]] = []
        for level, skip in zip(self.levels, taps[:0:-1], strict=True):
            found.append(level(skip, found[-1] if found else None, with_depth))
        *sides, (_, focus, depth) = found
        return NetworkOutput(
            focus_logits=_full_size(focus, size),
            depth=None if depth is None else _full_size(depth, size),
            side_focus_logits=tuple(side for _, side, _ in sides),
            side_depth=tuple(side for _, _, side in sides if side is not None),
            features=tuple(taps),
        )


def _full_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    # by sub-pixels: enlarging one channel costs a CPU a tenth of what the network does
    full = F.pixel_shuffle(maps, FINEST_STRIDE)
    if full.shape[-2] < size[0] or full.shape[-1] < size[1]:  # backbones that leave out incomplete last rows
        return F.interpolate(full, size, mode="bilinear", align_corners=False)
    return full[..., : size[0], : size[1]]
