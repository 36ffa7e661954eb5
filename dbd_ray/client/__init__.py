"""An HTTP client of the endpoint, for which neither torch nor Ray nor OpenCV is needed.

See docs/serving.md.
"""

from dbd_ray.client.answers import FocusAnswer, FocusError, FocusRequestError, ModelAnswer
from dbd_ray.client.asynchronous import AsyncFocusClient
from dbd_ray.client.synchronous import FocusClient

__all__ = ["AsyncFocusClient", "FocusAnswer", "FocusClient", "FocusError", "FocusRequestError", "ModelAnswer"]
