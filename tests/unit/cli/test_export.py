"""Promises of `dbd-ray export` and of the engines on the command line."""

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from dbd_ray.checkpoints.files import load_checkpoint
from dbd_ray.cli import main
from dbd_ray.engines import predict_focus
from dbd_ray.images.decode import decode_photo


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_an_exported_model_is_the_network_and_the_command_says_how_closely(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("export", "onnx", "--model", tiny_model, "--out", "tiny.onnx") == 0
    said = capsys.readouterr()
    network, card = load_checkpoint(tiny_model)
    height, width = card.input_size
    assert f"uint8 photos N×3×{height}×{width} in" in said.out
    assert float(said.err.strip().rpartition(" ")[2]) < 1e-4
    photos = torch.randint(0, 256, (3, 3, height, width), dtype=torch.uint8)
    session = onnxruntime.InferenceSession("tiny.onnx", providers=["CPUExecutionProvider"])
    (focus,) = session.run(["focus"], {"photos": photos.numpy()})
    np.testing.assert_allclose(focus, predict_focus(network, photos).focus.numpy(), atol=1e-4)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["name"], facts["fingerprint"], facts["polarity"]) == (card.name, card.fingerprint, "focus")


def test_formats_that_are_not_there_are_refused_with_those_that_are(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("export", "coreml", "--model", tiny_model, "--out", "tiny.mlmodel") == 2
    assert "choose" in capsys.readouterr().err and not Path("tiny.mlmodel").exists()


def test_a_library_that_is_missing_is_named_with_the_command_that_brings_it(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    assert _run("export", "onnx", "--model", tiny_model, "--out", "tiny.onnx") == 2
    assert "pip install onnxruntime" in capsys.readouterr().err
    assert not Path("tiny.onnx").exists()


@pytest.mark.parametrize("options", [("--tile", "3"), ("--engine", "openvino")])
def test_predict_takes_tiles_and_engines(cuhk: Path, tiny_model: Path, options: tuple[str, str]) -> None:
    photo = sorted((cuhk / "image").iterdir())[0]
    shutil.copy(photo, "one.jpg")
    assert _run("predict", "one.jpg", "--model", tiny_model, "--out", "found", *options) == 0
    assert _run("predict", "one.jpg", "--model", tiny_model, "--out", "plain", "--engine", "eager") == 0
    names = sorted(path.name for path in Path("plain").iterdir())
    assert sorted(path.name for path in Path("found").iterdir()) == names
    focus = next(path for path in Path("found").iterdir() if path.suffix == ".png" and "overlay" not in path.name)
    assert decode_photo(focus.read_bytes()).shape == decode_photo(photo.read_bytes()).shape


def test_an_engine_that_is_unknown_is_refused_before_any_photo(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.jpg").write_bytes(b"never read")
    assert _run("predict", "one.jpg", "--model", tiny_model, "--out", "found", "--engine", "warp") == 2
    assert "engine" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"of another program", b""])
def test_a_file_of_another_program_is_not_replaced(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    Path("tiny.onnx").write_bytes(content)
    assert _run("export", "onnx", "--model", tiny_model, "--out", "tiny.onnx") == 2
    assert "tiny.onnx: is there already and no file of this command" in capsys.readouterr().err
    assert Path("tiny.onnx").read_bytes() == content
    Path("tiny.onnx").unlink()
    assert _run("export", "onnx", "--model", tiny_model, "--out", "tiny.onnx") == 0
    assert _run("export", "onnx", "--model", tiny_model, "--out", "tiny.onnx") == 0
