"""Folder layouts of labelled blur datasets: photos, masks and splits by file names, with all problems listed.

| layout | folders below the root | split | mask white means |
|---|---|---|---|
| `cuhk` | `image/`, `gt/` | `test.txt`, required | out of focus |
| `szu-bd` | `image/`, `gt/` | `test.txt`, optional | out of focus |
| `dut` | one photo and one mask folder for each split, see `_DUT` | by folder | in focus |
| `folder` | `image/`, `mask/` | `test.txt`, optional | stated by the caller |
| `sharp` | `train/`, `test/` (or `val/`), one is enough | by folder | no masks: every photo is wholly in focus |

`test.txt` names one test photo per line, all others train; where it is optional and absent, all train.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fsspec import AbstractFileSystem

from dbd_ray.datasets.listing import MASK_SUFFIXES, files_by_stem, read_test_stems
from dbd_ray.errors import ConfigError
from dbd_ray.images.containers import PHOTO_SUFFIXES
from dbd_ray.names import LAYOUTS, Layout, Polarity, Split
from dbd_ray.storage import list_folder, open_storage

_OWN_POLARITY: dict[str, Polarity] = {"cuhk": "blur", "szu-bd": "blur", "dut": "focus", "sharp": "focus"}
# (photo folder, mask folder) as the set is found in circulation; upper case and - instead of _ are accepted
_DUT: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (
        ("train/image", "train/gt"),
        ("dut600s_source", "dut600s_gt"),
        ("dut600_source", "dut600_gt"),
        ("dut600s_training", "dut600gt_training"),
    ),
    "test": (
        ("test/image", "test/gt"),
        ("dut500s_source", "dut500s_gt"),
        ("dut500_source", "dut500_gt"),
        ("dut500s_testing", "dut500gt_testing"),
    ),
}
# the Berkeley segmentation set, for one, names its second half val
_SHARP: dict[str, Split] = {"train": "train", "test": "test", "val": "test"}


@dataclass(frozen=True)
class LabelledPhoto:
    """Paths of one photo and its mask; nothing is read yet.

    Args:
        id: Unique within the dataset: the file name without suffix, behind `train_` or `test_` for `dut` and
            `sharp`, whose splits may number their photos alike.
        split: "train" or "test".
        source: The layout's name; for `folder` the name of the root folder.
        image_uri: Absolute path of the photo, or its URI where the root is one.
        mask_uri: Path or URI of the mask; None: the whole photo is in focus.
        polarity: What white means in the mask file.
    """

    id: str
    split: Split
    source: str
    image_uri: str
    mask_uri: str | None
    polarity: Polarity


def scan_layout(
    root: str, layout: Layout, *, polarity: Polarity | None = None
) -> tuple[list[LabelledPhoto], list[str]]:
    """List a labelled dataset by file names alone.

    Args:
        root: Local folder or fsspec/pyarrow URI.
        layout: One of `LAYOUTS`.
        polarity: What white means in the masks; required for `folder`, refused for layouts that define it.

    Returns:
        The photos that have exactly one mask, sorted by id, and all problems, one line each.

    Raises:
        ConfigError: Unknown layout, or a polarity that is missing or without effect.
        DatasetError: The root itself cannot be listed.
    """
    white = _polarity(layout, polarity)
    storage, path = open_storage(root)
    base = _base(root, path)
    source = posixpath.basename(path) or layout if layout == "folder" else layout
    photos: list[LabelledPhoto] = []
    problems: list[str] = []

    def pair_up(image_folder: str, mask_folder: str, split: Split, prefix: str = "") -> dict[str, str]:
        images = files_by_stem(storage, path, image_folder, PHOTO_SUFFIXES, problems)
        masks = files_by_stem(storage, path, mask_folder, MASK_SUFFIXES, problems)
        if images is None or masks is None:
            return images or {}  # the missing folder is one problem, not one per file of the other
        for stem in sorted(images.keys() - masks.keys()):
            problems.append(f"{image_folder}/{images[stem]}: its mask {mask_folder}/{stem}.png is missing")
        for stem in sorted(masks.keys() - images.keys()):
            problems.append(f"{mask_folder}/{masks[stem]}: a mask without a photo {stem}.* in {image_folder}/")
        for stem in images.keys() & masks.keys():
            image_uri = f"{base}/{image_folder}/{images[stem]}"
            mask_uri = f"{base}/{mask_folder}/{masks[stem]}"
            photos.append(LabelledPhoto(prefix + stem, split, source, image_uri, mask_uri, white))
        return images

    if layout == "sharp":
        for folder, split in _sharp_folders(storage, path, problems):
            for stem, name in (files_by_stem(storage, path, folder, PHOTO_SUFFIXES, problems) or {}).items():
                photos.append(LabelledPhoto(f"{split}_{stem}", split, source, f"{base}/{folder}/{name}", None, white))
    elif layout == "dut":
        for split, image_folder, mask_folder in _dut_folders(storage, path, problems):
            pair_up(image_folder, mask_folder, split, prefix=f"{split}_")
    else:
        images = pair_up("image", "mask" if layout == "folder" else "gt", "train")
        tests = read_test_stems(storage, path, images, layout == "cuhk", problems)
        photos = [replace(photo, split="test") if photo.id in tests else photo for photo in photos]
    return sorted(photos, key=lambda photo: photo.id), problems


def _polarity(layout: str, stated: Polarity | None) -> Polarity:
    if layout not in LAYOUTS:
        raise ConfigError(f"layout: {layout!r} is unknown, choose one of {', '.join(LAYOUTS)}")
    own = _OWN_POLARITY.get(layout)
    if own is not None:
        if stated is not None:
            raise ConfigError(f"polarity has no effect with layout={layout}, whose white is {own}: remove it")
        return own
    if stated not in ("focus", "blur"):
        raise ConfigError(f"polarity: say what white means in the masks of layout={layout}, focus or blur")
    return stated


def _base(root: str, path: str) -> str:
    # Ray workers run elsewhere: there, a relative path would mean another folder
    return root.rstrip("/") if "://" in root else path


def _sharp_folders(storage: AbstractFileSystem, root: str, problems: list[str]) -> list[tuple[str, Split]]:
    folders = [name for name, is_folder in list_folder(storage, root) or [] if is_folder]
    found = [(name, _SHARP[name]) for name in folders if name in _SHARP]
    if not found:
        problems.append(f"no folders of this layout; accepted: {', '.join(_SHARP)}")
    if len({split for _, split in found}) < len(found):
        problems.append("both test/ and val/: keep one of them")
    return found


def _dut_folders(storage: AbstractFileSystem, root: str, problems: list[str]) -> Iterator[tuple[Split, str, str]]:
    top = [name for name, is_folder in list_folder(storage, root) or [] if is_folder]
    nested = [
        f"{name}/{child}"
        for name in top
        if name.lower() in ("train", "test")
        for child, is_folder in list_folder(storage, f"{root}/{name}") or []
        if is_folder
    ]
    present = {name.lower().replace("-", "_"): name for name in top + nested}
    for split, accepted in _DUT.items():
        begun = [pair for pair in accepted if pair[0] in present or pair[1] in present]
        if len(begun) > 1:
            problems.append(
                f"several folders for {split}: {', '.join('+'.join(pair) for pair in begun)}; keep one pair"
            )
        elif begun:
            image_folder, mask_folder = begun[0]
            yield split, present.get(image_folder, image_folder), present.get(mask_folder, mask_folder)
    if not present.keys() & {folder for pairs in _DUT.values() for pair in pairs for folder in pair}:
        names = " or ".join(f"{images}+{masks}" for pairs in _DUT.values() for images, masks in pairs)
        problems.append(f"no folders of this layout; accepted pairs: {names}")
