"""Maps and features of detector teachers, and that nothing changes the teachers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import NetworkConfig, ObjectiveConfig, TrainConfig
from dbd_ray.engines import predict_focus
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import Precision
from dbd_ray.models import build_network
from dbd_ray.training.detector_teachers import DetectorTeacherEnsemble, load_detector_teachers
from dbd_ray.training.samples import EncodedRow, collate, decode_row

CPU = torch.device("cpu")


@pytest.fixture
def photos(photo_rows: list[EncodedRow]) -> Tensor:
    return collate([decode_row(row) for row in photo_rows[:2]]).photos


@pytest.fixture(scope="module")
def lite_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small random network of the other architecture, with a normalisation of its own."""
    config = NetworkConfig(
        architecture="lite", backbone="mobilenetv3_small_050", width=16, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)
    )
    torch.manual_seed(1)
    network = build_network(config)
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 64, 64))
    folder = tmp_path_factory.mktemp("lite-model")
    save_checkpoint(folder, network, make_card(network, config, name="a lite one", input_size=(96, 96)))
    return folder


def _objective(*folders: Path, **settings: Any) -> ObjectiveConfig:
    checkpoints = [str(folder) for folder in folders]
    return ObjectiveConfig(**{"teacher_checkpoints": checkpoints, "teacher_weight": 0.5, **settings})


def _ensemble(config: ObjectiveConfig, dtype: torch.dtype = torch.float32) -> DetectorTeacherEnsemble:
    return DetectorTeacherEnsemble(load_detector_teachers(config), config, CPU, Precision(dtype, "as tested"))


def test_one_teacher_sees_what_its_detector_sees(tiny_model: Path, lite_model: Path, photos: Tensor) -> None:
    for folder in (tiny_model, lite_model):
        taught = _ensemble(_objective(folder))(photos)
        expected = predict_focus(load_checkpoint(folder)[0], photos).focus[:, None]
        torch.testing.assert_close(taught.focus, expected, atol=1e-5, rtol=0)
        assert taught.features is None
        assert (taught.focus.dtype, taught.focus.shape) == (torch.float32, (2, 1, 64, 64))


def test_the_map_is_the_mean_over_teachers_scales_and_mirrorings(
    tiny_model: Path, lite_model: Path, photos: Tensor
) -> None:
    scales = (0.5, 1.0, 1.5)
    taught = _ensemble(_objective(tiny_model, lite_model, teacher_scales=scales, teacher_flip=True))(photos)
    maps = []
    for folder in (tiny_model, lite_model):
        network, _ = load_checkpoint(folder)
        for scale in scales:
            image = F.interpolate(network.normalize(photos), scale_factor=scale, mode="bilinear", antialias=True)
            with torch.no_grad():
                straight = network(image).focus_logits.sigmoid()
                mirrored = network(image.flip(-1)).focus_logits.sigmoid().flip(-1)
            maps += [F.interpolate(one, (64, 64), mode="bilinear", antialias=True) for one in (straight, mirrored)]
    assert len(maps) == 12
    torch.testing.assert_close(taught.focus, torch.stack(maps).mean(0), atol=1e-5, rtol=0)
    assert all((taught.focus - one).abs().max() > 1e-3 for one in maps)


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0), (0.5, 1.5)])
def test_features_are_those_of_the_first_teacher_at_training_size(
    tiny_model: Path, lite_model: Path, photos: Tensor, scales: tuple[float, ...]
) -> None:
    config = _objective(lite_model, tiny_model, teacher_scales=scales, teacher_flip=True, feature_weight=1)
    features = _ensemble(config)(photos).features
    network, _ = load_checkpoint(lite_model)
    with torch.no_grad():
        expected = network.encoder(network.normalize(photos))
    assert features is not None
    assert len(features) == len(expected) == 5
    for one, other in zip(features, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", [{"architecture": "lite"}, {"architecture": "depth_distillation"}])
def test_both_architectures_show_what_their_encoders_see(network: dict[str, str]) -> None:
    built = build_network(NetworkConfig(backbone="mobilenetv3_small_050", **network)).eval()
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, expected = built(image).features, built.encoder(image)
    assert [tuple(one.shape[-2:]) for one in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert all(torch.equal(one, other) for one, other in zip(features, expected, strict=True))


def test_teachers_look_in_the_precision_of_the_run(tiny_model: Path, photos: Tensor) -> None:
    config = _objective(tiny_model, feature_weight=1)
    exact, rounded = _ensemble(config)(photos), _ensemble(config, torch.bfloat16)(photos)
    assert rounded.focus.dtype == torch.float32
    assert 0 < (exact.focus - rounded.focus).abs().mean() < 0.02
    assert rounded.features is not None
    assert {one.dtype for one in rounded.features} == {torch.bfloat16}


def test_teachers_are_frozen_and_their_maps_can_be_learned_from(tiny_model: Path, photos: Tensor) -> None:
    ensemble = _ensemble(_objective(tiny_model, feature_weight=1))
    taught = ensemble(photos)
    for network in ensemble.networks:
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert taught.features is not None
    for target in (taught.focus, *taught.features):
        weight = torch.ones_like(target, requires_grad=True)
        (weight * target).sum().backward()  # keeps the target for its backward pass
        assert weight.grad is not None
        assert not target.requires_grad


def test_every_teacher_is_named_with_its_fingerprint(tiny_model: Path, lite_model: Path) -> None:
    cards = [load_checkpoint(folder)[1] for folder in (lite_model, tiny_model)]
    names = _ensemble(_objective(lite_model, tiny_model)).names
    assert names == tuple(f"{card.name}@{card.fingerprint[:16]}" for card in cards)
    assert names[0].startswith("a lite one@")


@pytest.mark.parametrize("wrong", ["absent", "damaged", "of no model"])
def test_a_teacher_that_cannot_be_loaded_is_named_with_its_field(tiny_model: Path, tmp_path: Path, wrong: str) -> None:
    folder = tmp_path / "teacher"
    if wrong != "absent":
        shutil.copytree(tiny_model, folder)
    if wrong == "damaged":
        (folder / "model.safetensors").write_bytes(b"half of it")
    if wrong == "of no model":
        (folder / "card.json").unlink()
    with pytest.raises(ConfigError, match=rf"^objective\.teacher_checkpoints: {folder}"):
        load_detector_teachers(_objective(tiny_model, folder))


def test_a_run_without_teachers_loads_none(make_config: Callable[..., TrainConfig]) -> None:
    assert load_detector_teachers(make_config().objective) == ()
