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
from dbd_ray.detection.ownership import (
    OF_THE_NAME,
    Origin,
    in_the_way,
    name_error,
    origin_of,
    unusable_name,
    write_result,
)
from dbd_ray.detection.stream import detect_stream
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.overlay import overlay
from dbd_ray.names import RESULT_SUFFIXES, ResultFile
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

    Every result names its photo inside. What is there already is replaced only if it is a result of the same photo (or
    with `force`); else that photo fails, and nothing is written for it.

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
    origins: dict[Path, Origin] = {}

    def open_photo(photo: Path) -> np.ndarray | str:
        content = photo.read_bytes()
        origins[photo] = origin_of(photo, content)
        # before the photo costs anything; once more in `finish`, for other processes write there as well
        return _refusal(_files(names[photo], config), origins[photo], config) or decode_photo(
            content, max_pixels=config.max_pixels
        )

    def finish(photo: Path, pixels: np.ndarray, found: FocusMap) -> Prediction:
        origin = origins[photo]
        files = _files(names[photo], config)
        refusal = _refusal(files, origin, config) or _write(files, photo, pixels, found, origin, config)
        return Prediction(photo, None, (), refusal) if refusal else Prediction(photo, found.summary, files, "")

    predictions = []
    for prediction in detect_stream(
        detector,
        photos,
        open_photo=open_photo,
        finish=finish,
        fail=lambda photo, error: Prediction(photo, None, (), error),
        refine=config.refine,
        tile=config.tile,
        batch_size=config.batch_size,
    ):
        predictions.append(prediction)
        on_photo(prediction)
    return predictions


def _files(name: str, config: PredictConfig) -> tuple[Path, ...]:
    return tuple(config.out / f"{name}{RESULT_SUFFIXES[result]}" for result in config.save)


def _refusal(files: Sequence[Path], origin: Origin, config: PredictConfig) -> str:
    try:
        return unusable_name(files) or ("" if config.force else in_the_way(files, origin))
    except OSError as error:
        raise _unwritable(config, error) from error


def _write(
    files: Sequence[Path], photo: Path, pixels: np.ndarray, found: FocusMap, origin: Origin, config: PredictConfig
) -> str:
    # the JSON file last: one of an earlier version says whose the others are
    for path, result in sorted(zip(files, config.save, strict=True), key=lambda pair: pair[1] == "json"):
        content = _content(result, photo, pixels, found, config)
        try:
            refusal = write_result(path, content, origin, force=config.force)
        except OSError as error:
            if error.errno not in OF_THE_NAME:
                raise _unwritable(config, error) from error
            refusal = name_error(error)
        if refusal:
            return refusal
    return ""


def _unwritable(config: PredictConfig, error: OSError) -> DbdRayError:
    return DbdRayError(f"{config.out}: cannot be written ({error})")


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
