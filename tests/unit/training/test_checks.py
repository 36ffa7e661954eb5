"""Refusals of a run before it starts: settings against data, and against the cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dbd_ray.config import TrainConfig, WorkersConfig
from dbd_ray.datasets.prepared import PreparedInfo, write_info
from dbd_ray.errors import ConfigError
from dbd_ray.training.checks import check_settings, check_store, check_workers, training_size

MakeConfig = Callable[..., TrainConfig]
GPU_NODE = {"CPU": 4.0, "GPU": 1.0}


def _prepare(folder: Path, depth_rows: int, input_size: tuple[int, int] = (64, 64)) -> str:
    folder.mkdir()
    counts = {"rows": {"train": 8, "val": 2}, "sources": {"cuhk": 10}, "depth_rows": depth_rows, "image_bytes": 1}
    write_info(str(folder), PreparedInfo(parts="parts-1", input_size=input_size, fingerprint="abc", **counts))
    return str(folder)


@pytest.fixture
def plain(tmp_path: Path) -> str:
    """Ten photos that no depth teacher has seen."""
    return _prepare(tmp_path / "plain", depth_rows=0)


@pytest.fixture
def taught(tmp_path: Path) -> str:
    """The same with depths of some."""
    return _prepare(tmp_path / "taught", depth_rows=3)


def _nodes(*resources: dict[str, float], dead: bool = False) -> list[dict[str, Any]]:
    return [{"Alive": not dead, "Resources": each} for each in resources]


def test_depth_without_any_depth_in_the_data_is_refused_with_both_ways_out(make_config: MakeConfig, plain: str) -> None:
    with pytest.raises(ConfigError, match=r"network\.depth has nothing to learn from: no row of .*plain") as error:
        check_settings(make_config(data=[plain]))
    assert "dbd-ray teach" in str(error.value)
    assert "network.depth=false and objective.depth_weight=0" in str(error.value)


def test_the_network_may_see_less_than_was_prepared_but_not_more(
    make_config: MakeConfig, taught: str, tmp_path: Path
) -> None:
    larger = _prepare(tmp_path / "larger", depth_rows=3, input_size=(96, 96))
    both = make_config(data=[taught, larger], input_size=(64, 64))
    check_settings(both)
    assert training_size(both) == (64, 64)
    assert training_size(make_config(data=[larger])) == (96, 96)
    with pytest.raises(ConfigError, match=r"input_size: .*taught is prepared at 64×64 px, smaller than 64×96"):
        check_settings(make_config(data=[larger, taught], input_size=(64, 96)))


def test_crops_of_pictures_that_have_no_detail_to_spare_are_refused(
    make_config: MakeConfig, taught: str, tmp_path: Path
) -> None:
    crops = {"crop_min_scale": 0.7}
    with pytest.raises(ConfigError, match=r"augment\.crop_min_scale has no effect: the data is prepared at 64×64 px"):
        check_settings(make_config(data=[taught], augment=crops))
    larger = _prepare(tmp_path / "larger", depth_rows=3, input_size=(96, 96))
    check_settings(make_config(data=[taught, larger], augment=crops, input_size=(64, 64)))


@pytest.mark.parametrize("network", [{"depth": True}, {"depth": False}])
def test_a_depth_weight_of_zero_needs_no_depths(make_config: MakeConfig, plain: str, network: dict[str, bool]) -> None:
    check_settings(make_config(data=[plain], network=network, objective={"depth_weight": 0}))


def test_depths_in_one_dataset_of_two_are_enough(make_config: MakeConfig, plain: str, taught: str) -> None:
    check_settings(make_config(data=[plain, taught]))


def test_weights_that_are_not_there_are_named_with_their_field(
    make_config: MakeConfig, taught: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for absent in ("absent.safetensors", str(tmp_path), "s3://bucket/weights.safetensors"):
        with pytest.raises(ConfigError, match=rf"network\.backbone_weights: {absent} is no local file.*'timm'"):
            check_settings(make_config(data=[taught], network={"backbone_weights": absent}))
    Path("present.safetensors").touch()
    for present in ("present.safetensors", f"file://{tmp_path}/present.safetensors", "timm", None):
        check_settings(make_config(data=[taught], network={"backbone_weights": present}))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"architecture": "dbdgan_studnet"}, "architecture: 'dbdgan_studnet' is unknown"),
        ({"backbone": "mobilenetv3_smal_050"}, "backbone: .* did you mean .*mobilenetv3_small_050"),
        ({"architecture": "dbdgan_teacher", "backbone": "dla34"}, "backbone: dla34 gives maps at strides 4, 8, 16, 32"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_before_the_run_holds_its_name(
    make_config: MakeConfig, taught: str, network: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^network\.{said}"):
        check_settings(make_config(data=[taught], network=network))
    objective = {"kind": "adversarial", "adversarial": {"teacher": network}}
    with pytest.raises(ConfigError, match=rf"^objective\.adversarial\.teacher\.{said}"):
        check_settings(make_config(data=[taught], objective=objective))


def _taught_by(*teachers: str, **settings: Any) -> dict[str, Any]:
    return {"teacher_checkpoints": teachers, "teacher_weight": 1, **settings}


def test_teachers_are_not_asked_to_look_at_pictures_that_are_too_small_for_them(
    make_config: MakeConfig, taught: str, tiny_model: Path
) -> None:
    smaller = _prepare(Path(taught).parent / "smaller", depth_rows=1, input_size=(48, 64))
    objective = _taught_by(str(tiny_model), teacher_scales=(1.0, 0.5))
    check_settings(make_config(data=[taught], objective=objective))
    with pytest.raises(ConfigError, match=r"^objective\.teacher_scales: at 0\.5 .* 24 px a side, and they need 32"):
        check_settings(make_config(data=[smaller], objective=objective))


@pytest.mark.parametrize(
    ("workers", "nodes", "use_gpu"),
    [
        ({"count": 2}, [{"CPU": 2.0}], False),
        ({"count": 3, "cpus": 0.1}, [{"CPU": 0.3}], False),
        ({"count": 3, "cpus": 2}, [{"CPU": 5.0}, {"memory": 1.0}, {"CPU": 2.0}], False),
        ({"count": 2, "cpus": 4}, [GPU_NODE, GPU_NODE], True),
        ({"count": 99, "wait_for_nodes": True}, [{"CPU": 2.0}], False),
        ({"count": [2, 99]}, [{"CPU": 2.0}], False),
        ({"count": 2, "sync_batchnorm": True}, [GPU_NODE, GPU_NODE], True),
    ],
)
def test_workers_that_have_room_are_let_in(
    workers: dict[str, Any], nodes: list[dict[str, float]], use_gpu: bool
) -> None:
    check_workers(WorkersConfig(**workers), _nodes(*nodes), use_gpu=use_gpu)


@pytest.mark.parametrize(
    ("workers", "nodes", "use_gpu", "room"),
    [
        ({"count": 8}, [{"CPU": 2.0}], False, 2),
        # together they have enough, but a worker does not spread over nodes
        ({"count": 1, "cpus": 3}, [{"CPU": 2.0}, {"CPU": 2.0}], False, 0),
        ({"count": 4, "cpus": 2}, [{"CPU": 7.0}], False, 3),
        # processors on one node, GPUs on the other
        ({"count": 2}, [{"CPU": 8.0}, GPU_NODE], True, 1),
    ],
)
def test_workers_for_which_there_is_no_room_are_refused_with_what_there_is(
    workers: dict[str, Any], nodes: list[dict[str, float]], use_gpu: bool, room: int
) -> None:
    with pytest.raises(ConfigError, match=rf"workers\.count={workers['count']}, .*has room for {room} worker") as error:
        check_workers(WorkersConfig(**workers), _nodes(*nodes), use_gpu=use_gpu)
    assert all(f"{node['CPU']:g} CPU, {node.get('GPU', 0):g} GPU" in str(error.value) for node in nodes)
    assert "workers.wait_for_nodes=true" in str(error.value)


def test_a_node_that_is_gone_gives_no_room() -> None:
    with pytest.raises(ConfigError, match="room for 0 worker"):
        check_workers(WorkersConfig(), _nodes({"CPU": 4.0}, dead=True), use_gpu=False)


def test_a_database_file_is_for_one_machine() -> None:
    two = _nodes({"CPU": 1.0}, {"CPU": 1.0})
    with pytest.raises(ConfigError, match=r"mlflow\.db: the cluster has 2 nodes.*set MLFLOW_TRACKING_URI"):
        check_store("sqlite:////home/me/runs/mlflow.db", two)
    check_store("http://tracking:5000", two)
    check_store("sqlite:////home/me/runs/mlflow.db", [*two[:1], *_nodes({}, dead=True)])


def test_batch_norms_are_not_synchronised_without_gpus() -> None:
    with pytest.raises(ConfigError, match=r"^workers\.sync_batchnorm: .*on GPUs only, and these workers get none"):
        check_workers(WorkersConfig(count=2, sync_batchnorm=True), _nodes({"CPU": 2.0}), use_gpu=False)
