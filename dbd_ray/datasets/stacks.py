"""Focus stacks on disk: a folder for each, with photos of one scene at several focus distances."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from dbd_ray.errors import DatasetError, PhotoError
from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.images.decode import decode_photo
from dbd_ray.storage import list_folder, open_storage, read_bytes


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
    storage, path = open_storage(root)
    base = root.rstrip("/") if "://" in root else path
    stacks: list[FocusStack] = []
    problems: list[str] = []
    for folder, is_folder in sorted(list_folder(storage, path) or []):
        if not is_folder or folder.startswith("."):
            continue
        names = [name for name, below in list_folder(storage, f"{path}/{folder}") or [] if not below]
        photos = sorted(name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES)
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
        try:
            frames.append(decode_photo(read_bytes(uri)))
        except OSError as error:
            return f"{uri}: cannot be read: {error}"
        except PhotoError as error:
            return f"{uri}: {error}"
    sizes = sorted({f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames})
    if len(sizes) > 1:
        return f"{stack.id}/: its photos are {', '.join(sizes)} (w x h), but must be of one size and aligned"
    return frames
