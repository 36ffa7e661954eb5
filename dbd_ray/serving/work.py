"""The work on one photo in the gateway: bytes to pixels to focus map to answer, away from the event loop."""

import asyncio
import base64
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import cv2
import numpy as np

from dbd_ray.config.serve import LimitsConfig
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.errors import PhotoError, out_of_memory
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.names import Picture
from dbd_ray.serving.answer_pictures import make_picture, make_preview
from dbd_ray.serving.concurrency import PixelBudget, Threads
from dbd_ray.serving.options import BatchOptions
from dbd_ray.serving.refusals import Refusal, refused_photo
from dbd_ray.serving.remote import PhotoDetector
from dbd_ray.serving.schemas import FocusAnswer, focus_answer

Result = TypeVar("Result")


class PhotoWork:
    """Answers photos within the server's limits.

    Args:
        detector: Detector that finds what is in focus.
        limits: The server's limits of size, time and number.
    """

    def __init__(self, detector: PhotoDetector, limits: LimitsConfig) -> None:
        self._detector = detector
        self._limits = limits
        self._budget = PixelBudget(limits.pixels_at_once)
        self._threads = Threads()  # for headers alone, so that what is to be refused need not wait behind photos
        self._in_hand = 0

    async def answer(
        self, data: bytes, options: BatchOptions, pictures: Sequence[Picture], *, preview: int | None = None
    ) -> FocusAnswer:
        """Answer with a summary, and with pictures inside.

        Args:
            data: The photo's encoded bytes.
            options: Options of the request.
            pictures: Pictures to put inside, PNG in base64.
            preview: Longest side, px, of the photo itself to put inside, JPEG in base64; None for none.

        Raises:
            Refusal: The photo cannot be used, the server is busy, or the answer took too long.
        """

        def make(photo: np.ndarray, found: FocusMap) -> FocusAnswer:
            made: dict[str, bytes] = {name: make_picture(name, photo, found, options) for name in pictures}
            if preview is not None:
                made["preview"] = make_preview(photo, preview)
            return focus_answer(found, {name: base64.b64encode(file).decode() for name, file in made.items()})

        return await self._detected(data, options, make)

    async def picture(self, data: bytes, options: BatchOptions, picture: Picture) -> bytes:
        """Answer with one picture, the bytes of a PNG file; arguments and errors are those of `answer`."""
        return await self._detected(data, options, lambda photo, found: make_picture(picture, photo, found, options))

    async def _detected(
        self, data: bytes, options: BatchOptions, make: Callable[[np.ndarray, FocusMap], Result]
    ) -> Result:
        limits = self._limits
        # counted from here and not by connections, most of which may only be sending: those cost next to nothing
        if self._in_hand >= limits.photos_at_once:
            raise Refusal("busy", "the server has enough photos in hand: send it again a little later")
        self._in_hand += 1
        max_bytes, max_pixels = limits.max_bytes, limits.max_pixels
        try:
            async with asyncio.timeout(limits.answer_timeout_s):
                height, width = await self._threads.run(photo_size, data, max_bytes=max_bytes, max_pixels=max_pixels)
                async with self._budget.room_for(height * width):
                    read = partial(decode_photo, data, max_bytes=max_bytes, max_pixels=max_pixels)
                    return await self._detector.answer(read, make, refine=options.refine, tile=options.tile)
        except PhotoError as error:
            raise refused_photo(error) from error
        except TimeoutError:
            raise Refusal("timeout", f"no answer within {limits.answer_timeout_s:g} s: send it again later") from None
        except (MemoryError, cv2.error) as error:
            if not out_of_memory(error):
                raise
            raise Refusal("out_of_memory", "the server has not enough memory for this photo: make it smaller") from None
        finally:
            self._in_hand -= 1
