"""XMP files beside photos: which one is whose, and written so that no other program's work is lost."""

import os
from collections.abc import Sequence
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Literal, NamedTuple

from dbd_ray.errors import ConfigError, SidecarError
from dbd_ray.images.containers import PHOTO_SUFFIXES, RAW_SUFFIXES
from dbd_ray.library.schema import path_text
from dbd_ray.library.xmp import FocusFields, merged
from dbd_ray.library.xmp_places import read_xmp
from dbd_ray.storage import replace_bytes

__all__ = ["FocusFields", "SidecarStyle", "merged", "sidecar_path", "write_sidecar"]

SidecarStyle = Literal["auto", "lightroom", "appended"]
"""`photo.xmp` (lightroom), `photo.jpg.xmp` (appended), or the one that is there, or is usual for such photos."""

_LARGEST_BYTES = 1 << 26
# raw files that are not read, but whose sidecars are to be left alone
_OTHER_RAW = {".3fr", ".cap", ".dcr", ".eip", ".erf", ".fff", ".gpr", ".iiq", ".kdc", ".mef", ".mos", ".raw", ".sr2"}
_EXTENSION = "http://ns.adobe.com/photoshop/1.0/ SidecarForExtension"
_ALL_RAW = RAW_SUFFIXES | _OTHER_RAW


class _Found(NamedTuple):
    content: bytes | None  # None where there is no file
    mode: int | None


def sidecar_path(photo: Path, style: SidecarStyle = "auto", *, folder: Path | None = None) -> Path:
    """Tell where the sidecar of a photo is, or is to be.

    `photo.xmp` is the raw file's where several photos have that stem: the others get the appended style, whatever was
    asked, and so do all if there are several raw files. A DNG file yields to another raw file, for it may hold its XMP
    itself. A `photo.xmp` that says by `photoshop:SidecarForExtension` that it is another file's is left to that.

    Args:
        photo: The photo.
        style: See `SidecarStyle`; an existing file is taken with its suffix in capitals, too.
        folder: Where sidecars are; the photo's own folder if None.
    """
    beside = (folder or photo.parent) / photo.name
    appended, replaced = _existing(beside.with_name(photo.name)), _existing(beside.with_suffix(""))
    may_replace = style != "appended" and bool(photo.suffix) and _owns_stem(photo) and _is_for(replaced, photo)
    if style == "auto" and (os.path.lexists(appended) or not may_replace):
        return appended
    if style == "auto" and not os.path.lexists(replaced) and photo.suffix.lower() not in _ALL_RAW:
        return appended
    return replaced if may_replace else appended


def write_sidecar(
    photo: Path,
    fields: FocusFields,
    *,
    sidecar_dir: Path | None = None,
    photo_root: Path | None = None,
    keywords: Sequence[str] | None = None,
    rating: int | None = None,
    style: SidecarStyle = "auto",
) -> Path:
    """Put what was found into a photo's sidecar, which is made if need be, and not touched if nothing changes.

    Args:
        photo: The photo; it is not opened.
        fields: What the detector found.
        sidecar_dir: Folder for the sidecars, with the same folders in it as in `photo_root`; beside the photos if None.
        photo_root: Folder that the photo is in, at any depth; needed with `sidecar_dir`.
        keywords: See `merged`.
        rating: See `merged`.
        style: See `SidecarStyle`.

    Returns:
        Path of the sidecar.

    Raises:
        ConfigError: The photo is not in `photo_root`, or that is not given; see `merged`.
        SidecarError: The sidecar is damaged, no file, or cannot be written; it is as it was.
    """
    path = sidecar_path(photo, style, folder=_mirrored(photo, sidecar_dir, photo_root) if sidecar_dir else None)
    try:
        _update(path, fields, keywords, rating)
    except SidecarError as error:
        raise SidecarError(f"{_named(path)}: {error}") from None
    except OSError as error:
        raise SidecarError(
            f"{_named(path)}: cannot be written ({error.strerror}): make its folder writable, or choose another place"
            " for sidecars"
        ) from None
    return path


