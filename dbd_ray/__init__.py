"""Defocus blur detection on Ray: which pixels of a photo are in focus.

`Detector` needs no Ray; `FocusPredictor` is for `ray.data.Dataset.map_batches`. Both are imported on
first use, so that `import dbd_ray` is instant and touches neither torch nor Ray.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["Detector", "FocusMap", "FocusPredictor", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Detector":
        from dbd_ray.detection.detector import Detector

        return Detector
    if name == "FocusMap":
        from dbd_ray.detection.focus_map import FocusMap

        return FocusMap
    if name == "FocusPredictor":
        from dbd_ray.detection.predictor import FocusPredictor

        return FocusPredictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
