"""Specs and kinds of teachers, and what a broken teacher says."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.teachers import TEACHER_KINDS, TeacherSpec, load_teacher, teacher_help, teacher_kind
from dbd_ray.teachers.base import DepthTeacher
from dbd_ray.teachers.torch_teacher import TorchTeacher


class Broken(DepthTeacher):
    """Gives what it is told to give for every photo."""

    def __init__(self, raw: np.ndarray) -> None:
        super().__init__("broken:one", "0" * 16, input_size=(8, 8), larger_is="far")
        self.raw = raw

    def raw_depth(self, photos: np.ndarray) -> np.ndarray:
        return np.repeat(self.raw[None], len(photos), axis=0)


def test_an_unknown_kind_lists_the_kinds_with_what_they_are() -> None:
    with pytest.raises(TeacherError) as caught:
        load_teacher("midas:small")
    for kind in TEACHER_KINDS.values():
        assert f"{kind.form}: {kind.help}" in str(caught.value)
        assert kind.form in teacher_help()


@pytest.mark.parametrize("spec", ["", "litert", "litert:", ":file.tflite", "?threads=2"])
def test_a_spec_that_is_none_says_how_it_is_written(spec: str) -> None:
    with pytest.raises(TeacherError, match="KIND:WHERE"):
        load_teacher(spec)


@pytest.mark.parametrize("options", ["threads", "threads=1&", "threads=1&threads=2"])
def test_options_that_are_none_are_refused(options: str) -> None:
    with pytest.raises(ConfigError, match="option"):
        load_teacher(f"litert:any.tflite?{options}")


def test_a_local_path_becomes_absolute_and_all_else_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.tflite").touch()
    spec = TeacherSpec.parse("litert:net.tflite?threads=2", absolute=True)
    assert spec.text == f"litert:{tmp_path}/net.tflite?threads=2"
    assert (spec.label, spec.target) == (f"litert:{tmp_path}/net.tflite", f"{tmp_path}/net.tflite")
    for text in (
        "hf:depth-anything/Depth-Anything-V2-Small-hf",
        "self:models:/dbd-ray@champion",
        "litert:gone.tflite?output=a%2Fb",
    ):
        assert TeacherSpec.parse(text, absolute=True).text == text
    for text in ("litert", "litert:"):
        with pytest.raises(TeacherError, match=f"teacher {text!r}"):
            TeacherSpec.parse(text, absolute=True)
    assert TeacherSpec.parse("litert:net.tflite").target == "net.tflite"


def test_a_spec_is_parsed_once_and_means_the_same_in_another_process() -> None:
    spec = TeacherSpec.parse("litert:net.tflite?threads=2&output=a%26b")
    assert (spec.kind, spec.target, spec.options) == ("litert", "net.tflite", {"threads": "2", "output": "a&b"})
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301 - made in the same line


def test_a_parsed_spec_is_loaded_as_its_text_is(tmp_path: Path) -> None:
    text = f"hourglass:{tmp_path}/gone.pth"
    said = []
    for spec in (text, TeacherSpec.parse(text)):
        with pytest.raises(TeacherError) as caught:
            load_teacher(spec)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert said[0].startswith(f"{text}: there is no such file")


def test_each_kind_says_whether_it_is_faster_on_a_gpu() -> None:
    faster = {name for name in TEACHER_KINDS if teacher_kind(TeacherSpec.parse(f"{name}:any")).uses_gpu}
    assert faster == {"hf", "hourglass", "self"}


def test_a_teacher_whose_output_is_not_finite_is_found_when_it_is_loaded() -> None:
    with pytest.raises(TeacherError, match=r"broken:one: .* not finite"):
        Broken(np.full((8, 8), np.nan, np.float32)).try_out()


def test_a_teacher_that_breaks_is_named_when_it_is_loaded() -> None:
    class Breaking(Broken):
        def raw_depth(self, photos: np.ndarray) -> np.ndarray:
            raise RuntimeError("layer 3 wants 4 channels")

    with pytest.raises(TeacherError, match="broken:one: cannot look at photos: layer 3 wants 4 channels"):
        Breaking(np.zeros((8, 8), np.float32)).try_out()


def test_a_teacher_whose_output_is_no_map_of_the_photo_is_named() -> None:
    with pytest.raises(TeacherError, match=r"broken:one: .* not a depth estimator"):
        Broken(np.zeros((4, 8), np.float32)).try_out()


def test_help_on_teachers_waits_for_nothing_heavy() -> None:
    script = (
        "import sys\nfrom dbd_ray.teachers import teacher_help\nteacher_help()\nsys.stdout.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {
        *("torch", "transformers", "ai_edge_litert", "cv2", "pyarrow", "ray")
    }


def test_a_target_that_is_too_long_for_a_file_stays_as_it_is() -> None:
    assert TeacherSpec.parse(f"hf:{'x' * 300}", absolute=True).target == "x" * 300


def test_a_file_in_a_folder_with_a_question_mark_is_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "what?").mkdir()
    (tmp_path / "what?" / "net.tflite").touch()
    monkeypatch.chdir(tmp_path)
    for text in ("litert:what?/net.tflite", "litert:what?/net.tflite?threads=2"):
        spec = TeacherSpec.parse(text, absolute=True)
        assert spec.target == f"{tmp_path}/what?/net.tflite"
        assert spec.text == f"litert:{tmp_path}/{text.removeprefix('litert:')}"
        assert TeacherSpec.parse(spec.text) == spec


class Narrow(TorchTeacher):
    """Fits one photo into its memory."""

    def __init__(self) -> None:
        settings = {"larger_is": "far", "device": "cpu", "precision": "float32"}
        super().__init__("narrow:one", "0" * 16, input_size=(8, 8), **settings)  # type: ignore[arg-type]

    def estimate(self, photos: torch.Tensor) -> torch.Tensor:
        if len(photos) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return photos.float().mean(1)


def test_photos_that_do_not_fit_into_memory_together_are_told_so_that_they_can_be_taught_alone() -> None:
    photos = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    with pytest.raises(TeacherError, match="2 photos at once do not fit into the memory of cpu"):
        Narrow().predict(photos)
    assert Narrow().predict(photos[:1]).shape == (1, 8, 8)
