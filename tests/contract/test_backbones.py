"""Backbones: which ones fit, how they are tapped and normalised, and where their weights come from."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from dbd_ray.config import NetworkConfig
from dbd_ray.errors import CheckpointError, ConfigError
from dbd_ray.models import build_encoder, build_network


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "mobilenetv2_10"}, "did you mean .*mobilenetv2_100"),
        ({"backbone": "convnext_atto"}, r"convnext_atto has stages at strides \(4, 8, 16, 32\)"),
        ({"backbone_options": {"nonsense": 1}}, "nonsense"),
        ({"backbone_options": {"checkpoint_path": "elsewhere.pth"}}, "remove checkpoint_path"),
        ({"backbone": "vgg16", "backbone_options": {"pad_type": "same"}}, "no effect with backbone=vgg16"),
    ],
)
def test_an_unfit_backbone_is_named_with_the_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(NetworkConfig(**settings))


def test_the_backbones_own_normalisation_is_used_unless_one_is_given() -> None:
    assert build_encoder(NetworkConfig(backbone="resnet18")).mean == (0.485, 0.456, 0.406)
    half = (0.5, 0.5, 0.5)
    own = build_encoder(NetworkConfig(backbone="resnet18", mean=half, std=half))
    assert (own.mean, own.std) == (half, half)


def test_vgg_is_tapped_after_its_pools() -> None:
    encoder = build_encoder(NetworkConfig(backbone="vgg16")).eval()
    image = _image(1, 3, 64, 96)
    with torch.no_grad():
        taps, deepest = encoder(image), encoder.features(image)
    assert encoder.channels == (64, 128, 256, 512, 512)
    assert [tuple(tap.shape[1:]) for tap in taps] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(encoder.channels, (2, 4, 8, 16, 32), strict=True)
    ]
    assert torch.equal(taps[-1], deepest)


def test_backbone_weights_come_from_a_local_file(mobilenet_weights: Path) -> None:
    encoder = build_encoder(
        NetworkConfig(backbone_options={"pad_type": "same"}, backbone_weights=str(mobilenet_weights))
    )
    given = load_file(mobilenet_weights)
    assert all(torch.equal(tensor, given[name]) for name, tensor in encoder.features.state_dict().items())


@pytest.mark.parametrize("backbone", ["densenet121", "vgg16"])
def test_weights_of_a_whole_classifier_fit_its_backbone(backbone: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = timm.create_model(backbone).state_dict()
    # only the backbone's tensors at full size: VGG's classifier alone weighs half a gigabyte
    whole = {
        name: _image(*tensor.shape) if name.startswith("features") else torch.zeros(1)
        for name, tensor in shapes.items()
    }
    path = tmp_path / "whole.safetensors"
    save_file(whole, path)
    encoder = build_encoder(NetworkConfig(backbone=backbone, backbone_weights=str(path)))
    loaded = encoder.features.state_dict()
    assert len(loaded) == sum(name.startswith("features") for name in whole)
    assert torch.equal(next(iter(loaded.values())), next(iter(whole.values())))


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_backbone_weights_that_do_not_fit_are_named(change: str, mobilenet_weights: Path, tmp_path: Path) -> None:
    weights = load_file(mobilenet_weights)
    if change == "missing":
        del weights["blocks.3.0.bn1.weight"]
        message = "missing: blocks.3.0.bn1.weight"
    elif change == "unexpected":
        weights["blocks.9.0.bn1.weight"] = torch.zeros(3)
        message = "unexpected: blocks.9.0.bn1.weight"
    else:
        weights["conv_stem.weight"] = torch.zeros(8, 3, 3, 3)
        message = r"conv_stem.weight is \(8, 3, 3, 3\), needed \(32, 3, 3, 3\)"
    path = tmp_path / "changed.safetensors"
    save_file(weights, path)
    with pytest.raises(CheckpointError, match=f"changed.safetensors: 1 tensor(?s:.)*{message}"):
        build_encoder(NetworkConfig(backbone_weights=str(path)))


@pytest.mark.parametrize("name", ["absent.safetensors", "model.pth"])
def test_backbone_weights_that_are_no_safetensors_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=name):
        build_encoder(NetworkConfig(backbone_weights=str(tmp_path / name)))
