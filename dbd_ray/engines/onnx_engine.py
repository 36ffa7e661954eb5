"""ONNX: the file format, and the engine that runs it."""

import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dbd_ray.engines.base import FocusFunction, NetworkMaps, as_maps, predict_focus
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import engine_threads
from dbd_ray.models import FocusNetwork
from dbd_ray.storage import replace_bytes

OPSET = 20
CODE_VERSION = 2  # part of the kept files' names; raised when this code writes others for the same network
HINT = "pip install onnxruntime (the extra onnx)"


def export_onnx(
    network: FocusNetwork, path: Path, *, input_size: tuple[int, int], facts: dict[str, str] | None = None
) -> None:
    """Write a network as an ONNX file that takes photos as they are.

    Input `photos`: uint8 N×3×h×w RGB, any N. Output `focus`: float32 N×h×w in [0,1], 1 = in focus; `depth` likewise
    where the network shows it.

    Args:
        network: The network.
        path: The file; replaced if it is there.
        input_size: (height, width) in pixels of the photos that the file takes.
        facts: Texts by key, kept in the file's metadata beside the input size.
    """
    import onnx  # takes a second, which only whoever writes a file waits for

    names = ["focus", "depth"] if network.shows_depth else ["focus"]
    function = FocusFunction(network.cpu()).eval()
    # two photos: a size of one may be taken for a constant
    example = torch.zeros(2, 3, *input_size, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is constant for photos of one size
        # dynamo=False: torch's newer exporter takes ten times as long (25 s of processor time) for the same maps
        torch.onnx.export(
            function,
            (example,),
            path,
            input_names=["photos"],
            output_names=names,
            dynamic_axes={name: {0: "photos_at_once"} for name in ("photos", *names)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"input_size": json.dumps(list(input_size)), **(facts or {})})
    onnx.save(model, path)


def onnx_difference(network: FocusNetwork, path: Path, *, input_size: tuple[int, int]) -> float:
    """Give the largest difference between a file's maps, by ONNX Runtime, and the network's own, over random photos.

    Args:
        network: The network that was exported.
        path: The ONNX file, see `export_onnx`.
        input_size: (height, width) in pixels of the photos that the file takes.

    Raises:
        ConfigError: A library is missing.
    """
    photos = torch.randint(0, 256, (2, 3, *input_size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    focus = _session(path).run(["focus"], {"photos": photos.numpy()})[0]
    return float((torch.from_numpy(focus) - predict_focus(network, photos).focus).abs().max())


@contextmanager
def kept_onnx(network: FocusNetwork, input_size: tuple[int, int], fingerprint: str | None) -> Iterator[Path]:
    """Give a network as an ONNX file; writing it takes seconds, so it is kept for the next time.

    Args:
        network: The network to export.
        input_size: (height, width) in pixels of the photos that the file takes.
        fingerprint: Fingerprint of the network's weights, by which the file is found again; None: it is not kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if fingerprint is None:
            export_onnx(network, path, input_size=input_size)
            yield path
            return
        height, width = input_size
        kept = cache_folder() / f"{fingerprint[:32]}-{height}x{width}-{CODE_VERSION}.onnx"
        if not kept.exists():
            export_onnx(network, path, input_size=input_size)
            try:
                replace_bytes(kept, path.read_bytes())  # whole or not at all: other processes may look for it
            except OSError:  # a cache that cannot be written costs time, nothing else
                yield path
                return
        yield kept


def cache_folder() -> Path:
    """Folder of the files that take seconds to make and are kept: `DBD_RAY_CACHE`, else in the user's cache folder."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dbd_ray"
    return Path(os.environ.get("DBD_RAY_CACHE") or users)


class OnnxEngine:
    """Runs a network with ONNX Runtime on the CPU, in float32.

    Args:
        network: The network to run.
        input_size: (height, width) of the photos, in pixels.
        fingerprint: Fingerprint of the network's weights, see `kept_onnx`.

    Raises:
        ConfigError: A library is missing.
    """

    name = "onnx"

    def __init__(self, network: FocusNetwork, input_size: tuple[int, int], fingerprint: str | None = None) -> None:
        with kept_onnx(network, input_size, fingerprint) as path:
            self._session = _session(path)

    def __call__(self, photos: Tensor) -> NetworkMaps:
        """Turn uint8 N×3×h×w RGB in main memory into maps there."""
        results = self._session.run(None, {"photos": photos.numpy()})
        return as_maps(tuple(torch.from_numpy(result) for result in results))


def load_onnxruntime() -> Any:
    """Import ONNX Runtime.

    Raises:
        ConfigError: It is missing.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise ConfigError(f"ONNX Runtime is missing: {HINT}") from None
    return onnxruntime


def _session(path: Path) -> Any:
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
