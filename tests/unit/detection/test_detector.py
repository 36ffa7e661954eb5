import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from dbd_ray import Detector, FocusMap
from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.checkpoints.find import packaged_models
from dbd_ray.detection.stream import detect_stream
from dbd_ray.engines import predict_focus
from dbd_ray.errors import CheckpointError, ConfigError, PhotoError
from dbd_ray.images.refine import refine_to_photo
from dbd_ray.images.resize import resize_photo

SIZE = (64, 64)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model_without_depth(tiny_model: Path) -> Path:
    return tiny_model


def _same(one: FocusMap, other: FocusMap) -> None:
    np.testing.assert_allclose(one.focus, other.focus, atol=1e-5)
    assert one.depth is not None
    assert other.depth is not None
    np.testing.assert_allclose(one.depth, other.depth, atol=1e-5)
    assert one.summary.kind == other.summary.kind


def test_every_photo_gets_maps_of_its_own_size(model: Path, photos: list[np.ndarray]) -> None:
    maps = Detector.load(model, device="cpu").detect(photos)
    assert len(maps) == len(photos)
    for photo, found in zip(photos, maps, strict=True):
        assert found.depth is not None
        for plane in (found.focus, found.depth):
            assert plane.shape == photo.shape[:2]
            assert plane.dtype == np.float32
            assert 0 <= plane.min() <= plane.max() <= 1


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_a_batch_of_mixed_sizes_equals_one_photo_at_a_time(
    model: Path, photos: list[np.ndarray], batch_size: int
) -> None:
    detector = Detector.load(model, device="cpu")
    together = detector.detect(photos, batch_size=batch_size)
    for photo, found in zip(photos, together, strict=True):
        _same(found, detector.detect([photo])[0])


def test_the_order_of_photos_is_the_order_of_maps(model: Path, photos: list[np.ndarray]) -> None:
    detector = Detector.load(model, device="cpu")
    forward = detector.detect(photos, batch_size=2)
    backward = detector.detect(photos[::-1], batch_size=2)
    assert not np.allclose(forward[0].focus.mean(), forward[-1].focus.mean(), atol=1e-6)
    for one, other in zip(forward, backward[::-1], strict=True):
        _same(one, other)


def test_maps_can_be_taken_one_at_a_time(model: Path, photos: list[np.ndarray]) -> None:
    detector = Detector.load(model, device="cpu")
    each = detector.detect_each(photos, batch_size=2)
    _same(next(each), detector.detect(photos[:1])[0])
    assert len(list(each)) == len(photos) - 1


def test_the_map_is_the_networks_at_its_size_brought_to_the_photos(model: Path, photos: list[np.ndarray]) -> None:
    network, card = load_checkpoint(model)
    photo = photos[0]
    small = torch.from_numpy(resize_photo(photo, card.input_size)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        focus = network(network.normalize(small)).focus_logits[0, 0].sigmoid().numpy()
    detector = Detector.load(model, device="cpu", engine="eager")
    for method in ("guided", "bilinear"):
        expected = refine_to_photo(focus, photo, method=method)
        np.testing.assert_allclose(detector.detect([photo], refine=method)[0].focus, expected, atol=1e-5)


def test_refinement_follows_the_photo_and_can_be_switched_off(model: Path, photos: list[np.ndarray]) -> None:
    detector = Detector.load(model, device="cpu")
    guided, bilinear = (detector.detect(photos[1:2], refine=method)[0].focus for method in ("guided", "bilinear"))
    assert np.abs(guided - bilinear).max() > 1e-3
    np.testing.assert_array_equal(detector.detect(photos[1:2])[0].focus, guided)


def test_a_stream_gives_a_result_per_item_in_their_order_with_what_failed_among_them(
    model: Path, photos: list[np.ndarray]
) -> None:
    detector = Detector.load(model, device="cpu")
    items: list[np.ndarray | Exception] = [photos[0], PhotoError("truncated", "half"), *photos[1:3], OSError("gone")]

    def open_photo(item: np.ndarray | Exception) -> np.ndarray:
        if isinstance(item, Exception):
            raise item
        return item

    found = list(
        detect_stream(
            detector,
            items,
            open_photo=open_photo,
            finish=lambda item, pixels, focus_map: (pixels, focus_map),
            fail=lambda item, error: (item, error),
            batch_size=2,
        )
    )
    assert [first is item for (first, _), item in zip(found, items, strict=True)] == [True] * 5
    assert (found[1][1], found[4][1]) == ("half [truncated]", "cannot be read (gone)")
    for place, photo in ((0, photos[0]), (2, photos[1]), (3, photos[2])):
        _same(cast(FocusMap, found[place][1]), detector.detect([photo])[0])


def test_without_depth_in_the_network_there_is_none_in_the_answer(
    model_without_depth: Path, photos: list[np.ndarray]
) -> None:
    assert all(found.depth is None for found in Detector.load(model_without_depth).detect(photos[:2]))


def test_the_summary_describes_the_native_map_and_names_the_model(model: Path, photos: list[np.ndarray]) -> None:
    detector = Detector.load(model, device="cpu")
    found = detector.detect(photos[:1])[0]
    assert found.summary.in_focus_fraction == pytest.approx((found.focus >= 0.5).mean())
    assert found.summary.model == "tiny"
    assert found.summary.model_fingerprint == detector.card.fingerprint != ""


def test_no_photos_give_no_maps(model: Path) -> None:
    assert Detector.load(model).detect([]) == []


def test_photos_are_left_as_they_are(model: Path, photos: list[np.ndarray]) -> None:
    photo = photos[2].copy()
    photo.setflags(write=False)
    Detector.load(model).detect([photo])
    np.testing.assert_array_equal(photo, photos[2])


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32 8×8×3"),
        (np.zeros((8, 8), np.uint8), "uint8 8×8"),
        (np.zeros((8, 8, 4), np.uint8), "uint8 8×8×4"),
        (np.zeros((0, 8, 3), np.uint8), "uint8 0×8×3"),
        ([[1, 2, 3]], "list"),
    ],
)
def test_what_is_no_photo_is_refused_by_its_position_before_any_work(model: Path, bad: Any, shown: str) -> None:
    good = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=rf"photo 1: expected uint8 H×W×3, got {shown}"):
        next(Detector.load(model).detect_each([good, bad], batch_size=1))


