"""Promises of calling a detector elsewhere, while its replicas are given other models."""

import asyncio
import threading
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError

from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.serving.messages import DetectorAnswer, ModelInUse, PicturesBySize
from dbd_ray.serving.refusals import Refusal
from dbd_ray.serving.remote import RemoteDetector


class Replicas:
    """A handle whose calls go to replicas in turn, each with a model of its own."""

    def __init__(self, detector: Detector, *sizes: tuple[int, int]) -> None:
        self.detector = detector
        self.models = [ModelInUse(f"model of {size}", f"print of {size}", size, False) for size in sizes]
        self.calls = count()
        self.asked: list[str] = []
        self.network_maps = SimpleNamespace(remote=self._network_maps)
        self.model_in_use = SimpleNamespace(remote=self._model_in_use)

    async def _network_maps(self, photos: list[PicturesBySize]) -> list[DetectorAnswer]:
        self.asked.append(f"maps of {len(photos)}")
        model = self.models[next(self.calls) % len(self.models)]
        fitting = [by_size.get(model.input_size) for by_size in photos]
        return [DetectorAnswer(model, None if one is None else self.detector.network_maps(one)) for one in fitting]

    async def _model_in_use(self) -> ModelInUse:
        self.asked.append("model_in_use")
        return self.models[next(self.calls) % len(self.models)]


def remote_to(handle: Any) -> RemoteDetector:
    return RemoteDetector(handle, batch_megapixels=0.017, calls_at_once=1, longest_wait_s=60)  # four of 64×64


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


def test_photos_share_calls_and_the_first_of_them_asks_for_the_model(tiny_model: Path, photo: np.ndarray) -> None:
    replicas = Replicas(Detector.load(tiny_model, engine="eager"), (64, 64))
    remote = remote_to(replicas)

    async def together() -> list[FocusMap]:
        return await asyncio.gather(*(remote.detect(photo) for _ in range(9)))

    found = asyncio.run(together())
    first, *calls = replicas.asked
    assert first == "model_in_use"
    assert sum(int(call.split()[-1]) for call in calls) == 9
    assert len(calls) < 9
    assert max(int(call.split()[-1]) for call in calls) <= 4
    assert len({one.focus.tobytes() for one in found}) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackPressureError(num_queued_requests=1, max_queued_requests=1), "busy"),
        (MemoryError(), "model_unavailable"),
        (RayActorError(), "model_unavailable"),
    ],
)
def test_what_befalls_a_shared_call_is_told_to_each_of_its_photos(
    tiny_model: Path, photo: np.ndarray, error: Exception, reason: str
) -> None:
    replicas = Replicas(Detector.load(tiny_model, engine="eager"), (64, 64))

    async def broken(*_: Any) -> Any:
        raise error

    replicas.network_maps = SimpleNamespace(remote=broken)
    remote = remote_to(replicas)

    async def together() -> list[Any]:
        return await asyncio.gather(*(remote.detect(photo) for _ in range(5)), return_exceptions=True)

    assert [getattr(one, "reason", one) for one in asyncio.run(together())] == [reason] * 5


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


def test_what_comes_before_and_after_the_passes_takes_no_further_visits_to_threads(
    tiny_model: Path, photo: np.ndarray
) -> None:
    remote = remote_to(Replicas(Detector.load(tiny_model, engine="eager"), (64, 64)))
    visits: list[str] = []
    run = remote._threads.run

    async def counted(function: Any, *arguments: Any, **options: Any) -> Any:
        visits.append(function.__name__)
        return await run(function, *arguments, **options)

    remote._threads.run = counted  # type: ignore[method-assign]
    threads: list[int] = []

    def read() -> np.ndarray:
        threads.append(threading.get_ident())
        return photo

    def finish(pixels: np.ndarray, found: FocusMap) -> tuple[int, ...]:
        threads.append(threading.get_ident())
        assert pixels is photo
        return found.focus.shape

    async def twice() -> list[tuple[int, ...]]:
        return [await remote.answer(read, finish) for _ in range(2)]

    assert asyncio.run(twice()) == [photo.shape[:2]] * 2
    assert visits == ["begin", "network_pictures", "end", "begin", "end"], "only the first knows no size beforehand"
    assert threading.get_ident() not in threads, "the event loop was held up"


def test_a_photo_that_cannot_be_read_is_refused_whether_or_not_a_detector_answers() -> None:
    async def gone(*_: Any) -> Any:
        raise RayActorError

    def read() -> np.ndarray:
        raise PhotoError("truncated", "this file ends early")

    never = SimpleNamespace(remote=gone)
    remote = remote_to(SimpleNamespace(model_in_use=never, network_maps=never))
    with pytest.raises(PhotoError, match="ends early"):
        asyncio.run(remote.answer(read, lambda *_: None))


def test_an_answer_that_cannot_be_made_harms_no_other_of_its_call(tiny_model: Path, photo: np.ndarray) -> None:
    remote = remote_to(Replicas(Detector.load(tiny_model, engine="eager"), (64, 64)))

    def fail(*_: Any) -> FocusMap:
        raise ZeroDivisionError

    async def together() -> list[Any]:
        finishes = [fail, lambda _, found: found, fail]
        return await asyncio.gather(*(remote.answer(lambda: photo, one) for one in finishes), return_exceptions=True)

    first, found, last = asyncio.run(together())
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(last, ZeroDivisionError)
    assert found.focus.shape == photo.shape[:2]
