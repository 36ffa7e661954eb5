"""What a training run is told at once, and what must not end it; on a real cluster of two nodes."""

import json
import logging
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.data
import torch
from ray.cluster_utils import Cluster

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.config import TrainConfig
from dbd_ray.datasets.prepare import prepare_scenes
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.tracking.runs import RunLog
from dbd_ray.training.cached_rows import read_split
from dbd_ray.training.reporting import Event, listening
from dbd_ray.training.trainer import make_trainer, train

pytestmark = [pytest.mark.ray, pytest.mark.cluster]
NETWORK = {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16}


@pytest.fixture(scope="module", autouse=True)
def _cluster(own_ray: None) -> Iterator[None]:
    torch.set_num_threads(1)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "dashboard_port": 0}
    )
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield
    ray.shutdown()  # before its cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four prepared scenes to train, without validation."""
    folder = tmp_path_factory.mktemp("refusals") / "data"
    prepare_scenes(4, folder, config=SceneConfig(size=(64, 64)), validation_fraction=0)
    return folder


@pytest.fixture
def make_config(data: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    def make(**settings: Any) -> TrainConfig:
        defaults: dict[str, Any] = {
            "name": "run",
            "data": [str(data)],
            "storage": str(tmp_path / "runs"),
            "epochs": 1,
            "batch_size": 2,
            "network": NETWORK,
            "workers": {"gpu": False},
        }
        return TrainConfig(**{**defaults, **settings})

    return make


@pytest.mark.parametrize("workers", [{"count": 8, "gpu": False}, {"cpus": 3, "gpu": False}, {"gpu": True}], ids=str)
def test_workers_that_the_cluster_cannot_give_are_refused_and_not_waited_for(
    make_config: Callable[..., TrainConfig], workers: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"workers\.count=.* 2 node\(s\) have .*workers\.wait_for_nodes=true"):
        make_trainer(make_config(workers=workers, batch_size=8))


def test_a_database_file_is_refused_on_two_nodes_before_anything_is_written(
    make_config: Callable[..., TrainConfig],
) -> None:
    config = make_config()
    with pytest.raises(ConfigError, match=r"the cluster has 2 nodes.*set MLFLOW_TRACKING_URI"):
        train(config)
    assert list(Path(config.storage).iterdir()) == []


def test_weights_that_are_not_there_are_refused_before_a_worker_starts(
    make_config: Callable[..., TrainConfig],
) -> None:
    with pytest.raises(ConfigError, match=r"network\.backbone_weights: .*absent\.safetensors is no local file"):
        make_trainer(make_config(network={**NETWORK, "backbone_weights": "absent.safetensors"}))


def _parts(dataset: Path) -> list[Path]:
    return sorted((dataset / json.loads((dataset / "dataset.json").read_text())["parts"]).iterdir())


def test_a_dataset_whose_files_are_not_those_it_was_published_with_is_not_trained_on(
    data: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    extra = Path(shutil.copy(_parts(broken)[0], _parts(broken)[0].with_name("copy.parquet")))
    with pytest.raises(DatasetError, match=r"broken: .*\n.* are missing or damaged, prepare again: \d of 4 rows"):
        read_split((str(data), str(broken)), "train")
    extra.unlink()
    _parts(broken)[-1].write_bytes(_parts(broken)[-1].read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"broken: .*\n.*Parquet files cannot be read, prepare it again"):
        read_split((str(broken),), "train")


@pytest.mark.parametrize("left", ["an empty folder", "no folder"])
def test_a_dataset_without_its_files_is_named(data: Path, tmp_path: Path, left: str) -> None:
    broken = shutil.copytree(data, tmp_path / "broken")
    parts = _parts(broken)[0].parent
    shutil.rmtree(parts)
    if left == "an empty folder":
        parts.mkdir()
    with pytest.raises(DatasetError, match=r"broken: .*\n.*Parquet files cannot be read, prepare it again"):
        read_split((str(broken),), "train")


@pytest.mark.slow
def test_an_mlflow_server_that_is_gone_costs_no_epoch(make_config: Callable[..., TrainConfig]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = RunLog(f"http://127.0.0.1:{probe.getsockname()[1]}", "run")
    events: list[Event] = []
    impatient = {"env_vars": {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}}
    with listening(events.append) as progress:
        trainer = make_trainer(make_config(epochs=2), mlflow_run=gone, progress=progress, worker_runtime_env=impatient)
        result = trainer.fit()
    assert result.metrics is not None
    assert result.metrics["epoch"] == 2
    assert result.checkpoint is not None
    with result.checkpoint.as_directory() as folder:
        _, card = load_checkpoint(folder)
        assert card.provenance["data"][0]["sources"] == {"rendered": 4}
    missed = [str(event) for event in events if str(event).startswith("MLflow failed (")]
    assert [text.rsplit("; ")[-1] for text in missed] == [
        f"epoch {epoch} is logged when the run ends" for epoch in (1, 2)
    ]
