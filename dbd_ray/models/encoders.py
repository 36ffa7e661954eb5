"""Backbones as five feature maps at strides 2, 4, 8, 16 and 32, with the normalisation they were pretrained with."""

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models.efficientnet import EfficientNet
from torch import nn

from dbd_ray.config import NetworkConfig
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.models.encoder_modules import Colour, Encoder, HalfStrideEncoder, HeadEncoder, TimmEncoder, VGG16Encoder

STRIDES = (2, 4, 8, 16, 32)
WEIGHT_OPTIONS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
TAP_OPTIONS = {"features_only", "out_indices", "output_stride"}


def build_encoder(config: NetworkConfig) -> Encoder:
    """Build a backbone with its weights.

    Args:
        config: `backbone`, `backbone_options`, `backbone_weights`, `mean` and `std` are used.

    Returns:
        The encoder; its mean and std are the configuration's, or else those the backbone was pretrained with.

    Raises:
        ConfigError: The backbone is unknown to timm, takes no such options, or has not five stride-2 stages.
        CheckpointError: The weights cannot be downloaded or read, or are another backbone's.
    """
    encoder = _vgg16(config) if config.backbone == "vgg16" else _timm_encoder(config)
    if config.backbone_weights not in (None, "timm"):
        _load_backbone(encoder.features, Path(str(config.backbone_weights)), config)
    return encoder


def build_half_stride_encoder(config: NetworkConfig) -> Encoder:
    """Build a backbone of which one of the first two halvings is left out: four maps at strides 2, 4, 8 and 16.

    That is the stem's max-pool where there is one, as in Distill-DBDGAN's teacher, else the stride of the first
    convolution.

    Args:
        config: As for `build_encoder`.

    Raises:
        ConfigError: As `build_encoder`, or the backbone is vgg16.
        CheckpointError: As `build_encoder`.
    """
    if config.backbone == "vgg16":
        raise ConfigError(f"network.backbone: architecture={config.architecture} takes timm's backbones only")
    whole = build_encoder(config)
    halved = HalfStrideEncoder(whole.features, whole.channels[1:], whole.mean, whole.std)
    _require_strides(halved, STRIDES[:-1], config)
    return halved


def build_head_encoder(config: NetworkConfig) -> Encoder:
    """Build a backbone whose deepest map has passed the convolution before its classifier, where it has one.

    In timm's EfficientNet family (MobileNetV2 included) the other maps are taken after the first block at each
    resolution, as in Distill-DBDGAN's student; other backbones give their five maps.

    Args:
        config: As for `build_encoder`.

    Raises:
        ConfigError: As `build_encoder`.
        CheckpointError: As `build_encoder`.
    """
    whole = None if config.backbone == "vgg16" else _without_weights(config)
    if not isinstance(whole, EfficientNet):
        return build_encoder(config)
    first = _first_at_each_stride(whole)
    if tuple(first) != STRIDES:
        raise _other_strides(config, tuple(first))
    features = _create(config, num_classes=0)
    encoder = HeadEncoder(features, tuple(first.values())[:-1], *_normalisation(config, features.pretrained_cfg))
    if config.backbone_weights not in (None, "timm"):
        _load_backbone(encoder.features, Path(str(config.backbone_weights)), config)
    return encoder


def _timm_encoder(config: NetworkConfig) -> TimmEncoder:
    features = _create(config, features_only=True)
    strides = tuple(features.feature_info.reduction())
    if strides != STRIDES:
        raise _other_strides(config, strides)
    encoder = TimmEncoder(features, *_normalisation(config, features.pretrained_cfg))
    _require_strides(encoder, STRIDES, config)
    return encoder


