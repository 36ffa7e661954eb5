"""From photo files to result files on one machine: what `dbd-ray predict` does."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbd_ray.detection.detector import Detector
from dbd_ray.detection.focus_map import FocusMap
from dbd_ray.detection.stream import detect_stream
from dbd_ray.errors import ConfigError, DbdRayError
from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.images.decode import MAX_PIXELS, decode_photo
from dbd_ray.images.encode import encode_depth, encode_mask, encode_photo
from dbd_ray.images.overlay import overlay
from dbd_ray.names import RESULT_FILES, Polarity, Refinement, ResultFile
from dbd_ray.summary import Summary

SUFFIXES: dict[ResultFile, str] = {
    "focus": ".focus.png",
    "overlay": ".overlay.jpg",
    "depth": ".depth.png",
    "json": ".json",
}


class Prediction(NamedTuple):
    """What became of one photo.

    Attributes:
        photo: Its file.
        summary: The focus map in a few numbers; None if it failed.
        files: What was written.
        error: Why it failed; empty if it did not.
    """

    photo: Path
    summary: Summary | None
    files: tuple[Path, ...]
    error: str


class PhotoFiles(NamedTuple):
    """What paths hold.

    Attributes:
        photos: The photos.
        other_files: Files passed over: hidden, results of `predict_files`, or without a photo's suffix.
        folders: Folders that were not looked into.
    """

    photos: list[Path]
    other_files: list[Path]
    folders: list[Path]


def find_photos(paths: Sequence[Path], *, recursive: bool = False) -> PhotoFiles:
    """List the photos that paths name: files as given, folders by the files in them with a photo's suffix.

    Args:
        paths: Files and folders.
        recursive: Look into folders below these as well, except hidden ones and links.

    Raises:
        ConfigError: Paths do not exist, cannot be listed, or are folders without photos; all are listed.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise ConfigError(f"no such file or folder: {', '.join(missing)}")
    photos: dict[Path, None] = {}
    passed_over: dict[Path, bool] = {}  # whether it is a folder
    barren: list[str] = []
    for path in paths:
        inside = _photos_in(path, recursive) if path.is_dir() else PhotoFiles([path], [], [])
        photos |= dict.fromkeys(inside.photos)
        passed_over |= dict.fromkeys(inside.other_files, False) | dict.fromkeys(inside.folders, True)
        if not inside.photos:
            barren.append(str(path))
    if barren or not photos:
        below = "in or below" if recursive else "directly in"
        raise ConfigError(
            f"no photos {below} {', '.join(barren) or 'nothing'}; give folders that hold some, or the photos"
        )
    for path in (*photos, *paths):  # given by name after all
        passed_over.pop(path, None)
    other_files, folders = ([path for path in passed_over if passed_over[path] is kind] for kind in (False, True))
    return PhotoFiles(list(photos), other_files, folders)


def predict_files(
    detector: Detector,
    photos: Sequence[Path],
    out: Path,
    *,
    save: Sequence[ResultFile] = ("focus", "overlay", "json"),
    refine: Refinement = "guided",
    tile: int = 1,
    polarity: Polarity = "focus",
    batch_size: int = 8,
    max_pixels: int = MAX_PIXELS,
    on_photo: Callable[[Prediction], Any] = lambda prediction: None,
) -> list[Prediction]:
    """Detect focus in photo files and write what was asked for; a bad photo harms only itself.

    Args:
        detector: See `Detector.load`.
        photos: Files, see `find_photos`.
        out: Folder for `<name>.focus.png` (8 bit), `.overlay.jpg`, `.depth.png` (16 bit) and `.json`.
        save: Which of them.
        refine: How maps come to native size.
        tile: Tiles along the longer side, see `Detector.detect`.
        polarity: What white means in the written focus maps.
        batch_size: Photos per forward pass; fewer where they are large.
        max_pixels: Largest height x width that is decoded; a larger photo fails, unread.
        on_photo: Called after every photo.

    Returns:
        One Prediction per photo, in order.

    Raises:
        ConfigError: An unknown output, depth from a network that has none, or `out` cannot be a folder.
        DbdRayError: A result cannot be written, for instance because the disk is full.
    """
    unknown = [name for name in save if name not in RESULT_FILES]
    if unknown or not save:
        raise ConfigError(
            f"save: {', '.join(unknown) or 'nothing'} cannot be saved; choose of {', '.join(RESULT_FILES)}"
        )
    if "depth" in save and not detector.card.network.depth:
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
            return Prediction(
                photo, found.summary, _write(photo, pixels, found, out / names[photo], save, polarity), ""
            )
        except OSError as error:
            raise DbdRayError(f"{out}: cannot be written ({error})") from error

    predictions = []
    for prediction in detect_stream(
        detector,
        photos,
        open_photo=lambda photo: decode_photo(photo.read_bytes(), max_pixels=max_pixels),
        finish=finish,
        fail=lambda photo, error: Prediction(photo, None, (), error),
        refine=refine,
        tile=tile,
        batch_size=batch_size,
    ):
        predictions.append(prediction)
        on_photo(prediction)
    return predictions


def _photos_in(folder: Path, recursive: bool) -> PhotoFiles:
    inside = PhotoFiles([], [], [])
    waiting = [folder]
    while waiting:
        for path in _entries(waiting.pop()):
            if not path.is_dir():
                (inside.photos if _is_photo(path) else inside.other_files).append(path)
            elif recursive and not path.name.startswith(".") and not path.is_symlink():
                waiting.append(path)
            else:
                inside.folders.append(path)
    inside.photos.sort()
    return inside


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None


def _is_photo(path: Path) -> bool:
    return (
        path.suffix.lower() in PHOTO_SUFFIXES
        and not path.name.startswith(".")
        and not path.name.endswith(tuple(SUFFIXES.values()))
        and path.is_file()
    )


def _write(
    photo: Path,
    pixels: np.ndarray,
    found: FocusMap,
    target: Path,
    save: Sequence[ResultFile],
    polarity: Polarity,
) -> tuple[Path, ...]:
    files = []
    for output in save:
        if output == "focus":
            content = encode_mask(found.focus, polarity=polarity)
        elif output == "overlay":
            content = encode_photo(overlay(pixels, found.focus))
        elif output == "depth" and found.depth is not None:
            content = encode_depth(found.depth)
        else:
            height, width = found.focus.shape
            about = {"photo": str(photo), "width": width, "height": height, **found.summary.as_dict()}
            content = json.dumps(about, indent=2).encode()
        path = target.with_name(target.name + SUFFIXES[output])
        # complete or absent: whoever watches the folder must not read half a picture
        temporary = path.with_name(path.name + ".new")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        files.append(path)
    return tuple(files)


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
