"""What `engine="auto"` chooses by: the engines' speeds, measured once on this machine and kept."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor

from dbd_ray.engines.base import Engine
from dbd_ray.engines.onnx_engine import cache_folder
from dbd_ray.hardware import describe_device, engine_threads
from dbd_ray.models import FocusNetwork
from dbd_ray.storage import replace_bytes

PHOTOS = 8  # of a pass, as detectors batch them
ROUNDS = 2
PASSES = 3  # of an engine in each round: right behind another one's it finds a processor that is not its own yet
BEHIND = 0.7  # of the fastest one's speed: an engine below this after a round is not measured again
SECONDS = 0.5  # of one engine's passes; an engine that needs longer for one is measured by that one
_LIBRARIES = ("dbd-ray", "torch", "openvino", "onnxruntime")
_log = logging.getLogger(__name__)


def measured_speeds(
    network: FocusNetwork, input_size: tuple[int, int], device: torch.device, engines: Mapping[str, Engine]
) -> dict[str, float]:
    """Give photos per second by engine; measured when it is not kept of a network like this on a machine like this.

    Processes that ask at the same time wait for the first one's figures.

    Args:
        network: The network that the engines run; another with the same layers has the same speeds.
        input_size: (height, width) in pixels of its photos.
        device: Device that it runs on.
        engines: The loaded engines by their names.

    Returns:
        Photos per second by name of engine.
    """
    about = _about(network, input_size, device, sorted(engines))
    kept = _place_of(about)
    with _alone(kept.with_suffix(".lock")):
        if found := _read(kept):
            return found
        speeds = _measure(engines, input_size)
        try:
            replace_bytes(kept, json.dumps({**about, "photos_per_s": speeds}, indent=2).encode())
        except OSError as error:
            _log.info("the engines' speeds are measured each time, since they cannot be kept: %s", error)
    return speeds


def kept_speeds(
    network: FocusNetwork, input_size: tuple[int, int], device: torch.device, engines: Iterable[str]
) -> dict[str, float] | None:
    """Give what `measured_speeds` has kept of a network like this on a machine like this; None: nothing yet.

    Args:
        network, input_size, device: As for `measured_speeds`.
        engines: Names of the engines.
    """
    return _read(_place_of(_about(network, input_size, device, sorted(engines))))


def _place_of(about: Mapping[str, Any]) -> Path:
    return cache_folder() / "speeds" / f"{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]}.json"


def _about(
    network: FocusNetwork, input_size: tuple[int, int], device: torch.device, engines: list[str]
) -> dict[str, Any]:
    layers = [(name, list(tensor.shape)) for name, tensor in network.state_dict().items()]
    return {
        "device": describe_device(device),
        "threads": engine_threads(),
        "network": type(network).__name__,
        "layers": hashlib.sha256(json.dumps(layers).encode()).hexdigest()[:32],
        "input_size": list(input_size),
        "engines": engines,
        "versions": {name: _version(name) for name in _LIBRARIES},
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError:  # nothing can be kept there, so there is nothing to share
        yield
        return
    with FileLock(lock):
        yield


def _read(path: Path) -> dict[str, float] | None:
    try:
        return {str(name): float(speed) for name, speed in json.loads(path.read_bytes())["photos_per_s"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there yet, or damaged: measured anew
        return None


def _measure(engines: Mapping[str, Engine], input_size: tuple[int, int]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (PHOTOS, 3, *input_size), dtype=torch.uint8, generator=generator)
    speeds: dict[str, float] = {}
    waiting = dict(engines)
    for name, engine in engines.items():
        _seconds(engine, photos[:1])  # the first pass prepares
        if (alone := _seconds(engine, photos[:1])) > SECONDS:
            speeds[name] = 1 / alone
            del waiting[name]
    for _ in range(ROUNDS):  # in turns, so that what else the machine does meets all of them
        for name, engine in waiting.items():
            fastest = min(_seconds(engine, photos) for _ in range(PASSES))
            speeds[name] = max(speeds.get(name, 0.0), len(photos) / fastest)
        waiting = {name: engine for name, engine in waiting.items() if speeds[name] > BEHIND * max(speeds.values())}
        if len(waiting) < 2:
            break
    return speeds


def _seconds(engine: Engine, photos: Tensor) -> float:
    started = time.perf_counter()
    engine(photos)
    return time.perf_counter() - started
