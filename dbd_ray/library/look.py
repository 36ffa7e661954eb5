"""The first stage of the annotation pipeline: photos are read, hashed and decoded, no larger than they are needed."""

import hashlib
import json
from typing import Any

import numpy as np

from dbd_ray.config import AnnotateConfig
from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.resize import within
from dbd_ray.library.camera import camera_facts
from dbd_ray.library.places import Source

HASH_DIGITS = 32
NO_PHOTO = np.zeros((1, 1, 3), np.uint8)  # in the place of pixels, where `error` says why there are none

Batch = dict[str, np.ndarray]


def content_hash(data: bytes) -> str:
    """Give the first 32 hexadecimal digits of a file's sha256."""
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]


class HashPhotos:
    """Hashes files whose size another file has, so that equal ones are looked at once; for `Dataset.map_batches`.

    Args:
        source: Folder or URI of the photos.
    """

    def __init__(self, source: str) -> None:
        self.source = Source(source)

    def __call__(self, batch: Batch) -> Batch:
        """Add `content_hash` to rows with `path`; empty where the file cannot be read."""
        hashes = []
        for path in batch["path"]:
            try:
                hashes.append(content_hash(self.source.read(path)))
            except OSError:  # told by the stage that looks at it
                hashes.append("")
        return {"path": batch["path"], "content_hash": np.array(hashes, dtype=object)}


class LookAtPhotos:
    """Reads and decodes photos one after the other; for `Dataset.map_batches`, in front of `FocusPredictor`.

    Args:
        source: Folder or URI of the photos.
        config: How large they are decoded, and at most may be.
    """

    def __init__(self, source: str, config: AnnotateConfig) -> None:
        self.source = Source(source)
        self.config = config

    def __call__(self, batch: Batch) -> Batch:
        """Turn rows of a plan (`path`, `size`, `mtime_ns`, `targets`) into rows with `image`, `error` and facts."""
        columns = zip(batch["path"], batch["size"], batch["mtime_ns"], strict=True)
        rows = [self._row(path, int(size), int(mtime_ns)) for path, size, mtime_ns in columns]
        made = {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0] if name != "image"}
        images = np.empty(len(rows), dtype=object)
        images[:] = [row["image"] for row in rows]
        return {**batch, **made, "image": images}

    def _row(self, path: bytes, size: int, mtime_ns: int) -> dict[str, Any]:
        row: dict[str, Any] = {"image": NO_PHOTO, "error": "", "reason": "", "content_hash": ""}
        row |= {"width": -1, "height": -1, "facts": "{}"}
        try:
            data = self.source.read(path)
            row["content_hash"] = content_hash(data)
            row["facts"] = _packed(camera_facts(data))
            height, width = photo_size(data, max_pixels=self.config.max_pixels)
            row |= {"width": width, "height": height, "image": self._decoded(data, (height, width))}
            if self.source.changed(path, size if size >= 0 else None, mtime_ns if mtime_ns >= 0 else None):
                row |= {"reason": "changed", "error": "the file changed while it was looked at: run again"}
        except PhotoError as error:
            row |= {"reason": error.reason, "error": error.message}
        except MemoryError:
            row |= {"reason": "out_of_memory", "error": f"lower max_pixels ({self.config.max_pixels})"}
        except OSError as error:
            row |= {"reason": "unreadable", "error": f"cannot be read ({error.strerror or error})"}
        return row if not row["error"] else row | {"image": NO_PHOTO}

    def _decoded(self, data: bytes, native: tuple[int, int]) -> np.ndarray:
        size = within(native, self.config.long_side) if self.config.long_side else native
        return decode_photo(data, target_size=None if size == native else size, max_pixels=self.config.max_pixels)


def _packed(facts: dict[str, Any]) -> str:
    # one column of text: columns of None and numbers would get another type in each block
    return json.dumps(facts, default=str)
