"""Defocus blur detection on Ray: which pixels of a photo are in focus.

`Detector` needs no Ray; `FocusPredictor` is for `ray.data.Dataset.map_batches`. What needs numpy, torch or Ray is
imported on first use, so that `import dbd_ray` is instant.
"""

from typing import TYPE_CHECKING, Any

from dbd_ray.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    DbdRayError,
    PhotoError,
    SidecarError,
    TeacherError,
    TrainingError,
)

if TYPE_CHECKING:  # for editors and type checkers, which do not look into `__getattr__`
    from dbd_ray.detection.detector import Detector
    from dbd_ray.detection.focus_map import FocusMap
    from dbd_ray.detection.predictor import FocusPredictor
    from dbd_ray.images.read import read_photo

__version__ = "0.1.0"
__all__ = [
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "DbdRayError",
    "Detector",
    "FocusMap",
    "FocusPredictor",
    "PhotoError",
    "SidecarError",
    "TeacherError",
    "TrainingError",
    "__version__",
    "read_photo",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


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
    if name == "read_photo":
        from dbd_ray.images.read import read_photo

        return read_photo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
