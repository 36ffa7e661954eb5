"""The kind `rendered`: the true depth of a prepared dataset's rendered scenes, looked up by their pixels."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import get_args

import numpy as np

from dbd_ray.datasets.prepared import RENDERED_SOURCE, read_info, read_rows
from dbd_ray.errors import DatasetError, PhotoError, TeacherError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth
from dbd_ray.names import PrecisionName, Split
from dbd_ray.teachers.base import DepthTeacher
from dbd_ray.teachers.loading import fingerprint_of
from dbd_ray.teachers.spec import TeacherSpec

CODE_VERSION = 1  # raised when this code gives other maps for the same dataset


class RenderedTeacher(DepthTeacher):
    """Looks up depths by the digest of a photo's pixels, so photos must be exactly those of the dataset.

    Args:
        name: As for `DepthTeacher`, and so is fingerprint.
        depths: Depth maps as 16-bit PNG by the digest of the decoded photo.
    """

    failure = "the photo is none of the rendered scenes of this dataset"

    def __init__(self, name: str, fingerprint: str, depths: Mapping[bytes, bytes]) -> None:
        super().__init__(name, fingerprint, input_size=None, larger_is="far")
        self._depths = depths

    def raw_depth(self, photos: np.ndarray) -> np.ndarray:
        raw = np.full(photos.shape[:3], np.nan, np.float32)
        for photo, out in zip(photos, raw, strict=True):
            depth = self._depths.get(_digest(photo))
            if depth is not None:
                out[:] = decode_depth(depth)
        return raw

    def try_out(self) -> None:
        """Do nothing: a made-up photo is none of the scenes, and `load` has read the rows already."""


def load(spec: TeacherSpec, device: str, precision: PrecisionName) -> RenderedTeacher:
    """Load `rendered:DATASET`, a prepared dataset with rendered scenes; its depth PNGs are held in memory.

    Raises:
        DatasetError: There is no prepared dataset, or it is damaged.
        TeacherError: It holds no rendered scenes.
        ConfigError: An option was given, or another device than the CPU, or bfloat16.
    """
    spec.allow_options()
    spec.require_cpu(device, precision)
    info = read_info(spec.target)
    depths: dict[bytes, bytes] = {}
    for split in get_args(Split):
        for row in read_rows(spec.target, split, columns=("id", "image", "depth", "depth_teacher")).to_pylist():
            if row["depth"] and (row["depth_teacher"] or "").startswith(f"{RENDERED_SOURCE}@"):
                try:
                    depths[_digest(decode_photo(row["image"]))] = row["depth"]
                except PhotoError as error:
                    raise DatasetError(spec.target, [f"{row['id']}: {error}; prepare it again"]) from None
    if not depths:
        raise TeacherError(
            f"{spec.label}: it holds no rendered scenes with depth; make some with dbd-ray prepare --scenes"
        )
    name = PurePosixPath(spec.target.rstrip("/")).name
    return RenderedTeacher(f"{spec.kind}:{name}", fingerprint_of(info.fingerprint, {"code": CODE_VERSION}), depths)


def _digest(photo: np.ndarray) -> bytes:
    return hashlib.sha256(repr(photo.shape).encode() + np.ascontiguousarray(photo).tobytes()).digest()
