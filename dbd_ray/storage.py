"""Any kind of storage by its URI: open, list, read, replace files in one step, and find the photos in a folder."""

import os
import posixpath
import re
import uuid
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Any, Literal, NamedTuple

import pyarrow
import pyarrow.fs
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from dbd_ray.errors import ConfigError, DatasetError
from dbd_ray.images.photo_names import why_no_folder_of_photos, why_no_photo

UNREACHABLE = "check the address, the network and the credentials in the environment"
_URI = re.compile(r"[A-Za-z][\w+.-]*:/|[^/]+://")
_FILE = re.compile(r"^file:(//)?(?=/)|^file://", re.IGNORECASE)


def as_uri(location: str | Path) -> str:
    """Make a local path absolute (Ray's workers run in other folders); take slashes from the end of a URI.

    A text is a URI if a slash follows its first colon, as in s3://bucket and models:/name, or :// is in it; `file:` is
    taken away, and `~` is the user's folder.
    """
    text = str(location) if isinstance(location, Path) else _FILE.sub("", location)
    if not isinstance(location, Path) and _URI.match(text):
        return text.rstrip("/")  # object stores take the name behind a double slash for another one
    path = Path(text)
    return str(path.expanduser() if path.parts[:1] == ("~",) else path.absolute())


def open_storage(root: str) -> tuple[AbstractFileSystem, str]:
    """Open a folder's storage; nothing is read or written yet.

    Args:
        root: Local folder or fsspec/pyarrow URI; its path stands as it is, without %-escapes.

    Returns:
        The file system and the folder's path on it, without a slash at its end.

    Raises:
        DatasetError: Neither fsspec nor pyarrow knows this kind of storage, or the URI carries options.
    """
    root = as_uri(root)
    # fsspec would take "::" in a local path for a chain of storages, and lose what is behind it
    if root.startswith("/"):
        local = LocalFileSystem()
        return local, str(local._strip_protocol(root)).rstrip("/")
    try:
        storage, path = url_to_fs(root)
    except (ImportError, ValueError, TypeError):
        # fsspec needs a package per kind of storage; pyarrow brings S3, GCS, Azure and HDFS along
        storage, path = _open_with_arrow(root)
    return storage, path.rstrip("/")


def is_local(root: str) -> bool:
    """Tell whether a folder is on this machine's file system."""
    return isinstance(open_storage(root)[0], LocalFileSystem)


def open_arrow_storage(root: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Open a folder's storage as `open_storage` does, for pyarrow's and Ray Data's readers and writers."""
    storage, path = open_storage(root)
    if isinstance(storage, ArrowFSWrapper):
        return storage.fs, path
    if isinstance(storage, LocalFileSystem):
        return pyarrow.fs.LocalFileSystem(), path
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(storage)), path


def read_bytes(uri: str) -> bytes:
    """Read a whole file from any kind of storage; OSError where it cannot be read."""
    storage, path = open_storage(uri)
    content: bytes = storage.cat_file(path)
    return content


