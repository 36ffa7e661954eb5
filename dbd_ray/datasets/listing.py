"""Listing of labelled files and of `test.txt`, with every problem reported."""

import posixpath
import unicodedata
from collections.abc import Mapping

from fsspec import AbstractFileSystem

from dbd_ray.storage import list_folder

MASK_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".webp"})
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


def one_form(name: str) -> str:
    """Write a name in Unicode's form NFC: archives from a Mac hold ü as u and dots, other tools as one letter."""
    return unicodedata.normalize("NFC", name)


def files_by_stem(
    storage: AbstractFileSystem, root: str, folder: str, suffixes: frozenset[str], problems: list[str]
) -> dict[str, str] | None:
    """List the files of one folder by their names without suffix.

    Args:
        storage: File system, see `open_storage`.
        root: Path of the dataset on it.
        folder: Folder below the root.
        suffixes: Accepted suffixes in lower case, with their dot.
        problems: Gets one more line for every file or folder that does not belong there.

    Returns:
        File name as it is stored by stem in NFC, or None when the folder is missing.
    """
    entries = list_folder(storage, f"{root}/{folder}")
    if entries is None:
        problems.append(f"{folder}/: the folder is missing")
        return None
    files: dict[str, str] = {}
    for name, is_folder in entries:
        stem, suffix = posixpath.splitext(one_form(name))
        if name.startswith(".") or name.lower() in _SYSTEM_FILES:
            continue
        if is_folder:
            problems.append(f"{folder}/{name}: a folder, but files must lie directly in {folder}/")
        elif not _is_utf8(name):
            problems.append(f"{folder}/{ascii(name)[1:-1]}: the name is not UTF-8; rename it")
        elif suffix.lower() not in suffixes:
            problems.append(
                f"{folder}/{name}: {suffix or 'no suffix'} is none of {' '.join(sorted(suffixes))}; move it away"
            )
        elif stem in files:
            same_form = posixpath.splitext(name)[0] == posixpath.splitext(files[stem])[0]
            difference = "the suffix" if same_form else "the Unicode form of its letters"
            problems.append(f"{folder}/{name}: same name as {files[stem]} but for {difference}, keep one of them")
        else:
            files[stem] = name
    if not files:
        problems.append(f"{folder}/: no files in it")
    return files


def read_test_stems(
    storage: AbstractFileSystem, root: str, images: Mapping[str, str], required: bool, problems: list[str]
) -> set[str]:
    """Read which photos `test.txt` names; the case of their suffixes does not matter.

    Args:
        storage: File system, see `open_storage`.
        root: Path of the dataset on it.
        images: File names of the photos by stem.
        required: Whether a missing `test.txt` is a problem.
        problems: Gets one more line for every line of the file that is wrong.

    Returns:
        Stems of the named photos.
    """
    try:
        lines = storage.cat_file(f"{root}/test.txt").decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        if required:
            problems.append("test.txt: missing; it must name the test photos, one per line")
        return set()
    except OSError as error:
        problems.append(f"test.txt: cannot be read: {error}")
        return set()
    except UnicodeDecodeError as error:
        problems.append(f"test.txt: not UTF-8 text ({error.reason} at byte {error.start})")
        return set()
    # published lists disagree with the files about .jpg and .JPG
    known = {stem + posixpath.splitext(one_form(name))[1].lower(): stem for stem, name in images.items()}
    stems: set[str] = set()
    for number, name in enumerate((line.strip() for line in lines), start=1):
        listed, suffix = posixpath.splitext(one_form(name))
        stem = known.get(listed + suffix.lower())
        if name and stem is None and images:
            problems.append(f"test.txt line {number}: {name!r} is not in image/")
        elif stem in stems:
            problems.append(f"test.txt line {number}: {name!r} is named twice")
        elif stem is not None:
            stems.add(stem)
    if not any(line.strip() for line in lines):
        problems.append("test.txt: names no photo")
    return stems


def _is_utf8(name: str) -> bool:
    # names of other encodings come with surrogates, which no Parquet file can hold
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
