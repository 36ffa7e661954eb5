"""What every depth teacher promises: one body of tests, run over all kinds."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.errors import ConfigError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.resize import resize_photo
from dbd_ray.teachers import TEACHER_KINDS, load_teacher
from dbd_ray.teachers.base import DepthTeacher, robust_scale

ANY_SIZE = (96, 128)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Case(NamedTuple):
    """A teacher on storage, and the same with other weights."""

    spec: str
    changed: str


def _litert(request: pytest.FixtureRequest, folder: Path) -> Case:
    file: Path = request.getfixturevalue("teacher_file")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(file.read_bytes(), 0)
    largest = max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data))
    weights = np.array(largest.data)
    weights[::2] ^= 1  # the last bits of float16 numbers
    largest.data = weights
    builder = flatbuffers.Builder(2**22)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "changed.tflite").write_bytes(builder.Output())
    return Case(f"litert:{file}", f"litert:{folder}/changed.tflite")


def _hf(request: pytest.FixtureRequest, folder: Path, fixture: str) -> Case:
    model: Path = request.getfixturevalue(fixture)
    shutil.copytree(model, folder / "changed")
    tensors = load_file(model / "model.safetensors")
    tensors[next(name for name in sorted(tensors) if name.startswith("head."))] += 0.5
    save_file(tensors, folder / "changed" / "model.safetensors", metadata={"format": "pt"})
    return Case(f"hf:{model}", f"hf:{folder}/changed")


def _hourglass(request: pytest.FixtureRequest, folder: Path) -> Case:
    tensors: dict[str, torch.Tensor] = request.getfixturevalue("hourglass_tensors")
    save_file(tensors | {"4.weight": tensors["4.weight"] * 2}, folder / "changed.safetensors")
    return Case(f"hourglass:{request.getfixturevalue('hourglass_file')}", f"hourglass:{folder}/changed.safetensors")


def _self(request: pytest.FixtureRequest, folder: Path) -> Case:
    model: Path = request.getfixturevalue("tiny_depth_model")
    network, card = load_checkpoint(model)
    with torch.no_grad():
        network.get_parameter("depth_fusion.weight").mul_(2)
    save_checkpoint(folder / "changed", network, card)
    return Case(f"self:{model}", f"self:{folder}/changed")


def _rendered(request: pytest.FixtureRequest, folder: Path) -> Case:
    return Case(f"rendered:{request.getfixturevalue('scenes')}", f"rendered:{request.getfixturevalue('other_scenes')}")


CASES: dict[str, Callable[[pytest.FixtureRequest, Path], Case]] = {
    "litert": _litert,
    "hf-depth-anything": lambda request, folder: _hf(request, folder, "depth_anything"),
    "hf-dpt": lambda request, folder: _hf(request, folder, "dpt"),
    "hourglass": _hourglass,
    "self": _self,
    "rendered": _rendered,
}


def test_every_kind_is_under_this_contract() -> None:
    assert {name.partition("-")[0] for name in CASES} == set(TEACHER_KINDS)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return CASES[request.param](request, tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def teacher(case: Case) -> DepthTeacher:
    return load_teacher(case.spec)


@pytest.fixture(scope="module")
def photos(teacher: DepthTeacher, case: Case, request: pytest.FixtureRequest) -> np.ndarray:
    """Three different photos as the teacher takes them: real ones, or the scenes that it knows."""
    kind, _, where = case.spec.partition(":")
    if kind == "rendered":
        splits: tuple[Any, ...] = ("train", "val", "test")
        encoded = [read_rows(where, split, columns=["image"])["image"][0].as_py() for split in splits]
        return np.stack([decode_photo(data) for data in encoded])
    files = sorted((request.getfixturevalue("cuhk") / "image").iterdir())[:3]
    size = teacher.input_size or ANY_SIZE
    return np.stack([resize_photo(decode_photo(file.read_bytes()), size) for file in files])


@pytest.fixture(scope="module")
def depths(teacher: DepthTeacher, photos: np.ndarray) -> np.ndarray:
    return teacher.predict(photos)


class TestTeacher:
    def test_maps_have_the_size_of_the_photos_and_fill_zero_to_one(
        self, photos: np.ndarray, depths: np.ndarray
    ) -> None:
        assert depths.dtype == np.float32
        assert depths.shape == photos.shape[:3]
        for depth in depths:
            assert depth.min() == 0
            assert depth.max() == 1
        assert np.abs(depths[0] - depths[1]).mean() > 1e-4, "different photos have different depths"

    def test_zero_is_near_and_each_map_is_scaled_by_its_own_percentiles(
        self, teacher: DepthTeacher, photos: np.ndarray, depths: np.ndarray
    ) -> None:
        raw = teacher.raw_depth(photos[:1]).astype(np.float64)[0]
        low, high = np.percentile(raw, (1, 99))
        wanted = np.clip((raw - low) / (high - low), 0, 1)
        np.testing.assert_allclose(depths[0], 1 - wanted if teacher.larger_is == "near" else wanted, atol=1e-3)

    def test_a_photo_alone_gets_what_it_gets_in_a_batch_and_every_time(
        self, teacher: DepthTeacher, photos: np.ndarray, depths: np.ndarray
    ) -> None:
        alone = teacher.predict(photos[1:2])
        np.testing.assert_allclose(alone[0], depths[1], atol=1e-3)
        np.testing.assert_array_equal(teacher.predict(photos[1:2]), alone)

    def test_photos_are_left_alone_and_may_be_read_only(
        self, teacher: DepthTeacher, photos: np.ndarray, depths: np.ndarray
    ) -> None:
        given = photos[:1].copy()
        given.flags.writeable = False
        np.testing.assert_array_equal(teacher.predict(given)[0].shape, depths[0].shape)
        np.testing.assert_array_equal(given, photos[:1])

    def test_no_photos_are_no_maps(self, teacher: DepthTeacher, photos: np.ndarray) -> None:
        assert teacher.predict(photos[:0]).shape == photos[:0].shape[:3]

    def test_photos_of_another_type_or_size_are_refused(self, teacher: DepthTeacher, photos: np.ndarray) -> None:
        with pytest.raises(ValueError, match="uint8 N×H×W×3"):
            teacher.predict(photos.astype(np.float32))
        with pytest.raises(ValueError, match="uint8 N×H×W×3"):
            teacher.predict(photos[0])
        if teacher.input_size:
            with pytest.raises(ValueError, match="resize_photo"):
                teacher.predict(photos[:, 1:])

    def test_its_key_tells_its_weights_and_no_place(self, teacher: DepthTeacher, case: Case) -> None:
        assert teacher.key == f"{teacher.name}@{teacher.fingerprint}"
        assert teacher.name.startswith(f"{case.spec.partition(':')[0]}:")
        assert "/" not in teacher.name
        assert len(teacher.fingerprint) == 16
        assert set(teacher.fingerprint) <= set("0123456789abcdef")
        assert load_teacher(case.changed).fingerprint != teacher.fingerprint

    def test_options_that_it_does_not_have_are_refused(self, case: Case) -> None:
        with pytest.raises(ConfigError, match="speed is no option"):
            load_teacher(f"{case.spec}?speed=high")


def test_another_process_knows_the_same_teachers(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in CASES]
    for folder in folders:
        folder.mkdir()
    specs = [make(request, folder).spec for make, folder in zip(CASES.values(), folders, strict=True)]
    script = (
        "import json, sys; from dbd_ray.teachers import load_teacher\n"
        "sys.stdout.write(json.dumps([load_teacher(spec).key for spec in sys.argv[1:]]))"
    )
    done = subprocess.run([sys.executable, "-c", script, *specs], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [load_teacher(spec).key for spec in specs]


def test_robust_scale_cuts_outliers_off_and_keeps_the_order() -> None:
    ramp = np.linspace(-3, 7, 10_000, dtype=np.float32).reshape(1, 100, 100)
    ramp[0, 0, 0], ramp[0, -1, -1] = -1e6, 1e6
    scaled = robust_scale(ramp)[0].ravel()
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert (np.diff(scaled) >= 0).all()
    np.testing.assert_allclose(scaled[5000], 0.5, atol=1e-3)
    assert 0.009 < (scaled == 0).mean() < 0.011


def test_a_flat_map_says_nothing_of_near_and_far() -> None:
    flat = np.stack([np.zeros((8, 8)), np.full((8, 8), 7.0), 1e3 + 1e-5 * np.random.default_rng(0).random((8, 8))])
    np.testing.assert_array_equal(robust_scale(flat.astype(np.float32)), 0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_marked_and_harms_no_other(bad: float) -> None:
    raw = np.tile(np.arange(64, dtype=np.float32).reshape(8, 8), (3, 1, 1))
    raw[1, 2, 3] = bad
    scaled = robust_scale(raw)
    assert np.isnan(scaled[1]).all()
    assert np.isfinite(scaled[[0, 2]]).all()
