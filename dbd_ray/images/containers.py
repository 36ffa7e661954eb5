"""File formats of photos: recognised by their header, and facts that are read without decoding pixels."""

import io
from typing import Literal

from PIL.TiffImagePlugin import ImageFileDirectory_v2

Container = Literal["jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "heif", "jxl", "raw"]

RAW_SUFFIXES = frozenset(
    {".dng", ".crw", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".rwl", ".pef", ".srw"}
    | {".mrw", ".x3f"}
)
# files of these names are opened; which format they really have is told by `identify`
PHOTO_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".gif",
    }
    | {".heic", ".heif", ".hif", ".heics", ".heifs", ".avif", ".avifs", ".jxl"}
    | RAW_SUFFIXES
)

JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
"""How JPEG XL files begin."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_RAW_MAGICS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",  # Olympus ORF and its variants
    b"IIRS",
    b"MMOR",
    b"IIU\0",  # Panasonic RW2, Leica RWL
    b"FOVb",  # Sigma X3F
    b"\0MRM",  # Minolta MRW
    b"II\x1a\0\0\0HEAPCCDR",  # Canon CRW
)

_NEW_SUBFILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _MAKE = 0x00FE, 0x0103, 0x0106, 0x010F
_SUB_IFDS, _DNG_VERSION = 0x014A, 0xC612
_SENSOR_PHOTOMETRICS = {32803, 34892}  # colour filter array, linear raw
_SENSOR_COMPRESSIONS = {32767, 34713, 65535}  # Sony ARW, Nikon NEF, Pentax PEF


def identify(data: bytes) -> Container | None:
    """Recognise the container format of an encoded photo.

    Args:
        data: The whole file.

    Returns:
        The format, "raw" for every camera's raw format; None if dbd_ray does not read it.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
    if data.startswith((JXL_CODESTREAM, JXL_CONTAINER)):
        return "jxl"
    if data[4:8] == b"ftyp":
        return _identify_by_brands(data)
    if data.startswith(_RAW_MAGICS):
        return "raw"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "raw" if _is_raw_tiff(data) else "tiff"
    return None


def ends_early(data: bytes, container: Container) -> bool:
    """Tell whether a file that failed to decode is cut off, by its format's end mark or stated length."""
    match container:
        case "jpeg":
            return not data.rstrip(b"\0").endswith(b"\xff\xd9")
        case "png":
            return b"IEND" not in data[-16:]
        case "gif":
            return not data.rstrip(b"\0").endswith(b";")
        case "webp":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "bmp":
            return int.from_bytes(data[2:6], "little") > len(data)
        case "avif" | "heif":
            return _last_box_end(data) > len(data)
        case "tiff":
            return _directory_end(data) > len(data)
        case _:
            return False


def _identify_by_brands(data: bytes) -> Container | None:
    box_size = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, box_size, 4))]
    if brands[0] == b"crx ":  # Canon CR3
        return "raw"
    if b"avif" in brands or b"avis" in brands:
        return "avif"
    return "heif" if _HEIF_BRANDS.intersection(brands) else None


def _is_raw_tiff(data: bytes) -> bool:
    # DNG, NEF, ARW, PEF and CR2 are TIFF files whose first picture is a thumbnail or the sensor's mosaic:
    # read as TIFF they would give a stamp-sized photo or noise
    if data[8:10] == b"CR":
        return True
    try:
        stream = io.BytesIO(data)
        directory = ImageFileDirectory_v2(stream.read(16 if data[2:3] == b"+" or data[3:4] == b"+" else 8))
        stream.seek(directory.next)
        directory.load(stream)
        if _DNG_VERSION in directory or directory.get(_PHOTOMETRIC) in _SENSOR_PHOTOMETRICS:
            return True
        if _MAKE not in directory:
            return False
        reduced = bool(directory.get(_NEW_SUBFILE_TYPE, 0) & 1)
        return (reduced and _SUB_IFDS in directory) or directory.get(_COMPRESSION) in _SENSOR_COMPRESSIONS
    except Exception:  # noqa: BLE001 - a damaged directory raises almost anything; decoding then names the damage
        return False


def _directory_end(data: bytes) -> int:
    # the first list of tags, which many programs write behind the pixels
    order: Literal["little", "big"] = "little" if data.startswith(b"II") else "big"
    big = 43 in data[2:4]
    header, count_bytes, entry_bytes = (16, 8, 20) if big else (8, 2, 12)
    at = int.from_bytes(data[header // 2 : header], order)
    return at + count_bytes + entry_bytes * int.from_bytes(data[at : at + count_bytes], order)


def _last_box_end(data: bytes) -> int:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0: this box reaches to the end of the file, whatever that is
            return len(data)
        at += size
    return at
