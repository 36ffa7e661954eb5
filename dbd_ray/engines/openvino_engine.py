"""The engine of Intel's OpenVINO, for x86 and ARM processors."""

import os
import sys
import threading
from typing import Any

import torch
from torch import Tensor

from dbd_ray.engines.base import NetworkMaps, as_maps
from dbd_ray.engines.onnx_engine import cache_folder, kept_onnx
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import engine_threads
from dbd_ray.models import FocusNetwork

# two threads whose engines make the first pass of a process at the same time may deadlock: OpenVINO's Python binding
# holds the lock of its own setup while it waits for Python's
_FIRST_PASS = threading.Lock()


class OpenVinoEngine:
    """Runs a network with OpenVINO on the CPU, in bfloat16 where the processor multiplies it.

    Args:
        network: The network.
        input_size: (height, width) of the photos, px.
        fingerprint: Fingerprint of the network's weights, see `onnx_engine.kept_onnx`.

    Raises:
        ConfigError: The library is missing.
    """

    name = "openvino"

    def __init__(self, network: FocusNetwork, input_size: tuple[int, int], fingerprint: str | None = None) -> None:
        openvino = _load_openvino()
        threads = engine_threads()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if threads < (os.cpu_count() or 1):
            settings["ENABLE_CPU_PINNING"] = False  # else all processes would compute on the same first processors
        if fingerprint:
            settings["CACHE_DIR"] = str(cache_folder() / "openvino")
        core = openvino.Core()
        # by way of a file: OpenVINO's own converter of torch networks reports its use over the network
        with kept_onnx(network, input_size, fingerprint) as path:
            model = core.read_model(path)
            try:
                compiled = core.compile_model(model, "CPU", settings)
            except RuntimeError:  # another process may be writing what is kept
                settings.pop("CACHE_DIR", None)
                compiled = core.compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._turn = threading.Lock()
        with _FIRST_PASS:
            self(torch.zeros(1, 3, *input_size, dtype=torch.uint8))

    def __call__(self, photos: Tensor) -> NetworkMaps:
        """Turn uint8 N×3×h×w RGB in main memory into maps there."""
        given = photos.contiguous().numpy()
        # one request for all threads, in turns: a pass takes all processors anyway, and each request has its own memory
        with self._turn:
            results = self._request.infer([given]).to_tuple()
            # copies: the request's own memory holds the next photos' maps
            return as_maps(tuple(torch.from_numpy(result.copy()) for result in results))


def _load_openvino() -> Any:
    # the library reports its import to a web service, and does without where its package for that is missing
    hidden = "openvino_telemetry"
    there = hidden in sys.modules
    if not there:
        sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        import openvino
    except ModuleNotFoundError:
        raise ConfigError("engine=openvino: the library is missing, pip install openvino") from None
    finally:
        if not there:
            del sys.modules[hidden]
    return openvino
