"""Reading of labelled photos: the pixels of a photo and its mask, checked, or what is wrong with them."""

from collections.abc import Callable

import numpy as np

from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.truth import mask_levels, truth_of
from dbd_ray.errors import DatasetError, PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.names import Layout, Polarity
from dbd_ray.storage import read_bytes


def read_layout(
    root: str, layout: Layout, *, polarity: Polarity | None = None, allow_constant_masks: bool = False
) -> list[LabelledPhoto]:
    """List the photos of a labelled dataset after reading and checking every file.

    Args:
        root: Local folder or fsspec/pyarrow URI.
        layout: One of `layouts.LAYOUTS`.
        polarity: What white means in the masks; required for `folder`, refused for layouts that define it.
        allow_constant_masks: Accept masks of one class, e.g. a folder's all-in-focus negatives.

    Returns:
        The photos, sorted by id.

    Raises:
        DatasetError: Lists every problem of names and of pixels.
        ConfigError: Unknown layout, or a polarity that is missing or without effect.
    """
    photos, problems = scan_layout(root, layout, polarity=polarity)
    for photo in photos:
        pixels = read_labelled(photo, allow_constant=allow_constant_masks)
        if isinstance(pixels, str):
            problems.append(pixels)
    if problems:
        raise DatasetError(root, problems)
    return photos


def read_labelled(photo: LabelledPhoto, *, allow_constant: bool = False) -> tuple[np.ndarray, np.ndarray] | str:
    """Read and check one labelled photo.

    Args:
        photo: Paths of the photo and its mask, see `layouts.scan_layout`.
        allow_constant: Accept a mask of one class (all in focus, or none).

    Returns:
        Its pixels, uint8 RGB H×W×3, and its truth, uint8 H×W with 255 = in focus; or one line that names the files
        and everything wrong with them.
    """
    picture = read_pixels(photo.image_uri, decode_photo)
    if photo.mask_uri is None:
        return picture if isinstance(picture, str) else (picture, np.full(picture.shape[:2], 255, np.uint8))
    labels = read_pixels(photo.mask_uri, lambda data: mask_levels(data, photo.polarity))
    found = [read for read in (picture, labels) if isinstance(read, str)]
    truth = labels
    if not isinstance(labels, str):
        if not isinstance(picture, str) and picture.shape[:2] != labels.shape:
            sizes = [f"{width}x{height}" for height, width in (labels.shape, picture.shape[:2])]
            found.append(f"{photo.mask_uri}: the mask is {sizes[0]} but the photo, as displayed, is {sizes[1]} (w x h)")
        truth = truth_of(labels, photo.polarity, allow_constant=allow_constant)
        if isinstance(truth, str):
            found.append(f"{photo.mask_uri}: {truth}")
    if isinstance(picture, str) or isinstance(truth, str) or found:
        return "; ".join(found)
    return picture, truth


def read_pixels(uri: str, decode: Callable[[bytes], np.ndarray]) -> np.ndarray | str:
    """Read and decode a file: its pixels as `decode` gives them, or one line that names the file and what is wrong."""
    try:
        return decode(read_bytes(uri))
    except OSError as error:
        return f"{uri}: cannot be read: {error}"
    except PhotoError as error:
        return f"{uri}: {error}"
