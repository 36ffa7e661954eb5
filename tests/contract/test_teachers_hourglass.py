"""The hourglass of Chen et al. 2016, held against the published layout by rule-filled weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, interpolate, max_pool2d

from dbd_ray.errors import TeacherError
from dbd_ray.teachers import load_teacher
from dbd_ray.teachers.hourglass_network import hourglass


def _published_forward(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    """The network layer by layer, as the authors' Torch7 code strings it together."""

    def layer(x: Tensor, conv: str, norm: str) -> Tensor:
        weight = t[f"{conv}.weight"]
        x = conv2d(x, weight, t[f"{conv}.bias"], padding=weight.shape[2] // 2)
        affine = (t.get(f"{norm}.weight"), t.get(f"{norm}.bias"))
        return batch_norm(x, t[f"{norm}.running_mean"], t[f"{norm}.running_var"], *affine).relu()

    def inceptions(x: Tensor, *places: str) -> Tensor:
        for place in places:
            branches = [layer(x, f"{place}.0.0", f"{place}.0.1")]
            for b in (1, 2, 3):
                inner = layer(x, f"{place}.{b}.0", f"{place}.{b}.1")
                branches.append(layer(inner, f"{place}.{b}.3", f"{place}.{b}.4"))
            x = torch.cat(branches, dim=1)
        return x

    def up(x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2, mode="nearest")

    def channels_1(x: Tensor, p: str) -> Tensor:
        across = inceptions(x, f"{p}.0.0.0", f"{p}.0.0.1")
        return across + up(inceptions(avg_pool2d(x, 2), f"{p}.0.1.1", f"{p}.0.1.2", f"{p}.0.1.3"))

    def channels_2(x: Tensor, p: str) -> Tensor:
        across = inceptions(x, f"{p}.0.0.0", f"{p}.0.0.1")
        down = channels_1(inceptions(avg_pool2d(x, 2), f"{p}.0.1.1", f"{p}.0.1.2"), f"{p}.0.1.3")
        return across + up(inceptions(down, f"{p}.0.1.4", f"{p}.0.1.5"))

    def channels_3(x: Tensor, p: str) -> Tensor:
        across = inceptions(x, f"{p}.0.1.0", f"{p}.0.1.1")
        down = channels_2(inceptions(max_pool2d(x, 2), f"{p}.0.0.1", f"{p}.0.0.2"), f"{p}.0.0.3")
        return across + up(inceptions(down, f"{p}.0.0.4", f"{p}.0.0.5"))

    def channels_4(x: Tensor, p: str) -> Tensor:
        across = inceptions(x, f"{p}.0.1.0")
        down = channels_3(inceptions(max_pool2d(x, 2), f"{p}.0.0.1", f"{p}.0.0.2"), f"{p}.0.0.3")
        return across + up(inceptions(down, f"{p}.0.0.4", f"{p}.0.0.5"))

    return conv2d(channels_4(layer(x, "0", "1"), "3"), t["4.weight"], t["4.bias"], padding=1)


def test_it_has_the_published_names_and_shapes(hourglass_tensors: dict[str, Tensor]) -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in hourglass().state_dict().items()}
    counters = {name for name in ours if name.endswith("num_batches_tracked")}
    assert {n: s for n, s in ours.items() if n not in counters} == {
        name: tuple(tensor.shape) for name, tensor in hourglass_tensors.items()
    }
    assert sum(parameter.numel() for parameter in hourglass().parameters()) == 5_357_153


def test_it_computes_what_the_authors_layers_compute(hourglass_tensors: dict[str, Tensor]) -> None:
    network = hourglass().eval()
    network.load_state_dict(hourglass_tensors)
    photo = torch.rand((1, 3, 32, 48), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, wanted = network(photo), _published_forward(photo, hourglass_tensors)
    assert wanted.std() > 0.01 * wanted.abs().mean(), "the rule must not drown the picture"
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def test_the_teacher_sees_photos_of_240_by_320_as_rgb_in_zero_to_one(
    hourglass_file: Path, hourglass_tensors: dict[str, Tensor]
) -> None:
    teacher = load_teacher(f"hourglass:{hourglass_file}")
    assert (teacher.input_size, teacher.larger_is, teacher.name) == ((240, 320), "far", "hourglass:net_G")
    photo = np.random.default_rng(0).integers(0, 256, (1, 240, 320, 3), np.uint8)
    with torch.no_grad():
        wanted = _published_forward(torch.from_numpy(photo).permute(0, 3, 1, 2) / 255, hourglass_tensors)[:, 0]
    np.testing.assert_allclose(teacher.raw_depth(photo), wanted.numpy(), rtol=1e-3, atol=1e-4)


def test_the_same_weights_in_another_file_are_the_same_teacher(
    hourglass_file: Path, hourglass_tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    save_file(hourglass_tensors, tmp_path / "net_G.safetensors")
    torch.save({"state_dict": hourglass_tensors}, tmp_path / "net_G.pth")
    keys = {load_teacher(f"hourglass:{path}").key for path in (hourglass_file, *tmp_path.iterdir())}
    assert len(keys) == 1


def test_weights_of_another_network_are_listed(hourglass_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in hourglass_tensors.items() if name != "4.bias"}
    save_file(tensors | {"4.weight": torch.zeros(2, 64, 3, 3), "5.weight": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(TeacherError) as caught:
        load_teacher(f"hourglass:{tmp_path}/a.safetensors")
    for name in ("4.bias", "4.weight", "5.weight", "a.safetensors"):
        assert name in str(caught.value)


def test_weights_that_are_not_finite_are_refused(hourglass_tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(hourglass_tensors | {"4.bias": torch.tensor([torch.nan])}, tmp_path / "a.safetensors")
    with pytest.raises(TeacherError, match=r"hourglass:a: .* not finite"):
        load_teacher(f"hourglass:{tmp_path}/a.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02garbage", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TeacherError, match=f"{name}: no file of plain torch tensors"):
        load_teacher(f"hourglass:{tmp_path}/{name}")


def test_a_pickle_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"state_dict": Path("/")}, tmp_path / "net.pth")
    with pytest.raises(TeacherError, match="no file of plain torch tensors"):
        load_teacher(f"hourglass:{tmp_path}/net.pth")


@pytest.mark.parametrize("held", [[torch.zeros(1)], {"state_dict": 3}, {"epoch": 3}])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "net.pth")
    with pytest.raises(TeacherError, match="holds no named tensors"):
        load_teacher(f"hourglass:{tmp_path}/net.pth")
