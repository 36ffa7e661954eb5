"""The scan of a library: every file below a folder, local or at a URI, without reading any."""

import os
import posixpath
from collections.abc import Iterator
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from dbd_ray.errors import DatasetError
from dbd_ray.images.containers import RAW_SUFFIXES
from dbd_ray.images.decode import MAX_BYTES
from dbd_ray.images.photo_names import why_no_folder_of_photos, why_no_photo
from dbd_ray.library.schema import PAIR_REASON, TABLE
from dbd_ray.storage import UNREACHABLE, as_uri, kind_at, open_storage

_DEVELOPED = frozenset({".jpg", ".jpeg", ".heic", ".heif", ".hif"})
_NS = 1_000_000_000
_TABLE = TABLE.encode()


class Found(NamedTuple):
    """A file, or a folder that was not looked into.

    Attributes:
        path: Below the scanned folder, with slashes, as the file system has it.
        size: Bytes; None where not known.
        mtime_ns: Time of the last change, ns since 1970; None where not known.
        status: "photo", "skipped" or "error".
        reason: A stable word where it is no photo.
        message: The same for people.
    """

    path: bytes
    size: int | None = None
    mtime_ns: int | None = None
    status: str = "photo"
    reason: str | None = None
    message: str | None = None


def scan(source: str, *, out: str | None = None, pairs: bool = False) -> list[Found]:
    """List every file below a folder; links to folders and hidden folders are not followed, and are rows themselves.

    Args:
        source: Local folder or URI.
        out: Folder of results, which is left out if it lies in the source.
        pairs: A camera raw file beside a JPEG or HEIC file of the same name is skipped.

    Returns:
        All files, sorted by path.

    Raises:
        DatasetError: The folder does not exist, or cannot be listed.
    """
    storage, root = open_storage(source)
    skipped = as_uri(out) if out else None
    if isinstance(storage, LocalFileSystem):
        found = list(_local(os.fsencode(root), os.path.realpath(os.fsencode(skipped)) if skipped else None))
    else:
        found = list(_remote(storage, root, source, skipped))
    found.sort()
    return _without_pairs(found) if pairs else found


def judge(path: bytes, size: int | None, mtime_ns: int | None) -> Found:
    """Tell by its name and size whether a file is a photo, and if not, why."""
    name = posixpath.basename(path).decode(errors="surrogateescape")

    def no(reason: str, message: str, status: str = "skipped") -> Found:
        return Found(path, size, mtime_ns, status, reason, message)

    if any(part in (b"", b".", b"..") for part in path.split(b"/")):
        return no("unsafe_name", "its name leads out of the folder, where its results would be written", "error")
    if why := why_no_photo(name):
        return no(*why)
    if size == 0:
        return no("empty_file", "the file is empty (0 bytes): copy it again from where it came", "error")
    if size is not None and size > MAX_BYTES:
        return no("too_many_bytes", f"the file has {size} bytes, the limit is {MAX_BYTES}: save it as JPEG", "error")
    return Found(path, size, mtime_ns)


def _local(root: bytes, out: bytes | None) -> Iterator[Found]:
    if kind_at(os.fsdecode(root)) != "folder":
        raise DatasetError(os.fsdecode(root), ["no such folder"])
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        folder = root + b"/" + below
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            if not below:
                raise DatasetError(os.fsdecode(root), [f"cannot be listed ({error.strerror})"]) from None
            yield Found(below, None, None, "error", "unreadable", f"folder cannot be listed ({error.strerror})")
            continue
        if below and any(entry.name == _TABLE for entry in entries):
            yield Found(below, None, None, "skipped", "results", "results of dbd-ray annotate")
            continue
        for entry in entries:
            path = below + entry.name
            if out and out.endswith(b"/" + entry.name) and os.path.realpath(entry.path) == out:
                yield Found(path + b"/", None, None, "skipped", "results", "the folder of these results")
            elif entry.is_dir(follow_symlinks=False) and not why_no_folder_of_photos(os.fsdecode(entry.name)):
                waiting.append(path + b"/")
            else:
                yield _judge_entry(path, entry)


def _judge_entry(path: bytes, entry: os.DirEntry[bytes]) -> Found:
    try:
        about = entry.stat()
    except OSError as error:  # a link to nothing, or in a circle
        return Found(path, None, None, "error", "unreadable", f"cannot be read ({error.strerror})")
    if S_ISDIR(about.st_mode):
        why = ("link", "link to a folder") if entry.is_symlink() else why_no_folder_of_photos(os.fsdecode(entry.name))
        reason, message = why or ("hidden", "became a folder during the scan")
        return Found(path + b"/", None, None, "skipped", reason, f"{message}, not looked into")
    if not S_ISREG(about.st_mode):
        return Found(path, None, None, "skipped", "no_file", "a pipe, socket or device, and no file")
    return judge(path, about.st_size, about.st_mtime_ns)


def _remote(storage: AbstractFileSystem, root: str, source: str, out: str | None) -> Iterator[Found]:
    storage.invalidate_cache(root)
    own = open_storage(out)[1] if out else None
    try:
        files: dict[str, dict[str, Any]] = storage.find(root, detail=True)
    except OSError as error:
        raise DatasetError(source, [f"cannot be listed, {UNREACHABLE}: {error}"]) from None
    if not files:
        raise DatasetError(source, ["no such folder, or nothing in it"])
    results = tuple(f"{posixpath.dirname(name)}/" for name in files if posixpath.basename(name) == TABLE)
    results = tuple(folder for folder in results if folder != f"{root}/")
    for name, about in files.items():
        if results and name.startswith(results):
            continue
        path = name[len(root) + 1 :].encode(errors="surrogateescape")
        if own and name.startswith(f"{own}/"):
            continue
        folders = path.decode(errors="surrogateescape").split("/")[:-1]
        if why := next(filter(None, map(why_no_folder_of_photos, folders)), None):
            yield Found(path, about.get("size"), None, "skipped", why[0], f"in a folder not looked into: {why[1]}")
        else:
            yield judge(path, about.get("size"), _changed(about))


def _changed(about: dict[str, Any]) -> int | None:
    time = next(
        (about[name] for name in ("mtime", "LastModified", "last_modified", "updated") if about.get(name)), None
    )
    if time is None:
        return None
    return int((time.timestamp() if hasattr(time, "timestamp") else float(time)) * _NS)


def _without_pairs(found: list[Found]) -> list[Found]:
    developed = {
        _stem(one.path): one.path for one in found if one.status == "photo" and _suffix(one.path) in _DEVELOPED
    }
    return [
        one._replace(
            status="skipped", reason=PAIR_REASON, message=f"the same shot as {_text(developed[_stem(one.path)])}"
        )
        if one.status == "photo" and _suffix(one.path) in RAW_SUFFIXES and _stem(one.path) in developed
        else one
        for one in found
    ]


def _stem(path: bytes) -> bytes:
    return posixpath.splitext(path)[0].lower()


def _suffix(path: bytes) -> str:
    return posixpath.splitext(path)[1].decode(errors="replace").lower()


def _text(path: bytes) -> str:
    return posixpath.basename(path).decode(errors="backslashreplace")
