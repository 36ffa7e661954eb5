"""The strips and tiles of a TIFF file: all of them are there, and none was cut or lost."""

import io
import math
import re
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from dbd_ray.errors import PhotoError
from dbd_ray.images.jpeg import JpegFile
from dbd_ray.images.lost import LOST, lost_part

_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _PLANAR, _FILL_ORDER = 256, 257, 259, 277, 284, 266
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_JPEG_TABLES, _OLD_JPEG, _OLD_JPEG_BYTES = 347, 513, 514
SEPARATE = 2  # planes: all of red, then all of green, …
NOT_COMPRESSED = 1
_FAX_ROWS, _FAX_3, _FAX_4, _COMPRESSED_AS_OLD_JPEG, _COMPRESSED_AS_JPEG = 2, 3, 4, 6, 7
_DEFLATE = {8, 32946}
_REVERSED = 2  # order of bits within bytes
_REVERSED_BYTES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_END_OF_FAX = re.compile(r"0{11}10{11}10*$")
_NO_FAX_CODE = bytes(4)  # within a strip no code has so many zeros
_FAX_TAIL_BYTES = 64


class _Part(NamedTuple):
    """A strip or tile: its bytes as stored, and how many rows it has to hold."""

    coded: bytes
    rows: int


def check_placed(tags: Any) -> None:
    """See whether a TIFF file says where its pixels are.

    Args:
        tags: The directory, by number of the tag.

    Raises:
        PhotoError: `undecodable`, it does not.
    """
    if not _places(tags):
        raise PhotoError("undecodable", "this TIFF file does not say where its pixels are: save it again")
    _part_size(tags)


def check_whole(tags: Any, data: bytes) -> None:
    """See whether all parts of a TIFF file are there and whole: libtiff reads broken ones without a word.

    Args:
        tags: The directory, by number of the tag.
        data: The whole file.

    Raises:
        PhotoError: `truncated`, parts are not listed; `undecodable`, a part was lost, or that cannot be known.
        OSError: A part ends too early.
    """
    _check_listed(tags)
    compression = tags.get(_COMPRESSION, NOT_COMPRESSED)
    if compression == NOT_COMPRESSED:  # zeros are black
        return
    if compression in (_FAX_ROWS, _FAX_3):
        raise PhotoError(
            "undecodable",
            "this TIFF file is compressed for fax (CCITT group 3), whose damage cannot be seen: save it with LZW",
        )
    if compression == _COMPRESSED_AS_OLD_JPEG:
        _check_jpeg(_old_jpeg(tags, data), tags[_HEIGHT])
        return
    for part in _parts(tags, data):
        if compression == _COMPRESSED_AS_JPEG:
            tables = tags.get(_JPEG_TABLES, b"")
            _check_jpeg(tables[:-2] + part.coded[2:] if tables else part.coded, part.rows)
        elif compression == _FAX_4:
            _check_fax(part.coded, reverse=tags.get(_FILL_ORDER, 1) == _REVERSED)
        elif LOST in part.coded and not (compression in _DEFLATE and _unpacks(part.coded)):
            raise lost_part("TIFF")


def _check_listed(tags: Any) -> None:
    across, down = _part_size(tags)
    needed = math.ceil(tags[_WIDTH] / across) * math.ceil(tags[_HEIGHT] / down) * _planes(tags)
    listed = sum(place > 0 for place in _places(tags))  # sparse files have 0, the header's place, for parts they lack
    if listed < needed:
        raise PhotoError(
            "truncated", f"this TIFF file lists {listed} of the {needed} parts of its picture: copy it again"
        )


def _places(tags: Any) -> tuple[int, ...]:
    places: tuple[int, ...] = tags.get(_TILES if _TILES in tags else _STRIPS, ())
    return places


def _part_size(tags: Any) -> tuple[int, int]:
    if _TILES in tags:
        across, down = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_HEIGHT, 0)
    else:
        across, down = tags[_WIDTH], tags.get(_ROWS_PER_STRIP, tags[_HEIGHT])
    if min(across, down) < 1:
        raise PhotoError(
            "undecodable", "the parts of this TIFF file have a size of 0: save it again in another program"
        )
    return across, down


def _planes(tags: Any) -> int:
    samples: int = tags.get(_SAMPLES, 1)
    return samples if tags.get(_PLANAR, 1) == SEPARATE else 1


def _parts(tags: Any, data: bytes) -> Iterator[_Part]:
    tiled = _TILES in tags
    sizes = tags.get(_TILE_BYTES if tiled else _STRIP_BYTES, ())
    (across, down), height = _part_size(tags), tags[_HEIGHT]
    in_plane = math.ceil(tags[_WIDTH] / across) * math.ceil(height / down)
    for number, place in enumerate(_places(tags)[: in_plane * _planes(tags)]):
        end = place + sizes[number] if number < len(sizes) else len(data)
        yield _Part(data[place:end], down if tiled else min(down, height - number % in_plane * down))


def _check_jpeg(coded: bytes, rows: int) -> None:
    try:
        image = JpegFile(io.BytesIO(coded))
    except SyntaxError as error:
        raise OSError("decoder error: a part is no JPEG") from error
    if image.height < rows:
        raise OSError("truncated: rows are missing")
    image.load()


def _old_jpeg(tags: Any, data: bytes) -> bytes:
    place = tags.get(_OLD_JPEG, 0)
    if not place:
        raise PhotoError(
            "undecodable", "this TIFF file holds JPEG of a kind that was given up in 1995: save it again with LZW"
        )
    return data[place : place + tags.get(_OLD_JPEG_BYTES, len(data))]


def _check_fax(coded: bytes, *, reverse: bool) -> None:
    coded = (coded.translate(_REVERSED_BYTES) if reverse else coded).rstrip(b"\0")
    tail = "".join(f"{byte:08b}" for byte in coded[-_FAX_TAIL_BYTES:])
    if not _END_OF_FAX.search(tail):
        raise OSError("truncated: a part has no end mark")
    if _NO_FAX_CODE in coded:
        raise lost_part("TIFF")


def _unpacks(coded: bytes) -> bool:
    try:
        zlib.decompress(coded)  # with its checksum
    except zlib.error:
        return False
    return True
