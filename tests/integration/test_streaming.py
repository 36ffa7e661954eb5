"""Rows streamed by Ray Data: an epoch is the same for any number of workers, and each row comes once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.prepared import read_info, read_rows
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.errors import DatasetError
from dbd_ray.training import streaming
from dbd_ray.training.ledger import digest
from dbd_ray.training.reporting import Event
from dbd_ray.training.samples import train_batches
from dbd_ray.training.state import STATE_FILE
from dbd_ray.training.streaming import StreamedRows
from dbd_ray.training.trainer import train

pytestmark = [pytest.mark.ray, pytest.mark.workers, pytest.mark.usefixtures("training_ray")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prepared datasets, `one` and `two`, of together 70 scenes to train and 10 to validate."""
    folder = tmp_path_factory.mktemp("streaming")
    scenes = SceneConfig(size=(64, 64))
    prepare_scenes(60, folder / "one", config=scenes, validation_fraction=1 / 6)
    prepare_scenes(20, folder / "two", config=scenes, validation_fraction=0, seed=1)
    return folder


def _config(folder: Path, **settings: Any) -> TrainConfig:
    network = {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16}
    defaults: dict[str, Any] = {
        "name": "streamed",
        "data": [str(folder / "one"), str(folder / "two")],
        "storage": str(folder / "runs"),
        "epochs": 2,
        "batch_size": 8,
        "network": network,
        "augment": {"flip": True, "paste_probability": 0.5},
        "cache_limit_gib": 1e-6,
        "workers": {"count": 2, "gpu": False},
    }
    return TrainConfig(**{**defaults, **settings})


def _names(rows: StreamedRows, epoch: int) -> list[str]:
    return [window.rows[index].name for window in rows.epoch(epoch) for index in window.order]


def test_every_row_comes_once_in_an_order_that_seed_and_epoch_give(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "WINDOW_ROWS", 30)
    config = _config(folder)
    rows = StreamedRows("train", config)
    assert (rows.available, rows.per_epoch()) == (70, 70)
    lengths = [len(window.order) for window in rows.epoch(0)]
    assert lengths == [24, 24, 22], "windows hold whole batches"
    orders = [_names(rows, 0), _names(rows, 1), _names(StreamedRows("train", config), 0)]
    expected = sorted(f"rendered/{id}" for name in config.data for id in read_rows(name, "train")["id"].to_pylist())
    assert sorted(orders[0]) == sorted(orders[1]) == expected
    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert orders[0] != _names(StreamedRows("train", config.model_copy(update={"seed": 1})), 0)
    everything = [row.name for some in StreamedRows("val", config).all() for row in some]
    assert sorted(everything) == sorted(f"rendered/{id}" for id in read_rows(config.data[0], "val")["id"].to_pylist())


@pytest.mark.slow
def test_pictures_are_pasted_from_the_window_at_hand_and_alike_in_every_pass(folder: Path) -> None:
    config = _config(folder)

    def photos() -> torch.Tensor:
        windows = StreamedRows("train", config).epoch(0)
        batches = train_batches(windows, batch_size=8, config=config.augment, seed=0, epoch=0)
        return torch.cat([batch.photos for batch in batches])

    first = photos()
    assert first.shape == (64, 3, 64, 64)
    np.testing.assert_array_equal(first.numpy(), photos().numpy())


@pytest.mark.slow
def test_two_workers_that_hold_all_cpus_train_on_a_stream(folder: Path) -> None:
    config = _config(folder)
    events: list[Event] = []
    trained = train(config, on_event=events.append)
    assert any(str(event).startswith("streaming rows: ") and "above cache_limit_gib" in str(event) for event in events)
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2]
    assert 0 <= trained.metrics["val/mae"] <= 1
    saved = (folder / "runs" / "streamed").glob(f"checkpoint_*/{STATE_FILE}")
    ledger = max((torch.load(path, weights_only=True)["ledger"] for path in saved), key=len)
    rows = StreamedRows("train", config)
    assert ledger == [(epoch, 64, digest(_names(rows, epoch - 1)[:64]), 2) for epoch in (1, 2)]


def test_a_stream_with_a_file_missing_or_damaged_is_an_error_that_names_it(folder: Path, tmp_path: Path) -> None:
    config = _config(tmp_path)
    files = {}
    for name in ("one", "two"):
        prepare_scenes(40, tmp_path / name, config=SceneConfig(size=(64, 64)), validation_fraction=0)
        files[name] = sorted((tmp_path / name / read_info(tmp_path / name).parts).iterdir())
    files["two"][0].unlink()
    with pytest.raises(DatasetError, match=r"two: .*\n.* of 80 rows of split 'train' found: files are missing"):
        _names(StreamedRows("train", config), 0)
    damaged = files["one"][0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(Exception, match=rf"{damaged.name} cannot be read; if it is damaged, prepare the dataset"):
        _names(StreamedRows("train", config), 0)
