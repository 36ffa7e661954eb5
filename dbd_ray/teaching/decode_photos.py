"""The first stage of the teaching pipeline: photos are read and decoded to pixels of the teacher's input size."""

import time
from typing import Any

import pyarrow as pa

from dbd_ray.errors import PhotoError
from dbd_ray.images.decode import decode_photo, photo_size
from dbd_ray.images.resize import within
from dbd_ray.storage import read_bytes
from dbd_ray.teaching.sources import read_pictures

LONG_SIDE_PX = 1024  # for teachers that take any size: several times the size that any of them works at
DEPTH_LONG_SIDE_PX = 640  # of depths in the photos' own aspect ratio

PIXELS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("pixels", pa.large_binary()),  # uint8 RGB, height × width × 3; null where `reason` says why
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("depth_height", pa.int32()),
        pa.field("depth_width", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("decode_s", pa.float64()),
    ]
)


class DecodePhotos:
    """Reads and decodes photos one after the other, so that a task holds one photo at full size at a time.

    A photo that cannot be read or decoded becomes a row with a reason and without pixels.

    Args:
        input_size: (height, width) of the teacher's input, px; None: the photo's own, shrunk to LONG_SIDE_PX at most.
        depth_size: (height, width) of the depth maps, px; None: the photo's own, shrunk to DEPTH_LONG_SIDE_PX at most.
        max_pixels: Largest height × width of a photo, px; larger ones are refused.
    """

    def __init__(self, input_size: tuple[int, int] | None, depth_size: tuple[int, int] | None, max_pixels: int) -> None:
        self.input_size = input_size
        self.depth_size = depth_size
        self.max_pixels = max_pixels

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Turn rows of a source (`Source.rows`) into rows of `PIXELS_SCHEMA`."""
        rows = batch.to_pylist()
        prepared = read_pictures(rows)
        made = [self._row(row, prepared.get((row["id"], row["digest"]))) for row in rows]
        return pa.Table.from_pylist(made, schema=PIXELS_SCHEMA)

    def _row(self, row: dict[str, Any], picture: bytes | None) -> dict[str, Any]:
        started = time.perf_counter()
        made = {"id": row["id"], "digest": row["digest"]}
        try:
            made |= self._pixels(picture or read_bytes(row["uri"]))
        except PhotoError as error:
            made |= {"reason": error.reason, "message": f"{row['file'] or row['uri']}: {error.message}"}
        except MemoryError:
            made |= {
                "reason": "out_of_memory",
                "message": f"{row['file'] or row['uri']}: lower max_pixels ({self.max_pixels})",
            }
        except Exception as error:  # noqa: BLE001 - each kind of storage raises errors of its own
            made |= {"reason": "unreadable", "message": f"{row['uri']}: {error or type(error).__name__}"}
        return made | {"decode_s": time.perf_counter() - started}

    def _pixels(self, data: bytes) -> dict[str, Any]:
        native = photo_size(data, max_pixels=self.max_pixels)
        size = self.input_size or within(native, LONG_SIDE_PX)
        photo = decode_photo(data, target_size=size, max_pixels=self.max_pixels)
        depth = self.depth_size or within(native, DEPTH_LONG_SIDE_PX)
        height, width = photo.shape[:2]
        shape = {"height": height, "width": width, "depth_height": depth[0], "depth_width": depth[1]}
        return {"pixels": photo.tobytes(), **shape}
