"""Names of a photo's results: they follow from the photo's own path alone, never from which others are in a run."""

import posixpath

from dbd_ray.config import PredictConfig
from dbd_ray.names import RESULT_SUFFIXES, MaskLayout, ResultFile

MASKS = "masks"
"""Folder of masks that are named for another program, below the folder of results."""


def result_name(path: str, result: ResultFile) -> str:
    """Name a result: the photo's path below the given folder, whole, so that IMG_1.jpg and IMG_1.HEIC stay apart."""
    return f"{path}{RESULT_SUFFIXES[result]}"


def mask_name(path: str, layout: MaskLayout) -> str:
    """Name a photo's mask as the program looks for it, below the folder of masks.

    Args:
        path: Of the photo, below the folder of photos.
        layout: "colmap" (`ImageReader.mask_path`): cam1/0001.jpg.png;
            "nerfstudio" (`masks_path` of its COLMAP data parser): cam1/0001.png.
    """
    return f"{path}.png" if layout == "colmap" else f"{posixpath.splitext(path)[0]}.png"


def names_of(path: str, config: PredictConfig) -> dict[ResultFile, str]:
    """Name all results that `dbd-ray predict` writes of a photo, below the folder of results.

    Args:
        path: Of the photo, below the folder that was given; its name alone where the photo itself was.
        config: Which results, and by whose names.
    """
    names = {result: result_name(path, result) for result in config.save}
    if "mask" in names and config.layout:
        names["mask"] = f"{MASKS}/{mask_name(path, config.layout)}"
    return names
