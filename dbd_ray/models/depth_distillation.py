"""The depth-distillation network (Cun & Pun, ECCV 2020, section 3.2): encoder, five decoder levels, fusion."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dbd_ray.config import NetworkConfig
from dbd_ray.models.blocks import MergedFieldBlock, SelectiveFieldBlock, SideAttention
from dbd_ray.models.build import register_model
from dbd_ray.models.encoders import build_encoder
from dbd_ray.models.output import FocusNetwork, NetworkOutput, checked_size

LAST_CHANNELS = 32


def _field_block(config: NetworkConfig, channels: int) -> nn.Module:
    if config.srfb == "srfb":
        return SelectiveFieldBlock(channels, config.branches)
    if config.srfb == "rfb":
        return MergedFieldBlock(channels, config.branches)
    return nn.Identity()  # the paper inserts the block beside the level's own 3×3 convolution


def _fuse(fusion: nn.Module, sides: tuple[Tensor, ...], size: tuple[int, int]) -> Tensor:
    full = [F.interpolate(side, size, mode="bilinear", align_corners=False) for side in sides]
    fused: Tensor = fusion(torch.cat(full, 1))
    return fused


class DecoderLevel(nn.Module):
    """One level: upsample, convolve, widen the field of view, predict, and gate by the prediction (figure 3).

    Args:
        channels_in: Width of the level below.
        channels_out: Width of this level and of the skip that is added to it.
        gated: Whether a SAB follows; the last level has none.
        config: `reduction`, `srfb`, `branches` and `depth` are used.
    """

    def __init__(self, channels_in: int, channels_out: int, gated: bool, config: NetworkConfig):
        super().__init__()
        middle = max(channels_in // config.reduction, 1)
        self.squeeze = nn.Conv2d(channels_in, middle, 3, padding=1)
        self.squeeze_norm = nn.BatchNorm2d(middle)
        self.field = _field_block(config, middle)
        self.expand = nn.Conv2d(middle, channels_out, 1)
        self.expand_norm = nn.BatchNorm2d(channels_out)
        self.focus_head = nn.Conv2d(channels_out, 1, 1)
        self.depth_head = nn.Conv2d(channels_out, 1, 1) if config.depth else None
        self.attention = SideAttention(2 if config.depth else 1) if gated else None

    def forward(self, below: Tensor, size: tuple[int, int], with_depth: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the gated features, the focus logit and the depth, all at `size`.

        Args:
            below: N×C×h×w, the level below.
            size: This level's height and width, px.
            with_depth: Whether the caller wants depth; it is computed anyway where the gate needs it.
        """
        features = F.interpolate(below, size, mode="nearest")
        features = self.squeeze_norm(self.squeeze(features).relu())
        features = self.field(features)
        features = self.expand_norm(self.expand(features).relu())
        focus_logits = self.focus_head(features)
        depth_wanted = with_depth or self.attention is not None
        depth = self.depth_head(features) if self.depth_head is not None and depth_wanted else None
        if self.attention is not None:
            features = features * self.attention(focus_logits, depth)
        return features, focus_logits, depth


@register_model("depth_distillation")
class DepthDistillation(FocusNetwork):
    """Predicts focus and depth; every column of the paper's Table 2 is a configuration.

    Args:
        config: Backbone and variant.

    Raises:
        ConfigError: The backbone is unknown or unfit.
        CheckpointError: The backbone's weights cannot be loaded.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__(build_encoder(config))
        self.shows_depth = config.depth
        outs = (*self.encoder.channels[-2::-1], LAST_CHANNELS)
        ins = (self.encoder.channels[-1], *outs[:-1])
        self.levels = nn.ModuleList(
            DecoderLevel(channels_in, channels_out, config.sab and level < len(outs) - 1, config)
            for level, (channels_in, channels_out) in enumerate(zip(ins, outs, strict=True))
        )
        self.focus_fusion = nn.Conv2d(len(outs), 1, 1)
        self.depth_fusion = nn.Conv2d(len(outs), 1, 1) if config.depth else None

    def forward(self, image: Tensor, *, with_depth: bool = True) -> NetworkOutput:
        """Predict focus and depth.

        Args:
            image: N×3×H×W float, RGB normalised by the encoder's mean and std, H and W at least 32.
            with_depth: False saves the work that only depth needs; the focus map stays the same.

        Returns:
            Maps at the input's H×W, and the side outputs at their levels' resolutions.

        Raises:
            ConfigError: The image is smaller than the deepest stage's stride.
        """
        size = checked_size(image)
        taps = self.encoder(image)
        *skips, features = taps
        side_focus: list[Tensor] = []
        side_depth: list[Tensor] = []
        for level, skip in zip(self.levels, (*reversed(skips), None), strict=True):
            level_size = size if skip is None else (skip.shape[-2], skip.shape[-1])
            features, focus_logits, depth = level(features, level_size, with_depth)
            if skip is not None:
                features = features + skip
            side_focus.append(focus_logits)
            if depth is not None and with_depth:
                side_depth.append(depth)
        return NetworkOutput(
            focus_logits=_fuse(self.focus_fusion, tuple(side_focus), size),
            depth=_fuse(self.depth_fusion, tuple(side_depth), size) if self.depth_fusion and with_depth else None,
            side_focus_logits=tuple(side_focus),
            side_depth=tuple(side_depth),
            features=taps,
        )
