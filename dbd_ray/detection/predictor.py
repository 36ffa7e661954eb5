"""The detector as a stage of a Ray Data pipeline."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from dbd_ray.detection.columns import columns_of, failed_row, found_row
from dbd_ray.detection.detector import Detector
from dbd_ray.detection.stream import detect_stream
from dbd_ray.errors import ConfigError, PhotoError
from dbd_ray.images.colour import to_srgb
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import encode_mask
from dbd_ray.names import MAX_PIXELS, OUTPUT_COLUMNS, EngineName, Refinement

PHOTO_COLUMNS = ("bytes", "image")  # what ray.data.read_binary_files and read_images call theirs
PHOTOS_AT_ONCE = 8  # decoded in memory at native size, whatever Ray's batch size is

Batch = dict[str, np.ndarray]


class FocusPredictor:
    """Adds focus columns to a Ray Dataset of photos; give it to `Dataset.map_batches` as the class.

    Added to every row: `focus` (8-bit PNG at the photo's size, 255 = in focus), `focus_kind`
    (all_in_focus, partial, none_in_focus), `in_focus_fraction`, `sharp_left`, `sharp_top`, `sharp_right`,
    `sharp_bottom` (bounding box of the sharp pixels, -1 where there are none), `focus_confidence`,
    `focus_model` (name@fingerprint) and `error`, None where all went well. A photo that cannot be read
    gets `error` and empty values; it does not harm the other rows of its batch. A row that comes with an
    `error` already is skipped and keeps it.

    Args:
        model: Packaged model, checkpoint folder or models:/ URI, see `Detector.load`.
        column: The column of photos, by default `bytes` or `image`: encoded (bytes), structs {bytes, path} as Hugging
            Face's image datasets have them, or uint8 arrays: gray H×W and H×W×1, RGB H×W×3, RGBA H×W×4 (over white).
        refine: How maps are resized to the photo, see `Detector.detect`.
        tile: Number of tiles along the longer side of a photo, see `Detector.detect`.
        device: Device, see `Detector.load`; with num_gpus in map_batches, "auto" finds the assigned GPU.
        engine: Engine, see `Detector.load`.
        drop_photo: Leave the photos' column out of the result, which keeps the object store small.
        prefix: Prefix of the name of every added column but `error`.
        max_pixels: Largest height x width of an encoded photo that is decoded.
    """

    def __init__(
        self,
        model: str,
        *,
        column: str | None = None,
        refine: Refinement = "guided",
        tile: int = 1,
        device: str = "auto",
        engine: EngineName = "auto",
        drop_photo: bool = False,
        prefix: str = "",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.detector = Detector.load(model, device=device, engine=engine)
        self.column = column
        self.refine: Refinement = refine
        self.tile = tile
        self.drop_photo = drop_photo
        self.prefix = prefix
        self.max_pixels = max_pixels

    def __call__(self, batch: Batch) -> Batch:
        """Add the focus columns to a batch in Ray Data's default (numpy) format.

        Raises:
            ConfigError: The batch has another format, there is no column of photos, or a column of the batch would be
                overwritten.
        """
        if not isinstance(batch, Mapping):
            raise ConfigError(
                f"FocusPredictor takes batches of NumPy arrays by column, got {type(batch).__name__}: give map_batches "
                "batch_format='numpy', or leave it out"
            )
        column = self._photo_column(batch)
        kept = {name: values for name, values in batch.items() if not (self.drop_photo and name == column)}
        names = {name: name if name == "error" else f"{self.prefix}{name}" for name in OUTPUT_COLUMNS}
        taken = [names[name] for name in names if name != "error" and names[name] in kept]
        if taken:
            raise ConfigError(
                f"the dataset has columns {', '.join(taken)} already, which would be overwritten; add others with "
                "fn_constructor_kwargs={'prefix': 'dbd_'}, or drop these first"
            )
        rows = list(
            detect_stream(
                self.detector,
                zip(batch[column], _errors_before(kept, len(batch[column])), strict=True),
                open_photo=self._open,
                finish=lambda item, pixels, found: found_row(found.summary, encode_mask(found.focus)),
                fail=lambda item, error: failed_row(error),
                refine=self.refine,
                tile=self.tile,
                batch_size=PHOTOS_AT_ONCE,
            )
        )
        added = {names[name]: values for name, values in columns_of(rows).items()}
        return {**kept, **added}

    def _open(self, item: tuple[Any, str]) -> np.ndarray | str:
        photo, error = item
        return error or _photo(photo, self.max_pixels)

    def _photo_column(self, batch: Batch) -> str:
        column = self.column or next((name for name in PHOTO_COLUMNS if name in batch), None)
        if column is None or column not in batch:
            raise ConfigError(
                f"no column {self.column or ' or '.join(PHOTO_COLUMNS)!r} among {', '.join(batch)}; "
                "say which one holds the photos with fn_constructor_kwargs={'column': …}"
            )
        return column


def _errors_before(batch: Batch, rows: int) -> list[str]:
    values = ["" if _is_missing(value) else value for value in batch.get("error", [""] * rows)]
    if not all(isinstance(value, str) for value in values):
        raise ConfigError("the dataset's column error holds no text and would be overwritten; rename it first")
    return values


def _is_missing(value: Any) -> bool:
    # which of them a column without a text holds depends on where it came from
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _photo(item: Any, max_pixels: int) -> np.ndarray:
    if isinstance(item, Mapping) and "bytes" in item:
        if item["bytes"] is None and item.get("path"):
            # not read here: whoever made the dataset would choose which files of this machine are opened
            raise PhotoError("empty_file", f"the row holds no bytes, but the path {item['path']}: read the files first")
        item = item["bytes"]
    if isinstance(item, bytes | bytearray | memoryview):
        return decode_photo(bytes(item), max_pixels=max_pixels)
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.size:
        if item.ndim == 3 and item.shape[2] == 3:
            return item
        if item.ndim == 2 or (item.ndim == 3 and item.shape[2] in (1, 4)):
            return np.array(to_srgb(Image.fromarray(item[:, :, 0] if item.shape[2:] == (1,) else item)))
    if item is None:
        raise PhotoError("empty_file", "the row holds no photo")
    kind = f"{item.dtype} array of shape {item.shape}" if isinstance(item, np.ndarray) else type(item).__name__
    raise PhotoError(
        "not_an_image",
        f"expected encoded bytes, {{bytes, path}} or a uint8 array (gray H×W, RGB H×W×3, RGBA H×W×4), got {kind}",
    )
