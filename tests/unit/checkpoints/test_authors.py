import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dbd_ray.checkpoints.authors import import_authors
from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.errors import CheckpointError

MAX_RELATIVE_ERROR = 1e-4
PARAMETERS = {"vgg16": 19_400_000, "resnext101": 84_500_000}


class Trap:
    """Unpickling it makes a folder: proof that a file's code ran."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.folder),))


@pytest.fixture(scope="module")
def vgg16(released: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return released("depth_distillation_vgg16")


@pytest.fixture(scope="module", params=["vgg16", "resnext101"])
def imported(
    request: pytest.FixtureRequest, released: Callable[[str], dict[str, Tensor]]
) -> Iterator[tuple[str, nn.Module, Card]]:
    yield request.param, *import_authors(released(f"depth_distillation_{request.param}"), request.param)


def test_the_released_networks_answer_as_in_their_authors_code(
    imported: tuple[str, nn.Module, Card], reference: Path
) -> None:
    architecture, network, _ = imported
    golden = np.load(reference / f"golden_depth_distillation_{architecture}.npz")
    with torch.no_grad():
        output = network(torch.from_numpy(golden["input"]))
    assert output.depth is not None
    ours = {f"defocus_{i}": one for i, one in enumerate((output.focus_logits, *output.side_focus_logits))}
    ours |= {f"depth_{i}": one for i, one in enumerate((output.depth, *output.side_depth))}
    assert set(ours) == set(golden) - {"input"}
    errors = {
        name: float(np.abs(one.numpy() - golden[name]).max() / np.abs(golden[name]).max()) for name, one in ours.items()
    }
    assert {name: error for name, error in errors.items() if not error <= MAX_RELATIVE_ERROR} == {}
    assert {name: one.shape for name, one in ours.items()} == {name: golden[name].shape for name in ours}


def test_the_released_networks_have_the_published_size(imported: tuple[str, nn.Module, Card]) -> None:
    architecture, network, _ = imported
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(PARAMETERS[architecture], rel=2e-3)


def test_the_card_says_how_to_use_the_imported_network(imported: tuple[str, nn.Module, Card]) -> None:
    architecture, network, card = imported
    assert not network.training
    assert (card.name, card.polarity, card.input_size) == (f"depth-distillation-{architecture}", "focus", (320, 320))
    assert (card.mean, card.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert "github.com/vinthony/depth-distillation" in card.provenance["source"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "data-parallel"])
def test_a_released_file_becomes_a_checkpoint(wrapped: bool, vgg16: dict[str, Tensor], tmp_path: Path) -> None:
    released = {"epoch": 60, "state_dict": {f"module.{k}": v for k, v in vgg16.items()}} if wrapped else vgg16
    torch.save(released, tmp_path / "released.pth")
    network, card = import_authors(tmp_path / "released.pth", "vgg16")
    save_checkpoint(tmp_path / "ours", network, card)
    loaded, _ = load_checkpoint(tmp_path / "ours")
    weights = loaded.state_dict()
    assert torch.equal(weights["levels.1.field.pyramid.stages.2.0.weight"], vgg16["deconv2.sk.convs.2.0.weight"])
    assert torch.equal(weights["levels.3.attention.outer.bias"], vgg16["sideatt4.conv2.bias"])
    assert len(weights) == len(vgg16)


def test_a_file_with_a_weight_that_is_no_number_is_refused(vgg16: dict[str, Tensor]) -> None:
    name = "sideatt4.conv2.bias"
    with pytest.raises(CheckpointError, match=rf"not finite in {name}: the file is damaged"):
        import_authors({**vgg16, name: torch.full_like(vgg16[name], float("nan"))}, "vgg16")


def test_every_tensor_that_does_not_fit_is_listed_by_its_released_name(vgg16: dict[str, Tensor]) -> None:
    changed = dict(vgg16)
    changed["stranger.weight"] = changed.pop("fusiond.bias")
    changed["classifier3.sides.1.weight"] = torch.zeros(1, 7, 1, 1)
    with pytest.raises(CheckpointError, match=r"3 tensor\(s\) are not those of the released vgg16") as caught:
        import_authors(changed, "vgg16")
    assert "missing: fusiond.bias" in str(caught.value)
    assert "unexpected: stranger.weight" in str(caught.value)
    assert "classifier3.sides.1.weight is (1, 7, 1, 1), needed (1, 128, 1, 1)" in str(caught.value)


def test_the_wrong_architecture_is_noticed(vgg16: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="give the file of this architecture"):
        import_authors(vgg16, "resnext101")


def test_an_architecture_that_was_not_released_lists_those_that_were(vgg16: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="'vgg19' was not released, choose one of resnext101, vgg16, dbdgan_t"):
        import_authors(vgg16, "vgg19")  # type: ignore[arg-type]


def test_code_in_a_released_file_never_runs(vgg16: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**vgg16, "extra": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(CheckpointError, match=r"trap\.pth: is no file of plain torch tensors"):
        import_authors(tmp_path / "trap.pth", "vgg16")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"hello", b"PK\x03\x04 cut off"])
def test_a_broken_download_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "released.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"released\.pth: is no file of plain torch tensors"):
        import_authors(tmp_path / "released.pth", "vgg16")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pth: no such file"):
        import_authors(tmp_path / "absent.pth", "vgg16")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3, "optimizer": "sgd"}, {"state_dict": [1]}])
def test_a_file_of_something_else_is_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth: .*give the"):
        import_authors(tmp_path / "other.pth", "vgg16")
