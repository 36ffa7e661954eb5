"""From paths to photos: every photo that was meant, and a word on everything else."""

import os
import shutil
from pathlib import Path

import pytest

from dbd_ray.detection.find_photos import find_photos
from dbd_ray.errors import ConfigError


@pytest.fixture
def photos(cuhk: Path, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    for source in sorted((cuhk / "image").iterdir())[:3]:
        shutil.copy(source, folder)
    return sorted(folder.iterdir())


def test_folders_are_expanded_to_the_photos_directly_in_them(photos: list[Path]) -> None:
    folder = photos[0].parent
    (folder / "notes.txt").write_text("no photo")
    (folder / "._IMG.jpg").write_bytes(b"what some systems leave beside every photo")
    (folder / "deeper.jpg").mkdir()
    shutil.copy(photos[0], folder / "UPPER.JPEG")
    assert find_photos([folder]).photos == sorted([*photos, folder / "UPPER.JPEG"])
    assert find_photos([photos[1], folder, photos[1]]).photos[0] == photos[1]
    assert len(find_photos([photos[1], folder, photos[1]]).photos) == 4


def test_what_is_passed_over_in_folders_is_told_unless_it_is_given_by_name(photos: list[Path]) -> None:
    folder = photos[0].parent
    (folder / "notes.txt").touch()
    (folder / ".hidden.jpg").touch()
    (folder / "a.focus.png").touch()
    (folder / "deeper").mkdir()
    shutil.copy(photos[0], folder / "deeper")
    found = find_photos([folder, folder])
    assert sorted(path.name for path in found.other_files) == [".hidden.jpg", "a.focus.png", "notes.txt"]
    assert found.folders == [folder / "deeper"]
    found = find_photos([folder, folder / "notes.txt", folder / "deeper"])
    assert sorted(path.name for path in found.other_files) == [".hidden.jpg", "a.focus.png"]
    assert found.folders == []
    assert find_photos(photos) == (photos, [], [], {})


def test_folders_below_are_looked_into_on_demand_but_not_hidden_ones_or_links(photos: list[Path]) -> None:
    folder = photos[0].parent
    for name in ("deep/er", ".trash", "empty"):
        (folder / name).mkdir(parents=True)
    shutil.copy(photos[0], folder / "deep" / "er" / "copy.jpg")
    shutil.copy(photos[0], folder / ".trash")
    (folder / "deep" / "round").symlink_to(folder, target_is_directory=True)
    found = find_photos([folder], recursive=True)
    assert found.photos == sorted([*photos, folder / "deep" / "er" / "copy.jpg"])
    assert sorted(found.folders) == [folder / ".trash", folder / "deep" / "round"]
    assert find_photos([folder / "deep"], recursive=True).photos == [folder / "deep" / "er" / "copy.jpg"]
    with pytest.raises(ConfigError, match=r"no photos in or below .*empty"):
        find_photos([folder / "empty"], recursive=True)


def test_all_missing_paths_are_listed_at_once(photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_photos([tmp_path / "a.jpg", photos[0], tmp_path / "b"])
    assert str(caught.value) == f"no such file or folder: {tmp_path / 'a.jpg'}, {tmp_path / 'b'}"


def test_a_folder_without_photos_is_not_passed_over(photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no photos directly in .*empty"):
        find_photos([photos[0].parent, tmp_path / "empty"])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser reads everything")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o000)
    with pytest.raises(ConfigError, match=r"locked: cannot be listed \(Permission denied\)"):
        find_photos([tmp_path / "locked"])


def test_names_that_no_file_can_have_are_told_in_one_error(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    with pytest.raises(ConfigError, match=r"^cannot be opened, check names .*xxx \(File name too long\)$"):
        find_photos([tmp_path, long])


def test_a_link_to_a_name_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("x" * 300)
    assert find_photos([tmp_path]) == (
        [tmp_path / "a.jpg"],
        [tmp_path / "link.jpg"],
        [],
        {tmp_path / "a.jpg": "a.jpg"},
    )


def test_the_results_of_an_earlier_run_are_not_looked_into_where_they_lie_among_the_photos(photos: list[Path]) -> None:
    folder = photos[0].parent
    for out, masks in ((folder / "out", folder / "out" / "masks"), (folder, folder / "masks")):
        masks.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos[0], masks / f"{photos[0].name}.png")
        found = find_photos([folder], recursive=True, out=out)
        assert found.photos == photos, out
        assert found.names == {photo: photo.name for photo in photos}
        shutil.rmtree(masks)


def test_photos_of_folders_are_named_by_their_path_below_the_given_folder(photos: list[Path]) -> None:
    deep = photos[0].parent / "deep" / "er"
    deep.mkdir(parents=True)
    shutil.copy(photos[0], deep / "copy.jpg")
    given = find_photos([photos[0], photos[0].parent], recursive=True)
    assert given.names[deep / "copy.jpg"] == "deep/er/copy.jpg"
    assert given.names[photos[0]] == photos[0].name


def test_what_is_passed_over_is_told_in_words_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dead.jpg").symlink_to("nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    for name in ("@eaDir", ".trash"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    found = find_photos([tmp_path], recursive=True)
    assert found.photos == [tmp_path / "a.jpg"]
    assert {path.name: found.why_passed_over(path) for path in found.other_files} == {
        "pipe.jpg": "a pipe, socket or device, and no file",
        "dead.jpg": "a link to a file that is not there",
    }
    assert {path.name: found.why_not_looked_into(path, recursive=True) for path in found.folders} == {
        "round": "a link to a folder, which is not followed",
        "@eaDir": "Synology's folder of thumbnails, not looked into",
        ".trash": "hidden folder, not looked into",
    }
    assert "--recursive" in found.why_not_looked_into(tmp_path / "@eaDir", recursive=False)
