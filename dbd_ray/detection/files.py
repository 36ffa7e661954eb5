"""Detection in photo files on one machine, with results as files: the work of `dbd-ray predict`."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dbd_ray.config import PredictConfig
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.detection.ownership import (
    NO_FOLDER,
    OF_THE_NAME,
    Origin,
    folder_error,
    in_the_way,
    name_error,
    origin_of,
    unusable_name,
    write_result,
)
from dbd_ray.detection.result_names import names_of
from dbd_ray.detection.stream import detect_stream
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.decode import decode_photo, photo_exif
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.masks import as_stored, cut_mask, exif_orientation
from dbd_ray.images.overlay import overlay, small_pictures
from dbd_ray.names import ResultFile
from dbd_ray.summary import Summary

MOST_PREVIEWS = 1000  # of some 10 KB each, which an overview holds all at once
PREVIEW_PX = 320  # longer side
NEARLY_EMPTY = 0.01  # share of the photo


class Prediction(NamedTuple):
    """The result of one photo.

    Attributes:
        photo: Path of the photo.
        summary: The focus map in a few numbers; None if the photo failed.
        files: Paths of the results that were written.
        error: Why the photo failed; None if it did not.
        mask_fraction: Share of the photo that is in focus by its mask; None if no mask was written.
        preview: A small overlay, JPEG; empty if the photo failed, and behind the first `MOST_PREVIEWS` photos.
    """

    photo: Path
    summary: Summary | None
    files: tuple[Path, ...]
    error: str | None
    mask_fraction: float | None = None
    preview: bytes = b""

    def mask_words(self) -> str:
        """Say how much is in focus by the mask, and whether that is nothing or nearly so; empty without a mask."""
        if self.mask_fraction is None:
            return ""
        share = f"{self.mask_fraction:.1%}"
        return "empty" if not self.mask_fraction else f"nearly empty ({share})" if self.is_nearly_empty() else share

    def is_nearly_empty(self) -> bool:
        """Tell whether too little is in focus by the mask for it to be of use."""
        return self.mask_fraction is not None and self.mask_fraction < NEARLY_EMPTY


class _Opened(NamedTuple):
    origin: Origin
    orientation: int


def predict_files(
    detector: Detector,
    photos: Sequence[Path],
    config: PredictConfig,
    *,
    names: Mapping[Path, str] = MappingProxyType({}),
    on_photo: Callable[[Prediction], Any] = lambda prediction: None,
) -> list[Prediction]:
    """Detect focus in photo files and write what was asked for; a bad photo harms only itself.

    Every result names its photo inside. What is there already is replaced only if it is a result of the same photo (or
    with `force`); else that photo fails, and nothing is written for it. Of two photos whose results would have one
    name, the second fails.

    Args:
        detector: The loaded detector, see `Detector.load`; `model`, `device` and `engine` of the settings are not read.
        photos: Paths of the photos, see `find_photos.find_photos`.
        config: What is written, and how; into the folder `out` go `<name>.focus.png` (8 bit), `.overlay.jpg`,
            `.mask.png` (8 bit, 0 or 255), `.depth.png` (16 bit) and `.json`, see `result_names.names_of`.
        names: Paths of photos below the folder that was given, with slashes, by which results are named and put into
            folders; a photo that is not here is named by its file's name.
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
    predictions: list[Prediction] = []
    opened: dict[Path, _Opened] = {}
    owners: dict[Path, str] = {}

    def files_of(photo: Path) -> dict[ResultFile, Path]:
        return {result: out / name for result, name in names_of(names.get(photo, photo.name), config).items()}

    def open_photo(photo: Path) -> np.ndarray | str:
        content = photo.read_bytes()
        origin, files = origin_of(photo, content), files_of(photo)
        for file in files.values():
            if (owner := owners.setdefault(file, origin.path)) != origin.path:
                return _same_name(file, owner, config)
        stored = "mask" in config.save and config.masks_as_stored
        opened[photo] = _Opened(origin, exif_orientation(photo_exif(content)) if stored else 1)
        # before the photo costs anything; once more in `finish`, for other processes write there as well
        return _refusal(files, origin, config) or decode_photo(content, max_pixels=config.max_pixels)

    def finish(photo: Path, pixels: np.ndarray, found: FocusMap) -> Prediction:
        origin, orientation = opened[photo]
        files = files_of(photo)
        mask = _mask(found, orientation, config) if "mask" in config.save else None
        refusal = _refusal(files, origin, config)
        for result in sorted(files, key=lambda result: result == "json") if not refusal else ():
            # the JSON file last: one of an earlier version says whose the others are
            content = _content(result, photo, pixels, found, mask, config)
            if refusal := _write(files[result], content, origin, config):
                break
        if refusal:
            return Prediction(photo, None, (), refusal)
        preview = b""
        if len(predictions) < MOST_PREVIEWS:
            preview = encode_photo(small_pictures(pixels, found.focus, PREVIEW_PX)[1])
        share = None if mask is None else float(mask.mean())
        return Prediction(photo, found.summary, tuple(files.values()), None, share, preview)

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


def _same_name(file: Path, owner: str, config: PredictConfig) -> str:
    if config.layout == "nerfstudio" and file.suffix == ".png":
        what = "rename one, or use --layout colmap"
    else:
        what = "rename one, or give the folder above both, with --recursive"
    return f"its result would have the name of that of {owner} ({file}): {what}"


def _refusal(files: Mapping[ResultFile, Path], origin: Origin, config: PredictConfig) -> str:
    paths = list(files.values())
    try:
        return unusable_name(paths) or ("" if config.force else in_the_way(paths, origin))
    except OSError as error:
        return _of_the_photo(error, config)


def _write(file: Path, content: bytes, origin: Origin, config: PredictConfig) -> str:
    try:
        return write_result(file, content, origin, force=config.force)
    except OSError as error:
        return name_error(error) if error.errno in OF_THE_NAME else _of_the_photo(error, config)


def _of_the_photo(error: OSError, config: PredictConfig) -> str:
    # the folder of all results may be gone as well, which is no matter of one photo
    if error.errno in NO_FOLDER and config.out.is_dir():
        return folder_error(error)
    raise DbdRayError(f"{config.out}: cannot be written ({error})") from error


def _mask(found: FocusMap, orientation: int, config: PredictConfig) -> np.ndarray:
    return as_stored(cut_mask(found.focus, threshold=config.threshold, margin=config.margin), orientation)


def _content(
    result: ResultFile,
    photo: Path,
    pixels: np.ndarray,
    found: FocusMap,
    mask: np.ndarray | None,
    config: PredictConfig,
) -> bytes:
    if result == "focus":
        return encode_mask(found.focus, polarity=config.polarity)
    if result == "overlay":
        return encode_photo(overlay(pixels, found.focus))
    if result == "mask":
        assert mask is not None
        return encode_mask(mask, polarity=config.polarity)
    if result == "depth":
        assert found.depth is not None  # `predict_files` and PredictConfig have refused it else
        return encode_depth(found.depth)
    height, width = found.focus.shape
    about = {"photo": str(photo), "width": width, "height": height, **found.summary.as_dict()}
    return json.dumps(about, indent=2).encode()
