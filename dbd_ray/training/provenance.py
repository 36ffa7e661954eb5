"""Provenance of a model in training: what its card says of data, settings, detector teachers and start."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch

from dbd_ray.checkpoints.card import Card, make_card
from dbd_ray.checkpoints.files import CARD
from dbd_ray.config import NetworkConfig, TrainConfig
from dbd_ray.datasets.prepared import read_info
from dbd_ray.errors import ConfigError
from dbd_ray.models import FocusNetwork
from dbd_ray.tracking.runs import UsedData
from dbd_ray.training.checks import training_size
from dbd_ray.training.learner import Learner


class DataDescription(TypedDict):
    """What a model's card says of the data that it was trained on.

    Keys:
        input_size: (height, width) that the network sees, px.
        data: `sources` and `fingerprint` of each prepared dataset.
    """

    input_size: tuple[int, int]
    data: list[dict[str, Any]]


def describe_data(config: TrainConfig) -> DataDescription:
    """Describe a run's data.

    Raises:
        DatasetError: A prepared dataset is missing, or they were prepared at different sizes.
    """
    infos = [read_info(location) for location in config.data]
    return {
        "input_size": training_size(config),
        "data": [{"sources": info.sources, "fingerprint": info.fingerprint} for info in infos],
    }


def used_data(locations: Sequence[str], use: str) -> list[UsedData]:
    """Describe prepared datasets for MLflow.

    Raises:
        DatasetError: One is missing.
    """
    infos = [(location, read_info(location)) for location in locations]
    return [UsedData(location, info.fingerprint, info.rows, use) for location, info in infos]


def make_run_card(learner: Learner, data: DataDescription) -> Card:
    """Make the card of the model as it is after the last completed epoch."""
    config = learner.config
    return make_card(
        learner.bare,
        config.network,
        name=config.name,
        input_size=data["input_size"],
        metrics={k.removeprefix("val/"): v for k, v in learner.history[-1].items() if k.startswith("val/")},
        provenance={
            **_provenance(learner, data, learner.started_from, config.network),
            **({"teachers": list(names)} if (names := learner.objective.teacher_names) else {}),
        },
    )


def make_teacher_card(learner: Learner, data: DataDescription, teacher: FocusNetwork, settings: NetworkConfig) -> Card:
    """Make the card of the detector that is trained together with the model: without metrics, none were measured."""
    return make_card(
        teacher,
        settings,
        name=f"{learner.config.name}-teacher",
        input_size=data["input_size"],
        provenance={**_provenance(learner, data, None, settings), "student": learner.config.name},
    )


def _provenance(
    learner: Learner, data: DataDescription, started_from: str | None, network: NetworkConfig
) -> dict[str, Any]:
    config = learner.config
    start = (
        {"start_from": started_from}
        if started_from
        else {"backbone_weights": Path(network.backbone_weights or "random").name}
    )
    return {
        "recipe": config.recipe,
        "epoch": learner.epoch,
        "epochs": config.epochs,
        "seed": config.seed,
        **start,
        "data": data["data"],
        "torch": str(torch.__version__),
    }


def read_provenance(checkpoint: Path) -> dict[str, Any]:
    """Read the provenance in the card of a run's checkpoint, a local folder."""
    provenance: dict[str, Any] = json.loads((checkpoint / CARD).read_text(encoding="utf-8"))["provenance"]
    return provenance


def require_same_teachers(learner: Learner, checkpoint: Path) -> None:
    """Refuse to go on with other detector teachers than those of a saved run: a name may stand for another model.

    Raises:
        ConfigError: They differ; names both.
    """
    before = read_provenance(checkpoint).get("teachers", [])
    now = list(learner.objective.teacher_names)
    if before != now:
        raise ConfigError(
            f"objective.teacher_checkpoints: the run began with {', '.join(before) or 'none'}, but now these are "
            f"{', '.join(now) or 'none'}; bring the former ones back, or choose another name for the run"
        )
