"""Backbones as modules: a picture in, its feature maps out, shallow to deep."""

from typing import Any

from torch import Tensor, nn

VGG16_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

Colour = tuple[float, float, float]


class Encoder(nn.Module):
    """A backbone: normalised image N×3×H×W -> five feature maps at strides 2, 4, 8, 16, 32.

    Args:
        features: The backbone's layers.
        channels: Widths of the five maps, shallow to deep.
        mean: RGB mean in [0,1] that the input is to be normalised with.
        std: RGB standard deviation, likewise.
    """

    def __init__(self, features: nn.Module, channels: tuple[int, ...], mean: Colour, std: Colour):
        super().__init__()
        self.features = features
        self.channels = channels
        self.mean = mean
        self.std = std


class TimmEncoder(Encoder):
    """Any timm backbone built with `features_only=True`."""

    def __init__(self, features: Any, mean: Colour, std: Colour):
        super().__init__(features, tuple(features.feature_info.channels()), mean, std)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the five maps, shallow to deep."""
        return tuple(self.features(image))


class VGG16Encoder(Encoder):
    """VGG16 tapped after each max-pool, as the paper's authors do; timm's taps sit before the pools."""

    def __init__(self, mean: Colour, std: Colour):
        layers: list[nn.Module] = []
        channels_in = 3
        for stage in VGG16_STAGES:
            for channels_out in stage:
                conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                layers += [conv, nn.ReLU(inplace=True)]
                channels_in = channels_out
            layers.append(nn.MaxPool2d(2))
        super().__init__(nn.Sequential(*layers), tuple(stage[-1] for stage in VGG16_STAGES), mean, std)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the five maps, shallow to deep."""
        taps: list[Tensor] = []
        for layer in self.features.children():
            image = layer(image)
            if isinstance(layer, nn.MaxPool2d):
                taps.append(image)
        return tuple(taps)


class HalfStrideEncoder(Encoder):
    """The four deeper maps of a timm backbone without the halving of its max-pool or first convolution."""

    def __init__(self, features: Any, channels: tuple[int, ...], mean: Colour, std: Colour):
        super().__init__(features, channels, mean, std)
        if hasattr(features, "maxpool"):
            features.maxpool = nn.Identity()
        else:
            stem = next(layer for layer in features.modules() if isinstance(layer, nn.Conv2d))
            stem.stride = (1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the four maps, shallow to deep."""
        return tuple(self.features(image))[1:]


class HeadEncoder(Encoder):
    """A network of timm's EfficientNet family up to its head, tapped after the first block at each resolution.

    Args:
        features: The network without its classifier.
        taps: Stage and width of the first blocks at strides 2, 4, 8 and 16.
        mean, std: As for `Encoder`.
    """

    def __init__(self, features: Any, taps: tuple[tuple[int, int], ...], mean: Colour, std: Colour):
        super().__init__(features, (*(width for _, width in taps), features.num_features), mean, std)
        self.taps = tuple(number for number, _ in taps)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the five maps, shallow to deep."""
        maps: list[Tensor] = []
        network: Any = self.features
        features = network.bn1(network.conv_stem(image))
        for number, stage in enumerate(network.blocks):
            for position, block in enumerate(stage):
                features = block(features)
                if position == 0 and number in self.taps:
                    maps.append(features)
        return (*maps, network.bn2(network.conv_head(features)))
