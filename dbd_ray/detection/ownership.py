"""Whose a file in the results' folder is: nothing but an unchanged result of the same photo is ever replaced."""

import errno
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from dbd_ray.detection.marks import Origin, digest, read_mark, summary_fields, with_mark
from dbd_ray.names import RESULT_SUFFIXES
from dbd_ray.storage import replace_bytes

OF_THE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors of writing a file that are due to its name alone; another file in the same folder may be written."""

NO_FOLDER = (errno.ENOTDIR, errno.EEXIST)
"""Errors of writing a file whose folder cannot be made, for a file stands in its place."""

_LARGEST_BYTES = 1 << 30
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # FAT and some network folders have none


def origin_of(photo: Path, content: bytes) -> Origin:
    """Name a photo by its file and the content of that."""
    return Origin(os.path.realpath(photo), digest(content))


def in_the_way(results: Sequence[Path], origin: Origin) -> str:
    """Say why results of a photo must not be written: a file that is no unchanged result of it would be replaced.

    Args:
        results: Paths of all results of the photo.
        origin: The photo.

    Returns:
        The first reason, and what to do; empty if they may be written.
    """
    for result in results:
        if not os.path.lexists(result):
            continue
        found = _origin_in(result)
        if found is None or not _same(found, origin):
            whose = f"of {found.path}" if found else "and no unchanged result of this photo"
            return f"{result} is there already, {whose}: choose another folder (--out), or replace it (--force)"
    return ""


def unusable_name(results: Sequence[Path]) -> str:
    """Say why files of these names cannot be in their folder, and what to do; empty if they can."""
    for result in results:
        try:
            os.lstat(result)
        except FileNotFoundError:
            pass
        except (OSError, UnicodeEncodeError) as error:
            if isinstance(error, OSError) and error.errno not in OF_THE_NAME:
                raise
            return name_error(error)
    return ""


def name_error(error: OSError | UnicodeEncodeError) -> str:
    """Say that a photo's results cannot be written because of their names, and what to do."""
    reason = error.strerror if isinstance(error, OSError) else error.reason
    return f"its results cannot be written under its name ({reason}): rename the photo"


def folder_error(error: OSError) -> str:
    """Say that a photo's results cannot be written, for a file stands where their folder has to be."""
    return f"{error.filename}: a file stands where a folder of results has to be: move or rename one of both"


def write_result(result: Path, content: bytes, origin: Origin, *, force: bool) -> str:
    """Write a result file with its mark, complete or not at all; its folder is made if need be.

    Args:
        result: Path of the file.
        content: All bytes of it, without a mark.
        origin: The photo that it is of.
        force: Replace a file that is no result of this photo, too.

    Returns:
        Why it was not written, see `in_the_way`; empty if it was.

    Raises:
        OSError: It cannot be written.
    """
    content = with_mark(content, origin)
    result.parent.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(result):
        try:
            _write_new(result, content)
            return ""
        except FileExistsError:
            pass  # another process has just written it
    reason = "" if force else in_the_way([result], origin)
    if not reason:
        replace_bytes(result, content)
    return reason


def _write_new(result: Path, content: bytes) -> None:
    temporary = result.with_name(f".{uuid.uuid4().hex[:8]}.new")
    try:
        temporary.write_bytes(content)
        try:
            os.link(temporary, result)  # unlike a rename it never replaces what another process has just written
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            temporary.replace(result)
    finally:
        temporary.unlink(missing_ok=True)


def _same(found: Origin, origin: Origin) -> bool:
    moved = found.digest == origin.digest and not os.path.lexists(found.path)
    return found.path == origin.path or moved


def _origin_in(result: Path) -> Origin | None:
    content = _content_of(result)
    # an earlier version put the photo's name into the JSON file alone, and its name only
    return read_mark(content) or _named_beside(result) if content else None


def _named_beside(result: Path) -> Origin | None:
    for suffix in RESULT_SUFFIXES.values():
        if result.name.endswith(suffix):
            beside = result.with_name(result.name.removesuffix(suffix) + RESULT_SUFFIXES["json"])
            about = summary_fields(_content_of(beside))
            # a later version marks every file: one without a mark was made or changed by somebody else
            return Origin(os.path.realpath(str(about["photo"])), "") if about and "path" not in about else None
    return None


def _content_of(file: Path) -> bytes:
    try:
        return file.read_bytes() if file.is_file() and file.stat().st_size <= _LARGEST_BYTES else b""
    except OSError:  # not to be read: nothing is known of it
        return b""
