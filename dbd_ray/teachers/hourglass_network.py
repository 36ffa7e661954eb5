"""The hourglass network of Chen et al. 2016, *Single-Image Depth Perception in the Wild* (figure 6, table 1)."""

import torch
from torch import Tensor, nn

SMALL = (3, 5, 7)
LARGE = (3, 7, 11)


class Concatenated(nn.Sequential):
    """Gives the same input to all its parts and concatenates their outputs along the channels."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([part(features) for part in self], dim=1)


class Added(nn.Sequential):
    """Gives the same input to both its parts and adds their outputs."""

    def forward(self, features: Tensor) -> Tensor:
        first, second = self
        return first(features) + second(features)


def hourglass() -> nn.Sequential:
    """Build the network with random weights.

    Parameter names are those of the PyTorch files in use (MegaDepth's among them), which were converted from the
    authors' Torch7 network: the index of each layer in nested sequences, for instance `3.0.0.1.0.0.weight`.

    Returns:
        A module: RGB in [0,1] N×3×H×W, H and W multiples of 16 -> relative depth N×1×H×W, larger = farther.
    """
    return nn.Sequential(
        nn.Conv2d(3, 128, 7, padding=3), nn.BatchNorm2d(128), nn.ReLU(), _half(), nn.Conv2d(64, 1, 3, padding=1)
    )


def _half() -> nn.Sequential:
    around = [
        nn.MaxPool2d(2),
        *(_inception(128, 32, 32, SMALL), _inception(128, 32, 32, SMALL)),
        _quarter(),
        *(_inception(128, 32, 64, SMALL), _inception(128, 16, 32, LARGE)),
        nn.Upsample(scale_factor=2),
    ]
    return nn.Sequential(Added(nn.Sequential(*around), nn.Sequential(_inception(128, 16, 64, LARGE))))


def _quarter() -> nn.Sequential:
    around = [
        nn.MaxPool2d(2),
        *(_inception(128, 32, 32, SMALL), _inception(128, 64, 32, SMALL)),
        _eighth(),
        *(_inception(256, 64, 32, SMALL), _inception(256, 32, 32, SMALL)),
        nn.Upsample(scale_factor=2),
    ]
    across = [_inception(128, 32, 32, SMALL), _inception(128, 32, 64, LARGE)]
    return nn.Sequential(Added(nn.Sequential(*around), nn.Sequential(*across)))


def _eighth() -> nn.Sequential:
    # from here down the detour comes second, and pooling averages
    across = [_inception(256, 64, 32, SMALL), _inception(256, 64, 64, LARGE)]
    around = [
        nn.AvgPool2d(2),
        *(_inception(256, 64, 32, SMALL), _inception(256, 64, 32, SMALL)),
        _sixteenth(),
        *(_inception(256, 64, 32, SMALL), _inception(256, 64, 64, LARGE)),
        nn.Upsample(scale_factor=2),
    ]
    return nn.Sequential(Added(nn.Sequential(*across), nn.Sequential(*around)))


def _sixteenth() -> nn.Sequential:
    across = [_inception(256, 64, 32, SMALL) for _ in range(2)]
    around = [nn.AvgPool2d(2), *(_inception(256, 64, 32, SMALL) for _ in range(3)), nn.Upsample(scale_factor=2)]
    return nn.Sequential(Added(nn.Sequential(*across), nn.Sequential(*around)))


def _inception(inputs: int, each: int, inner: int, kernels: tuple[int, ...]) -> Concatenated:
    """A pointwise branch and, for each kernel, a pointwise layer to `inner` channels and a layer with that kernel.

    Each branch has `each` output channels.
    """
    branches = [nn.Sequential(*_layer(inputs, inner, 1), *_layer(inner, each, kernel)) for kernel in kernels]
    return Concatenated(nn.Sequential(*_layer(inputs, each, 1)), *branches)


def _layer(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
        nn.BatchNorm2d(outputs, affine=False),
        nn.ReLU(),
    )
