"""ICC profiles made by hand, so that what they should do is known."""

import struct

import pytest


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def icc_profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC version 2 display profile from its tags' bytes."""
    at, table, bodies = 128 + 4 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(bodies), len(body))
        bodies += body
    header = struct.pack(">I4sI4s4s4s12s4s", at + len(bodies), bytes(4), 0x02100000, b"mntr", space, connection,
                         struct.pack(">6H", 2024, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    header += bytes(68 - len(header)) + fixed(0.9642, 1, 0.8249)
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + bodies


def described(text: bytes) -> dict[bytes, bytes]:
    return {b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(79)}


def xyz(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + fixed(*numbers)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


@pytest.fixture
def display_p3() -> bytes:
    tags = {
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
    }
    tags |= {b"bXYZ": xyz(0.1571, 0.0666, 0.7841)} | {name: gamma(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return icc_profile(b"RGB ", described(b"Display P3") | tags)


@pytest.fixture
def linear_gray() -> bytes:
    """Values are light, not sRGB's curve: 55 of 255 is what sRGB writes as 128."""
    return icc_profile(b"GRAY", described(b"gray") | {b"wtpt": xyz(0.9642, 1, 0.8249), b"kTRC": gamma(1.0)})


@pytest.fixture
def black_inks() -> bytes:
    """All inks print black, which no default conversion of CMYK would assume."""
    ramp = bytes(range(256))
    paper_and_inks = b"\xff\x80\x80" + b"\x00\x80\x80" * 15
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + paper_and_inks + ramp * 3
    tags = described(b"ink") | {b"wtpt": xyz(0.9642, 1, 0.8249), b"A2B0": table, b"A2B1": table}
    return icc_profile(b"CMYK", tags, connection=b"Lab ")
