"""Detection in photo files on one machine, with results as files: the work of `dbd-ray predict`."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbd_ray.config import PredictConfig
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.detection.stream import detect_stream
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.overlay import overlay
from dbd_ray.names import RESULT_SUFFIXES, ResultFile
from dbd_ray.storage import replace_bytes
from dbd_ray.summary import Summary


class Prediction(NamedTuple):
    """The result of one photo.

    Attributes:
        photo: Path of the photo.
        summary: The focus map in a few numbers; None if the photo failed.
        files: Paths of the results that were written.
        error: Why the photo failed; empty if it did not.
    """

    photo: Path
    summary: Summary | None
    files: tuple[Path, ...]
    error: str


def predict_files(
    detector: Detector,
    photos: Sequence[Path],
    config: PredictConfig,
    *,
    on_photo: Callable[[Prediction], Any] = lambda prediction: None,
) -> list[Prediction]:
    """Detect focus in photo files and write what was asked for; a bad photo harms only itself.

    Args:
        detector: The loaded detector, see `Detector.load`; `model`, `device` and `engine` of the settings are not read.
        photos: Paths of the photos, see `find_photos.find_photos`.
        config: What is written, and how; into the folder `out` go `<name>.focus.png` (8 bit), `.overlay.jpg`,
            `.depth.png` (16 bit) and `.json`.
        on_photo: Called with the Prediction of every photo, in order.

    Returns:
        One Prediction per photo, in order.

    Raises:
        ConfigError: Depth from a network that predicts none, or `out` cannot be a folder.
        DbdRayError: A result cannot be written, for instance because the disk is full.
    """
    out = config.out
    if "depth" in config.save and not detector.network.shows_depth:
        raise ConfigError(f"save: {detector.card.name} predicts no depth; leave depth out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot be made a folder ({error.strerror}); choose another for the results"
        ) from None
    names = _names(photos)

    def finish(photo: Path, pixels: np.ndarray, found: FocusMap) -> Prediction:
        try:
            return Prediction(photo, found.summary, _write(photo, pixels, found, names[photo], config), "")
        except OSError as error:
            raise DbdRayError(f"{out}: cannot be written ({error})") from error

    predictions = []
    for prediction in detect_stream(
        detector,
        photos,
        open_photo=lambda photo: decode_photo(photo.read_bytes(), max_pixels=config.max_pixels),
        finish=finish,
        fail=lambda photo, error: Prediction(photo, None, (), error),
        refine=config.refine,
        tile=config.tile,
        batch_size=config.batch_size,
    ):
        predictions.append(prediction)
        on_photo(prediction)
    return predictions


def _write(photo: Path, pixels: np.ndarray, found: FocusMap, name: str, config: PredictConfig) -> tuple[Path, ...]:
    files = []
    for result in config.save:
        path = config.out / f"{name}{RESULT_SUFFIXES[result]}"
        # complete or absent: whoever watches the folder must not read half a picture
        replace_bytes(path, _content(result, photo, pixels, found, config))
        files.append(path)
    return tuple(files)


def _content(result: ResultFile, photo: Path, pixels: np.ndarray, found: FocusMap, config: PredictConfig) -> bytes:
    if result == "focus":
        return encode_mask(found.focus, polarity=config.polarity)
    if result == "overlay":
        return encode_photo(overlay(pixels, found.focus))
    if result == "depth":
        assert found.depth is not None  # `predict_files` and PredictConfig have refused it else
        return encode_depth(found.depth)
    height, width = found.focus.shape
    about = {"photo": str(photo), "width": width, "height": height, **found.summary.as_dict()}
    return json.dumps(about, indent=2).encode()


def _names(photos: Sequence[Path]) -> dict[Path, str]:
    # a.jpg and a.png, or a.jpg of two folders, must not overwrite each other's results
    stems = Counter(photo.stem.lower() for photo in photos)
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for photo in photos:
        folder = f"{photo.parent.name}_" if photo.parent.name else ""
        name = photo.stem if stems[photo.stem.lower()] == 1 else f"{folder}{photo.name}"
        number = 2
        base = name
        while name.lower() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.lower())
        names[photo] = name
    return names
