"""Which photo a result file is of: each names its photo inside, so that nobody's file is replaced by mistake."""

import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dbd_ray.names import RESULT_SUFFIXES
from dbd_ray.storage import replace_bytes
from dbd_ray.summary import Summary

OF_THE_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors of writing a file that are due to its name alone; another file in the same folder may be written."""

_MARK = re.compile(rb"dbd-ray[\0 ](?=\{)")  # as `images.encode` puts the origin into PNG and JPEG files
_MARK_WITHIN_BYTES = 1 << 16  # it stands in the header
_LARGEST_JSON_BYTES = 1 << 20  # ours have some hundred bytes
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # FAT and some network folders have none


class Origin(NamedTuple):
    """The photo that a result is of.

    Attributes:
        path: Absolute path of the photo's file, links resolved.
        digest: First 16 hexadecimal digits of the file's sha256; empty where a result does not tell it.
    """

    path: str
    digest: str

    def as_text(self) -> str:
        """Write it in ASCII, as `read_origin` reads it from a result."""
        return json.dumps(self._asdict())


def origin_of(photo: Path, content: bytes) -> Origin:
    """Name a photo by its file and the content of that."""
    return Origin(os.path.realpath(photo), hashlib.sha256(content).hexdigest()[:16])


def read_origin(result: Path) -> Origin | None:
    """Read which photo a result file is of; None where it does not tell, for instance because it is no result."""
    if result.suffix == RESULT_SUFFIXES["json"]:
        about = _summary_in(result)
        return _origin_in(about) if about else None
    try:
        with result.open("rb") as file:
            head = file.read(_MARK_WITHIN_BYTES)
        mark = _MARK.search(head)
        return Origin(**json.JSONDecoder().raw_decode(head[mark.end() :].decode("latin-1"))[0]) if mark else None
    except (OSError, ValueError, TypeError, RecursionError):  # changed by another program, or not to be read
        return None


def in_the_way(results: Sequence[Path], origin: Origin) -> str:
    """Say why results of a photo must not be written: a file that is no result of this photo would be replaced.

    Args:
        results: Paths of all results of the photo.
        origin: The photo.

    Returns:
        The first reason, and what to do; empty if they may be written.
    """
    for result in results:
        if not os.path.lexists(result):
            continue
        # an earlier version put the photo's name into the JSON file alone
        found = (read_origin(result) or _named_beside(result)) if result.is_file() else None
        if found is None or not _same(found, origin):
            whose = f"of {found.path}" if found else "and no result of this photo"
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


def write_result(result: Path, content: bytes, origin: Origin, *, force: bool) -> str:
    """Write a result file, complete or not at all.

    Args:
        result: Path of the file.
        content: All bytes of it.
        origin: The photo that it is of.
        force: Replace a file that is no result of this photo, too.

    Returns:
        Why it was not written, see `in_the_way`; empty if it was.

    Raises:
        OSError: It cannot be written.
    """
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


def _named_beside(result: Path) -> Origin | None:
    for suffix in RESULT_SUFFIXES.values():
        if result.name.endswith(suffix):
            beside = result.with_name(result.name.removesuffix(suffix) + RESULT_SUFFIXES["json"])
            about = _summary_in(beside)
            # a later version marks every file: one without a mark was made or changed by somebody else
            return _origin_in(about) if about and "path" not in about else None
    return None


def _origin_in(about: dict[str, object]) -> Origin:
    return Origin(str(about.get("path") or os.path.realpath(str(about["photo"]))), str(about.get("digest", "")))


def _summary_in(file: Path) -> dict[str, object] | None:
    try:
        about = json.loads(file.read_bytes()) if file.stat().st_size <= _LARGEST_JSON_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    known = {"photo", "width", "height", *Summary.__dataclass_fields__}
    return about if isinstance(about, dict) and known <= about.keys() else None
