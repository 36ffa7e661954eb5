"""Scans of a JPEG file with long runs of zeros: flat areas of the picture, or parts that were lost."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dbd_ray.images.jpeg_scans import START_OF_SCAN, segments
from dbd_ray.images.lost import LOST

_BASELINE, _EXTENDED, _PROGRESSIVE, _TABLES = 0xC0, 0xC1, 0xC2, 0xC4
_HUFFMAN = {_BASELINE, _EXTENDED, _PROGRESSIVE}
_LONGEST_END_OF_BAND = 14
_UNKNOWN = 0


class ZerosInScan(NamedTuple):
    """A scan whose coded data hold a long run of zeros.

    Attributes:
        stop: Where its coded data stop in the file.
        may_be_flat: A run of zeros can say of block after block that nothing changes: by the code tables of the scan.
    """

    stop: int
    may_be_flat: bool


def zeros_in_scans(data: bytes) -> Iterator[ZerosInScan]:
    """Find the scans with long runs of zeros.

    Args:
        data: The JPEG file; it may lack its end.
    """
    if LOST not in data:
        return
    first_symbols: dict[int, int] = {}  # what the code that is all zeros stands for, by class and number of the table
    frame = 0
    try:
        for marker, body, start, stop in segments(data):
            if marker in _HUFFMAN:
                frame = marker
            elif marker == _TABLES:
                first_symbols |= _first_symbols(body)
            elif marker == START_OF_SCAN and data.find(LOST, start, stop) >= 0 and not _only_refines_means(body):
                yield ZerosInScan(stop, _may_be_flat(body, frame, first_symbols))
    except (IndexError, struct.error):  # no mark behind the last scan
        return


def _first_symbols(body: bytes) -> dict[int, int]:
    found, at = {}, 0
    while at < len(body):
        count = sum(body[at + 1 : at + 17])
        found[body[at]] = body[at + 17] if count else _UNKNOWN
        at += 17 + count
    return found


def _only_refines_means(scan: bytes) -> bool:
    return scan[-3] == 0 and scan[-1] >> 4 > 0  # a bit per block, worth a level of the picture or two


def _may_be_flat(scan: bytes, frame: int, first_symbols: dict[int, int]) -> bool:
    tables = [scan[2 + 2 * number] for number in range(scan[0])]
    of_dc = all(first_symbols.get(table >> 4, _UNKNOWN) == 0 for table in tables)
    of_ac = [first_symbols.get(0x10 | table & 15, _UNKNOWN) for table in tables]
    first_coefficient, refines = scan[-3], scan[-1] >> 4 > 0
    if frame != _PROGRESSIVE:
        return of_dc and not any(of_ac)
    if refines:  # by bits that are 0 where nothing changes
        return True
    if first_coefficient == 0:
        return of_dc
    return all(symbol & 15 == 0 and symbol >> 4 <= _LONGEST_END_OF_BAND for symbol in of_ac)
