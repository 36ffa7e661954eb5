"""Sidecars as files: each photo has its own, and nothing that is there is lost."""

import os
from pathlib import Path

import pytest
from sidecar_styles import DARKTABLE, FIELDS, LIGHTROOM

from dbd_ray.errors import ConfigError, SidecarError
from dbd_ray.library import sidecars
from dbd_ray.library.sidecars import FocusFields, SidecarStyle, merged, sidecar_path, write_sidecar


@pytest.mark.parametrize(
    ("files", "photo", "style", "expected"),
    [
        ("a.jpg", "a.jpg", "auto", "a.jpg.xmp"),
        ("a.CR2", "a.CR2", "auto", "a.xmp"),
        ("a.jpg", "a.jpg", "lightroom", "a.xmp"),
        ("a.CR2", "a.CR2", "appended", "a.CR2.xmp"),
        ("a.jpg a.xmp", "a.jpg", "auto", "a.xmp"),
        ("a.jpg a.XMP", "a.jpg", "auto", "a.XMP"),
        ("a.jpg a.xmp a.jpg.XMP", "a.jpg", "auto", "a.jpg.XMP"),
        ("a.CR2 a.XMP", "a.CR2", "lightroom", "a.XMP"),
        ("a.CR2 a.xmp a.CR2.xmp", "a.CR2", "auto", "a.CR2.xmp"),  # phockup pull request 81
        # the raw file's, whoever asks
        ("a.jpg a.CR2 a.xmp", "a.jpg", "auto", "a.jpg.xmp"),
        ("a.jpg a.CR2 a.xmp", "a.jpg", "lightroom", "a.jpg.xmp"),
        ("a.jpg a.CR2 a.xmp", "a.CR2", "auto", "a.xmp"),
        ("a.JPG a.3fr", "a.JPG", "lightroom", "a.JPG.xmp"),
        ("a.dng a.CR2 a.xmp", "a.dng", "auto", "a.dng.xmp"),
        ("a.dng a.CR2", "a.CR2", "auto", "a.xmp"),
        ("a.jpg a.dng", "a.dng", "auto", "a.xmp"),
        ("a.RAF a.CR2", "a.CR2", "auto", "a.CR2.xmp"),
        # nobody's among equals: https://github.com/RhetTbull/osxphotos/issues/210
        ("a.jpg a.HEIC a.xmp", "a.jpg", "auto", "a.jpg.xmp"),
        ("a.jpg a.JPG", "a.jpg", "lightroom", "a.jpg.xmp"),
        ("a.b.jpg a.CR2 a.b.xmp", "a.b.jpg", "auto", "a.b.xmp"),
        ("a", "a", "lightroom", "a.xmp"),
    ],
)
def test_a_photo_has_a_sidecar_of_its_own(
    files: str, photo: str, style: SidecarStyle, expected: str, tmp_path: Path
) -> None:
    for name in files.split():
        (tmp_path / name).touch()
    assert sidecar_path(tmp_path / photo, style) == tmp_path / expected


def test_a_sidecar_that_says_it_is_another_files_is_left_to_that(tmp_path: Path) -> None:
    (tmp_path / "a.xmp").write_text(LIGHTROOM)  # of a.NEF, which was moved away
    assert sidecar_path(tmp_path / "a.jpg") == tmp_path / "a.jpg.xmp"
    assert sidecar_path(tmp_path / "a.nef") == tmp_path / "a.xmp"


def test_sidecars_elsewhere_mirror_the_folders_and_never_leave_theirs(tmp_path: Path) -> None:
    root, out = tmp_path / "photos", tmp_path / "out"
    for folder in ("2004", "2006"):  # the same name in both
        assert (
            write_sidecar(root / folder / "a.jpg", FIELDS, sidecar_dir=out, photo_root=root)
            == out / folder / "a.jpg.xmp"
        )
    assert write_sidecar(root / "x" / ".." / "b.jpg", FIELDS, sidecar_dir=out, photo_root=root) == out / "b.jpg.xmp"
    with pytest.raises(ConfigError, match=r"is not in .*: name the folder that holds all photos"):
        write_sidecar(root / ".." / "c.jpg", FIELDS, sidecar_dir=out, photo_root=root)
    with pytest.raises(ConfigError, match="photo_root: needed with sidecar_dir"):
        write_sidecar(root / "a.jpg", FIELDS, sidecar_dir=out)
    assert not root.exists()


