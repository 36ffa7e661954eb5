"""The second stage of the teaching pipeline: actors that hold the teacher turn pixels into depths."""

import os
import time
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import ray

from dbd_ray.errors import TeacherError
from dbd_ray.teachers import load_teacher
from dbd_ray.teaching.decode_photos import DecodePhotos
from dbd_ray.teaching.setup import PlacedTeacher

RAW_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("depth", pa.large_binary()),  # uint16, depth_height × depth_width; null where `reason` says why
        pa.field("depth_height", pa.int32()),
        pa.field("depth_width", pa.int32()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("decode_s", pa.float64()),
        pa.field("predict_s", pa.float64()),
        pa.field("actor", pa.string()),
    ]
)


class DepthPredictor:
    """Gives every decoded photo its depth; the class for `Dataset.map_batches`.

    Args:
        placed: The teacher to load. The one that is found on this node must have the same key, so that the nodes of
            a cluster cannot mix different weights.
        decode: The first stage, if it is to run in this actor; None: it runs in tasks before.

    Raises:
        TeacherError: The teacher cannot be loaded, or is another one on this node.
    """

    def __init__(self, placed: PlacedTeacher, *, decode: DecodePhotos | None = None) -> None:
        self.decode = decode
        self.teacher = load_teacher(placed.spec, device=placed.device, precision=placed.precision)
        if self.teacher.key != placed.key:
            raise TeacherError(
                f"{placed.spec.text} is {self.teacher.key} on {os.uname().nodename} and {placed.key} elsewhere: "
                "give every node the same files"
            )
        self.actor = f"{ray.get_runtime_context().get_node_id()[:8]}:{os.getpid()}"

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Turn rows of `decode_photos.PIXELS_SCHEMA` (with `decode`: rows of a source) into rows of `RAW_SCHEMA`."""
        rows = (self.decode(batch) if self.decode else batch).to_pylist()
        by_shape: dict[tuple[int, int], list[dict[str, Any]]] = {}
        for row in rows:
            if row["reason"] is None:
                by_shape.setdefault((row["height"], row["width"]), []).append(row)
        for shape, same in by_shape.items():
            photos = np.stack([np.frombuffer(row.pop("pixels"), np.uint8).reshape(*shape, 3) for row in same])
            started = time.perf_counter()
            depths = self._predict(photos, same)
            seconds = (time.perf_counter() - started) / len(same)
            for row, depth in zip(same, depths, strict=True):
                row |= {"predict_s": seconds, **self._sized(row, depth)}
        for row in rows:
            row["actor"] = self.actor
        return pa.Table.from_pylist(rows, schema=RAW_SCHEMA)

    def _predict(self, photos: np.ndarray, rows: list[dict[str, Any]]) -> list[np.ndarray | None]:
        try:
            return list(self.teacher.predict(photos))
        except (TeacherError, ValueError, IndexError, ZeroDivisionError) as error:
            # other errors are faults of the machine, e.g. of a GPU, and end the run
            if len(rows) > 1:  # one of them may be to blame, and must not harm the others
                return [self._predict(photos[i : i + 1], rows[i : i + 1])[0] for i in range(len(rows))]
            rows[0] |= {"reason": "teacher_failed", "message": f"{type(error).__name__}: {error}"}
            return [None]

    def _sized(self, row: dict[str, Any], depth: np.ndarray | None) -> dict[str, Any]:
        if depth is None:
            return {}
        if not np.isfinite(depth).all():
            return {"reason": "teacher_failed", "message": self.teacher.failure}
        size = (row["depth_width"], row["depth_height"])
        shrinks = depth.size > size[0] * size[1]
        if depth.shape[::-1] != size:
            depth = cv2.resize(depth, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return {"depth": np.rint(np.clip(depth, 0, 1) * 65535).astype(np.uint16).tobytes()}
