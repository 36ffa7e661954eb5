"""Engines that run a trained network: torch (eager, fused, compiled), ONNX Runtime, OpenVINO."""

from dbd_ray.engines.base import Engine, FocusFunction, NetworkMaps, predict_focus
from dbd_ray.engines.choose import ENGINES, installed_engines, load_engine

__all__ = [
    "ENGINES",
    "Engine",
    "FocusFunction",
    "NetworkMaps",
    "installed_engines",
    "load_engine",
    "predict_focus",
]