def test_a_sidecar_is_not_written_again_where_nothing_changes(tmp_path: Path) -> None:
    sidecar = write_sidecar(tmp_path / "a.jpg", FIELDS, keywords=["focus:partial"])
    before = sidecar.stat()
    assert write_sidecar(tmp_path / "a.jpg", FIELDS, keywords=["focus:partial"]) == sidecar
    assert (sidecar.stat().st_ino, sidecar.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_the_permissions_of_a_sidecar_stay(mode: int, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.xmp"
    sidecar.write_text(LIGHTROOM)
    sidecar.chmod(mode)
    assert write_sidecar(tmp_path / "a.nef", FIELDS) == sidecar
    assert sidecar.stat().st_mode & 0o777 == mode
    assert b"FocusKind" in sidecar.read_bytes()


def test_a_linked_sidecar_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.xmp", tmp_path / "a.jpg.xmp"
    link.symlink_to(target)
    with pytest.raises(SidecarError, match=r"a\.jpg\.xmp: it is a link to .*real\.xmp, which is not there"):
        write_sidecar(tmp_path / "a.jpg", FIELDS)
    target.write_text(DARKTABLE)
    write_sidecar(tmp_path / "a.jpg", FIELDS)
    assert link.is_symlink() and b"FocusKind" in target.read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["real.xmp"]


def test_what_cannot_be_written_is_said_and_left_alone(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(DARKTABLE)
    sidecar.chmod(0o444)
    with pytest.raises(SidecarError, match=r"a\.jpg\.xmp: it is protected against changes"):
        write_sidecar(tmp_path / "a.jpg", FIELDS)
    assert sidecar.read_text() == DARKTABLE
    os.mkfifo(tmp_path / "b.jpg.xmp")
    with pytest.raises(SidecarError, match=r"b\.jpg\.xmp: it is no file"):
        write_sidecar(tmp_path / "b.jpg", FIELDS)
    with pytest.raises(SidecarError, match=r"cannot be written \(Not a directory\): make its folder writable"):
        write_sidecar(sidecar / "c.jpg", FIELDS)
    with pytest.raises(SidecarError, match=r"cannot be written \(File name too long\)"):
        write_sidecar(tmp_path / f"{'x' * 250}.jpg", FIELDS)


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may write everywhere")
def test_a_folder_that_is_read_only_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(SidecarError, match=r"cannot be written \(Permission denied\)"):
        write_sidecar(tmp_path / "a.jpg", FIELDS)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("times", [1, 2])
def test_what_another_program_saves_meanwhile_is_not_lost(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(DARKTABLE)
    saved = [DARKTABLE.replace('history_end="2"', f'history_end="{n}"') for n in (7, 8)][:times]

    def slow(existing: bytes | None, fields: FocusFields, **settings: None) -> bytes:
        new = merged(existing, fields, **settings)
        if saved:
            sidecar.write_text(saved.pop(0))
        return new

    monkeypatch.setattr(sidecars, "merged", slow)
    if times == 1:
        write_sidecar(tmp_path / "a.jpg", FIELDS)
        assert b"FocusKind" in sidecar.read_bytes() and b'history_end="7"' in sidecar.read_bytes()
    else:
        with pytest.raises(SidecarError, match="another program is writing it"):
            write_sidecar(tmp_path / "a.jpg", FIELDS)
        assert 'history_end="8"' in sidecar.read_text()


def test_a_full_disk_leaves_the_old_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_text(DARKTABLE)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SidecarError, match="No space left on device"):
        write_sidecar(tmp_path / "a.jpg", FIELDS)
    assert [path.read_text() for path in tmp_path.iterdir()] == [DARKTABLE]
