"""Which files are photos by their names alone, by one rule for every command."""

import posixpath
from collections.abc import Mapping
from types import MappingProxyType

from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.names import RESULT_SUFFIXES

_SIDECARS = frozenset({".xmp", ".aae", ".thm", ".dop", ".pp3", ".xml", ".json"})


# small pictures and originals that storage devices and Picasa keep beside photos, and what a file system check saved
_SIDECAR_FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "@eadir": "Synology's folder of thumbnails",
        ".@__thumb": "QNAP's folder of thumbnails",
        ".picasaoriginals": "Picasa's folder of originals",
        "lost+found": "the file system's folder of lost files",
    }
)


def why_no_folder_of_photos(name: str) -> tuple[str, str] | None:
    """Say why a folder is not looked into, by its name alone.

    Returns:
        A stable word, and the same for people; None where it is looked into.
    """
    if told := _SIDECAR_FOLDERS.get(name.lower()):
        return "sidecar", told
    return ("hidden", "hidden folder") if name.startswith(".") else None


def why_no_photo(name: str) -> tuple[str, str] | None:
    """Say why a file is no photo, by its name without folders.

    Returns:
        A stable word, and the same for people; None where it is a photo: it has the suffix of one, is not hidden,
        and is no result of `dbd-ray predict`.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if name.startswith("."):
        return "hidden", "hidden file"
    if suffix in _SIDECARS:
        return "sidecar", "stands beside a photo"
    if suffix not in PHOTO_SUFFIXES:
        return "no_photo", "no suffix of a photo"
    if name.endswith(tuple(RESULT_SUFFIXES.values())):
        return "result", "a result of dbd-ray predict"
    return None
