"""Files are replaced in one step, and a folder's photos are found by one rule, whatever command asks."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbd_ray.config import TeachConfig
from dbd_ray.datasets.layouts import scan_layout
from dbd_ray.datasets.prepare import list_photos
from dbd_ray.detection.find_photos import find_photos
from dbd_ray.errors import ConfigError
from dbd_ray.images.photo_names import why_no_photo
from dbd_ray.names import RESULT_SUFFIXES, Layout
from dbd_ray.storage import as_uri, list_folder, open_storage, photos_in, replace_bytes
from dbd_ray.teaching.sources import open_source

HIDDEN = (".a.jpg", "._a.jpg")  # the second is what macOS leaves beside a photo on foreign disks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, one of them deeper, and everything that is none."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".trash").mkdir()
    picture = Image.fromarray(np.full((40, 40, 3), 100, np.uint8))
    for name in ("a.jpg", "deep/er/B.JPEG", ".trash/a.jpg", *HIDDEN):
        picture.save(folder / name, "JPEG")
    for suffix in RESULT_SUFFIXES.values():
        (folder / f"a{suffix}").touch()
    (folder / "notes.txt").touch()
    return folder


def test_a_photo_is_told_by_its_name() -> None:
    assert not any(map(why_no_photo, ("a.jpg", "A.TIFF", "a.b.c.heic", "focus.png")))
    assert all(map(why_no_photo, (*HIDDEN, ".jpg", "jpg", "a.txt", "a.focus.png", "a.overlay.jpg", "a")))


@pytest.mark.parametrize("of_text", [False, True])
def test_paths_and_uris_are_listed_by_one_rule(folder: Path, of_text: bool) -> None:
    where = str(folder) if of_text else folder
    found = photos_in(where)
    assert found.photos == ["a.jpg"]
    results = {f"a{suffix}" for suffix in RESULT_SUFFIXES.values()}
    assert set(found.other_files) == {"notes.txt", *HIDDEN, *results}
    assert set(found.folders) == {"deep", ".trash"}
    found = photos_in(where, recursive=True)
    assert found.photos == ["a.jpg", "deep/er/B.JPEG"]
    assert found.folders == [".trash"]


def test_a_hidden_photo_is_in_no_commands_list(folder: Path, tmp_path: Path) -> None:
    photo = f"{folder}/a.jpg"
    assert find_photos([folder]).photos == [Path(photo)]
    assert list_photos(str(folder)) == [photo]
    taught = TeachConfig(teacher="hf:any", photos=str(folder), out=str(tmp_path / "out"))
    assert open_source(taught).rows["uri"].to_pylist() == [photo]


@pytest.mark.parametrize(("layout", "folders"), [("folder", ("image", "mask")), ("sharp", ("train",))])
def test_a_hidden_photo_is_in_no_labelled_set(folder: Path, tmp_path: Path, layout: Layout, folders: list[str]) -> None:
    for name in folders:
        (tmp_path / "set" / name).mkdir(parents=True)
        for photo in ("a.jpg", *HIDDEN):
            shutil.copy(folder / photo, tmp_path / "set" / name)
    photos, problems = scan_layout(str(tmp_path / "set"), layout, polarity="focus" if layout == "folder" else None)
    assert [photo.image_uri for photo in photos] == [f"{tmp_path}/set/{folders[0]}/a.jpg"]
    assert [problem for problem in problems if "a.jpg" in problem] == []


def test_a_folder_that_is_not_there_has_no_photos_as_a_uri_and_cannot_be_listed_as_a_path(tmp_path: Path) -> None:
    assert photos_in(f"{tmp_path}/absent") == ([], [], [])
    with pytest.raises(ConfigError, match=r"absent: cannot be listed \(No such file or directory\)"):
        photos_in(tmp_path / "absent")


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path, sync: bool) -> None:
    for name in ("plain", "a::b?c#d%20", "~", "x" * 255):  # a URI would say something else by some of these
        for content in (b"old", b"new"):
            replace_bytes(tmp_path / "made" / name, content, sync=sync)
        assert (tmp_path / "made" / name).read_bytes() == b"new"
    assert len(list((tmp_path / "made").iterdir())) == 4


def test_content_is_on_the_disk_before_it_takes_the_files_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    seen: list[bool] = []
    synced = os.fsync

    def watched(file: int) -> None:
        seen.append(target.exists())
        synced(file)

    monkeypatch.setattr(os, "fsync", watched)
    replace_bytes(target, b"content")
    assert seen == []
    replace_bytes(tmp_path / "other", b"content", sync=True)
    target.unlink()
    replace_bytes(str(target), b"content", sync=True)
    assert seen == [True, False]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    replace_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_bytes(tmp_path / "file", b"new", sync=True)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_local_path_is_one_whatever_is_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    storage, path = open_storage(f"{tmp_path}/holiday::prepared/")
    assert path == f"{tmp_path}/holiday::prepared", "fsspec takes :: for a chain of storages"
    replace_bytes(f"{tmp_path}/holiday::prepared/dataset.json", b"{}")
    assert storage.cat_file(f"{path}/dataset.json") == b"{}"
    assert list((tmp_path / "holiday").iterdir()) == []


@pytest.mark.parametrize("of_text", [False, True])
def test_links_and_what_is_no_file_are_told_apart_for_paths_and_uris_alike(tmp_path: Path, of_text: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "photos" / "gone.jpg").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    found = photos_in(str(tmp_path / "photos") if of_text else tmp_path / "photos", recursive=True)
    assert (found.photos, found.folders) == ([], ["linked"])
    assert set(found.other_files) == {"gone.jpg", "pipe.jpg"}


def test_a_link_to_a_folder_is_a_folder_of_a_labelled_set(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train").symlink_to(tmp_path / "elsewhere")
    storage, path = open_storage(str(tmp_path / "set"))
    assert list_folder(storage, path) == [("train", True)]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("photos:2024/a", "{here}/photos:2024/a"),
        ("file:/data/a b", "/data/a b"),
        ("FILE:///data/50%25", "/data/50%25"),
        ("what?/#1 [x]", "{here}/what?/#1 [x]"),
        ("~/runs", "{home}/runs"),
        ("~runs", "{here}/~runs"),
    ],
)
def test_a_local_path_is_made_absolute_and_opened_however_it_is_written(
    text: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = path.format(here=tmp_path, home=tmp_path / "home")
    assert as_uri(text) == expected
    assert open_storage(text)[1] == expected
    assert as_uri(as_uri(text)) == expected


@pytest.mark.parametrize("uri", ["s3://bucket/a", "models:/name@champion", "memory://a", "simplecache::s3://bucket/a"])
def test_a_uri_stays_as_it_is(uri: str) -> None:
    assert as_uri(uri) == as_uri(f"{uri}/") == uri


def test_a_photo_whose_name_is_not_utf8_is_taught_under_an_escaped_name(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "a.jpg", folder / os.fsdecode(b"caf\xe9.jpg"))
    taught = TeachConfig(teacher="hf:any", photos=str(folder), out=str(tmp_path / "out"))
    assert open_source(taught).rows["id"].to_pylist() == ["a.jpg", "caf\\udce9.jpg"]


def test_a_labelled_photo_whose_name_is_not_utf8_is_a_problem(folder: Path, tmp_path: Path) -> None:
    for name in ("image", "mask"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for photo in ("a.jpg", os.fsdecode(b"caf\xe9.jpg")):
            shutil.copy(folder / "a.jpg", tmp_path / "set" / name / photo)
    photos, problems = scan_layout(str(tmp_path / "set"), "folder", polarity="focus")
    assert [photo.id for photo in photos if "caf" in photo.id] == []
    assert [problem for problem in problems if "caf\\udce9.jpg: the name is not UTF-8; rename it" in problem]
