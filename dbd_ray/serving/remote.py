"""Photos to focus maps by way of a `FocusDetector` elsewhere: only pictures of the network's size travel."""

import asyncio
from typing import Any, Protocol

import numpy as np
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from dbd_ray.focus_map import FocusMap
from dbd_ray.passes import PhotoMaps, Refinement, native_map, network_pictures
from dbd_ray.serving.detector import Looked, ModelInUse
from dbd_ray.serving.refusals import Refusal

_ROUNDS = 5  # how often the model may change under one photo


class PhotoDetector(Protocol):
    """What the gateway asks."""

    async def detect(self, photo: np.ndarray, *, refine: Refinement = "guided", tile: int = 1) -> FocusMap:
        """Find what is in focus in a photo, uint8 RGB H×W×3."""
        ...

    async def model(self) -> dict[str, Any]:
        """Describe the model as JSON."""
        ...


class RemoteDetector:
    """Calls a bound `FocusDetector` for whole photos.

    Args:
        handle: Of the bound deployment, as Ray Serve gives it to the constructor of the one that binds it.
        batch_megapixels: As the deployment's: tiles beyond it are sent in several calls.
    """

    def __init__(self, handle: DeploymentHandle, *, batch_megapixels: float = 0.82) -> None:
        self._handle = handle
        self._batch_pixels = round(batch_megapixels * 1e6)
        self._model: ModelInUse | None = None

    async def detect(self, photo: np.ndarray, *, refine: Refinement = "guided", tile: int = 1) -> FocusMap:
        """Find what is in focus in a photo.

        Args:
            photo: uint8 RGB H×W×3, upright.
            refine: See `Detector.detect`.
            tile: See `Detector.detect`.

        Raises:
            Refusal: The detector has too much to do, or does not answer (reason busy, model_unavailable).
        """
        for _ in range(_ROUNDS):
            self._model = model = self._model or await self._ask("model_in_use")
            pictures = await asyncio.to_thread(network_pictures, photo, model.input_size, tile=tile)
            height, width = model.input_size
            step = max(1, self._batch_pixels // (height * width))
            parts = [pictures[at : at + step] for at in range(0, len(pictures), step)]
            looked: list[Looked] = await asyncio.gather(*(self._ask("look", part) for part in parts))
            self._model = looked[0].model
            maps = [one.maps for one in looked if one.maps is not None]
            if len(maps) < len(looked) or len({one.model.fingerprint for one in looked}) > 1:
                continue  # the model was exchanged in between
            return await asyncio.to_thread(
                native_map,
                photo,
                _joined(maps),
                model=self._model.name,
                model_fingerprint=self._model.fingerprint,
                refine=refine,
                tile=tile,
            )
        raise Refusal("busy", "the model changes faster than photos are answered: send the photo again")

    async def model(self) -> dict[str, Any]:
        """Describe the model of one replica as JSON.

        Raises:
            Refusal: The detector does not answer.
        """
        described: dict[str, Any] = await self._ask("model")
        return described

    async def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return await getattr(self._handle, method).remote(*arguments)
        except BackPressureError:
            raise Refusal("busy", "all detectors have enough to do: send it again a little later") from None
        except (DeploymentUnavailableError, RayActorError) as error:
            message = "no detector answers at the moment: send it again a little later"
            raise Refusal("model_unavailable", message) from error


def _joined(maps: list[PhotoMaps]) -> PhotoMaps:
    if len(maps) == 1:
        return maps[0]
    return PhotoMaps(np.concatenate([one.focus for one in maps]), None)
