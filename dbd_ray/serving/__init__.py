"""The Ray Serve application: an HTTP gateway, and a detector that works in batches.

`FocusDetector` can be bound into other applications; `RemoteDetector` calls it from there and raises `Refusal`.
"""

from typing import Any

__all__ = ["FocusDetector", "Refusal", "RemoteDetector"]


def __getattr__(name: str) -> Any:
    if name == "FocusDetector":
        from dbd_ray.serving.focus_detector import FocusDetector

        return FocusDetector
    if name == "RemoteDetector":
        from dbd_ray.serving.remote import RemoteDetector

        return RemoteDetector
    if name == "Refusal":
        from dbd_ray.serving.refusals import Refusal

        return Refusal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
