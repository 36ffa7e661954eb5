"""LiteRT files: known and unknown networks, layouts, and what is said of those that cannot teach."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.resize import resize_photo
from dbd_ray.teachers import load_teacher

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

MIDAS_OUTPUT = "midas_net_custom/sequential/re_lu_9/Relu"


def _tensor(name: str, shape: tuple[int, ...], kind: int, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), kind, buffer
    return tensor


def _code(builtin: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    return code


def _halving() -> Any:
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = options.filterWidth = options.filterHeight = 2
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 1, [0], [3]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Pool2DOptions, options
    return operator


def _write(
    path: Path,
    shape: tuple[int, ...],
    *,
    output: str = "depth",
    axis: int = 3,
    keep: bool = True,
    kind: int = schema.TensorType.FLOAT32,
    halve: bool = False,
) -> str:
    """Write a network that averages its input over one axis, perhaps at half the size, and return its spec."""
    pooled = (shape[0], shape[1] // 2, shape[2] // 2, shape[3]) if halve else shape
    reduced = tuple(1 if place == axis else side for place, side in enumerate(pooled) if keep or place != axis)
    axis_buffer = schema.BufferT()
    axis_buffer.data = np.frombuffer(np.int32(axis).tobytes(), np.uint8)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [3 if halve else 0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, options
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("photo", shape, kind),
        _tensor("axis", (1,), schema.TensorType.INT32, buffer=1),
        _tensor(output, reduced, kind),
        *([_tensor("pooled", pooled, kind)] if halve else []),
    ]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [*([_halving()] if halve else []), operator]
    model = schema.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [_code(schema.BuiltinOperator.MEAN), _code(schema.BuiltinOperator.AVERAGE_POOL_2D)]
    model.buffers = [schema.BufferT(), axis_buffer]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return f"litert:{path}"


def _photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)


def test_the_published_pydnet_is_known_by_its_names(teacher_file: Path) -> None:
    teacher = load_teacher(f"litert:{teacher_file}")
    assert (teacher.name, teacher.input_size, teacher.larger_is) == ("litert:pydnetpp", (448, 640), "far")


@pytest.mark.parametrize(
    ("photo", "near", "far"),
    [
        ("119082", (slice(400, 440), slice(50, 250)), (slice(50, 250), slice(300, 550))),  # a car, a house behind it
        ("14037", (slice(100, 350), slice(30, 150)), (slice(50, 250), slice(300, 600))),  # a rock, the sky
        ("145086", (slice(250, 430), slice(330, 600)), (slice(250, 400), slice(20, 250))),  # a flag, the square
    ],
)
def test_pydnet_gives_what_stands_in_front_the_smaller_depth(
    teacher_file: Path, bsds500: Path, photo: str, near: tuple[slice, slice], far: tuple[slice, slice]
) -> None:
    teacher = load_teacher(f"litert:{teacher_file}")
    file = next((bsds500 / "val").rglob(f"{photo}.jpg"))
    depth = teacher.predict(resize_photo(decode_photo(file.read_bytes()), (448, 640))[None])[0]
    assert depth[near].mean() + 0.2 < depth[far].mean()


def test_midas_gets_imagenet_normalised_pictures_and_its_inverse_depth_is_flipped(tmp_path: Path) -> None:
    teacher = load_teacher(_write(tmp_path / "1.tflite", (1, 256, 256, 3), output=MIDAS_OUTPUT))
    assert teacher.larger_is == "near"
    photo = _photo(256, 256)
    wanted = ((photo / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).mean(axis=3)
    np.testing.assert_allclose(teacher.raw_depth(photo), wanted, atol=1e-5)
    low, high = np.percentile(wanted, (1, 99))
    np.testing.assert_allclose(teacher.predict(photo), 1 - ((wanted - low) / (high - low)).clip(0, 1), atol=1e-4)


def test_a_network_of_the_same_size_under_another_name_is_not_taken_for_midas(tmp_path: Path) -> None:
    spec = _write(tmp_path / "other.tflite", (1, 256, 256, 3))
    with pytest.raises(TeacherError, match=r"larger_is=near\|far&normalize=unit\|imagenet"):
        load_teacher(spec)
    with pytest.raises(TeacherError, match=r"larger_is=near\|far&normalize=unit\|imagenet"):
        load_teacher(f"{spec}?larger_is=far")


@pytest.mark.parametrize(
    ("shape", "axis", "keep"),
    [((1, 24, 40, 3), 3, True), ((1, 24, 40, 3), 3, False), ((1, 3, 24, 40), 1, True), ((1, 3, 24, 40), 1, False)],
)
def test_unknown_networks_of_either_layout_work_when_they_say_how(
    tmp_path: Path, shape: tuple[int, ...], axis: int, keep: bool
) -> None:
    spec = _write(tmp_path / "own.tflite", shape, axis=axis, keep=keep)
    teacher = load_teacher(f"{spec}?larger_is=far&normalize=unit")
    assert teacher.input_size == (24, 40)
    photo = _photo(24, 40)
    np.testing.assert_allclose(teacher.raw_depth(photo), photo.mean(axis=3) / 255, atol=1e-6)


def test_a_map_of_half_the_size_is_brought_to_the_photos(tmp_path: Path) -> None:
    teacher = load_teacher(
        f"{_write(tmp_path / 'own.tflite', (1, 24, 40, 3), halve=True)}?larger_is=far&normalize=unit"
    )
    photo = np.repeat(np.repeat(_photo(12, 20), 2, axis=1), 2, axis=2)
    raw = teacher.raw_depth(photo)
    assert raw.shape == (1, 24, 40)
    np.testing.assert_allclose(raw[0, 0, 0], photo[0, 0, 0].mean() / 255, atol=1e-6)
    np.testing.assert_allclose(raw.mean(), photo.mean() / 255, atol=1e-2)


def test_what_is_said_of_a_network_is_part_of_its_fingerprint_and_threads_are_not(tmp_path: Path) -> None:
    spec = _write(tmp_path / "own.tflite", (1, 24, 40, 3))
    options = (
        "larger_is=far&normalize=unit",
        "larger_is=near&normalize=unit",
        "larger_is=far&normalize=imagenet",
        "larger_is=far&normalize=unit&threads=2",
    )
    first, flipped, normalised, threads = (load_teacher(f"{spec}?{option}").fingerprint for option in options)
    assert len({first, flipped, normalised}) == 3
    assert threads == first


def test_a_network_with_several_outputs_needs_the_name_of_the_depth(teacher_file: Path) -> None:
    spec = f"litert:{teacher_file}"
    with pytest.raises(TeacherError, match="PSD/resize_images_2/ResizeBilinear"):
        load_teacher(f"{spec}?output=depth")
    coarse = load_teacher(f"{spec}?output=PSD/resize_images_2/ResizeBilinear&larger_is=far&normalize=unit")
    assert coarse.fingerprint != load_teacher(spec).fingerprint


@pytest.mark.parametrize(
    ("shape", "kind", "why"),
    [
        ((1, 24, 40, 4), schema.TensorType.FLOAT32, r"photo \(1, 24, 40, 4\) float32"),
        ((8, 24, 40, 3), schema.TensorType.FLOAT32, r"1×H×W×3"),
        ((24, 40, 3), schema.TensorType.FLOAT32, r"1×H×W×3"),
        ((1, 24, 40, 3), schema.TensorType.INT32, "int32"),
    ],
)
def test_a_network_that_takes_no_photo_is_refused(tmp_path: Path, shape: tuple[int, ...], kind: int, why: str) -> None:
    spec = _write(tmp_path / "odd.tflite", shape, kind=kind, axis=len(shape) - 1)
    with pytest.raises(TeacherError, match=why):
        load_teacher(f"{spec}?larger_is=far&normalize=unit")


def test_a_network_that_gives_no_map_is_refused(tmp_path: Path) -> None:
    spec = _write(tmp_path / "colours.tflite", (1, 24, 40, 3), axis=0)
    with pytest.raises(TeacherError, match="a depth is one float32 map"):
        load_teacher(f"{spec}?larger_is=far&normalize=unit")


def test_a_missing_file_and_one_that_is_no_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"gone\.tflite: there is no such file .* every node"):
        load_teacher(f"litert:{tmp_path}/gone.tflite")
    with pytest.raises(TeacherError, match="cannot be read"):
        load_teacher(f"litert:{tmp_path}")
    for content in (b"", b"not a network", b"\x00" * 64):
        (tmp_path / "text.tflite").write_bytes(content)
        with pytest.raises(TeacherError, match=r"text\.tflite: not a \.tflite file"):
            load_teacher(f"litert:{tmp_path}/text.tflite")


@pytest.mark.parametrize("threads", ["0", "-1", "two", "²", ""])
def test_threads_that_are_no_number_are_refused(tmp_path: Path, threads: str) -> None:
    spec = _write(tmp_path / "own.tflite", (1, 24, 40, 3))
    with pytest.raises(ConfigError, match="threads"):
        load_teacher(f"{spec}?larger_is=far&normalize=unit&threads={threads}")


def test_settings_without_effect_are_refused(tmp_path: Path) -> None:
    spec = f"{_write(tmp_path / 'own.tflite', (1, 24, 40, 3))}?larger_is=far&normalize=unit"
    with pytest.raises(ConfigError, match="device=cuda has no effect"):
        load_teacher(spec, device="cuda")
    with pytest.raises(ConfigError, match="bfloat16 has no effect"):
        load_teacher(spec, precision="bfloat16")
    with pytest.raises(ConfigError, match="larger_is=deep: choose one of near, far"):
        load_teacher(spec.replace("far", "deep"))


def test_a_missing_package_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _write(tmp_path / "own.tflite", (1, 24, 40, 3))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(TeacherError, match=r"ai-edge-litert .* pip install 'dbd-ray\[teachers\]'"):
        load_teacher(spec)


def test_a_file_on_any_storage_is_the_same_teacher(tmp_path: Path) -> None:
    spec = _write(tmp_path / "own.tflite", (1, 24, 40, 3))
    options = "?larger_is=far&normalize=unit"
    uri = f"litert:{(tmp_path / 'own.tflite').as_uri()}{options}"
    assert load_teacher(uri).key == load_teacher(spec + options).key
