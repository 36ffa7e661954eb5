"""What other programs read in the sidecars that we wrote into."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from sidecar_styles import FIELDS, OTHERS, STYLES

from dbd_ray.library.sidecars import merged, write_sidecar


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def exiftool(sidecar: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads(run("exiftool", "-G1", "-j", "-struct", "-XMP:all", sidecar))[0]
    return read


READ_BY_EXIFTOOL = ["lightroom", "darktable", "digikam", "exiftool", "icloudpd", "utf-16-le", "utf-16-be", "windows"]


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("style", READ_BY_EXIFTOOL)
def test_exiftool_reads_our_fields_and_everything_else_as_before(style: str, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(STYLES[style])
    before = exiftool(sidecar)
    write_sidecar(tmp_path / "a.jpg", FIELDS)
    after = exiftool(sidecar)
    assert after["XMP-dbd:SharpArea"] == "120,40,860,700" and after["XMP-dbd:FocusModel"] == FIELDS.model
    assert {name: value for name, value in after.items() if "XMP-dbd" not in name} == before


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_a_file_that_exiftool_wrote_again_is_merged_again(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(STYLES["exiftool"])  # it refuses files with different rdf:about: exiftool issue 234
    write_sidecar(tmp_path / "a.jpg", FIELDS, keywords=["focus:partial"], rating=3)
    run("exiftool", "-overwrite_original", "-XMP-dc:Title=t", sidecar)
    content = sidecar.read_bytes()
    assert merged(content, FIELDS, keywords=["focus:partial"], rating=3) == content
    write_sidecar(tmp_path / "a.jpg", OTHERS, keywords=["focus:none"], rating=1)
    after = exiftool(sidecar)
    assert sorted(after["XMP-dc:Subject"]) == ["focus:none", "sea"]  # type: ignore[call-overload]
    assert (after["XMP-dc:Title"], after["XMP-xmp:Rating"], after["XMP-dbd:FocusKind"]) == ("t", 1, "none_in_focus")


@pytest.mark.skipif(not shutil.which("exiv2"), reason="exiv2 is not installed")
@pytest.mark.parametrize("style", ["lightroom", "darktable", "digikam", "exiftool", "windows"])
def test_exiv2_reads_our_fields_and_everything_else_as_before(style: str, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(STYLES[style])
    before = run("exiv2", "-PXkt", sidecar).splitlines()
    write_sidecar(tmp_path / "a.jpg", FIELDS)
    after = run("exiv2", "-PXkt", sidecar).splitlines()
    assert [line for line in after if "Xmp.dbd." not in line] == before
    assert [line.split()[1] for line in after if "Xmp.dbd.SharpArea" in line] == ["120,40,860,700"]


@pytest.mark.skipif(not shutil.which("exiv2"), reason="exiv2 is not installed")
def test_a_file_that_exiv2_wrote_again_is_merged_again(tmp_path: Path) -> None:
    # darktable and digiKam write by exiv2, which gathers all properties in one element
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(STYLES["digikam"])
    write_sidecar(tmp_path / "a.jpg", FIELDS, keywords=["focus:partial"], rating=3)
    run("exiv2", "-M", "set Xmp.xmp.Label Red", sidecar)
    content = sidecar.read_bytes()
    assert content.count(b"<rdf:Description") == 1
    assert merged(content, FIELDS, keywords=["focus:partial"], rating=3) == content
    before = run("exiv2", "-PXkt", sidecar)
    write_sidecar(tmp_path / "a.jpg", OTHERS, keywords=["focus:none"], rating=1)
    after = run("exiv2", "-PXkt", sidecar)
    assert after.count("focus:none") == 3 and "focus:partial" not in after
    assert {
        line for line in before.splitlines() if "focus:" not in line and "Rating" not in line and ".dbd." not in line
    } < set(after.splitlines())
