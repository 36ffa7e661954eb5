"""What the scans of a JPEG file say of its completeness, read from their headers without decoding."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK_PX = 8
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; all other kinds are not decoded anyway
START_OF_SCAN, _RESTART_INTERVAL = 0xDA, 0xDD
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_OF_CODED = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_ALL = range(64)  # coefficients of a block


class _Frame(NamedTuple):
    """Size in pixels, and the sampling factors (across, down) of each component by its identifier."""

    width: int
    height: int
    sampling: dict[int, tuple[int, int]]


def lacks_scans(data: bytes) -> bool:
    """Tell whether a JPEG file lacks scans, or intervals of one, although its end is marked.

    Every coefficient of every component has to come down to its last bit, as all encoders write them. A scan with
    restart markers has to have as many as its size asks for.

    Args:
        data: The file.

    Returns:
        True if parts are known to lack; False if nothing is missed, or the file is not understood.
    """
    try:
        return _lacks_scans(data)
    except (IndexError, struct.error, KeyError, ZeroDivisionError):
        return False


def _lacks_scans(data: bytes) -> bool:
    frame: _Frame | None = None
    interval = 0
    left: dict[int, dict[int, int]] = {}  # bits that are still to come, by component and coefficient
    for marker, body, start, stop in segments(data):
        if marker in _FRAMES and frame is None:
            height, width, count = struct.unpack_from(">HHB", body, 1)
            parts = [body[6 + 3 * number : 9 + 3 * number] for number in range(count)]
            frame = _Frame(width, height, {part[0]: (part[1] >> 4, part[1] & 15) for part in parts})
            left = {component: dict.fromkeys(_ALL, 1) for component in frame.sampling}
        elif marker == _RESTART_INTERVAL:
            (interval,) = struct.unpack(">H", body[:2])
        elif marker == START_OF_SCAN:
            if frame is None:
                return False
            components = [body[1 + 2 * number] for number in range(body[0])]
            first, last, bits = body[-3], body[-2], body[-1] & 15
            for component in components:
                left[component].update(dict.fromkeys(range(first, last + 1), bits))
            if interval and len(_RESTART.findall(data, start, stop)) < -(-_units(frame, components) // interval) - 1:
                return True
    return any(bits for coefficients in left.values() for bits in coefficients.values())


def _units(frame: _Frame, components: list[int]) -> int:
    widest = max(across for across, _ in frame.sampling.values())
    tallest = max(down for _, down in frame.sampling.values())
    if len(components) == 1:  # such a scan goes through the blocks of its component, not through those of all
        across, down = frame.sampling[components[0]]
        columns, rows = -(-frame.width * across // widest), -(-frame.height * down // tallest)
        return -(-columns // _BLOCK_PX) * -(-rows // _BLOCK_PX)
    return -(-frame.width // (_BLOCK_PX * widest)) * -(-frame.height // (_BLOCK_PX * tallest))


def segments(data: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield the segments of a JPEG file up to its end mark.

    Yields:
        Marker, body, and where the coded data of a scan start and stop; both are the same for all other segments.

    Raises:
        IndexError: The file ends without a mark.
    """
    at = 2
    while True:
        while data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
        marker = data[at + 1]
        if marker == 0xD9:
            return
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body, start = data[at + 4 : at + 2 + length], at + 2 + length
        at = start
        if marker == START_OF_SCAN:
            end = _END_OF_CODED.search(data, at)
            at = end.start() if end else len(data)
        yield marker, body, start, at
