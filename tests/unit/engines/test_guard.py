"""What a guarded engine makes of its engine's errors and of other processes."""

import os
import pickle

import pytest
import torch

from dbd_ray.engines.base import NetworkMaps
from dbd_ray.engines.guard import GuardedEngine
from dbd_ray.errors import DbdRayError

PHOTOS = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)


class _Failing:
    name = "failing"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def __call__(self, photos: torch.Tensor) -> NetworkMaps:
        if self.error:
            raise self.error
        return NetworkMaps(photos[:, 0].float(), None)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("[CPU] Reorder node with name 'Multiply' std::future_error: Broken promise"),
        RuntimeError("[CPU] Convolution node with name '/network/Conv' can't alloc\n\n"),
        RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer of size 9"),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: bad allocation"),
        MemoryError("Unable to allocate 5.96 GiB for an array"),
    ],
)
def test_memory_that_ran_out_is_one_error_whatever_library_says_it(error: Exception) -> None:
    with pytest.raises(MemoryError, match="the network's pass: "):
        GuardedEngine(_Failing(error))(PHOTOS)


def test_an_error_in_words_that_nobody_knows_is_asked_for_again_photo_by_photo() -> None:
    error = RuntimeError("this says nothing")
    with pytest.raises(MemoryError, match="this says nothing"):
        GuardedEngine(_Failing(error))(PHOTOS)
    with pytest.raises(RuntimeError) as raised:
        GuardedEngine(_Failing(error))(PHOTOS[:1])
    assert raised.value is error


def test_in_another_process_it_refuses_before_its_engine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = GuardedEngine(_Failing(AssertionError("asked")))
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(DbdRayError, match="load a detector in each process"):
        engine(PHOTOS)


def test_what_is_unpickled_elsewhere_belongs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(GuardedEngine(_Failing()))
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert pickle.loads(data)(PHOTOS).focus.shape == (2, 4, 4)  # noqa: S301 - our own
