"""A scan lists every file of a library, and says of each that is no photo why."""

import os
from pathlib import Path

import pytest

from dbd_ray.errors import DatasetError
from dbd_ray.library.scan import Found, judge, scan
from dbd_ray.library.schema import path_text


def found_in(folder: Path, *, pairs: bool = False) -> dict[str, Found]:
    return {path_text(found.path): found for found in scan(str(folder), pairs=pairs)}


def put(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_photos_of_every_name_and_folder_are_found(tmp_path: Path) -> None:
    names = ["a.jpg", "b/C.JPEG", "b/d e/Ü.heic", "b/'q\"\n<script>.png", "x%2F?#.tif", "n" * 251 + ".jpg", "raw.CR2"]
    put(tmp_path, *names, b"latin-\xe9.jpg", "u\u0308.jpg", "\u00fc.jpg")
    found = found_in(tmp_path)
    assert {name for name, one in found.items() if one.status == "photo"} == {
        *names,
        "latin-\\xe9.jpg",
        "u\u0308.jpg",
        "\u00fc.jpg",
    }
    assert found["a.jpg"].size == 1
    assert found["a.jpg"].mtime_ns == (tmp_path / "a.jpg").stat().st_mtime_ns


def test_what_is_no_photo_is_a_row_with_its_reason(tmp_path: Path) -> None:
    put(
        tmp_path,
        ".hidden.jpg",
        ".trash/x.jpg",
        "a.xmp",
        "a.jpg.xmp",
        "notes.txt",
        "a.focus.png",
        "a.overlay.jpg",
        "b/a.jpg",
    )
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(2 * 2**30)
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "nowhere.jpg").symlink_to("gone")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "linked.jpg").symlink_to("b/a.jpg")
    reasons = {name: (one.status, one.reason) for name, one in found_in(tmp_path).items()}
    assert reasons == {
        ".hidden.jpg": ("skipped", "hidden"),
        ".trash/": ("skipped", "hidden"),
        "a.xmp": ("skipped", "sidecar"),
        "a.jpg.xmp": ("skipped", "sidecar"),
        "notes.txt": ("skipped", "no_photo"),
        "a.focus.png": ("skipped", "result"),
        "a.overlay.jpg": ("skipped", "result"),
        "empty.jpg": ("error", "empty_file"),
        "large.jpg": ("error", "too_many_bytes"),
        "pipe.jpg": ("skipped", "no_file"),
        "nowhere.jpg": ("error", "unreadable"),
        "loop.jpg": ("error", "unreadable"),
        "b/up/": ("skipped", "link"),
        "linked.jpg": ("photo", None),
        "b/a.jpg": ("photo", None),
    }


def test_folders_of_thumbnails_and_lost_files_are_not_looked_into(tmp_path: Path) -> None:
    names = ("@eaDir", ".@__thumb", ".picasaoriginals", "lost+found")
    put(tmp_path, "b/a.jpg", *(f"b/{name}/a.jpg" for name in names))
    found = {name: (one.status, one.reason) for name, one in found_in(tmp_path).items()}
    assert found == {"b/a.jpg": ("photo", None), **{f"b/{name}/": ("skipped", "sidecar") for name in names}}
    assert "Synology" in str(found_in(tmp_path)["b/@eaDir/"].message)


def test_results_within_the_library_are_left_out(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "out/gallery/thumbs/aa/x.jpg", "b/out/c.jpg")
    found = {path_text(one.path): one.reason for one in scan(str(tmp_path), out=str(tmp_path / "b" / ".." / "out"))}
    assert found == {"a.jpg": None, "b/out/c.jpg": None, "out/": "results"}


@pytest.mark.parametrize("pairs", [False, True])
def test_raw_and_jpeg_of_one_shot_are_one_photo_if_wanted(tmp_path: Path, pairs: bool) -> None:
    put(tmp_path, "IMG_1.JPG", "IMG_1.CR2", "IMG_2.cr2", "b/IMG_2.jpg", "IMG_3.dng", "IMG_3.heic")
    found = found_in(tmp_path, pairs=pairs)
    assert {name for name, one in found.items() if one.reason == "pair"} == (
        {"IMG_1.CR2", "IMG_3.dng"} if pairs else set()
    )


def test_a_library_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone"):
        scan(str(tmp_path / "gone"))


@pytest.mark.parametrize("path", [b"../x.jpg", b"a/../../x.jpg", b"a//x.jpg", b"./x.jpg"])
def test_names_that_lead_out_of_the_results_are_refused(path: bytes) -> None:
    assert judge(path, 1, 1).reason == "unsafe_name"
