"""Choice and loading of the engine that runs a network on the hardware at hand."""

import json
import logging
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import cast, get_args

import torch

from dbd_ray.engines.base import Engine
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import describe_device
from dbd_ray.models import FocusNetwork
from dbd_ray.names import EngineName

ENGINES: tuple[str, ...] = get_args(EngineName)[1:]

_PACKAGES = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino", "onnx")}
_MEASURED = Path(__file__).parent / "measured.json"
_log = logging.getLogger(__name__)


def load_engine(
    network: FocusNetwork,
    *,
    input_size: tuple[int, int],
    device: torch.device,
    engine: EngineName = "auto",
    fingerprint: str | None = None,
) -> Engine:
    """Make a network ready to run.

    Args:
        network: The network.
        input_size: (height, width) in pixels of the photos that it will be given.
        device: Device to run on.
        engine: Name of the engine; "auto": the fastest of those installed, by what was measured on such hardware. It
            never compiles, since the first photos would wait for minutes.
        fingerprint: Fingerprint of the network's weights, under which engines cache what takes seconds to make; None:
            nothing is cached.

    Raises:
        ConfigError: The engine is unknown, not installed, or does not run on this device.
    """
    if engine not in get_args(EngineName):
        raise ConfigError(f"engine={engine}: unknown, choose one of {', '.join(get_args(EngineName))}")
    name, reason = str(engine), "as asked"
    if engine == "auto":
        name, reason = choose_engine(type(network).__name__, device, installed_engines(device))
    if name in _PACKAGES and device.type != "cpu":
        raise ConfigError(f"engine={name} runs on the CPU only: use device=cpu, or engine=auto")
    _log.info("engine %s: %s", name, reason)
    if name == "onnx":
        from dbd_ray.engines.onnx_engine import OnnxEngine

        return OnnxEngine(network, input_size, fingerprint)
    if name == "openvino":
        from dbd_ray.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(network, input_size, fingerprint)
    from dbd_ray.engines.torch_engine import TorchEngine, TorchEngineName

    return TorchEngine(cast(TorchEngineName, name), network, device)


def installed_engines(device: torch.device) -> tuple[str, ...]:
    """List the engines that run on a device and whose libraries are installed."""
    return tuple(
        name
        for name in ENGINES
        if name not in _PACKAGES or (device.type == "cpu" and all(find_spec(package) for package in _PACKAGES[name]))
    )


def choose_engine(network: str, device: torch.device, installed: Iterable[str]) -> tuple[str, str]:
    """Choose the fastest engine by what was measured (`benchmarks/detector.py`) of such a network on such hardware.

    Args:
        network: Name of the network's class.
        device: Device to run on.
        installed: Engines to choose from.

    Returns:
        The engine's name and the reason.
    """
    kind = describe_device(device)
    measured = measurements().get(kind, {}).get(network, {})
    speeds = {name: fps for name, fps in measured.items() if name in installed and name != "compiled"}
    if not speeds:
        return "fused", f"nothing was measured of {network} on {kind}"
    best = max(speeds, key=lambda name: speeds[name])
    others = ", ".join(f"{name} {fps:.0f}" for name, fps in sorted(speeds.items(), key=lambda item: -item[1]))
    return best, f"frames/s measured of {network} on {kind}: {others}"


def measurements() -> dict[str, dict[str, dict[str, float]]]:
    """Give what `benchmarks/detector.py` measured: frames/s by kind of hardware, network and engine."""
    found: dict[str, dict[str, dict[str, float]]] = json.loads(_MEASURED.read_text())
    return found
