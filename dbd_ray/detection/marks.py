"""The mark in a result file: which photo the result is of, and what the file was when it was written."""

import hashlib
import io
import json
import re
import struct
from typing import Any, NamedTuple

from PIL.PngImagePlugin import putchunk

from dbd_ray.summary import Summary, with_new_names

_PNG, _JPEG, _JSON = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"{"
_PNG_HEADER_BYTES = 33  # signature and IHDR, which come first
_COMMENT = b"\xff\xfe"  # of JPEG files
# a keyword of our own: programs that keep the usual Comment would make what they changed look like ours
_KEYWORD = re.compile(rb"dbd-ray[\0 ](?=\{)")
_MARK_WITHIN_BYTES = 1 << 16  # it stands in the header
_LARGEST_JSON_BYTES = 1 << 20  # ours have some hundred bytes


class Origin(NamedTuple):
    """The photo that a result is of.

    Attributes:
        path: Absolute path of the photo's file, links resolved.
        digest: First 16 hexadecimal digits of the file's sha256; empty where a result does not tell it.
    """

    path: str
    digest: str


def digest(content: bytes) -> str:
    """Give the first 16 hexadecimal digits of the sha256."""
    return hashlib.sha256(content).hexdigest()[:16]


def with_mark(result: bytes, origin: Origin) -> bytes:
    """Put a mark into a result: a PNG text `dbd-ray`, a JPEG comment that begins so, or fields of a JSON object.

    Args:
        result: The whole file, as `images.encode` or `json.dumps` writes it.
        origin: The photo that it is of.

    Returns:
        The file with its mark, which holds `path` and `digest` of the photo and `result_digest` of the file without it.
    """
    if result.startswith(_JSON):
        about = {**json.loads(result), **origin._asdict()}
        return json.dumps({**about, "result_digest": _digest_of(about)}, indent=2).encode()
    mark = json.dumps({**origin._asdict(), "result_digest": digest(result)}).encode()
    if result.startswith(_PNG):
        text = io.BytesIO()
        putchunk(text, b"tEXt", b"dbd-ray\0" + mark)
        at, segment = _PNG_HEADER_BYTES, text.getvalue()
    else:
        comment = b"dbd-ray " + mark
        at = 4 + struct.unpack(">H", result[4:6])[0]  # behind JFIF's segment, which has to be the first
        segment = _COMMENT + struct.pack(">H", 2 + len(comment)) + comment
    return result[:at] + segment + result[at:]


def read_mark(content: bytes) -> Origin | None:
    """Read which photo a result is of.

    Args:
        content: A whole file, of any kind.

    Returns:
        The photo; None where the file has no mark, or was changed since it was written.
    """
    try:
        if content.startswith(_JSON):
            about = summary_fields(content) or {}
            written = about.pop("result_digest", None)
            return Origin(about["path"], about["digest"]) if written == _digest_of(about) else None
        mark, without = _cut_out(content)
        return Origin(mark["path"], mark["digest"]) if mark["result_digest"] == digest(without) else None
    except (ValueError, KeyError, TypeError, RecursionError, struct.error):  # no mark, or not as it was written
        return None


def without_mark(content: bytes) -> bytes | None:
    """Give a PNG or JPEG result as it was before `with_mark`; None where it has no mark, or was changed since."""
    return _cut_out(content)[1] if read_mark(content) else None


def summary_fields(content: bytes) -> dict[str, Any] | None:
    """Read the fields of a result in JSON; None where the file is nothing of this kind."""
    try:
        about = json.loads(content) if len(content) <= _LARGEST_JSON_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(about, dict):
        return None
    known = {"photo", "width", "height", *Summary.__dataclass_fields__}
    return about if known <= with_new_names(about).keys() else None


def _cut_out(content: bytes) -> tuple[dict[str, Any], bytes]:
    found = _KEYWORD.search(content, 0, _MARK_WITHIN_BYTES)
    if found is None:
        raise ValueError("no mark")
    if content.startswith(_PNG):
        start = found.start() - 8  # length and type of the chunk, and its checksum behind
        end = found.start() + struct.unpack(">I", content[start : start + 4])[0] + 4
        text = content[found.end() : end - 4]
    else:
        start = found.start() - 4
        end = found.start() - 2 + struct.unpack(">H", content[start + 2 : start + 4])[0]
        text = content[found.end() : end]
    return json.loads(text), content[:start] + content[end:]


def _digest_of(about: dict[str, Any]) -> str:
    return digest(json.dumps(about, sort_keys=True).encode())
