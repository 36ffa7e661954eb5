"""Checks before a run starts: of its settings against its data, and of the cluster that it asks for."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dbd_ray.config import NetworkConfig, ObjectiveConfig, TrainConfig, WorkersConfig
from dbd_ray.datasets.prepared import common_input_size, read_info
from dbd_ray.errors import ConfigError
from dbd_ray.metrics import METRIC_NAMES
from dbd_ray.models import build_network
from dbd_ray.models.output import SMALLEST_SIDE_PX
from dbd_ray.storage import as_uri, kind_at
from dbd_ray.tracking.store import database_file

Nodes = Sequence[Mapping[str, Any]]


def check_settings(config: TrainConfig) -> None:
    """Check, without Ray, a run's settings against its data; detectors that it names are not loaded.

    Args:
        config: The run; paths may be relative to the current folder.

    Raises:
        ConfigError: The settings do not fit the data, or name weights that are not there.
        DatasetError: A prepared dataset is missing, or they were prepared at different sizes.
    """
    size = training_size(config)
    infos = [read_info(location) for location in config.data]
    if config.augment.crop_min_scale < 1 and all(tuple(info.input_size) == size for info in infos):
        raise ConfigError(
            f"augment.crop_min_scale has no effect: the data is prepared at {size[0]}×{size[1]} px, the size that the "
            "network sees, and crops are not enlarged; prepare it at a larger --size and set input_size, or set it to 1"
        )
    network, teacher = config.network, config.objective.adversarial.teacher
    _check_network("network", network)
    if teacher is not None:
        _check_network("objective.adversarial.teacher", teacher)
    if network.depth and config.objective.depth_weight > 0 and not any(info.depth_rows for info in infos):
        raise ConfigError(
            f"network.depth has nothing to learn from: no row of {', '.join(config.data)} has a depth; add depths with "
            "`dbd-ray teach`, or set network.depth=false and objective.depth_weight=0"
        )
    _check_teacher_scales(config.objective, size)
    if any("val" in info.rows for info in infos) and config.select_by not in METRIC_NAMES:
        raise ConfigError(f"select_by: {config.select_by!r} is no metric; choose one of {', '.join(METRIC_NAMES)}")


def training_size(config: TrainConfig) -> tuple[int, int]:
    """Give the (height, width) that a run's network sees.

    Raises:
        ConfigError: A dataset was prepared smaller than `input_size`: enlarging would look like blur.
        DatasetError: A prepared dataset is missing, or they differ in size and `input_size` is not set.
    """
    if config.input_size is None:
        return common_input_size(config.data)
    height, width = config.input_size
    for location in config.data:
        prepared = read_info(location).input_size
        if prepared[0] < height or prepared[1] < width:
            raise ConfigError(
                f"input_size: {location} is prepared at {prepared[0]}×{prepared[1]} px, smaller than {height}×{width}; "
                "prepare it at a larger --size, or lower input_size"
            )
    return config.input_size


def check_workers(workers: WorkersConfig, nodes: Nodes, *, use_gpu: bool) -> None:
    """Refuse workers for which the cluster has no room even when it is idle; Ray would wait for room silently.

    Args:
        workers: How many, and what each needs; each must fit on one node.
        nodes: The cluster's nodes, as ray.nodes() returns them.
        use_gpu: Whether each worker gets a GPU.

    Raises:
        ConfigError: They do not fit, and `workers.wait_for_nodes` is not set; or batch norms cannot be synchronised.
    """
    if workers.sync_batchnorm and not use_gpu:
        raise ConfigError(
            "workers.sync_batchnorm: torch synchronises batch norms on GPUs only, and these workers get none; remove it"
        )
    if workers.wait_for_nodes:
        return
    room = room_for(workers, nodes, use_gpu=use_gpu)
    if room >= workers.fewest:
        return
    alive = _alive(nodes)
    has = "; ".join(", ".join(f"{node.get(kind, 0):g} {kind}" for kind in ("CPU", "GPU")) for node in alive)
    gpu = " and a GPU" if use_gpu else ""
    count = workers.count if isinstance(workers.count, int) else list(workers.count)
    raise ConfigError(
        f"workers.count={count}, workers.cpus={workers.cpus:g}: the cluster has room for {room} worker(s) of "
        f"{workers.cpus:g} CPU{gpu} (its {len(alive)} node(s) have {has}); lower them, or set "
        "workers.wait_for_nodes=true where the cluster adds nodes by itself"
    )


def room_for(workers: WorkersConfig, nodes: Nodes, *, use_gpu: bool) -> int:
    """Count the workers, of any number of runs, that an idle cluster has room for (arguments as of `check_workers`)."""
    needed = {"CPU": workers.cpus, **({"GPU": 1.0} if use_gpu else {})}
    return sum(
        min(math.floor(node.get(kind, 0) / amount + 1e-6) for kind, amount in needed.items()) for node in _alive(nodes)
    )


def check_store(tracking_uri: str, nodes: Nodes) -> None:
    """Refuse a database file as MLflow's store on several machines: the workers would not find it, or damage it.

    Args:
        tracking_uri: URI of MLflow's store.
        nodes: The cluster's nodes, as ray.nodes() returns them.

    Raises:
        ConfigError: The store is such a file, and more than one node is alive.
    """
    count = len(_alive(nodes))
    if database_file(tracking_uri) and count > 1:
        raise ConfigError(
            f"{tracking_uri}: the cluster has {count} nodes, and an sqlite file is safe on one only; start "
            "`mlflow server` and set MLFLOW_TRACKING_URI to its address"
        )


def _check_network(setting: str, network: NetworkConfig) -> None:
    _check_weights(setting, network)
    if problem := _why_not_built(network.model_copy(update={"backbone_weights": None}).model_dump_json()):
        raise ConfigError(problem.replace("network.", f"{setting}.", 1))


@functools.lru_cache(maxsize=64)  # a study has many runs of few networks
def _why_not_built(network: str) -> str:
    try:
        with torch.random.fork_rng(devices=[]):
            build_network(NetworkConfig.model_validate_json(network))
    except ConfigError as error:
        return str(error)
    return ""


def _check_weights(setting: str, network: NetworkConfig) -> None:
    if network.backbone_weights not in (None, "timm") and kind_at(as_uri(str(network.backbone_weights))) != "file":
        raise ConfigError(
            f"{setting}.backbone_weights: {network.backbone_weights} is no local file; correct it, or give 'timm' to "
            f"have the weights of {network.backbone} downloaded, or null for random ones"
        )


def _check_teacher_scales(objective: ObjectiveConfig, size: tuple[int, int]) -> None:
    if not objective.teacher_checkpoints:
        return
    smallest = round(min(size) * min(objective.teacher_scales))
    if smallest < SMALLEST_SIDE_PX:
        raise ConfigError(
            f"objective.teacher_scales: at {min(objective.teacher_scales):g} the teachers would look at {smallest} px "
            f"a side, and they need {SMALLEST_SIDE_PX}; raise it, or prepare the data at a larger --size"
        )


def _alive(nodes: Nodes) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in nodes if node["Alive"]]
