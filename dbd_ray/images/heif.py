"""Where HEIC and AVIF files hold coded pixels, and whether a part of these was lost."""

import struct
from collections.abc import Iterator

from dbd_ray.images.lost import LOST

_BESIDE_PIXELS = {b"Exif", b"mime", b"uri "}  # kinds of items, whose zeros say nothing


def heif_lacks_part(data: bytes) -> bool:
    """Tell whether zeros stand in the place of coded pixels: flat pictures of 12 megapixels have fewer than 16.

    Args:
        data: The whole HEIC or AVIF file.
    """
    try:
        return any(data.find(LOST, start, end) >= 0 for start, end in _coded_pixels(data))
    except (IndexError, struct.error):  # its boxes are damaged, which is the decoder's to tell
        return False


def _coded_pixels(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each part of the items that are pictures: ISO/IEC 14496-12, section 8.11."""
    meta = next((body for kind, body in boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        return
    inside = dict(boxes(data, meta[0] + 4, meta[1]))
    beside = _items_beside_pixels(data, *inside[b"iinf"]) if b"iinf" in inside else set()
    if b"iloc" in inside:
        for item, start, end in _locations(data, inside[b"iloc"][0]):
            if item not in beside:
                yield start, end


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Yield kind, and start and end of the content, of each box between two places of a file."""
    while at + 8 <= end:
        size, kind, header = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size < header:  # 0: to the end
            size = end - at
        yield kind, (at + header, min(at + size, end))
        at += size


def _items_beside_pixels(data: bytes, at: int, end: int) -> set[int]:
    items = set()
    at += 6 if data[at] == 0 else 8  # version, flags, number of entries
    for kind, (start, _) in boxes(data, at, end):
        if kind == b"infe" and data[start] >= 2:
            id_bytes = 2 if data[start] == 2 else 4
            item = int.from_bytes(data[start + 4 : start + 4 + id_bytes], "big")
            type_at = start + 4 + id_bytes + 2
            if data[type_at : type_at + 4] in _BESIDE_PIXELS:
                items.add(item)
    return items


def _locations(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    version, sizes = data[at], int.from_bytes(data[at + 4 : at + 6], "big")
    at += 6

    def number(width: int) -> int:
        nonlocal at
        at += width
        if at > len(data):
            raise IndexError("the list of places ends early")
        return int.from_bytes(data[at - width : at], "big")

    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    id_bytes = 4 if version == 2 else 2
    for _ in range(number(id_bytes)):
        item = number(id_bytes)
        in_file = version == 0 or number(2) & 15 == 0
        number(2)  # which file: this one
        base = number(base_bytes)
        for _ in range(number(2)):
            number(index_bytes if version else 0)
            start, length = base + number(offset_bytes), number(length_bytes)
            if in_file:
                yield item, start, start + length if length else len(data)
