"""The discriminator of Distill-DBDGAN: a U-Net that judges every pixel of a focus map beside its photo."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (1, 2, 4, 8)  # of the levels, in multiples of the first one's; each has half the resolution of the one before
SLOPE = 0.2
_EPSILON = 1e-5


class Discriminator(nn.Module):
    """Judges focus maps of photos (the paper's figure has encoder-decoders; the rest is choice, see docs/dbdgan.md).

    Every convolution has spectral norm (Miyato et al., ICLR 2018). Each level's features are normalised over channels
    at every position, and the moments taken away are given back to the decoder's level (positional normalisation with
    moment shortcut, Li et al., NeurIPS 2019): no statistics are shared by the pictures of a batch.

    Args:
        width: Channels of the first level.
    """

    def __init__(self, width: int):
        super().__init__()
        widths = [factor * width for factor in WIDTHS]
        self.encoder = nn.ModuleList(
            _convolution(below, here, 3, stride=1 if number == 0 else 2)
            for number, (below, here) in enumerate(zip((4, *widths[:-1]), widths, strict=True))
        )
        self.decoder = nn.ModuleList(
            _convolution(below + here, here, 3)
            for below, here in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True)
        )
        self.verdict = _convolution(widths[0], 1, 1)

    def forward(self, photos: Tensor, focus: Tensor) -> Tensor:
        """Judge focus maps.

        Args:
            photos: N×3×H×W in [0,1].
            focus: N×1×H×W in [0,1].

        Returns:
            N×1×H×W, higher where the map looks more like a real one.
        """
        features = torch.cat((photos, focus), 1) * 2 - 1
        levels: list[tuple[Tensor, Tensor, Tensor]] = []
        for convolution in self.encoder:
            features = F.leaky_relu(convolution(features), SLOPE)
            levels.append(_normalised(features))
        features = levels.pop()[0]
        for convolution, (skip, mean, deviation) in zip(self.decoder, reversed(levels), strict=True):
            features = F.interpolate(features, skip.shape[-2:], mode="bilinear")
            features = F.leaky_relu(convolution(torch.cat((features, skip), 1)), SLOPE)
            features = features * deviation + mean
        verdict: Tensor = self.verdict(features)
        return verdict


def _convolution(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2))


def _normalised(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = features.mean(1, keepdim=True)
    deviation = (features.var(1, keepdim=True, correction=0) + _EPSILON).sqrt()
    return (features - mean) / deviation, mean, deviation
