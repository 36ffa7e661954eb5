"""The third stage of the teaching pipeline: depths are written to storage, and counted by the driver."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dbd_ray.images.encode import encode_depth
from dbd_ray.teaching.store import DEPTH_SCHEMA, ROWS_PER_FILE, Key, commit

DONE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("actor", pa.string()),
        pa.field("decode_s", pa.float64()),
        pa.field("predict_s", pa.float64()),
        pa.field("write_s", pa.float64()),
    ]
)


class CommitDepths:
    """Encodes depths as PNG and commits them, one file for each batch.

    Args:
        folder: The teacher's folder of depths, see `store.teacher_folder`.
        teacher: Value of the column `depth_teacher`, name@fingerprint.
    """

    def __init__(self, folder: str, teacher: str) -> None:
        self.folder = folder
        self.teacher = teacher

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Turn rows of `depth_predictor.RAW_SCHEMA` into rows of `DONE_SCHEMA`; they are on storage afterwards."""
        started = time.perf_counter()
        rows = batch.to_pylist()
        made = [{**row, "depth": self._png(row), "depth_teacher": self.teacher} for row in rows]
        commit(self.folder, pa.Table.from_pylist(made, schema=DEPTH_SCHEMA))
        seconds = (time.perf_counter() - started) / max(1, len(rows))
        return pa.Table.from_pylist([{**row, "write_s": seconds} for row in rows], schema=DONE_SCHEMA)

    def _png(self, row: dict[str, Any]) -> bytes | None:
        if row["reason"] is not None:
            return None
        levels = np.frombuffer(row["depth"], np.uint16).reshape(row["depth_height"], row["depth_width"])
        return encode_depth(levels.astype(np.float32) / np.float32(65535))


def commit_failures(folder: str, teacher: str, keys: Sequence[Key], *, reason: str, message: str) -> pa.Table:
    """Commit rows without a depth, for photos whose process died before a stage could give the reason.

    Args:
        folder: The teacher's folder of depths.
        teacher: Value of the column `depth_teacher`, name@fingerprint.
        keys: The photos.
        reason: Stable word for the column `reason`.
        message: Text for the column `message`.

    Returns:
        Rows of `DONE_SCHEMA`.
    """
    made = {"reason": reason, "message": message, "depth_teacher": teacher}
    rows = [{"id": id, "digest": digest, **made} for id, digest in keys]
    for start in range(0, len(rows), ROWS_PER_FILE):
        commit(folder, pa.Table.from_pylist(rows[start : start + ROWS_PER_FILE], schema=DEPTH_SCHEMA))
    return pa.Table.from_pylist(rows, schema=DONE_SCHEMA)
