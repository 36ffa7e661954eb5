"""The two networks of Distill-DBDGAN (ACM TOMM 2023), as its authors released them: teacher and student."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dbd_ray.config import NetworkConfig
from dbd_ray.models.attention import SelfAttention
from dbd_ray.models.build import register_model
from dbd_ray.models.encoders import build_half_stride_encoder, build_head_encoder
from dbd_ray.models.output import FocusNetwork, NetworkOutput, checked_size

TEACHER_WIDTHS = (256, 256, 64, 128)
STUDENT_WIDTHS = (512, 256, 128, 64, 32)
DILATIONS = (2, 4, 6, 8)


class DenseField(nn.Module):
    """DenseASPP: dilated convolutions, each fed with the input and the results of all before it.

    Args:
        channels: Width of the input.
        middle: Width inside of each convolution.
        growth: Width of each one's result.
    """

    def __init__(self, channels: int, middle: int, growth: int):
        super().__init__()
        self.stages = nn.ModuleList()
        for number, dilation in enumerate(DILATIONS):
            width = channels + number * growth
            self.stages.append(
                nn.Sequential(
                    nn.Identity() if number == 0 else nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, middle, 1),
                    nn.BatchNorm2d(middle),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(middle, growth, 3, padding=dilation, dilation=dilation),
                    nn.Dropout(0.1),
                )
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×(C + 4·growth)×H×W, the latest result first and the input last."""
        for stage in self.stages:
            features = torch.cat((stage(features), features), 1)
        return features


class TwoConvolutions(nn.Sequential):
    """Two 3×3 convolutions, each with batch norm and ReLU.

    Args:
        channels_in, channels_out: Widths of input and output.
    """

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__(*_convolved(channels_in, channels_out), *_convolved(channels_out, channels_out))


@register_model("dbdgan_teacher")
class DBDGANTeacher(FocusNetwork):
    """The teacher: a backbone at half its strides, DenseASPP beside self-attention, four decoder levels.

    Args:
        config: Backbone, `widths` and `depth`.

    Raises:
        ConfigError: The backbone is unknown or unfit.
        CheckpointError: The backbone's weights cannot be loaded.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__(build_half_stride_encoder(config))
        self.shows_depth = config.depth
        *skips, deepest = self.encoder.channels
        widths = config.widths or TEACHER_WIDTHS
        growth = deepest // 16
        self.field = DenseField(deepest, deepest // 2, growth)
        self.attention = SelfAttention(deepest)
        below = 2 * deepest + len(DILATIONS) * growth
        ins = (below, *(width + skip for width, skip in zip(widths, reversed(skips), strict=False)))
        self.levels = nn.ModuleList(nn.Sequential(*_convolved(*channels)) for channels in zip(ins, widths, strict=True))
        self.dropout = nn.Dropout2d(0.2)
        self.focus_head = nn.Conv2d(widths[-1], 1, 1)
        self.depth_head = nn.Conv2d(widths[-1], 1, 1) if config.depth else None

    def forward(self, image: Tensor, *, with_depth: bool = True) -> NetworkOutput:
        """Predict focus and depth, with arguments and result as of `DepthDistillation.forward`; no side outputs."""
        size = checked_size(image)
        taps = self.encoder(image)
        *skips, deepest = taps
        features = torch.cat((self.field(deepest), self.attention(deepest)), 1)
        for level, skip in zip(self.levels, (*reversed(skips), None), strict=True):
            features = _enlarged(level(features), size if skip is None else skip.shape[-2:])
            features = features if skip is None else torch.cat((features, skip), 1)
        return _output(self, self.dropout(features), taps, with_depth)


@register_model("dbdgan_student")
class DBDGANStudent(FocusNetwork):
    """The student: a U-Net on a light backbone, whose last level sees the picture itself.

    Args:
        config: Backbone, `widths` and `depth`.

    Raises:
        ConfigError: The backbone is unknown or unfit.
        CheckpointError: The backbone's weights cannot be loaded.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__(build_head_encoder(config))
        self.shows_depth = config.depth
        *skips, deepest = self.encoder.channels
        widths = config.widths or STUDENT_WIDTHS
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(below, width, 2, stride=2)
            for below, width in zip((deepest, *widths[:-1]), widths, strict=True)
        )
        self.levels = nn.ModuleList(
            TwoConvolutions(width + skip, width) for width, skip in zip(widths, (*reversed(skips), 3), strict=True)
        )
        self.focus_head = nn.Conv2d(widths[-1], 1, 1)
        self.depth_head = nn.Conv2d(widths[-1], 1, 1) if config.depth else None

    def forward(self, image: Tensor, *, with_depth: bool = True) -> NetworkOutput:
        """Predict focus and depth, with arguments and result as of `DepthDistillation.forward`; no side outputs."""
        checked_size(image)
        taps = self.encoder(image)
        *skips, features = taps
        for enlarge, level, skip in zip(self.enlarge, self.levels, (*reversed(skips), image), strict=True):
            features = level(torch.cat((_fitted(enlarge(features), skip), skip), 1))
        return _output(self, features, taps, with_depth)


def _convolved(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(channels_in, channels_out, 3, padding=1),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def _enlarged(features: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(features, size, mode="bilinear", align_corners=False)


def _fitted(features: Tensor, like: Tensor) -> Tensor:
    # maps of odd sides are halved up by most backbones, down by some
    height, width = like.shape[-2:]
    missing = (max(width - features.shape[-1], 0), max(height - features.shape[-2], 0))
    if any(missing):
        features = F.pad(features, (0, missing[0], 0, missing[1]), mode="replicate")
    return features[..., :height, :width]


def _output(
    network: "DBDGANTeacher | DBDGANStudent", features: Tensor, taps: tuple[Tensor, ...], with_depth: bool
) -> NetworkOutput:
    depth = network.depth_head(features) if with_depth and network.depth_head is not None else None
    return NetworkOutput(network.focus_head(features), depth, (), (), tuple(taps))