@torch.no_grad()
def _require_strides(encoder: Encoder, strides: tuple[int, ...], config: NetworkConfig) -> None:
    # tried, not asked: convolutions without padding, branches and skips of the stem are written nowhere
    side = 2 * STRIDES[-1]
    picture = torch.zeros(1, 3, side, side, device=next(encoder.parameters()).device)
    encoder.eval()
    try:
        sides = tuple(features.shape[-1] for features in encoder(picture))
    except RuntimeError as error:
        raise ConfigError(
            f"network.backbone: {config.backbone} does not work for architecture={config.architecture} ({error}); "
            "choose another one, for instance mobilenetv2_100 or resnext101_32x4d"
        ) from None
    finally:
        encoder.train()
    if sides != tuple(side // stride for stride in strides):
        found = ", ".join(f"{side / one:.3g}" for one in sides)
        raise ConfigError(
            f"network.backbone: {config.backbone} gives maps at strides {found} for architecture="
            f"{config.architecture}, but {strides} are needed; choose another one, for instance mobilenetv2_100 or "
            "resnext101_32x4d"
        )


def _other_strides(config: NetworkConfig, strides: tuple[int, ...]) -> ConfigError:
    return ConfigError(
        f"network.backbone: {config.backbone} has stages at strides {strides}, but {STRIDES} are needed; "
        "choose a backbone with five stride-2 stages, for instance mobilenetv2_100 or resnext101_32x4d"
    )


def _first_at_each_stride(whole: Any) -> dict[int, tuple[int, int]]:
    # by a picture without memory: which stages halve is written nowhere else
    side = 2 * STRIDES[-1]
    features = whole.bn1(whole.conv_stem(torch.zeros(1, 3, side, side, device="meta")))
    first: dict[int, tuple[int, int]] = {}
    for number, stage in enumerate(whole.blocks):
        width, height = stage[0](features).shape[1:3]
        first.setdefault(side // height, (number, width))
        features = stage(features)
    return first


def _vgg16(config: NetworkConfig) -> VGG16Encoder:
    if config.backbone_options:
        raise ConfigError("network.backbone_options has no effect with backbone=vgg16: remove it")
    encoder = VGG16Encoder(*_normalisation(config, {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}))
    if config.backbone_weights == "timm":
        encoder.features.load_state_dict(_create(config).features.state_dict())
    return encoder


def _create(config: NetworkConfig, **options: Any) -> Any:
    if not timm.is_model(config.backbone):
        near = difflib.get_close_matches(config.backbone, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; timm.list_models() lists the known ones"
        raise ConfigError(f"network.backbone: {config.backbone!r} is unknown to timm{hint}")
    if refused := sorted((WEIGHT_OPTIONS | TAP_OPTIONS) & set(config.backbone_options)):
        raise ConfigError(
            f"network.backbone_options: remove {', '.join(refused)}; weights are given by backbone_weights, "
            "and the taps are fixed"
        )
    pretrained = config.backbone_weights == "timm"
    try:
        return timm.create_model(config.backbone, pretrained=pretrained, **options, **config.backbone_options)
    except Exception as error:  # the hub's client and timm's builders each raise kinds of their own
        if pretrained:
            raise CheckpointError(
                f"network.backbone_weights: timm's weights of {config.backbone} cannot be had ({error}); "
                "go online once, or give a local .safetensors file"
            ) from error
        raise ConfigError(
            f"network.backbone: timm cannot build {config.backbone} for feature extraction with options "
            f"{config.backbone_options} ({error}); change backbone or backbone_options"
        ) from error


def _normalisation(config: NetworkConfig, pretrained: dict[str, Any]) -> tuple[Colour, Colour]:
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    return tuple(pretrained["mean"]), tuple(pretrained["std"])


def _load_backbone(features: nn.Module, path: Path, config: NetworkConfig) -> None:
    if path.suffix != ".safetensors":
        raise CheckpointError(f"network.backbone_weights: {path} must be 'timm' or a local .safetensors file")
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"network.backbone_weights: {path} cannot be read as safetensors ({error})") from None
    # timm flattens "stages.0" to "stages_0" in some feature extractors: compare without dots
    ours = {_flat(name): name for name in features.state_dict()}
    prefix = "features_" if config.backbone == "vgg16" else ""
    found = {ours[flat]: name for name in given if (flat := _flat(name).removeprefix(prefix)) in ours}
    left_over = set(given) - set(found.values())
    problems = [f"missing: {name}" for name in ours.values() if name not in found]
    problems += [f"unexpected: {name}" for name in sorted(left_over - (_all_names(config) if left_over else set()))]
    wanted = features.state_dict()
    problems += [
        f"{name} is {tuple(given[name].shape)}, needed {tuple(wanted[own].shape)}"
        for own, name in found.items()
        if given[name].shape != wanted[own].shape
    ]
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:20])
        raise CheckpointError(
            f"{path}: {len(problems)} tensor(s) do not fit backbone {config.backbone}:\n{shown}\n"
            "give the weights of this backbone, built with the same backbone_options"
        )
    features.load_state_dict({own: given[name] for own, name in found.items()})


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _all_names(config: NetworkConfig) -> set[str]:
    # the whole classifier's tensors: those beyond the taps may be left over, anything else may not
    return set(_without_weights(config).state_dict())


def _without_weights(config: NetworkConfig) -> nn.Module:
    with torch.device("meta"):
        whole: nn.Module = _create(config.model_copy(update={"backbone_weights": None}))
        return whole
