"""TIFF files written sample by sample, in every layout of the format, so that what they hold is known."""

import struct
import zlib
from typing import Any

import numpy as np

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
MINISWHITE, GRAY, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
_FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff(
    samples: np.ndarray,
    photometric: int = RGB,
    *,
    order: str = "<",
    planar: bool = False,
    compression: int = NONE,
    predictor: int = 1,
    tile: tuple[int, int] | None = None,
    big: bool = False,
    rows_per_strip: int = 7,
    bits: int | None = None,
    extra: tuple[int, ...] = (),
    tags: dict[int, tuple[int, list[int]]] | None = None,
    icc: bytes | None = None,
) -> bytes:
    """A TIFF file of the samples HxWxC of an unsigned, signed or float type, in strips or in tiles (height, width)."""
    height, width, count = samples.shape
    depth = bits or samples.dtype.itemsize * 8
    planes = np.split(samples, count, axis=2) if planar else [samples]
    step, across = tile or (rows_per_strip, width)
    blocks = []
    for plane in planes:
        for top in range(0, height, step):
            for left in range(0, width, across):
                block = plane[top : top + step, left : left + across]
                if tile:
                    missing = ((0, step - block.shape[0]), (0, across - block.shape[1]), (0, 0))
                    block = np.pad(block, missing)
                blocks.append(_compressed(_rows(block, order, depth, predictor), compression))
    values: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [depth] * count),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [count]),
        284: (3, [2 if planar else 1]),
        339: (3, [_FORMATS[samples.dtype.kind]] * count),
    }
    if predictor > 1:
        values[317] = (3, [predictor])
    if extra:
        values[338] = (3, list(extra))
    if icc:
        values[34675] = (7, list(icc))
    start = 16 if big else 8
    places = [start + sum(map(len, blocks[:number])) for number in range(len(blocks))]
    sizes = [len(block) for block in blocks]
    if tile:
        values |= {322: (4, [across]), 323: (4, [step]), 324: (4, places), 325: (4, sizes)}
    else:
        values |= {273: (4, places), 278: (4, [step]), 279: (4, sizes)}
    return file_of(b"".join(blocks), values | (tags or {}), order, big=big)


def _rows(block: np.ndarray, order: str, bits: int, predictor: int) -> list[bytes]:
    if bits != block.dtype.itemsize * 8:  # packed to whole bytes at the end of each row
        spread = np.unpackbits(block.astype(">u2").view(np.uint8).reshape(*block.shape, 2), axis=3)[..., -bits:]
        return [row.tobytes() for row in np.packbits(spread.reshape(len(block), -1), axis=1)]
    stored = block.copy()
    if predictor == 2:
        whole = stored.view(f"u{stored.dtype.itemsize}")
        whole[:, 1:] -= whole[:, :-1].copy()
    if predictor == 3:
        bytes_of = stored.astype(stored.dtype.newbyteorder(">")).view(np.uint8)
        split = bytes_of.reshape(len(block), -1, stored.dtype.itemsize).transpose(0, 2, 1).reshape(len(block), -1)
        count = block.shape[2]
        split[:, count:] -= split[:, :-count].copy()
        return [row.tobytes() for row in split]
    return [row.tobytes() for row in stored.astype(np.dtype(order + stored.dtype.str[1:]))]


def _compressed(rows: list[bytes], compression: int) -> bytes:
    if compression == DEFLATE:
        return zlib.compress(b"".join(rows), 1)
    if compression == PACKBITS:  # runs of up to 128 literal bytes, row by row
        return b"".join(bytes([len(run) - 1]) + run for row in rows for run in _cut(row, 128))
    if compression == LZW:  # literal codes only: the table is cleared before codes grow beyond 9 bits
        codes = [code for run in _cut(b"".join(rows), 200) for code in (256, *run)]
        text = "".join(f"{code:09b}" for code in [*codes, 257])
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")
    return b"".join(rows)


def _cut(data: bytes, length: int) -> list[bytes]:
    return [data[at : at + length] for at in range(0, len(data), length)]


def file_of(body: bytes, values: dict[int, tuple[int, list[int]]], order: str = "<", *, big: bool = False) -> bytes:
    """A TIFF file of coded parts, which begin at byte 8 (16 if big), and the tags as (type, values) by number."""
    letters = {3: "H", 4: "I", 7: "B"}
    word, room = ("Q", 8) if big else ("I", 4)
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    if big:
        header += struct.pack(order + "HH", 8, 0)
    at = len(header) + struct.calcsize("<" + word) + len(body)
    entries, outside = b"", b""
    for tag, (kind, numbers) in sorted(values.items()):
        packed: Any = struct.pack(f"{order}{len(numbers)}{letters[kind]}", *numbers)
        if len(packed) > room:
            packed, outside = struct.pack(order + word, at + len(outside)), outside + packed + bytes(len(packed) % 2)
        entries += struct.pack(order + "HH" + word, tag, kind, len(numbers)) + packed.ljust(room, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), len(values))
    return header + struct.pack(order + word, at + len(outside)) + body + outside + count + entries + bytes(room)
