"""Building blocks of the depth-distillation decoder (Cun & Pun, ECCV 2020, section 3.2)."""

import torch
from torch import Tensor, nn

PYRAMID = ((3, 3), (5, 5), (7, 7))  # (kernel, dilation) of the cascade, after the identity branch
ATTENTION_CHANNELS = 32


class FieldPyramid(nn.Module):
    """Cascade of dilated convolutions whose outputs have growing receptive fields (figure 4).

    Args:
        channels: Width of the input and of every branch.
        branches: 2 to 4: the identity and the first `branches - 1` convolutions.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, kernel, padding=dilation * (kernel - 1) // 2, dilation=dilation),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for kernel, dilation in PYRAMID[: branches - 1]
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return all branches, each N×C×H×W, the input itself first."""
        fields = [features]
        for stage in self.stages:
            fields.append(stage(fields[-1]))
        return fields


class SelectiveFieldBlock(nn.Module):
    """SRFB: branches of a field pyramid, mixed per channel by weights computed from their global mean.

    Args:
        channels: Width of input and output.
        branches: Branches of the pyramid, 2 to 4.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__()
        width = max(channels // 16, 32)
        self.pyramid = FieldPyramid(channels, branches)
        self.descriptor = nn.Linear(channels, width)
        self.selectors = nn.ModuleList(nn.Linear(width, channels) for _ in range(branches))

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×H×W."""
        fields = self.pyramid(features)
        total = fields[0]
        for field in fields[1:]:
            total = total + field
        descriptor = self.descriptor(total.mean((2, 3)))
        weights = torch.stack([select(descriptor) for select in self.selectors]).softmax(0)[..., None, None]
        # one field at a time: stacking them would hold a second copy of the whole pyramid
        mixed = fields[0] * weights[0]
        for field, weight in zip(fields[1:], weights[1:], strict=True):
            mixed = mixed + field * weight
        return mixed


class MergedFieldBlock(nn.Module):
    """RFB of the ablation: the same pyramid, concatenated and merged by a 1×1 convolution, without selection.

    Args:
        channels: Width of input and output.
        branches: Branches of the pyramid, 2 to 4.
    """

    def __init__(self, channels: int, branches: int):
        super().__init__()
        self.pyramid = FieldPyramid(channels, branches)
        # norm and ReLU as in the pyramid: two linear 1×1 convolutions in a row would collapse into one
        self.merge = nn.Sequential(
            nn.Conv2d(branches * channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map N×C×H×W to N×C×H×W."""
        merged: Tensor = self.merge(torch.cat(self.pyramid(features), 1))
        return merged


class SideAttention(nn.Module):
    """SAB: spatial gate in (0, 1) computed from a level's own side outputs.

    Args:
        maps: Number of side outputs: 2 (focus logits and depth), or 1 without depth.
    """

    def __init__(self, maps: int):
        super().__init__()
        self.inner = nn.Conv2d(maps, ATTENTION_CHANNELS, 3, padding=1)
        self.norm = nn.BatchNorm2d(ATTENTION_CHANNELS)
        self.outer = nn.Conv2d(ATTENTION_CHANNELS, 1, 3, padding=1)

    def forward(self, focus_logits: Tensor, depth: Tensor | None) -> Tensor:
        """Map the side outputs, N×1×H×W each, to a gate N×1×H×W."""
        sides = focus_logits if depth is None else torch.cat((focus_logits, depth), 1)
        gate: Tensor = self.outer(self.norm(self.inner(sides).relu())).sigmoid()
        return gate
