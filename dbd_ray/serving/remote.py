"""The caller's side of a `FocusDetector`: makes a photo's pictures of the network's size, and its map of the answer."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np
from ray.exceptions import ObjectLostError, RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.detection.transforms import PhotoMaps, native_map, network_pictures
from dbd_ray.names import Refinement
from dbd_ray.serving.concurrency import SharedCalls, Threads
from dbd_ray.serving.messages import DetectorAnswer, ModelInUse, PicturesBySize
from dbd_ray.serving.refusals import Refusal

Result = TypeVar("Result")

_ROUNDS = 5  # how often the model may change under one photo


class PhotoDetector(Protocol):
    """A detector that makes answers of photos: `RemoteDetector`, or one in this process."""

    async def answer(
        self,
        read: Callable[[], np.ndarray],
        finish: Callable[[np.ndarray, FocusMap], Result],
        *,
        refine: Refinement = "guided",
        tile: int = 1,
    ) -> Result:
        """Read a photo (uint8 RGB H×W×3), detect focus in it, and make an answer of both."""
        ...

    async def model(self) -> dict[str, Any]:
        """Describe the model as JSON."""
        ...


class RemoteDetector:
    """Calls a bound `FocusDetector` for whole photos, several in one call.

    Args:
        handle: Handle of the bound deployment, as Ray Serve gives it to the constructor of the one that binds it.
        batch_megapixels: Limit of one call, megapixels at the network's size; a single photo's pictures may be more.
        calls_at_once: Calls under way beyond which further photos wait until they fill a call, or one has ended.
        longest_wait_s: Longest such wait, s.
    """

    def __init__(
        self, handle: DeploymentHandle, *, batch_megapixels: float, calls_at_once: int, longest_wait_s: float
    ) -> None:
        self._handle = handle
        self._threads = Threads()
        self._calls: SharedCalls[PicturesBySize, DetectorAnswer] = SharedCalls(
            lambda photos: self._ask("network_maps", photos),
            full=int(batch_megapixels * 1e6),
            at_once=calls_at_once,
            longest_wait_s=longest_wait_s,
        )
        self._model: ModelInUse | None = None  # the last one that answered
        self._first = asyncio.Lock()

    async def detect(self, photo: np.ndarray, *, refine: Refinement = "guided", tile: int = 1) -> FocusMap:
        """Detect focus in a photo.

        Args:
            photo: uint8 RGB H×W×3, upright.
            refine: See `Detector.detect`.
            tile: See `Detector.detect`.

        Returns:
            The focus map, at the photo's size.

        Raises:
            Refusal: The detector has too much to do, or does not answer (reason busy, model_unavailable).
        """
        return await self.answer(lambda: photo, lambda _, found: found, refine=refine, tile=tile)

    async def answer(
        self,
        read: Callable[[], np.ndarray],
        finish: Callable[[np.ndarray, FocusMap], Result],
        *,
        refine: Refinement = "guided",
        tile: int = 1,
    ) -> Result:
        """Read a photo, detect focus in it as `detect` does, and make an answer of both.

        `read` runs in a thread together with the detection's own work before the call, `finish` with that after it.

        Args:
            read: Gives the photo, uint8 RGB H×W×3, upright.
            finish: Makes the answer of the photo and its focus map.
            refine: See `Detector.detect`.
            tile: See `Detector.detect`.

        Returns:
            What `finish` made.

        Raises:
            Refusal: As `detect`.
            Exception: Whatever `read` and `finish` raise.
        """
        size = None if self._model is None else self._model.input_size

        def begin() -> tuple[np.ndarray, PicturesBySize]:
            photo = read()
            return photo, {} if size is None else {size: network_pictures(photo, size, tile=tile)}

        def end(model: ModelInUse, maps: PhotoMaps) -> Result:
            found = native_map(
                photo,
                maps,
                model=model.name,
                model_fingerprint=model.fingerprint,
                refine=refine,
                tile=tile,
            )
            return finish(photo, found)

        photo, by_size = await self._threads.run(begin)
        wanted = size or await self._input_size()  # only now: a bad photo is refused whether or not a detector answers
        for _ in range(_ROUNDS):
            # while models are exchanged replicas may want other sizes: from then on each gets its own to choose from
            if wanted not in by_size:
                by_size[wanted] = await self._threads.run(network_pictures, photo, wanted, tile=tile)
            answer = await self._calls.ask(by_size, by_size[wanted][..., 0].size)
            self._model = answer.model
            wanted = answer.model.input_size
            if answer.maps is not None:
                return await self._threads.run(end, answer.model, answer.maps)
        raise Refusal("busy", "the model changes faster than photos are answered: send the photo again")

    async def model(self) -> dict[str, Any]:
        """Describe the model of one replica as JSON.

        Raises:
            Refusal: The detector does not answer.
        """
        described: dict[str, Any] = await self._ask("model")
        return described

    async def _input_size(self) -> tuple[int, int]:
        async with self._first:  # the others wait: as many calls as photos would look like much work to do
            self._model = self._model or await self._ask("model_in_use")
        return self._model.input_size

    async def _ask(self, method: str, *arguments: Any) -> Any:
        response = getattr(self._handle, method).remote(*arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()  # else the replica would go on for nobody
            raise
        except BackPressureError:
            raise Refusal("busy", "all detectors have enough to do: send it again a little later") from None
        except MemoryError as error:  # of the detector, whatever this photo is
            message = "the detector is short of memory: send it again a little later"
            raise Refusal("model_unavailable", message) from error
        except (DeploymentUnavailableError, RayActorError, ObjectLostError) as error:
            message = "no detector answers at the moment: send it again a little later"
            raise Refusal("model_unavailable", message) from error
