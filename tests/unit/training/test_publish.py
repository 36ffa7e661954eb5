"""Publishing the best checkpoint, interrupted at every step."""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.implementations.local import LocalFileSystem
from pyarrow import fs

from dbd_ray.checkpoints.card import make_card
from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.config import NetworkConfig
from dbd_ray.models import build_network
from dbd_ray.training.publish_model import publish_model

CONFIG = NetworkConfig(backbone="mobilenetv3_small_050", srfb="none", reduction=16)
NAMES = ["card.json", "history.json", "model.safetensors"]


class _Dying(LocalFileSystem):
    """A file system that dies in its operation number `moment`, with a file that it opens left empty."""

    cachable = False

    def __init__(self, moment: int) -> None:
        super().__init__()
        self.moment = moment
        self.steps = 0
        self.dead = False

    def _step(self) -> None:
        self.dead = self.dead or self.steps == self.moment
        self.steps += 1
        if self.dead:
            raise OSError("killed")

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if "w" in mode and not self.dead:
            Path(path).write_bytes(b"")
        self._step()
        return super().open(path, mode, *args, **kwargs)

    def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
        self._step()
        super().mv(path1, path2, **kwargs)

    def rm(self, path: Any, **kwargs: Any) -> None:
        self._step()
        super().rm(path, **kwargs)

    rm_file = rm


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three checkpoints as Ray Train keeps them, with files that are none of the model's."""
    torch.set_num_threads(1)
    folders = [tmp_path_factory.mktemp(f"checkpoint-{number}") for number in range(3)]
    for number, folder in enumerate(folders):
        torch.manual_seed(number)
        network = build_network(CONFIG)
        save_checkpoint(folder, network, make_card(network, CONFIG, name=f"epoch-{number}", input_size=(64, 64)))
        (folder / "training_state.pt").write_bytes(b"state")
    return folders


def _publish(checkpoint: Path, folder: Path, moment: int) -> bool:
    """Publish, but die at a moment; False if there was nothing left to do then."""
    filesystem = _Dying(moment)
    target = fs.PyFileSystem(fs.FSSpecHandler(filesystem))
    try:
        publish_model(fs.LocalFileSystem(), str(checkpoint), target, str(folder), [{"epoch": 1.0}])
    except OSError:
        assert filesystem.dead
    return filesystem.dead


def test_what_is_published_is_the_model_and_the_history_alone(checkpoints: list[Path], tmp_path: Path) -> None:
    local = fs.LocalFileSystem()
    publish_model(local, str(checkpoints[0]), local, str(tmp_path / "deep" / "model"), [{"epoch": 1.0}])
    assert sorted(path.name for path in (tmp_path / "deep" / "model").iterdir()) == NAMES
    assert load_checkpoint(tmp_path / "deep" / "model")[1].name == "epoch-0"
    assert json.loads((tmp_path / "deep" / "model" / "history.json").read_text()) == [{"epoch": 1.0}]


def test_two_crashes_while_publishing_leave_the_last_complete_model_or_the_new(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    local = fs.LocalFileSystem()
    publish_model(local, str(checkpoints[0]), local, str(tmp_path / "old"), [])
    for first in itertools.count():
        once = shutil.copytree(tmp_path / "old", tmp_path / f"{first}")
        killed = _publish(checkpoints[1], once, first)
        after_first = load_checkpoint(once)[1].name
        assert after_first == ("epoch-0" if first < 4 else "epoch-1")
        if not killed:
            break
        for second in itertools.count():
            twice = shutil.copytree(once, tmp_path / f"{first} then {second}")
            killed = _publish(checkpoints[2], twice, second)
            assert load_checkpoint(twice)[1].name == (after_first if second < 4 else "epoch-2")
            if not killed:
                assert sorted(path.name for path in twice.iterdir()) == NAMES
                break
    assert first > 5
