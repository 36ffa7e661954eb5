"""What every network promises: one body of tests, run over backbones × the columns of the paper's Table 2."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import nn

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import NetworkConfig, ObjectiveConfig
from dbd_ray.engines import predict_focus
from dbd_ray.engines.onnx_engine import export_onnx
from dbd_ray.errors import ConfigError
from dbd_ray.models import FocusNetwork, architectures, build, build_network, register_model
from dbd_ray.models.attention import SelfAttention
from dbd_ray.models.lite import Lite
from dbd_ray.training.losses import distillation_loss

VARIANTS: dict[str, dict[str, Any]] = {
    "fcn": {"srfb": "none", "sab": False, "depth": False},
    "d": {"srfb": "none", "sab": False},
    "d-srfb": {"sab": False},
    "d-rfb-sab": {"srfb": "rfb"},
    "full": {},
}
BACKBONES: dict[str, dict[str, Any]] = {
    "mobilenetv2_100": {},
    "vgg16": {},
    # timm starts ResNet's residual branches at zero, where they pass no gradient yet
    "resnet18": {"backbone_options": {"zero_init_last": False}},
}
CASES: dict[str, dict[str, Any]] = {
    f"{backbone}-{name}": {"backbone": backbone, **options, **variant}
    for backbone, options in BACKBONES.items()
    for name, variant in VARIANTS.items()
} | {
    "sab-without-depth": {"depth": False},
    "two-branches": {"branches": 2},
    "three-branches-wide": {"branches": 3, "reduction": 2},
    "thinnest": {"reduction": 1000},
    "lite": {"architecture": "lite"},
    "lite-plain": {"architecture": "lite", "sab": False, "depth": False, "branches": 2, "width": 8},
    "lite-vgg16": {"architecture": "lite", "backbone": "vgg16", "branches": 3},
    "dbdgan-teacher": {"architecture": "dbdgan_teacher"},
    "dbdgan-teacher-resnet": {
        "architecture": "dbdgan_teacher",
        "backbone": "resnet18",
        "backbone_options": {"zero_init_last": False},
        "widths": (16, 8, 8, 8),
        "depth": False,
    },
    "dbdgan-student": {"architecture": "dbdgan_student", "widths": (32, 16, 8, 8, 8)},
    "dbdgan-student-vgg16": {"architecture": "dbdgan_student", "backbone": "vgg16", "widths": (32, 16, 8, 8, 8)},
    "dbdgan-student-same-padding": {
        "architecture": "dbdgan_student",
        "backbone": "tf_efficientnet_lite0",
        "widths": (32, 16, 8, 8, 8),
        "depth": False,
    },
    "lite-same-padding": {"architecture": "lite", "width": 88, "backbone_options": {"pad_type": "same"}},
}
# of the side outputs, deepest first
SIDE_STRIDES: dict[str, tuple[int, ...]] = {
    "depth_distillation": (16, 8, 4, 2, 1),
    "lite": (32, 16, 8),
    "dbdgan_teacher": (),
    "dbdgan_student": (),
}


def _seeded(config: NetworkConfig, seed: int = 0) -> FocusNetwork:
    torch.manual_seed(seed)
    return build_network(config)


def _image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_every_architecture_is_under_this_contract() -> None:
    assert {NetworkConfig(**case).architecture for case in CASES.values()} == set(architectures())


@pytest.fixture(scope="module", params=CASES)
def config(request: pytest.FixtureRequest) -> NetworkConfig:
    return NetworkConfig(**CASES[request.param])


@pytest.fixture(scope="module")
def network(config: NetworkConfig) -> FocusNetwork:
    return _seeded(config).eval()


class TestNetwork:
    @pytest.mark.parametrize("size", [(96, 128), (67, 45), (100, 131), (32, 32)])
    def test_maps_have_the_size_of_any_input(
        self, network: FocusNetwork, config: NetworkConfig, size: tuple[int, int]
    ) -> None:
        with torch.no_grad():
            output = network(_image(2, 3, *size))
        maps = [output.focus_logits, *output.side_focus_logits]
        assert output.focus_logits.shape == (2, 1, *size)
        assert len(output.side_focus_logits) == len(SIDE_STRIDES[config.architecture])
        if SIDE_STRIDES[config.architecture][-1:] == (1,):
            assert output.side_focus_logits[-1].shape == (2, 1, *size)
        if config.depth:
            maps += [output.depth, *output.side_depth]
            assert [side.shape for side in output.side_depth] == [side.shape for side in output.side_focus_logits]
            assert output.depth.shape == (2, 1, *size)
        else:
            assert output.depth is None
            assert output.side_depth == ()
        assert all(one.dtype == torch.float32 and one.isfinite().all() for one in maps)

    def test_sides_are_native_and_deepest_first(self, network: FocusNetwork, config: NetworkConfig) -> None:
        with torch.no_grad():
            sides = network(_image(1, 3, 64, 96)).side_focus_logits
        strides = SIDE_STRIDES[config.architecture]
        assert [tuple(side.shape[-2:]) for side in sides] == [(64 // stride, 96 // stride) for stride in strides]

    def test_every_parameter_learns(self, config: NetworkConfig) -> None:
        network = _seeded(config).train()
        for module in network.modules():
            if isinstance(module, SelfAttention):
                torch.nn.init.ones_(module.gain)  # at its start, 0, nothing before it learns yet
        output = network(_image(2, 3, 67, 70))
        focus = (_image(2, 1, 67, 70) > 0).float()
        depth = _image(2, 1, 67, 70).sigmoid() if config.depth else None
        terms = distillation_loss(output, focus, depth, None, ObjectiveConfig(iou_weight=1.0))
        torch.stack(list(terms.values())).sum().backward()
        assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        assert [name for name, gradient in gradients.items() if not gradient.isfinite().all()] == []
        assert [name for name, gradient in gradients.items() if gradient.ndim > 1 and not gradient.any()] == []

    def test_a_photo_alone_gets_what_it_gets_in_a_batch(self, network: FocusNetwork) -> None:
        batch = _image(3, 3, 64, 64)
        with torch.no_grad():
            together, alone = network(batch).focus_logits, network(batch[1:2]).focus_logits
        torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-5)

    def test_leaving_depth_out_keeps_the_focus_map(self, network: FocusNetwork) -> None:
        image = _image(1, 3, 64, 64)
        with torch.no_grad():
            full, focus_only = network(image), network(image, with_depth=False)
        assert torch.equal(full.focus_logits, focus_only.focus_logits)
        assert focus_only.depth is None
        assert focus_only.side_depth == ()

    def test_the_same_seed_builds_the_same_network(self, network: FocusNetwork, config: NetworkConfig) -> None:
        again, other = _seeded(config).state_dict(), _seeded(config, seed=1).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
        assert any(not torch.equal(tensor, other[name]) for name, tensor in again.items())

    def test_a_saved_network_answers_bit_for_bit_the_same(
        self, network: FocusNetwork, config: NetworkConfig, tmp_path: Path
    ) -> None:
        save_checkpoint(tmp_path, network, make_card(network, config, name="contract", input_size=(64, 64)))
        loaded, card = load_checkpoint(tmp_path)
        image = _image(1, 3, 64, 80)
        with torch.no_grad():
            expected, actual = network(image), loaded(image)
        assert torch.equal(expected.focus_logits, actual.focus_logits)
        assert all(torch.equal(a, b) for a, b in zip(expected.side_depth, actual.side_depth, strict=True))
        assert card.network == config
        assert (card.mean, card.std) == (network.encoder.mean, network.encoder.std)

    def test_too_small_a_photo_is_refused_with_the_smallest_size(self, network: FocusNetwork) -> None:
        with pytest.raises(ConfigError, match=r"31×40 px .* at least 32"):
            network(_image(1, 3, 31, 40))


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith(("vgg16-", "resnet18-"))])
def test_an_exported_file_gives_the_networks_maps_for_any_number_of_photos(name: str, tmp_path: Path) -> None:
    network = _seeded(NetworkConfig(**CASES[name])).eval()
    export_onnx(network, tmp_path / "network.onnx", input_size=(67, 96))
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    for several in (1, 3):
        photos = torch.randint(0, 256, (several, 3, 67, 96), dtype=torch.uint8)
        found = [torch.from_numpy(maps) for maps in session.run(None, {"photos": photos.numpy()})]
        expected = [maps for maps in predict_focus(network, photos) if maps is not None]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_the_light_network_has_at_most_two_million_parameters() -> None:
    network = _seeded(NetworkConfig(architecture="lite", width=88))
    assert sum(parameter.numel() for parameter in network.parameters()) <= 2_000_000


def test_the_light_networks_logits_can_be_scaled_and_nothing_else_changes() -> None:
    network = _seeded(NetworkConfig(architecture="lite", width=16)).eval()
    assert isinstance(network, Lite)
    with torch.inference_mode():
        before = network(_image(2, 3, 64, 96))
        network.scale_logits(2.5)
        after = network(_image(2, 3, 64, 96))
    torch.testing.assert_close(after.focus_logits, 2.5 * before.focus_logits)
    for scaled, side in zip(after.side_focus_logits, before.side_focus_logits, strict=True):
        torch.testing.assert_close(scaled, 2.5 * side)
    assert after.depth is not None
    torch.testing.assert_close(after.depth, before.depth)


def test_an_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'unet' is unknown, .*depth_distillation"):
        build_network(NetworkConfig(architecture="unet"))


def test_a_new_architecture_is_one_class_and_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_BUILDERS", dict(build._BUILDERS))

    @register_model("tiny")
    class Tiny(FocusNetwork):
        def __init__(self, config: NetworkConfig):
            nn.Module.__init__(self)  # without an encoder

    assert isinstance(build_network(NetworkConfig(architecture="tiny")), Tiny)
    assert "tiny" in architectures()
    with pytest.raises(ConfigError, match="'tiny' is registered twice"):
        register_model("tiny")(Tiny)
