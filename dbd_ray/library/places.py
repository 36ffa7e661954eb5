"""Where a library's photos are read and its results written, local or at a URI; nothing of others is replaced."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dbd_ray.detection.marks import Origin, read_mark, with_mark, without_mark
from dbd_ray.detection.ownership import (
    NO_FOLDER,
    OF_THE_NAME,
    folder_error,
    in_the_way,
    name_error,
    unusable_name,
    write_result,
)
from dbd_ray.errors import ConfigError
from dbd_ray.storage import as_uri, is_local, open_storage, read_bytes, replace_bytes

NAME_REASON, WAY_REASON = "unusable_name", "in_the_way"
_LOCK = ".dbd-ray-lock"


def resolved(place: str) -> str:
    """Give a folder's one name, whichever way it was written: absolute, and without links where it is local."""
    uri = as_uri(place)
    return os.path.realpath(uri) if is_local(uri) else uri


@contextmanager
def only_run_in(out: str) -> Iterator[None]:
    """Keep other runs out of a local folder of results; the lock goes with the process, however it ends.

    Raises:
        ConfigError: Another run is writing there, or the folder cannot be written.
    """
    if not is_local(out):
        yield
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        lock = Path(out, _LOCK).open("a")  # noqa: SIM115 - closed below, where errors of the work are not ours
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{out}: another run is writing there; wait for it, or choose another folder") from None
        yield


class Source:
    """The folder of the photos.

    Args:
        root: Local folder or URI.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.local = is_local(root)

    def read(self, path: bytes) -> bytes:
        """Read a photo by its path below the folder; OSError where it cannot be read."""
        if self.local:
            return self.local_path(path).read_bytes()
        return read_bytes(f"{self.root}/{os.fsdecode(path)}")

    def changed(self, path: bytes, size: int | None, mtime_ns: int | None) -> bool:
        """Tell whether a local photo is another one than the scan found."""
        if not self.local or mtime_ns is None:
            return False
        about = self.local_path(path).stat()
        return (about.st_size, about.st_mtime_ns) != (size, mtime_ns)

    def local_path(self, path: bytes) -> Path:
        """Give the path of a photo on this machine."""
        return Path(self.root, os.fsdecode(path))

    def origin(self, path: bytes, content_hash: str) -> Origin:
        """Name a photo for the mark in its results."""
        place = f"{self.root}/{os.fsdecode(path)}"
        return Origin(os.path.realpath(place) if self.local else place, content_hash[:16])


class Results:
    """The folder of the results.

    Args:
        root: Local folder or URI.
        force: Replace files that are no results of the same photo, too.
    """

    def __init__(self, root: str, *, force: bool) -> None:
        self.root = root
        self.force = force
        self.local = is_local(root)

    def refusal(self, names: list[str], origin: Origin) -> tuple[str, str] | None:
        """Say why results of these names cannot be written, as (reason, detail); None where they can."""
        if self.local:
            paths = [Path(self.root, name) for name in names]
            try:
                if detail := unusable_name(paths):
                    return NAME_REASON, detail
            except NotADirectoryError as error:
                return WAY_REASON, folder_error(error)
            detail = "" if self.force else in_the_way(paths, origin)
            return (WAY_REASON, detail) if detail else None
        for name in names if not self.force else ():
            if detail := self._in_the_way(name, origin):
                return WAY_REASON, detail
        return None

    def write(self, name: str, content: bytes, origin: Origin) -> tuple[str, str] | None:
        """Write a result with its mark, complete or not at all; returns what `refusal` does."""
        if not self.local:
            detail = "" if self.force else self._in_the_way(name, origin)
            if not detail:
                replace_bytes(f"{self.root}/{name}", with_mark(content, origin))
            return (WAY_REASON, detail) if detail else None
        path = Path(self.root, name)
        try:
            detail = write_result(path, content, origin, force=self.force)
        except (OSError, UnicodeEncodeError) as error:
            if isinstance(error, OSError) and error.errno in NO_FOLDER:
                return WAY_REASON, folder_error(error)
            if isinstance(error, OSError) and error.errno not in OF_THE_NAME:
                raise
            return NAME_REASON, name_error(error)
        return (WAY_REASON, detail) if detail else None

    def read(self, name: str) -> bytes | None:
        """Read a result; None where there is none."""
        try:
            return read_bytes(f"{self.root}/{name}") if not self.local else Path(self.root, name).read_bytes()
        except OSError:
            return None

    def read_unmarked(self, name: str, digest: str) -> bytes | None:
        """Read a result as it was before its mark; None where there is none, or it is of other content or changed."""
        content = self.read(name) or b""
        mark = read_mark(content)
        return without_mark(content) if mark and mark.digest == digest else None

    def remove(self, name: str, origin: Origin) -> None:
        """Remove an unchanged result of a photo, which is not true of it any more; others stay."""
        mark = read_mark(self.read(name) or b"")
        if mark and mark.path == origin.path:
            if self.local:
                Path(self.root, name).unlink(missing_ok=True)
            else:
                storage, path = open_storage(f"{self.root}/{name}")
                storage.rm_file(path)

    def lacks(self, names: Iterable[str]) -> bool:
        """Tell whether one of these results is not there; object stores are not asked."""
        return self.local and not all(os.path.lexists(f"{self.root}/{name}") for name in names)

    def _in_the_way(self, name: str, origin: Origin) -> str:
        content = self.read(name)
        if content is None or read_mark(content) == origin:
            return ""
        return f"{self.root}/{name} is there already, and no unchanged result of this photo: choose another folder"
