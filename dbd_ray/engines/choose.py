"""Choice and loading of the engine that runs a network on the hardware at hand."""

import logging
from importlib.util import find_spec
from typing import cast, get_args

import torch

from dbd_ray.engines.base import Engine
from dbd_ray.engines.guard import GuardedEngine
from dbd_ray.engines.measure import measured_speeds
from dbd_ray.errors import ConfigError
from dbd_ray.hardware import describe_device
from dbd_ray.models import FocusNetwork
from dbd_ray.names import EngineName

ENGINES: tuple[str, ...] = get_args(EngineName)[1:]

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
# never chosen: fused is eager made faster, and compiling would keep the first photos waiting for minutes
_ONLY_AS_ASKED = ("eager", "compiled")
_log = logging.getLogger(__name__)


def load_engine(
    network: FocusNetwork,
    *,
    input_size: tuple[int, int],
    device: torch.device,
    engine: EngineName = "auto",
    fingerprint: str | None = None,
) -> GuardedEngine:
    """Make a network ready to run.

    Args:
        network: The network.
        input_size: (height, width) in pixels of the photos that it will be given.
        device: Device to run on.
        engine: Name of the engine; "auto": the fastest of those installed, measured once on this machine, see
            `measure.measured_speeds`. It never compiles, since the first photos would wait for minutes.
        fingerprint: Fingerprint of the network's weights, under which engines cache what takes seconds to make; None:
            nothing is cached.

    Raises:
        ConfigError: The engine is unknown, not installed, or does not run on this device.
    """
    if engine not in get_args(EngineName):
        raise ConfigError(f"engine={engine}: unknown, choose one of {', '.join(get_args(EngineName))}")
    if engine != "auto":
        if engine in _PACKAGES and device.type != "cpu":
            raise ConfigError(f"engine={engine} runs on the CPU only: use device=cpu, or engine=auto")
        _log.info("engine %s: as asked", engine)
        return GuardedEngine(_load(engine, network, input_size, device, fingerprint))
    return GuardedEngine(_fastest(network, input_size, device, fingerprint))


def installed_engines(device: torch.device) -> tuple[str, ...]:
    """List the engines that run on a device and whose libraries are installed."""
    return tuple(
        name
        for name in ENGINES
        if name not in _PACKAGES or (device.type == "cpu" and find_spec(_PACKAGES[name]) is not None)
    )


def candidates(device: torch.device) -> tuple[str, ...]:
    """List the installed engines that `auto` chooses among on a device."""
    return tuple(name for name in installed_engines(device) if name not in _ONLY_AS_ASKED)


def library_of(engine: str) -> str:
    """Name the Python module that an engine runs by."""
    return _PACKAGES.get(engine, "torch")


def _load(
    name: str, network: FocusNetwork, input_size: tuple[int, int], device: torch.device, fingerprint: str | None
) -> Engine:
    if name == "onnx":
        from dbd_ray.engines.onnx_engine import OnnxEngine

        return OnnxEngine(network, input_size, fingerprint)
    if name == "openvino":
        from dbd_ray.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(network, input_size, fingerprint)
    from dbd_ray.engines.torch_engine import TorchEngine, TorchEngineName

    return TorchEngine(cast(TorchEngineName, name), network, device)


def _fastest(
    network: FocusNetwork, input_size: tuple[int, int], device: torch.device, fingerprint: str | None
) -> Engine:
    loaded: dict[str, Engine] = {}
    for name in candidates(device):
        try:
            loaded[name] = _load(name, network, input_size, device, fingerprint)
        except Exception as error:  # what is installed may be broken in any way
            if name not in _PACKAGES:
                raise
            _log.warning("engine %s is installed but does not load: %s", name, error)
    if len(loaded) == 1:
        ((name, only),) = loaded.items()
        _log.info("engine %s: the only one installed for %s", name, device)
        return only
    speeds = measured_speeds(network, input_size, device, loaded)
    best = max(speeds, key=lambda name: speeds[name])
    figures = ", ".join(f"{name} {speed:.1f}" for name, speed in sorted(speeds.items(), key=lambda item: -item[1]))
    _log.info(
        "engine %s: photos/s of this %s on %s: %s", best, type(network).__name__, describe_device(device), figures
    )
    return loaded[best]
