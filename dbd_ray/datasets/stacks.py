"""Focus stacks on disk: a folder for each, with photos of one scene at several focus distances."""

from dataclasses import dataclass

import numpy as np

from dbd_ray.datasets.labelled import read_pixels
from dbd_ray.errors import DatasetError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.photo_names import why_no_folder_of_photos
from dbd_ray.storage import open_storage, photos_in


@dataclass(frozen=True)
class FocusStack:
    """Paths of a stack's photos; nothing is read yet.

    Args:
        id: Name of its folder.
        image_uris: Absolute paths of its photos, or URIs where the root is one, sorted.
    """

    id: str
    image_uris: tuple[str, ...]


def scan_stacks(root: str) -> list[FocusStack]:
    """List the focus stacks of a folder, one in each folder below it.

    Args:
        root: Local folder or fsspec/pyarrow URI.

    Returns:
        The stacks, sorted by id.

    Raises:
        DatasetError: There is none, or a folder holds fewer than two photos; all are listed.
    """
    base = root.rstrip("/") if "://" in root else open_storage(root)[1]
    stacks: list[FocusStack] = []
    problems: list[str] = []
    for folder in sorted(photos_in(root).folders):
        if why_no_folder_of_photos(folder):
            continue
        photos = photos_in(f"{base}/{folder}").photos
        if len(photos) < 2:
            problems.append(f"{folder}/: a focus stack needs two photos or more, found {len(photos)}")
        stacks.append(FocusStack(folder, tuple(f"{base}/{folder}/{name}" for name in photos)))
    if not stacks:
        problems.append("no folders, but each focus stack has one of its own")
    if problems:
        raise DatasetError(root, problems)
    return stacks


def read_stack(stack: FocusStack) -> list[np.ndarray] | str:
    """Read a stack's photos, uint8 RGB H×W×3 of one size, or one line that says what is wrong with them."""
    frames: list[np.ndarray] = []
    for uri in stack.image_uris:
        pixels = read_pixels(uri, decode_photo)
        if isinstance(pixels, str):
            return pixels
        frames.append(pixels)
    sizes = sorted({f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames})
    if len(sizes) > 1:
        return f"{stack.id}/: its photos are {', '.join(sizes)} (w x h), but must be of one size and aligned"
    return frames
