"""Which files are photos by their names alone, by one rule for every command."""

import posixpath

from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.names import RESULT_SUFFIXES

_SIDECARS = frozenset({".xmp", ".aae", ".thm", ".dop", ".pp3", ".xml", ".json"})


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
