"""Depth models of transformers: really loaded from disk, and refused when they cannot teach."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.names import PrecisionName
from dbd_ray.teachers import load_teacher

transformers = pytest.importorskip("transformers")


@pytest.fixture
def photos() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), np.uint8)


def _edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def model(depth_anything: Path, tmp_path: Path) -> Path:
    """A Depth Anything folder to spoil."""
    return Path(shutil.copytree(depth_anything, tmp_path / "model"))


@pytest.mark.parametrize("fixture", ["depth_anything", "dpt"])
def test_raw_depth_is_that_of_transformers_own_pipeline(
    fixture: str, photos: np.ndarray, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    network = transformers.AutoModelForDepthEstimation.from_pretrained(folder)
    with torch.no_grad():
        wanted = network(**processor(images=list(photos), return_tensors="pt")).predicted_depth
    wanted = torch.nn.functional.interpolate(wanted[:, None], (50, 70), mode="bilinear")[:, 0]
    np.testing.assert_allclose(load_teacher(f"hf:{folder}").raw_depth(photos), wanted.numpy(), rtol=1e-4, atol=1e-6)


def test_relative_depth_anything_and_midas_give_inverse_depth_and_metric_models_depth(model: Path, dpt: Path) -> None:
    assert load_teacher(f"hf:{model}").larger_is == "near"
    assert load_teacher(f"hf:{dpt}").larger_is == "near"
    _edit_config(model, depth_estimation_type="metric", max_depth=20)
    assert load_teacher(f"hf:{model}").larger_is == "far"


def test_which_end_is_near_can_be_said_and_turns_the_maps(dpt: Path, photos: np.ndarray) -> None:
    near, far = load_teacher(f"hf:{dpt}"), load_teacher(f"hf:{dpt}?larger_is=far")
    np.testing.assert_allclose(near.predict(photos), 1 - far.predict(photos), atol=1e-6)
    assert near.fingerprint != far.fingerprint
    with pytest.raises(ConfigError, match="choose one of near, far"):
        load_teacher(f"hf:{dpt}?larger_is=deep")


def test_a_kind_of_model_whose_direction_is_unknown_asks_for_it(dinov2: Any, tmp_path: Path) -> None:
    config = transformers.DPTConfig(
        backbone_config=dinov2, is_hybrid=False, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8
    )
    transformers.DPTForDepthEstimation(config).save_pretrained(tmp_path / "dinov2-dpt")
    transformers.DPTImageProcessor(size={"height": 56, "width": 56}).save_pretrained(tmp_path / "dinov2-dpt")
    with pytest.raises(TeacherError, match=r"dinov2-dpt\?larger_is=far"):
        load_teacher(f"hf:{tmp_path}/dinov2-dpt")
    assert load_teacher(f"hf:{tmp_path}/dinov2-dpt?larger_is=far").larger_is == "far"


def test_layers_that_published_dpt_files_leave_out_change_neither_maps_nor_fingerprint(
    dpt: Path, photos: np.ndarray, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(dpt, tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "fusion_stage.layers.0.residual_layer1" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    first, second = load_teacher(f"hf:{folder}"), load_teacher(f"hf:{folder}")
    assert first.key == second.key
    np.testing.assert_array_equal(first.predict(photos), second.predict(photos))


def test_incomplete_weights_are_refused_instead_of_filled_at_random(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    removed = next(name for name in sorted(tensors) if name.startswith("head."))
    del tensors[removed]
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TeacherError, match=removed):
        load_teacher(f"hf:{model}")


def test_loading_leaves_the_seed_alone(dpt: Path) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    load_teacher(f"hf:{dpt}")
    assert torch.rand(1) == wanted


def test_the_processor_is_part_of_the_fingerprint_and_transformers_version_is_not(model: Path) -> None:
    before = load_teacher(f"hf:{model}").fingerprint
    _edit_config(model, transformers_version="4.50.0")
    assert load_teacher(f"hf:{model}").fingerprint == before
    path = model / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"height": 42, "width": 42}}))
    assert load_teacher(f"hf:{model}").fingerprint != before


def test_pickled_weights_are_not_loaded(model: Path) -> None:
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    with pytest.raises(TeacherError, match="safetensors"):
        load_teacher(f"hf:{model}")


def test_a_model_for_another_task_and_a_folder_without_model_are_refused(model: Path, tmp_path: Path) -> None:
    _edit_config(model, model_type="bert", architectures=["BertModel"])
    with pytest.raises(TeacherError, match="cannot load it as a depth estimation model"):
        load_teacher(f"hf:{model}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TeacherError, match="give a folder that holds one"):
        load_teacher(f"hf:{tmp_path}/empty")


def test_a_model_that_cannot_be_fetched_is_given_up_at_once_with_what_to_do() -> None:
    script = (
        "import sys\nfrom dbd_ray.errors import TeacherError\nfrom dbd_ray.teachers import load_teacher\n"
        "try:\n    load_teacher('hf:no-such-owner/no-such-model')\n"
        "except TeacherError as error:\n    sys.stdout.write(str(error))"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert "no-such-owner/no-such-model: no such folder" in done.stdout
    assert "download it on a machine that has access" in done.stdout


def test_bfloat16_gives_nearly_the_same_depth_under_the_same_key(dpt: Path, photos: np.ndarray) -> None:
    exact, rough = (
        load_teacher(f"hf:{dpt}", device="cpu"),
        load_teacher(f"hf:{dpt}", device="cpu", precision="bfloat16"),
    )
    assert exact.key == rough.key
    difference = np.abs(exact.predict(photos) - rough.predict(photos))
    assert 0 < difference.mean() < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_depth_of_the_cpu_under_the_same_key(dpt: Path, photos: np.ndarray) -> None:
    here = load_teacher(f"hf:{dpt}", device="cpu")
    tolerances: dict[PrecisionName, float] = {"float32": 1e-3, "auto": 0.02}
    for precision, tolerance in tolerances.items():
        there = load_teacher(f"hf:{dpt}", device="cuda", precision=precision)
        assert there.key == here.key
        assert np.abs(there.predict(photos) - here.predict(photos)).mean() < tolerance


def test_a_missing_package_is_named_with_what_to_install(dpt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TeacherError, match=r"transformers .* pip install 'dbd-ray\[teachers\]'"):
        load_teacher(f"hf:{dpt}")
