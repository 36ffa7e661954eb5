"""The Ray Serve application: a gateway that speaks HTTP, and a detector that works in batches.

`FocusDetector` can be bound into other applications; `RemoteDetector` calls it from there.
"""

from typing import Any

__all__ = ["FocusDetector", "RemoteDetector"]


def __getattr__(name: str) -> Any:
    if name == "FocusDetector":
        from dbd_ray.serving.focus_detector import FocusDetector

        return FocusDetector
    if name == "RemoteDetector":
        from dbd_ray.serving.remote import RemoteDetector

        return RemoteDetector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