def kind_at(path: str | Path) -> Literal["file", "folder", "other"] | None:
    """Tell what is at a local path, links followed; None where nothing is, or can be, or can be reached."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # a name that is too long or forbidden, a zero byte
        return None
    return "folder" if S_ISDIR(mode) else "file" if S_ISREG(mode) else "other"


def list_folder(storage: AbstractFileSystem, folder: str) -> list[tuple[str, bool]] | None:
    """List a folder as sorted (name, is a folder); None when there is no such folder."""
    storage.invalidate_cache(folder)  # other processes write there as well
    try:
        entries: list[dict[str, Any]] = storage.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DatasetError(folder, [f"cannot be listed, {UNREACHABLE}: {error}"]) from None
    # object stores list a folder's own marker as an entry of it
    entries = [entry for entry in entries if entry["name"].rstrip("/") != folder]
    return sorted((posixpath.basename(entry["name"].rstrip("/")), _is_folder(storage, entry)) for entry in entries)


class PhotoFiles(NamedTuple):
    """The photos in a folder, and what else is in it; paths are relative to the folder, with slashes.

    Attributes:
        photos: Paths of the photos, sorted part by part.
        other_files: Paths of the files that `photo_names.why_no_photo` tells from photos, in no order.
        folders: Paths of the folders that were not looked into, in no order.
    """

    photos: list[str]
    other_files: list[str]
    folders: list[str]


def photos_in(folder: str | Path, *, recursive: bool = False, leave_out: Collection[Path] = frozenset()) -> PhotoFiles:
    """List the photos in a folder, by the same rule for every command (`photo_names.why_no_photo`).

    Args:
        folder: A local folder as Path, or a local folder or URI as text; one that does not exist is empty as text.
        recursive: Look into folders below it as well, except hidden ones, links, and those of thumbnails.
        leave_out: Resolved paths of local folders that are not looked into, for they hold results.

    Raises:
        ConfigError: A Path cannot be listed.
        DatasetError: A storage cannot be listed, or is unknown.
    """
    found = PhotoFiles([], [], [])
    waiting = [""]
    while waiting:
        below = waiting.pop()
        for name, kind in _path_entries(folder / below) if isinstance(folder, Path) else _uri_entries(folder, below):
            path = f"{below}{name}"
            if kind in ("file", "other"):
                (found.photos if kind == "file" and not why_no_photo(name) else found.other_files).append(path)
            elif (
                recursive
                and kind == "folder"
                and not why_no_folder_of_photos(name)
                and not (leave_out and Path(folder, path).resolve() in leave_out)
            ):
                waiting.append(f"{path}/")
            else:
                found.folders.append(path)
    found.photos.sort(key=lambda path: path.split("/"))
    return found


def replace_text(location: str | Path, text: str) -> None:
    """Write a text as `replace_bytes` does, in UTF-8."""
    replace_bytes(location, text.encode())


def replace_bytes(location: str | Path, content: bytes, *, sync: bool = False, mode: int | None = None) -> None:
    """Write a small file so that a reader sees either the old content or the new; its folder is made if need be.

    Args:
        location: The file: a Path is local whatever is in its name, a text may be a URI.
        content: All bytes of the new file.
        sync: Wait until the content is on the disk, so that a power failure leaves the old file or the new one, too;
            object stores always do.
        mode: Permissions of a local file; None for those of a new one.

    Raises:
        DatasetError: This kind of storage is unknown.
        OSError: The storage cannot be written.
    """
    if isinstance(location, Path):
        _replace_local(location, content, sync, mode)
        return
    storage, path = open_storage(location)
    if isinstance(storage, LocalFileSystem):
        _replace_local(Path(path), content, sync, mode)
    else:  # object stores publish an object only when it is complete
        storage.pipe_file(path, content)


def _replace_local(target: Path, content: bytes, sync: bool, mode: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: two processes may write the same file at the same moment. Hidden, so that nobody takes it for
    # a result, and short, for the target's name may be as long as the file system allows
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.new")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if mode is not None and mode != S_IMODE(os.fstat(file.fileno()).st_mode):  # FAT knows no others
                os.fchmod(file.fileno(), mode)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


_Kind = Literal["file", "folder", "link to a folder", "other"]


def _path_entries(folder: Path) -> Iterator[tuple[str, _Kind]]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from None
    for entry in entries:
        yield entry.name, _kind_of(entry)


def _uri_entries(folder: str, below: str) -> Iterator[tuple[str, _Kind]]:
    storage, path = open_storage(folder)
    for name, is_folder in list_folder(storage, f"{path}/{below}".rstrip("/")) or []:
        if isinstance(storage, LocalFileSystem):
            yield name, _kind_of(Path(path, below, name))
        else:
            yield name, "folder" if is_folder else "file"


def _kind_of(path: Path) -> _Kind:
    kind = kind_at(path)
    return "link to a folder" if kind == "folder" and path.is_symlink() else kind or "other"


def _is_folder(storage: AbstractFileSystem, entry: dict[str, Any]) -> bool:
    if entry["type"] in ("directory", "file"):
        return bool(entry["type"] == "directory")
    return isinstance(storage, LocalFileSystem) and kind_at(entry["name"]) == "folder"  # a link to a folder


def _open_with_arrow(root: str) -> tuple[AbstractFileSystem, str]:
    if re.search(r"\?\w+=", root):
        # file names are added at the end, behind which options would be lost
        advice = "state options in the environment (AWS_ENDPOINT_URL, AWS_REGION ...), not behind a ? in the URI"
        raise DatasetError(root, [advice])
    scheme, _, rest = root.partition("://")
    place, _, path = rest.partition("/")
    try:
        # without the path: pyarrow refuses spaces in it and reads # and % as signs of its own
        filesystem, top = _arrow_filesystem(f"{scheme}://{place}")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        kinds = "use a local folder, s3://, gs:// or abfss://, or install its fsspec package"
        raise DatasetError(root, [f"this kind of storage cannot be opened, {kinds}: {error}"]) from None
    return ArrowFSWrapper(filesystem), f"{top.rstrip('/')}/{path}"


@lru_cache  # each one is a client with connections of its own, and asks the store for the bucket's region
def _arrow_filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    filesystem, path = pyarrow.fs.FileSystem.from_uri(uri)
    return filesystem, path
