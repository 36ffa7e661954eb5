"""A training set of a few small pictures, as rows of a prepared dataset, and settings for a tiny network."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from dbd_ray.config import TrainConfig
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.models import build_network
from dbd_ray.training.learner import Learner, make_learner
from dbd_ray.training.samples import EncodedRow
from dbd_ray.training.state import seed_everything

SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _row(index: int, source: str, depth: bool) -> EncodedRow:
    rng = np.random.default_rng(index)
    photo = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    focus = np.zeros((SIDE, SIDE), np.float32)
    edge = int(rng.integers(20, 44))
    focus[:, :edge] = 1
    photo[:, edge:] = cv2.GaussianBlur(photo, (0, 0), 4)[:, edge:]
    return EncodedRow(
        id=f"{source}-{index:03d}",
        source=source,
        image=encode_photo(photo),
        mask=encode_mask(focus),
        depth=encode_depth(1 - focus * 0.5) if depth else None,
    )


@pytest.fixture(scope="session")
def photo_rows() -> list[EncodedRow]:
    """Eleven photos, of which every other one has a depth."""
    return [_row(index, "cuhk", depth=index % 2 == 0) for index in range(11)]


@pytest.fixture(scope="session")
def rendered_rows() -> list[EncodedRow]:
    """Seven rendered scenes with depth."""
    return [_row(index, "rendered", depth=True) for index in range(100, 107)]


MakeConfig = Callable[..., TrainConfig]
MakeLearner = Callable[..., Learner]


@pytest.fixture(scope="session")
def make_config() -> MakeConfig:
    def make(**settings: Any) -> TrainConfig:
        network = {"backbone": "mobilenetv3_small_050", "srfb": "none", "reduction": 16}
        return TrainConfig(
            **{"name": "tiny", "data": ["nowhere"], "epochs": 2, "batch_size": 4, "network": network, **settings}
        )

    return make


@pytest.fixture(scope="session")
def make_tiny_learner() -> MakeLearner:
    def make(config: TrainConfig, *, steps_per_epoch: int = 2) -> Learner:
        seed_everything(config.seed)
        network = build_network(config.network)
        return make_learner(config, network, steps_per_epoch=steps_per_epoch, device=torch.device("cpu"))

    return make
