"""What is checked between the scan of a library and the work on it."""

import os

import pyarrow as pa
import pyarrow.compute as pc

from dbd_ray.config import AnnotateConfig
from dbd_ray.detection.result_names import mask_name
from dbd_ray.errors import ConfigError
from dbd_ray.library.scan import Found
from dbd_ray.library.schema import path_text


def check_same_library(source: str, out: str, files: list[Found], whole: pa.Table | None, *, force: bool) -> None:
    """See that the table of results is one of this library, which has photos.

    Raises:
        ConfigError: It is another library's, or all photos are gone.
    """
    if whole is None or force:
        return
    others = set(whole["uri"].unique().to_pylist()) - {source}
    if others:
        raise ConfigError(
            f"out: {out} holds the table of {min(others)}: choose another folder, or take it over (--force) if that is "
            "where the library was before"
        )
    photos = pc.sum(pc.equal(whole["status"], "ok")).as_py() or 0
    if photos and not any(found.status == "photo" for found in files):
        raise ConfigError(
            f"source: no photo is left in {source}, where {photos} were: is its disk mounted? --force drops their rows"
        )


def without_shared_names(files: list[Found], config: AnnotateConfig) -> list[Found]:
    """Take out photos whose mask would have the name of another photo's."""
    if "masks" not in config.save:
        return files
    owners: dict[str, bytes] = {}
    kept = []
    for found in files:
        if found.status == "photo":
            owner = owners.setdefault(mask_name(os.fsdecode(found.path), config.masks), found.path)
            if owner != found.path:
                message = f"its mask would have the name of that of {path_text(owner)}: rename one, or use masks=colmap"
                found = found._replace(status="error", reason="same_name", message=message)
        kept.append(found)
    return kept
