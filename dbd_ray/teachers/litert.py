"""The kind `litert`: LiteRT (TensorFlow Lite) files of PyDNet++, MiDaS v2.1 small, or other networks with options."""

from typing import Any, Literal, NamedTuple, cast, get_args

import cv2
import numpy as np

from dbd_ray.errors import ConfigError, TeacherError
from dbd_ray.names import PrecisionName
from dbd_ray.teachers.base import DepthTeacher, LargerIs
from dbd_ray.teachers.loading import fingerprint_of, optional_package, read_weights, stem
from dbd_ray.teachers.spec import TeacherSpec

CODE_VERSION = 1  # raised when this code gives other maps for the same file
Normalize = Literal["unit", "imagenet"]


class _Published(NamedTuple):
    output: str
    input_size: tuple[int, int]
    larger_is: LargerIs
    normalize: Normalize


PUBLISHED = (
    # PyDNet++ of the mobilePydnet project; of its three outputs the first, which is the finest
    _Published("PSD/resize_images/ResizeBilinear", (448, 640), "far", "unit"),
    # MiDaS v2.1 small from TensorFlow Hub; other files of this size normalise inside, and have another output's name
    _Published("midas_net_custom/sequential/re_lu_9/Relu", (256, 256), "near", "imagenet"),
)
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)


class LiteRTTeacher(DepthTeacher):
    """A depth network in a LiteRT interpreter, which gets one photo at a time: batches are not faster in it.

    Args:
        name: As for `DepthTeacher`.
        model: Content of a .tflite file.
        interpreter: Interpreter of that model with allocated tensors; its input is one float32 picture.
        output: Details of the output tensor that is the depth.
        larger_is: As for `DepthTeacher`.
        normalize: Input range: "unit" is RGB in [0,1], "imagenet" is RGB standardised by ImageNet's statistics.
    """

    def __init__(
        self,
        name: str,
        model: bytes,
        interpreter: Any,
        output: dict[str, Any],
        *,
        larger_is: LargerIs,
        normalize: Normalize,
    ) -> None:
        entry = interpreter.get_input_details()[0]
        self._interpreter = interpreter
        self._input = int(entry["index"])
        self._output = int(output["index"])
        self._channels_first = entry["shape"][3] != 3
        self._normalize = normalize
        size = tuple(int(side) for side in (entry["shape"][2:] if self._channels_first else entry["shape"][1:3]))
        preprocessing = {
            "code": CODE_VERSION,
            "normalize": normalize,
            "larger_is": larger_is,
            "output": output["name"],
            "input_size": size,
        }
        super().__init__(
            name, fingerprint_of(model, preprocessing), input_size=cast(tuple[int, int], size), larger_is=larger_is
        )

    def raw_depth(self, photos: np.ndarray) -> np.ndarray:
        return np.stack([self._look(photo) for photo in photos])

    def _look(self, photo: np.ndarray) -> np.ndarray:
        pixels = photo.astype(np.float32) / np.float32(255)
        if self._normalize == "imagenet":
            pixels = (pixels - _MEAN) / _STD
        if self._channels_first:
            pixels = pixels.transpose(2, 0, 1)
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        raw = self._interpreter.get_tensor(self._output)
        depth = raw.reshape([side for side in raw.shape if side > 1])
        height, width = photo.shape[:2]
        # cv2 returns the same map where nothing is to be resized
        return cv2.resize(depth, (width, height), interpolation=cv2.INTER_LINEAR)


def load(spec: TeacherSpec, device: str, precision: PrecisionName) -> LiteRTTeacher:
    """Load `litert:FILE.tflite`: a path or URI.

    Options: `threads` (default 1, since several actors share the machine); for networks other than PyDNet++ and
    MiDaS v2.1 small also `larger_is` (near or far), `normalize` (unit or imagenet) and `output` (a tensor's name).

    Raises:
        TeacherError: The package or the file is missing, or the file is no depth network that can be used here.
        ConfigError: An option is unknown or out of range.
    """
    spec.allow_options("threads", "larger_is", "normalize", "output")
    spec.require_cpu(device, precision)
    litert = optional_package("ai_edge_litert.interpreter", "ai-edge-litert", spec)
    model = read_weights(spec)
    interpreter = _open(litert, model, spec)
    size = _input_size(interpreter, spec)
    output, published = _find_output(interpreter, size, spec)
    larger_is = spec.choice("larger_is", get_args(LargerIs)) or (published and published.larger_is)
    normalize = spec.choice("normalize", get_args(Normalize)) or (published and published.normalize)
    if not (larger_is and normalize):
        raise TeacherError(
            f"{spec.label}: not a network that is known here; say how it works with "
            "?larger_is=near|far&normalize=unit|imagenet (near: it gives inverse depth)"
        )
    return LiteRTTeacher(
        f"{spec.kind}:{stem(spec.target)}",
        model,
        interpreter,
        output,
        larger_is=cast(LargerIs, larger_is),
        normalize=cast(Normalize, normalize),
    )


def _open(litert: Any, model: bytes, spec: TeacherSpec) -> Any:
    threads = spec.options.get("threads", "1")
    if not (threads.isascii() and threads.isdigit() and int(threads)):
        raise ConfigError(f"{spec.label}: threads={threads}: give a number from 1 on")
    try:
        interpreter = litert.Interpreter(model_content=model, num_threads=int(threads))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise TeacherError(f"{spec.label}: not a .tflite file that LiteRT can run ({error}); get it again") from None
    return interpreter


def _input_size(interpreter: Any, spec: TeacherSpec) -> tuple[int, int]:
    entries = interpreter.get_input_details()
    shapes = ", ".join(f"{entry['name']} {_shape(entry)} {entry['dtype'].__name__}" for entry in entries)
    if len(entries) == 1 and entries[0]["dtype"] is np.float32:
        shape = _shape(entries[0])
        if len(shape) == 4 and shape[0] in (1, -1):
            size = shape[1:3] if shape[3] == 3 else shape[2:] if shape[1] == 3 else (-1, -1)
            if min(size) > 0:
                return size
    raise TeacherError(
        f"{spec.label}: its input is {shapes}; a teacher takes one float32 picture 1×H×W×3 or 1×3×H×W of a fixed size, "
        "convert the network to that"
    )


def _find_output(
    interpreter: Any, size: tuple[int, int], spec: TeacherSpec
) -> tuple[dict[str, Any], _Published | None]:
    outputs = {entry["name"]: entry for entry in interpreter.get_output_details()}
    published = next((one for one in PUBLISHED if one.output in outputs and one.input_size == size), None)
    listed = ", ".join(f"{name} {_shape(entry)} {entry['dtype'].__name__}" for name, entry in outputs.items())
    wanted = spec.options.get("output", published and published.output)
    if wanted is None and len(outputs) == 1:
        wanted = next(iter(outputs))
    if wanted not in outputs:
        raise TeacherError(f"{spec.label}: choose the depth with ?output=NAME; its outputs are {listed}")
    shape = _shape(outputs[wanted])
    if outputs[wanted]["dtype"] is not np.float32 or sum(side != 1 for side in shape) != 2:
        raise TeacherError(f"{spec.label}: a depth is one float32 map, its outputs are {listed}")
    return outputs[wanted], published if published and wanted == published.output else None


def _shape(entry: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(side) for side in entry["shape_signature"])
