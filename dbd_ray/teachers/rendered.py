"""The true depth of rendered scenes, found again by what their photos show."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import get_args

import numpy as np

from dbd_ray.datasets.prepared import RENDERED_SOURCE, read_info, read_rows
from dbd_ray.errors import DatasetError, PhotoError, TeacherError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_depth
from dbd_ray.names import Split
from dbd_ray.teachers.base import DepthTeacher
from dbd_ray.teachers.request import TeacherRequest
from dbd_ray.teachers.weights import fingerprint_of

CODE_VERSION = 1  # raised when this code gives other maps for the same dataset


class RenderedTeacher(DepthTeacher):
    """Looks the depth of a photo up by the digest of its pixels, so photos must come as the dataset has them.

    Args:
        name: See `DepthTeacher`; so is fingerprint.
        depths: Depth PNG by the digest of the decoded photo.
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
        """Nothing to try: a made-up photo is none of the scenes, and the rows were read when it was loaded."""


def load(request: TeacherRequest) -> RenderedTeacher:
    """Load `rendered:DATASET`, a prepared dataset with rendered scenes; its depths are held in memory, as PNG.

    Raises:
        DatasetError: There is no prepared dataset, or it is damaged.
        TeacherError: It holds no rendered scenes.
        ConfigError: An option or a device was asked for.
    """
    request.allow_options()
    request.require_cpu()
    info = read_info(request.target)
    depths: dict[bytes, bytes] = {}
    for split in get_args(Split):
        for row in read_rows(request.target, split, columns=("id", "image", "depth", "depth_teacher")).to_pylist():
            if row["depth"] and (row["depth_teacher"] or "").startswith(f"{RENDERED_SOURCE}@"):
                try:
                    depths[_digest(decode_photo(row["image"]))] = row["depth"]
                except PhotoError as error:
                    raise DatasetError(request.target, [f"{row['id']}: {error}; prepare it again"]) from None
    if not depths:
        raise TeacherError(
            f"{request.spec}: it holds no rendered scenes with depth; make some with dbd-ray prepare --scenes"
        )
    name = PurePosixPath(request.target.rstrip("/")).name
    return RenderedTeacher(f"{request.kind}:{name}", fingerprint_of(info.fingerprint, {"code": CODE_VERSION}), depths)


def _digest(photo: np.ndarray) -> bytes:
    return hashlib.sha256(repr(photo.shape).encode() + np.ascontiguousarray(photo).tobytes()).digest()
