"""Detection in any number of photos with few of them in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import cv2
import numpy as np

from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.errors import PhotoError, out_of_memory
from dbd_ray.names import Refinement

Item = TypeVar("Item")
Result = TypeVar("Result")

PIXELS_AT_ONCE = 100_000_000  # limit on decoded photos that wait for one forward pass, 3 bytes each

_OUT_OF_MEMORY = "there is not enough memory for this photo: make it smaller, or run fewer at a time [out_of_memory]"


def detect_stream(
    detector: Detector,
    items: Iterable[Item],
    *,
    open_photo: Callable[[Item], np.ndarray | str],
    finish: Callable[[Item, np.ndarray, FocusMap], Result],
    fail: Callable[[Item, str], Result],
    refine: Refinement = "guided",
    batch_size: int = 8,
    tile: int = 1,
) -> Iterator[Result]:
    """Detect focus in any number of photos, few of them in memory at a time; a bad photo harms only itself.

    Args:
        detector: See `Detector.load`.
        items: One item per photo, for instance its path or its row.
        open_photo: Returns an item's pixels, uint8 RGB H×W×3, or why it has none; it may also raise PhotoError,
            OSError or MemoryError for that.
        finish: Makes the result of an item from the item, its pixels and its FocusMap.
        fail: Makes the result of an item without a FocusMap from the item and the reason.
        refine: See `Detector.detect`.
        batch_size: Photos per forward pass; fewer where they exceed `PIXELS_AT_ONCE` together.
        tile: See `Detector.detect`.

    Yields:
        One result per item, in their order.
    """
    for chunk in _opened_chunks(items, open_photo, batch_size):
        yield from _finished(detector, chunk, finish, fail, {"refine": refine, "batch_size": batch_size, "tile": tile})
        chunk.clear()  # else its pixels would stay until the next chunk is complete


def _opened_chunks(
    items: Iterable[Item], open_photo: Callable[[Item], np.ndarray | str], batch_size: int
) -> Iterator[list[tuple[Item, np.ndarray | str]]]:
    chunk: list[tuple[Item, np.ndarray | str]] = []
    pixels = 0
    for item in items:
        opened = _opened(item, open_photo)
        size = 0 if isinstance(opened, str) else opened.shape[0] * opened.shape[1]
        if chunk and pixels + size > PIXELS_AT_ONCE:
            yield chunk
            chunk, pixels = [], 0
        chunk, pixels = [*chunk, (item, opened)], pixels + size
        del opened  # would outlive its chunk by one decoding
        if len(chunk) == batch_size:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _finished(
    detector: Detector,
    chunk: Sequence[tuple[Item, np.ndarray | str]],
    finish: Callable[[Item, np.ndarray, FocusMap], Result],
    fail: Callable[[Item, str], Result],
    options: dict[str, Any],
) -> Iterator[Result]:
    waiting = [opened for _, opened in chunk if not isinstance(opened, str)]
    maps = detector.detect_each(waiting, **options)
    for item, opened in chunk:
        if isinstance(opened, str):
            yield fail(item, opened)
            continue
        waiting = waiting[1:]
        try:
            result = finish(item, opened, next(maps))
        except (MemoryError, cv2.error) as error:
            if not out_of_memory(error):
                raise
            result = fail(item, _OUT_OF_MEMORY)
            maps = detector.detect_each(waiting, **options)
        yield result


def _opened(item: Item, open_photo: Callable[[Item], np.ndarray | str]) -> np.ndarray | str:
    try:
        return open_photo(item)
    except PhotoError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except MemoryError:
        return _OUT_OF_MEMORY