def _update(path: Path, fields: FocusFields, keywords: Sequence[str] | None, rating: int | None) -> None:
    target = Path(os.path.realpath(path))  # a link stays one
    if path.is_symlink() and not os.path.lexists(target):
        raise SidecarError(
            f"it is a link to {_named(target)}, which is not there: connect that disk, or remove the link"
        )
    found = _read(target)
    for _ in range(2):
        content = merged(found.content, fields, keywords=keywords, rating=rating)
        if content == found.content:
            return
        _check_writable(target, found)
        now = _read(target)  # a photo program may have saved it meanwhile
        if now.content == found.content:
            replace_bytes(target, content, sync=True, mode=found.mode)
            return
        found = now
    raise SidecarError("another program is writing it: run again when that is done")


def _read(target: Path) -> _Found:
    try:
        status = target.stat()
        if not S_ISREG(status.st_mode):
            raise SidecarError("it is no file: move it away, and run again")
        if status.st_size > _LARGEST_BYTES:
            raise SidecarError(f"it has {status.st_size >> 20} MiB, as no sidecar has: move it away, and run again")
        return _Found(target.read_bytes(), S_IMODE(status.st_mode))
    except FileNotFoundError:
        return _Found(None, None)


def _check_writable(target: Path, found: _Found) -> None:
    # a file may be replaced although it is protected, and an administrator may do anything
    if found.mode is not None and not (found.mode & 0o222 and os.access(target, os.W_OK)):
        raise SidecarError("it is protected against changes: make it writable, or choose another place for sidecars")


def _mirrored(photo: Path, sidecar_dir: Path, photo_root: Path | None) -> Path:
    if photo_root is None:
        raise ConfigError("photo_root: needed with sidecar_dir, for photos in different folders may have the same name")
    # links are not followed, for they may lead out of the folder
    folder, root = (Path(os.path.normpath(path.absolute())) for path in (photo.parent, photo_root))
    if not folder.is_relative_to(root):
        raise ConfigError(
            f"photo_root: {_named(photo)} is not in {_named(root)}: name the folder that holds all photos"
        )
    return sidecar_dir / folder.relative_to(root)


def _existing(stem: Path) -> Path:
    usual, capitals = (stem.with_name(stem.name + suffix) for suffix in (".xmp", ".XMP"))
    return capitals if os.path.lexists(capitals) and not os.path.lexists(usual) else usual


def _owns_stem(photo: Path) -> bool:
    own = _rank(photo.suffix.lower())
    rivals = [suffix for suffix in PHOTO_SUFFIXES | _ALL_RAW if _rank(suffix) >= own]
    names = {photo.with_suffix(shape(suffix)) for suffix in rivals for shape in (str.lower, str.upper, _capitalised)}
    return not any(_is_another(name, photo) for name in names)


def _is_for(sidecar: Path, photo: Path) -> bool:
    try:
        content = _read(sidecar).content
        named = [each.value for each in read_xmp(content).properties() if each.name == _EXTENSION] if content else []
    except (OSError, SidecarError):  # said when it is to be changed
        return True
    return not any(named) or photo.suffix[1:].lower() in {str(value).lower() for value in named}


def _capitalised(suffix: str) -> str:
    return suffix[0] + suffix[1:].capitalize()


def _is_another(name: Path, photo: Path) -> bool:
    if name == photo or not os.path.lexists(name):
        return False
    try:  # on disks that do not tell IMG.JPG from IMG.jpg
        return not name.samefile(photo)
    except OSError:
        return True


def _rank(suffix: str) -> int:
    return 0 if suffix not in _ALL_RAW else 1 if suffix == ".dng" else 2


def _named(path: Path) -> str:
    return path_text(os.fsencode(path))
