"""Promises of calling a detector elsewhere, while its replicas are given other models."""

import asyncio
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dbd_ray.detector import Detector
from dbd_ray.images.decode import decode_photo
from dbd_ray.serving.messages import Alternatives, Looked, ModelInUse
from dbd_ray.serving.refusals import Refusal
from dbd_ray.serving.remote import RemoteDetector


class Replicas:
    """A handle whose calls go to replicas in turn, each with a model of its own."""

    def __init__(self, detector: Detector, *sizes: tuple[int, int]) -> None:
        self.detector = detector
        self.models = [ModelInUse(f"model of {size}", f"print of {size}", size, False) for size in sizes]
        self.calls = count()
        self.look = SimpleNamespace(remote=self._look)
        self.model_in_use = SimpleNamespace(remote=self._model_in_use)

    async def _look(self, photos: list[Alternatives]) -> list[Looked]:
        model = self.models[next(self.calls) % len(self.models)]
        fitting = [alternatives.get(model.input_size) for alternatives in photos]
        return [Looked(model, None if one is None else self.detector.look(one)) for one in fitting]

    async def _model_in_use(self) -> ModelInUse:
        return self.models[next(self.calls) % len(self.models)]


def remote_to(handle: Any) -> RemoteDetector:
    return RemoteDetector(handle, batch_megapixels=0.82, longest_wait_s=0.1)


@pytest.fixture
def photo(photo_bytes: bytes) -> np.ndarray:
    return decode_photo(photo_bytes)


def test_replicas_with_models_of_other_sizes_all_answer(tiny_model: Path, photo: np.ndarray) -> None:
    replicas = Replicas(Detector.load(tiny_model, engine="eager"), (64, 64), (96, 128), (32, 64))
    remote = remote_to(replicas)
    for tile in (1, 3):
        found = [asyncio.run(remote.detect(photo, tile=tile)) for _ in range(7)]
        assert all(one.focus.shape == photo.shape[:2] for one in found)
        assert {one.summary.model for one in found} <= {model.name for model in replicas.models}


def test_models_that_change_without_end_are_not_waited_for(tiny_model: Path, photo: np.ndarray) -> None:
    sizes = [(32 * side, 64) for side in range(1, 9)]
    remote = remote_to(Replicas(Detector.load(tiny_model, engine="eager"), *sizes))
    with pytest.raises(Refusal, match="busy"):
        asyncio.run(remote.detect(photo))


def test_an_error_of_the_network_is_not_taken_for_a_lost_replica(photo: np.ndarray) -> None:
    async def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    handle = SimpleNamespace(model_in_use=SimpleNamespace(remote=broken))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(remote_to(handle).detect(photo))
