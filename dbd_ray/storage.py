"""Any kind of storage by its URI: open, list, read, and replace files in one step."""

import posixpath
import re
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow
import pyarrow.fs
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from dbd_ray.errors import DatasetError

UNREACHABLE = "check the address, the network and the credentials in the environment"


def as_uri(location: str | Path) -> str:
    """Make a local path absolute (Ray's workers run in other folders); take slashes from the end of a URI."""
    text = str(location)
    if urlsplit(text).scheme not in ("", "file"):
        return text.rstrip("/")  # object stores take the name behind a double slash for another one
    return str(Path(text.removeprefix("file://")).absolute())


def open_storage(root: str) -> tuple[AbstractFileSystem, str]:
    """Open a folder's storage; nothing is read or written yet.

    Args:
        root: Local folder or fsspec/pyarrow URI; its path stands as it is, without %-escapes.

    Returns:
        The file system and the folder's path on it, without a slash at its end.

    Raises:
        DatasetError: Neither fsspec nor pyarrow knows this kind of storage, or the URI carries options.
    """
    try:
        storage, path = url_to_fs(root)
    except (ImportError, ValueError, TypeError):
        # fsspec needs a package per kind of storage; pyarrow brings S3, GCS, Azure and HDFS along
        storage, path = _open_with_arrow(root)
    return storage, path.rstrip("/")


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
    return sorted((posixpath.basename(entry["name"].rstrip("/")), entry["type"] == "directory") for entry in entries)


def replace_text(location: str, text: str) -> None:
    """Write a text as `replace_bytes` does."""
    replace_bytes(location, text.encode())


def replace_bytes(location: str, content: bytes) -> None:
    """Write a small file so that a reader sees either the old content or the new; its folder is made if need be.

    Raises:
        DatasetError: This kind of storage is unknown.
        OSError: The storage cannot be written.
    """
    storage, path = open_storage(location)
    if isinstance(storage, LocalFileSystem):
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        # a name of its own: two processes may write the same file at the same moment
        temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.new")
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    else:  # object stores publish an object only when it is complete
        storage.pipe_file(path, content)


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
