"""Opening the labelled photos that a model is measured on: of a folder, or of a prepared dataset."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dbd_ray.config import MeasuredSet
from dbd_ray.datasets.labelled import read_labelled
from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.listing import one_form
from dbd_ray.datasets.prepared import read_rows
from dbd_ray.errors import DatasetError, PhotoError
from dbd_ray.images.decode import decode_photo
from dbd_ray.images.encode import decode_mask

ROWS_AT_ONCE = 32


class LabelledImage(NamedTuple):
    """A decoded photo and its mask.

    Attributes:
        id: Name in its dataset.
        photo: uint8 RGB H×W×3.
        truth: uint8 H×W, 255 = in focus.
    """

    id: str
    photo: np.ndarray
    truth: np.ndarray


class OpenedPhotos(NamedTuple):
    """Labelled photos that are ready to be read.

    Attributes:
        name: Name of the dataset.
        total: Number of photos.
        images: The photos, decoded one by one; raises DatasetError, which lists every photo that cannot be used, after
            the last one.
    """

    name: str
    total: int
    images: Iterator[LabelledImage]


def open_photos(config: MeasuredSet) -> OpenedPhotos:
    """Open the labelled photos of a set; their files are read one by one, while they are measured.

    Args:
        config: The set; its layout is not `stacks`.

    Raises:
        DatasetError: It cannot be listed, or the split is empty.
    """
    if config.prepared:
        table = read_rows(config.prepared, config.split, columns=["id", "source", "image", "mask"])
        name = "+".join(sorted(table["source"].unique().to_pylist())) or "nothing"
        _refuse_empty(table.num_rows, config.prepared, config)
        return OpenedPhotos(name, table.num_rows, _usable(config.prepared, _prepared_images(table)))
    layout = config.layout or "cuhk"
    if layout == "stacks":
        raise ValueError("focus stacks have no masks: measure them by evaluation.stacks")
    photos, problems = scan_layout(str(config.root), layout, polarity=config.polarity)
    excluded = {one_form(photo_id) for photo_id in config.exclude}
    problems += [f"exclude: no photo {unknown}; remove it" for unknown in sorted(excluded - {p.id for p in photos})]
    if problems:
        raise DatasetError(str(config.root), problems)
    chosen = [photo for photo in photos if photo.split == config.split and photo.id not in excluded]
    _refuse_empty(len(chosen), str(config.root), config)
    images = _usable(str(config.root), _native_images(chosen, config.allow_constant_masks))
    return OpenedPhotos(chosen[0].source, len(chosen), images)


def _refuse_empty(count: int, where: str, config: MeasuredSet) -> None:
    if not count:
        raise DatasetError(where, [f"no photos in split {config.split!r}; choose another with --split"])


def _usable(where: str, images: Iterable[LabelledImage | str]) -> Iterator[LabelledImage]:
    problems: list[str] = []
    for image in images:
        if isinstance(image, str):
            problems.append(image)
        elif not problems:  # figures of the others alone would not be the split's: only more problems are of interest
            yield image
    if problems:
        raise DatasetError(where, problems)


def _native_images(photos: Sequence[LabelledPhoto], allow_constant_masks: bool) -> Iterator[LabelledImage | str]:
    for photo in photos:
        labelled = read_labelled(photo, allow_constant=allow_constant_masks)
        yield labelled if isinstance(labelled, str) else LabelledImage(photo.id, *labelled)


def _prepared_images(table: pa.Table) -> Iterator[LabelledImage | str]:
    # a few rows at a time: as Python objects they would double what the table takes
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            try:
                mask = decode_mask(row["mask"], polarity="focus")
                yield LabelledImage(row["id"], decode_photo(row["image"]), mask)
            except PhotoError as error:
                yield f"row {row['id']}: {error}; prepare again"
