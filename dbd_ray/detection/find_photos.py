"""The photo files that paths on a command line name; without torch, so that a wrong path is told at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dbd_ray.detection.result_names import MASKS
from dbd_ray.errors import ConfigError
from dbd_ray.images.photo_names import why_no_folder_of_photos, why_no_photo
from dbd_ray.storage import photos_in


class FoundPhotos(NamedTuple):
    """The photos that paths name, and what was passed over in folders.

    Attributes:
        photos: Paths of the photos, in the order of the paths that name them, those of a folder sorted.
        other_files: Files passed over: hidden, results of `files.predict_files`, or without a photo's suffix.
        folders: Folders that were not looked into.
        names: Path of each photo of a folder below the folder that was given, with slashes.
    """

    photos: list[Path]
    other_files: list[Path]
    folders: list[Path]
    names: dict[Path, str]

    @staticmethod
    def why_passed_over(file: Path) -> str:
        """Say why one of `other_files` was passed over."""
        if file.is_symlink() and not file.exists():
            return "a link to a file that is not there"
        if file.exists() and not file.is_file():
            return "a pipe, socket or device, and no file"
        return (why_no_photo(file.name) or ("", "no file any more"))[1]

    @staticmethod
    def why_not_looked_into(folder: Path, *, recursive: bool) -> str:
        """Say why one of `folders` was not looked into."""
        if folder.is_symlink():
            return "a link to a folder, which is not followed"
        if not recursive:
            return "a folder below a given one, into which --recursive looks"
        if why := why_no_folder_of_photos(folder.name):
            return f"{why[1]}, not looked into"
        return "a folder of results, not looked into"


def find_photos(paths: Sequence[Path], *, recursive: bool = False, out: Path | None = None) -> FoundPhotos:
    """List the photos that paths name: files as given, folders by the photos in them (`storage.photos_in`).

    Args:
        paths: Files and folders.
        recursive: Look into folders below these as well, except hidden ones and links.
        out: Folder of results, which is not looked into where it lies below one of these folders.

    Raises:
        ConfigError: Paths do not exist, cannot be listed, or are folders without photos; all are listed.
    """
    missing, unusable = [], []
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            missing.append(str(path))
        except OSError as error:
            unusable.append(f"{path} ({error.strerror})")
    if missing:
        raise ConfigError(f"no such file or folder: {', '.join(missing)}")
    if unusable:
        raise ConfigError(f"cannot be opened, check names and permissions: {', '.join(unusable)}")
    photos: dict[Path, None] = {}
    passed_over: dict[Path, bool] = {}  # whether it is a folder
    names: dict[Path, str] = {}
    barren: list[str] = []
    results = {out.resolve(), (out / MASKS).resolve()} if out else set()
    for path in paths:
        if not path.is_dir():
            photos[path] = None
            continue
        inside = photos_in(path, recursive=recursive, leave_out=results - {path.resolve()})
        photos |= dict.fromkeys(path / name for name in inside.photos)
        names |= {path / name: name for name in inside.photos if path / name not in names}
        passed_over |= dict.fromkeys((path / name for name in inside.other_files), False)
        passed_over |= dict.fromkeys((path / name for name in inside.folders), True)
        if not inside.photos:
            barren.append(str(path))
    if barren or not photos:
        below = "in or below" if recursive else "directly in"
        raise ConfigError(
            f"no photos {below} {', '.join(barren) or 'nothing'}; give folders that hold some, or the photos"
        )
    for path in (*photos, *paths):  # given by name after all
        passed_over.pop(path, None)
    other_files, folders = ([path for path in passed_over if passed_over[path] is kind] for kind in (False, True))
    return FoundPhotos(list(photos), other_files, folders, names)
