"""The two networks of Distill-DBDGAN answer as in their authors' code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dbd_ray.checkpoints.authors import Architecture, import_authors
from dbd_ray.checkpoints.card import Card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.errors import CheckpointError
from dbd_ray.models import FocusNetwork

PARAMETERS = {"dbdgan_teacher": 80_500_000, "dbdgan_student": 21_400_000}


@pytest.fixture(scope="module", params=PARAMETERS)
def imported(
    request: pytest.FixtureRequest, released: Callable[[str], dict[str, Tensor]]
) -> tuple[Architecture, FocusNetwork, Card]:
    return request.param, *import_authors(released(request.param), request.param)


def _blur(network: FocusNetwork, image: np.ndarray, dtype: torch.dtype) -> Tensor:
    with torch.no_grad():
        logits = network.to(dtype)(torch.from_numpy(image).to(dtype)).focus_logits
        network.to(torch.float32)
    return (-logits).sigmoid().float()


def test_the_released_networks_answer_as_in_their_authors_code(
    imported: tuple[Architecture, FocusNetwork, Card], reference: Path
) -> None:
    architecture, network, _ = imported
    golden = np.load(reference / f"golden_{architecture}.npz")
    theirs = torch.from_numpy(golden["probability"])
    ours, exact = (_blur(network, golden["input"], dtype) for dtype in (torch.float32, torch.float64))
    # what float32 itself loses: with these weights the teacher's deepest maps keep two digits of it, or fewer, by the
    # processor and the number of threads
    lost = (ours - exact).abs().max().item()
    assert (ours - theirs).abs().max().item() <= 1e-4 * theirs.max().item() + 2 * lost
    assert (ours - theirs).abs().median().item() <= 1e-5
    assert (exact - theirs).abs().max().item() <= (0.01 if architecture == "dbdgan_teacher" else 1e-5)


def test_the_released_networks_have_the_published_size(imported: tuple[Architecture, FocusNetwork, Card]) -> None:
    architecture, network, card = imported
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(PARAMETERS[architecture], rel=2e-3)
    assert not network.training
    assert (card.polarity, card.input_size, card.mean, card.std) == ("focus", (320, 320), (0, 0, 0), (1, 1, 1))


def test_an_imported_network_becomes_a_checkpoint(
    imported: tuple[Architecture, FocusNetwork, Card], tmp_path: Path
) -> None:
    architecture, network, card = imported
    save_checkpoint(tmp_path, network, card)
    loaded, read = load_checkpoint(tmp_path)
    assert (read.network.architecture, read.name) == (architecture, architecture.replace("_", "-"))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_the_other_network_of_the_paper_is_noticed(released: Callable[[str], dict[str, Tensor]]) -> None:
    with pytest.raises(CheckpointError, match="give the file of this architecture"):
        import_authors(released("dbdgan_student"), "dbdgan_teacher")
