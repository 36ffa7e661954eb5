"""Teachers that come from here: a trained network's own depth, and the truth of rendered scenes."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.datasets.prepared import read_info, read_rows, write_info
from dbd_ray.errors import CheckpointError, ConfigError, DatasetError, TeacherError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth
from dbd_ray.names import Split
from dbd_ray.teachers import load_teacher
from dbd_ray.teachers.base import robust_scale


def test_self_gives_the_networks_raw_depth_before_any_clipping(tiny_depth_model: Path) -> None:
    teacher = load_teacher(f"self:{tiny_depth_model}")
    network, card = load_checkpoint(tiny_depth_model)
    assert (teacher.name, teacher.input_size, teacher.larger_is) == ("self:tiny", card.input_size, "far")
    photos = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with torch.no_grad():
        wanted = network(network.normalize(torch.from_numpy(photos).permute(0, 3, 1, 2))).depth[:, 0].numpy()
    np.testing.assert_allclose(teacher.raw_depth(photos), wanted, rtol=1e-4, atol=1e-5)


def test_self_needs_a_network_with_depth_and_one_that_is_there(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="predicts no depth"):
        load_teacher(f"self:{tiny_model}")
    with pytest.raises(CheckpointError, match="gone"):
        load_teacher(f"self:{tmp_path}/gone")


def test_a_gpu_that_is_not_there_is_refused(tiny_depth_model: Path) -> None:
    with pytest.raises(ConfigError, match="device=cuda:99"):
        load_teacher(f"self:{tiny_depth_model}", device="cuda:99")


def test_rendered_knows_the_true_depth_of_every_scene_of_all_splits(scenes: Path) -> None:
    teacher = load_teacher(f"rendered:{scenes}")
    assert (teacher.name, teacher.input_size) == ("rendered:scenes", None)
    for split in get_args(Split):
        row = read_rows(scenes, split).to_pylist()[0]
        photo, truth = decode_photo(row["image"]), decode_depth(row["depth"])
        np.testing.assert_array_equal(teacher.predict(photo[None])[0], robust_scale(truth[None])[0])


def test_a_photo_that_rendered_does_not_know_fails_alone_and_says_why(scenes: Path) -> None:
    teacher = load_teacher(f"rendered:{scenes}")
    known = decode_photo(read_rows(scenes, "train", columns=["image"])["image"][0].as_py())
    changed = known.copy()
    changed[0, 0, 0] ^= 1
    depths = teacher.predict(np.stack([known, changed, known]))
    assert np.isnan(depths[1]).all()
    assert np.isfinite(depths[[0, 2]]).all()
    assert "none of the rendered scenes" in teacher.failure


def test_rendered_needs_a_prepared_dataset_with_scenes(scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.json is missing"):
        load_teacher(f"rendered:{tmp_path}")
    (tmp_path / "parts-none").mkdir()
    empty = read_info(scenes).model_copy(update={"parts": "parts-none", "rows": {}, "depth_rows": 0})
    write_info(str(tmp_path), empty)
    with pytest.raises(TeacherError, match="no rendered scenes"):
        load_teacher(f"rendered:{tmp_path}")


def test_rendered_runs_nowhere_but_on_the_cpu(scenes: Path) -> None:
    with pytest.raises(ConfigError, match="no effect"):
        load_teacher(f"rendered:{scenes}", device="cuda")
