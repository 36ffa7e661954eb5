"""Detection with few photos in memory at a time, and where memory does not suffice."""

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dbd_ray import Detector
from dbd_ray.detection.stream import detect_stream


def test_where_memory_does_not_suffice_for_a_batch_half_of_it_is_tried(
    model: Path, photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load(model, engine="eager")
    expected = [one.focus for one in detector.detect(photos)]
    run, sizes = detector.engine._engine, list[int]()

    def narrow(given: torch.Tensor) -> Any:
        sizes.append(len(given))
        if len(given) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return run(given)

    monkeypatch.setattr(detector.engine, "_engine", narrow)
    found = [one.focus for one in detector.detect(photos, batch_size=len(photos))]
    assert sizes[0] == len(photos) and sizes.count(1) == len(photos)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_photo_that_memory_does_not_suffice_for_fails_alone(
    model: Path, photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load(model, engine="eager")
    run, passes = detector.engine._engine, list[int]()

    def full_for_a_while(given: torch.Tensor) -> Any:
        passes.append(len(given))
        if len(passes) <= 2 + len(photos).bit_length():  # until a single photo was refused
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(given)

    monkeypatch.setattr(detector.engine, "_engine", full_for_a_while)
    found = list(
        detect_stream(
            detector,
            photos,
            open_photo=lambda photo: photo,
            finish=lambda item, pixels, maps: "",
            fail=lambda item, error: error,
        )
    )
    assert len(found) == len(photos) and 1 <= sum("[out_of_memory]" in error for error in found) < len(photos)


def test_a_stream_holds_no_more_large_photos_than_its_share_of_memory(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbd_ray.detection.stream.PIXELS_AT_ONCE", 25_000)
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def open_photo(name: int) -> np.ndarray:
        nonlocal most
        photo = np.zeros((100, 100, 3), np.uint8)
        alive.append(weakref.ref(photo))
        most = max(most, sum(reference() is not None for reference in alive))
        return photo

    found = detect_stream(
        Detector.load(model, device="cpu"),
        range(5),
        open_photo=open_photo,
        finish=lambda name, pixels, focus_map: name,
        fail=lambda name, error: error,
        refine="bilinear",
    )
    assert list(found) == [0, 1, 2, 3, 4]
    assert most == 3  # the two that fit, and the one that turned out not to