def test_an_unknown_refinement_and_an_impossible_batch_size_are_refused(model: Path, photos: list[np.ndarray]) -> None:
    detector = Detector.load(model)
    with pytest.raises(ValueError, match="refine: 'none' is unknown, choose one of guided, bilinear"):
        detector.detect(photos, refine="none")  # type: ignore[arg-type]
    for batch_size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size: {batch_size}"):
            detector.detect(photos, batch_size=batch_size)


def test_a_model_that_is_nowhere_says_where_models_come_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a checkpoint folder nor a model of the package"):
        Detector.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=r"card\.json: is missing"):
        Detector.load(tmp_path)


def test_a_device_that_is_not_there_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError, match="device=cuda:99"):
        Detector.load(model, device="cuda:99")


def test_packaged_models_are_found_by_name_and_can_be_loaded() -> None:
    for name, folder in packaged_models().items():
        assert Detector.load(name, device="cpu").card == load_checkpoint(folder)[1]


def test_the_network_is_left_in_the_mode_that_it_was_in(model: Path) -> None:
    network, _ = load_checkpoint(model)
    photo = torch.zeros(1, 3, *SIZE, dtype=torch.uint8)
    network.train()
    network.encoder.eval()  # a frozen backbone must stay frozen
    before = {name: module.training for name, module in network.named_modules()}
    statistics = {name: tensor.clone() for name, tensor in network.named_buffers()}
    predict_focus(network, photo)
    assert {name: module.training for name, module in network.named_modules()} == before
    assert all(torch.equal(tensor, statistics[name]) for name, tensor in network.named_buffers())
    network.eval()
    predict_focus(network, photo)
    assert not any(module.training for module in network.modules())


def test_the_mode_is_restored_even_when_the_network_fails(model: Path) -> None:
    network, _ = load_checkpoint(model)
    network.train()
    with pytest.raises(ConfigError, match="too small"):
        predict_focus(network, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert network.training


def test_a_detector_puts_its_network_in_evaluation_mode(model: Path) -> None:
    network, card = load_checkpoint(model)
    assert not Detector(network.train(), card).network.training


PLAIN_PROCESS = """
import sys
sys.modules["ray"] = sys.modules["mlflow"] = None
import numpy as np
from dbd_ray import Detector
found = Detector.load(sys.argv[1], device="cpu").detect([np.zeros((30, 50, 3), np.uint8)])
sys.exit(found[0].focus.shape != (30, 50))
"""


def test_a_detector_needs_neither_ray_nor_mlflow(model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN_PROCESS, str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
