"""Opening any kind of storage, and listing folders of labelled files with everything odd reported."""

import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow
import pyarrow.fs
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from dbd_ray.errors import DatasetError

MASK_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp"})
UNREACHABLE = "check the address, the network and the credentials in the environment"
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


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


def files_by_stem(
    storage: AbstractFileSystem, root: str, folder: str, suffixes: frozenset[str], problems: list[str]
) -> dict[str, str] | None:
    """List the files of one folder by their names without suffix.

    Args:
        storage: File system, see `open_storage`.
        root: Path of the dataset on it.
        folder: Folder below the root.
        suffixes: Accepted suffixes in lower case, with their dot.
        problems: Grows by one line for everything that does not belong there.

    Returns:
        File name by stem, or None when the folder is missing.
    """
    entries = list_folder(storage, f"{root}/{folder}")
    if entries is None:
        problems.append(f"{folder}/: the folder is missing")
        return None
    files: dict[str, str] = {}
    for name, is_folder in entries:
        stem, suffix = posixpath.splitext(name)
        if name.startswith(".") or name.lower() in _SYSTEM_FILES:
            continue
        if is_folder:
            problems.append(f"{folder}/{name}: a folder, but files must lie directly in {folder}/")
        elif suffix.lower() not in suffixes:
            problems.append(
                f"{folder}/{name}: {suffix or 'no suffix'} is none of {' '.join(sorted(suffixes))}; move it away"
            )
        elif stem in files:
            problems.append(f"{folder}/{name}: same name as {files[stem]} but for the suffix, keep one of them")
        else:
            files[stem] = name
    if not files:
        problems.append(f"{folder}/: no files in it")
    return files


def read_test_stems(
    storage: AbstractFileSystem, root: str, images: Mapping[str, str], required: bool, problems: list[str]
) -> set[str]:
    """Read which photos `test.txt` names, whatever the case of their suffixes.

    Args:
        storage: File system, see `open_storage`.
        root: Path of the dataset on it.
        images: The photos' file name by stem.
        required: Whether a missing `test.txt` is a problem.
        problems: Grows by one line for every line of the file that is wrong.

    Returns:
        Stems of the named photos.
    """
    try:
        lines = storage.cat_file(f"{root}/test.txt").decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        if required:
            problems.append("test.txt: missing; it must name the test photos, one per line")
        return set()
    except OSError as error:
        problems.append(f"test.txt: cannot be read: {error}")
        return set()
    except UnicodeDecodeError as error:
        problems.append(f"test.txt: not UTF-8 text ({error.reason} at byte {error.start})")
        return set()
    # published lists disagree with the files about .jpg and .JPG
    known = {stem + posixpath.splitext(name)[1].lower(): stem for stem, name in images.items()}
    stems: set[str] = set()
    for number, name in enumerate((line.strip() for line in lines), start=1):
        stem = known.get(posixpath.splitext(name)[0] + posixpath.splitext(name)[1].lower())
        if name and stem is None and images:
            problems.append(f"test.txt line {number}: {name!r} is not in image/")
        elif stem in stems:
            problems.append(f"test.txt line {number}: {name!r} is named twice")
        elif stem is not None:
            stems.add(stem)
    if not any(line.strip() for line in lines):
        problems.append("test.txt: names no photo")
    return stems


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
