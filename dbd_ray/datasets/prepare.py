"""Preparation of datasets with Ray Data: from labelled photos, or by rendering thin-lens scenes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.data

from dbd_ray.config import PrepareConfig, build
from dbd_ray.datasets.layouts import LabelledPhoto, scan_layout
from dbd_ray.datasets.listing import one_form
from dbd_ray.datasets.prepared import SCHEMA, PreparedInfo, require_place
from dbd_ray.datasets.rows import LabelledRows, RenderedRows
from dbd_ray.datasets.scenes import SceneConfig
from dbd_ray.datasets.write_prepared import ROWS_PER_FILE, write_prepared
from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.names import Polarity
from dbd_ray.storage import as_uri, photos_in

OnRow = Callable[[int, int], object]
_CHECKED_SCHEMA = SCHEMA.append(pa.field("problem", pa.string()))


def prepare_from(config: PrepareConfig, *, on_row: OnRow = lambda done, total: None) -> PreparedInfo:
    """Write the prepared dataset that a configuration describes.

    Args:
        config: Its source, and its place.
        on_row: Called with (done, total) while photos are read or scenes rendered.

    Raises:
        DatasetError: Lists every unusable photo and mask; nothing is written then.
        ConfigError: Settings do not belong together.
    """
    if config.scenes is not None:
        return prepare_scenes(
            config.scenes,
            config.out,
            config=build(SceneConfig, {"size": config.size, **config.scene}, where="scene"),
            seed=config.seed or 0,
            photo_uris=list_photos(config.photos) if config.photos else (),
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction or 0.0,
            on_row=on_row,
        )
    photos, problems = scan_layout(str(config.root), config.layout or "cuhk", polarity=config.polarity)
    photos, idle = corrected(photos, inverted=config.inverted, exclude=config.exclude)
    return prepare_photos(
        photos,
        config.out,
        input_size=config.size,
        validation_fraction=config.validation_fraction,
        problems=[*problems, *idle],
        allow_constant_masks=config.allow_constant_masks,
        where=str(config.root),
        on_row=on_row,
    )


def list_photos(folder: str) -> list[str]:
    """List the URIs of the photos directly in a folder (see `storage.photos_in`), sorted.

    Raises:
        DatasetError: There are none.
    """
    photos = photos_in(folder).photos
    if not photos:
        raise DatasetError(folder, ["no photos in this folder; scenes can also be painted: leave photos out"])
    return [f"{as_uri(folder)}/{name}" for name in photos]


def prepare_photos(
    photos: Sequence[LabelledPhoto],
    out: str | Path,
    *,
    input_size: tuple[int, int] = (320, 320),
    validation_fraction: float = 0.1,
    problems: Sequence[str] = (),
    allow_constant_masks: bool = False,
    where: str | None = None,
    on_row: OnRow = lambda done, total: None,
) -> PreparedInfo:
    """Write labelled photos as a prepared dataset: checked, upright, resized, encoded.

    Args:
        photos: Photos and masks, see `datasets.layouts.scan_layout`.
        out: Folder or URI of the dataset; what is there is replaced only when the new one is complete.
        input_size: (height, width) that photos and masks are resized to, not keeping the aspect ratio (paper A).
        validation_fraction: Share of the training photos that becomes the split "val", chosen by a hash of the id.
        problems: Problems found before, reported together with those found here.
        allow_constant_masks: Accept masks that are all in focus or all out of focus.
        where: Folder or URI that errors name; default: `out`.
        on_row: Called with (done, total) while photos are read.

    Raises:
        DatasetError: Lists every unusable photo and mask; nothing is written then.
        ConfigError: The share is out of range.
    """
    if not 0 <= validation_fraction <= 1:
        raise ConfigError(f"validation_fraction {validation_fraction} must be a share of the photos, from 0 to 1")
    rows = [asdict(photo) for photo in with_validation_split(photos, validation_fraction)]
    if not rows:
        raise DatasetError(where or str(out), [*problems, "no usable photo and mask pair was found"])
    make_row = LabelledRows(input_size, allow_constant_masks)
    return _write(rows, make_row, out, input_size, problems, where=where or str(out), on_row=on_row)


def prepare_scenes(
    count: int,
    out: str | Path,
    *,
    config: SceneConfig,
    seed: int = 0,
    photo_uris: Sequence[str] = (),
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    on_row: OnRow = lambda done, total: None,
) -> PreparedInfo:
    """Write thin-lens scenes with true focus and depth as a prepared dataset.

    Args:
        count: Number of scenes.
        out: Folder or URI of the dataset.
        config: Lenses and kinds of scenes; its size is the dataset's input size.
        seed: Scene i is a function of (seed, i) alone.
        photo_uris: Photos that are cut into layers; none: procedural shapes.
        validation_fraction: Share of the scenes that becomes the split "val".
        test_fraction: Share of the scenes that becomes the split "test".
        on_row: Called with (done, total) while scenes are rendered.

    Raises:
        ConfigError: The number of scenes or a share is out of range.
        DatasetError: Lists every scene whose source photos cannot be used; nothing is written then.
    """
    if count < 1:
        raise ConfigError(f"scenes: {count} scenes make no dataset, render at least 1")
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction > 1:
        raise ConfigError(
            f"validation_fraction {validation_fraction} and test_fraction {test_fraction} must be shares of the "
            "scenes, together at most 1"
        )
    validation = round(count * validation_fraction)
    test = min(round(count * test_fraction), count - validation)  # both may have been rounded up
    splits = ["val"] * validation + ["test"] * test + ["train"] * (count - validation - test)
    rows = [{"index": index, "split": split} for index, split in enumerate(splits)]
    make_row = RenderedRows(config, seed, tuple(photo_uris))
    return _write(rows, make_row, out, config.size, (), where=str(out), on_row=on_row)


def corrected(
    photos: Sequence[LabelledPhoto], *, inverted: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[list[LabelledPhoto], list[str]]:
    """Invert the masks that are known to mark the wrong class, and leave photos out.

    Args:
        photos: All photos of a dataset.
        inverted: Ids of photos whose masks mark the wrong class.
        exclude: Ids of photos to leave out.

    Returns:
        The photos that remain, and one line for each id that changes nothing.
    """
    inverted, exclude = ([one_form(id) for id in ids] for ids in (inverted, exclude))
    masks = {photo.id: photo.mask_uri for photo in photos}
    idle = [f"inverted: no photo {id}; remove it" for id in inverted if id not in masks]
    idle += [f"inverted: photo {id} has no mask; remove it" for id in inverted if masks.get(id, "") is None]
    idle += [f"inverted: photo {id} is left out by exclude; remove it from one" for id in inverted if id in exclude]
    idle += [f"exclude: no photo {id}; remove it" for id in exclude if id not in masks]
    turned: dict[Polarity, Polarity] = {"focus": "blur", "blur": "focus"}
    kept = [photo for photo in photos if photo.id not in exclude]
    return [replace(p, polarity=turned[p.polarity]) if p.id in inverted else p for p in kept], idle


def with_validation_split(photos: Sequence[LabelledPhoto], fraction: float) -> list[LabelledPhoto]:
    """Move a share of the training photos to the split "val", chosen by a hash of their ids."""
    train = [photo for photo in photos if photo.split == "train"]
    by_hash = sorted(train, key=lambda photo: hashlib.sha256(photo.id.encode()).digest())
    chosen = {photo.id for photo in by_hash[: round(len(train) * fraction)]}
    return [replace(photo, split="val") if photo.id in chosen else photo for photo in photos]


def _write(
    items: list[dict[str, Any]],
    make_row: Callable[[dict[str, Any]], dict[str, Any]],
    out: str | Path,
    input_size: tuple[int, int],
    problems: Sequence[str],
    *,
    where: str,
    on_row: OnRow,
) -> PreparedInfo:
    def make_table(batch: pa.Table) -> pa.Table:
        rows = [make_row(item) for item in batch.to_pylist()]
        return pa.table({f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in _CHECKED_SCHEMA})

    require_place(out)  # what cannot be written there must not show only when all rows are made
    dataset = ray.data.from_items(items, override_num_blocks=max(1, len(items) // ROWS_PER_FILE))
    # complete before anything is written: one unusable photo must not leave half a dataset
    blocks: list[Any] = []
    done = 0
    for bundle in dataset.map_batches(
        make_table, batch_format="pyarrow", batch_size=ROWS_PER_FILE
    ).iter_internal_ref_bundles():
        blocks += bundle.block_refs  # held, so that the rows stay in Ray's object store
        done += bundle.num_rows() or 0
        on_row(done, len(items))
    made: Any = ray.data.from_arrow_refs(blocks)
    checked = made.select_columns(["problem"]).iter_batches(batch_size=None, batch_format="pyarrow")
    found = [*problems, *sorted(text for batch in checked for text in batch["problem"].to_pylist() if text)]
    if found:
        raise DatasetError(where, found)
    return write_prepared(made, out, input_size=input_size)
