"""Sidecars: what other programs wrote stays byte for byte, and each photo has its own."""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from dbd_ray.errors import ConfigError, SidecarError
from dbd_ray.library import sidecars
from dbd_ray.library.sidecars import FocusFields, SidecarStyle, merged, sidecar_path, write_sidecar

FIELDS = FocusFields("partial", 0.42135, (120, 40, 860, 700), 0.91, 12.345678, "dbd-s@<12>&é")
OTHERS = FocusFields("none_in_focus", 0.0, None, 0.5, None, "dbd-m@34")
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC, XMP = 'xmlns:dc="http://purl.org/dc/elements/1.1/"', 'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'

LIGHTROOM = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000        ">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {XMP}
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    {DC}
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="4"
   xmp:MetadataDate="2024-05-01T10:00:00+02:00"
   photoshop:SidecarForExtension="NEF"
   crs:Version="15.4"
   crs:Exposure2012="+0.35"
   crs:RawFileName="a &gt; b's &quot;best&quot;.NEF">
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Berlin</rdf:li>
     <rdf:li>Familie &amp; Freunde</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Orte|Berlin</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <crs:ToneCurvePV2012>
    <rdf:Seq>
     <rdf:li>0, 0</rdf:li>
     <rdf:li>255, 255</rdf:li>
    </rdf:Seq>
   </crs:ToneCurvePV2012>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DARKTABLE = f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    {XMP}
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
    xmlns:darktable="http://darktable.sf.net/"
   xmp:Rating="1"
   xmpMM:DerivedFrom="DSC_0030.NEF"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1"
   darktable:history_end="2">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="rawprepare"
      darktable:params="gz02eJyNyrEOwiAURmEe5Y6alHZ3E5zZHaH8kRvg1lAqiU9vH8GzfkfRHynb4Dt/"/>
     <rdf:li
      darktable:num="1"
      darktable:operation="flip"
      darktable:multi_name=" "
      darktable:params="ffffffff"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DIGIKAM = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#"
    {DC}
   digiKam:ColorLabel="0"
   digiKam:PickLabel="0"
   MicrosoftPhoto:Rating="0">
   <xmpMM:DerivedFrom stRef:documentID="A1" stRef:originalDocumentID="B2"/>
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Orte/Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <MicrosoftPhoto:LastKeywordXMP>
    <rdf:Bag>
     <rdf:li>Orte/Köln</rdf:li>
    </rdf:Bag>
   </MicrosoftPhoto:LastKeywordXMP>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Orte|Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Köln</rdf:li>
     <rdf:li>focus:all</rdf:li>
    </rdf:Bag>
   </dc:subject>
   <exif:UserComment>
    <rdf:Alt>
     <rdf:li xml:lang="x-default"><![CDATA[a <b> & ]] > c]]></rdf:li>
    </rdf:Alt>
   </exif:UserComment>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""

EXIFTOOL = f"""<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF {RDF.replace('"', "'")}>

 <rdf:Description rdf:about='uuid:7'
  xmlns:dc='http://purl.org/dc/elements/1.1/'>
  <dc:subject>
   <rdf:Bag>
    <rdf:li>sea</rdf:li>
   </rdf:Bag>
  </dc:subject>
 </rdf:Description>

 <rdf:Description rdf:about='uuid:7'
  xmlns:exif='http://ns.adobe.com/exif/1.0/'>
  <exif:GPSLatitude>50,56.4N</exif:GPSLatitude>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
{chr(10).join([" " * 99] * 20)}
<?xpacket end='w'?>"""

# none of its names is the usual one, and there are comments, instructions and CDATA in all places
ODD = """<!-- by hand --><m:meta xmlns:m="adobe:ns:meta/"><!-- > --><r:RDF
 xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:d="http://purl.org/dc/elements/1.1/"><?note a="/>"?>
 <r:Description xmlns="urn:ours" about = "" xmlns:rdf="urn:not-rdf"  rdf:a='>"/>' ><!-- </r:Description> -->
<b><![CDATA[</r:RDF>]]></b><d:subject><r:Bag><!-- none --><r:li><![CDATA[x]]></r:li></r:Bag></d:subject></r:Description>
</r:RDF></m:meta><!-- end -->"""

DEFAULT_NAMESPACE = """<xmpmeta xmlns="adobe:ns:meta/"><RDF xmlns="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:a="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><Description a:about=""><subject
 xmlns="http://purl.org/dc/elements/1.1/"/></Description></RDF></xmpmeta>"""

# https://github.com/Exiv2/exiv2/issues/3280: the root has another name
ICLOUDPD = f"""<?xml version='1.0' encoding='utf-8'?>
<x:xml_doc xmlns:x="adobe:ns:meta/" x:xmptk="icloudpd 1.27.1"><rdf:RDF {RDF}><rdf:Description rdf:about="" {XMP}>\
<xmp:CreateDate>2024-01-23T18:12:34-0700</xmp:CreateDate><xmp:Rating>5</xmp:Rating></rdf:Description></rdf:RDF></x:xml_doc>"""

# the texts look like tags and attributes
ALIKE = f"""<rdf:RDF {RDF} >
<rdf:Description >rdf:about="" xmlns:a="b" >c="d"<!-- e="f"> --></rdf:Description ></rdf:RDF >"""
EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/" {RDF}><rdf:RDF /></x:xmpmeta>'
BARE = f'<rdf:RDF {RDF}><rdf:Description rdf:about=""/></rdf:RDF>'

STYLES = {
    "lightroom": LIGHTROOM.encode(),
    "darktable": DARKTABLE.encode(),
    "digikam": DIGIKAM.encode(),
    "exiftool": EXIFTOOL.encode(),
    "odd": ODD.encode(),
    "default namespace": DEFAULT_NAMESPACE.encode(),
    "icloudpd": ICLOUDPD.encode(),
    "empty": EMPTY.encode(),
    "bare": BARE.encode(),
    "alike": ALIKE.encode(),
    "utf-8 with mark": b"\xef\xbb\xbf" + LIGHTROOM.encode(),
    "utf-16-le": b"\xff\xfe" + DIGIKAM.encode("utf-16-le"),
    "utf-16-be": b"\xfe\xff" + DARKTABLE.replace("UTF-8", "UTF-16").encode("utf-16-be"),
    "utf-16 without mark": LIGHTROOM.encode("utf-16-le"),
    "windows": LIGHTROOM.replace("\n", "\r\n").encode(),
}
every_style = pytest.mark.parametrize("old", STYLES.values(), ids=STYLES)


def is_inserted(new: bytes, old: bytes) -> bool:
    """Tell whether the new file is the old one with something put in at one place."""
    same = next((n for n in range(len(old)) if new[n] != old[n]), len(old))
    return new.startswith(old[:same]) and new.endswith(old[same:])


@every_style
def test_fields_are_put_in_at_one_place_and_no_other_byte_changes(old: bytes) -> None:
    new = merged(old, FIELDS)
    assert new != old
    assert is_inserted(new, old) or b"<rdf:RDF />" in old  # which gets an end tag


@every_style
def test_the_same_once_more_changes_no_byte(old: bytes) -> None:
    for settings in ({}, {"keywords": ["focus:partial", "focus:soft"]}, {"rating": 3}, {"keywords": [], "rating": 2}):
        new = merged(old, FIELDS, **settings)
        assert merged(new, FIELDS, **settings) == new
        assert merged(new, FIELDS) == new, "what was not asked for stays"


@every_style
def test_what_is_taken_away_again_leaves_the_file_as_it_was(old: bytes) -> None:
    if b"<rdf:RDF />" in old:
        return
    assert merged(merged(old, FIELDS), FocusFields()) == old


@pytest.mark.parametrize("style", ["lightroom", "darktable", "exiftool", "odd", "icloudpd", "bare", "utf-16-be"])
def test_keywords_that_are_taken_away_again_leave_the_file_as_it_was(style: str) -> None:
    old = STYLES[style]
    new = merged(old, FIELDS, keywords=["focus:partial", "focus:a&b"])
    assert merged(new, FocusFields(), keywords=()) == old


def test_other_fields_replace_ours_in_their_place() -> None:
    first = merged(LIGHTROOM.encode(), FIELDS)
    behind = first.replace(b" </rdf:RDF>", b'  <rdf:Description rdf:about="" xmlns:a="urn:a" a:b="c"/>\n </rdf:RDF>')
    new = merged(behind, OTHERS)
    assert b"<dbd:FocusKind>none_in_focus<" in new
    assert b"SharpArea" not in new and b"partial" not in new
    assert new.index(b"FocusKind") < new.index(b"urn:a")
    assert merged(new, FIELDS) == behind


def test_fields_that_another_program_moved_are_left_if_they_are_the_same_and_found_if_they_are_not() -> None:
    moved = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about=""
    xmlns:ns1="https://dbd-ray.dev/ns/focus/1.0/"
    ns1:FocusKind="partial" xmlns:a="urn:a" a:b="c" ns1:SharpArea="1,2,3,4">
    <a:c>d</a:c> <ns1:FocusModel>m</ns1:FocusModel></rdf:Description></rdf:RDF></x:xmpmeta>""".encode()
    assert merged(moved, FocusFields("partial", sharp_area=(1, 2, 3, 4), model="m")) == moved
    new = merged(moved, FocusFields("partial", sharp_area=(1, 2, 3, 5), model="m"))
    assert b"ns1:" not in new.replace(b"xmlns:ns1", b"")
    assert b'a:b="c">' in new and b"<a:c>d</a:c></rdf:Description>" in new
    assert new.count(b"FocusKind") == 2


def test_a_new_sidecar_has_the_fields_and_nothing_that_is_unknown() -> None:
    new = merged(None, FocusFields("partial", float("nan"), None, None, float("inf"), "a\0b\ud800"))
    assert b"<dbd:FocusKind>partial<" in new and "<dbd:FocusModel>a\ufffdb\ufffd<".encode() in new
    assert not any(name in new for name in (b"InFocusFraction", b"SharpArea", b"Confidence", b"Sharpness", b"Rating"))


def test_keywords_of_ours_are_replaced_and_all_others_stay() -> None:
    new = merged(LIGHTROOM.encode(), FIELDS, keywords=["focus:partial"]).decode()
    assert "<rdf:li>Familie &amp; Freunde</rdf:li>\n     <rdf:li>focus:partial</rdf:li>\n    </rdf:Bag>" in new
    assert new.count("focus:partial") == 1, "a list in which we were not is left alone"
    newer = merged(new.encode(), FIELDS, keywords=["focus:soft"]).decode()
    assert newer == new.replace("focus:partial", "focus:soft")


def test_keywords_that_other_programs_copied_are_replaced_there_too() -> None:
    new = merged(DIGIKAM.encode(), FIELDS, keywords=["focus:partial"]).decode()
    assert new.count("<rdf:li>focus:partial</rdf:li>") == 3 and "focus:all" not in new
    none = merged(DIGIKAM.encode(), FIELDS, keywords=[]).decode()
    assert "focus:" not in none.replace("xmlns:", "") and none.count("Köln") == 4


def test_an_ordered_list_of_keywords_and_an_empty_one_are_filled() -> None:
    # https://github.com/RhetTbull/osxphotos/issues/349 and 350
    for inner in ("<rdf:Seq/>", "<rdf:Seq></rdf:Seq>", "", "<rdf:Seq><rdf:li>a</rdf:li></rdf:Seq>"):
        subject = f'<rdf:Description rdf:about=""><dc:subject>{inner}</dc:subject></rdf:Description>'
        old = f"<rdf:RDF {RDF} {DC}>{subject}</rdf:RDF>"
        new = merged(old.encode(), FIELDS, keywords=["focus:partial"]).decode()
        assert new.count("<rdf:li>focus:partial</rdf:li>") == 1 and new.count("<dc:subject>") == 1
        assert ("<rdf:Bag>" if not inner else "<rdf:Seq>") in new


@pytest.mark.parametrize(
    "subject", ["<dc:subject>a, b</dc:subject>", '<dc:subject rdf:parseType="Resource"><dc:a/></dc:subject>']
)
def test_keywords_that_are_no_list_are_not_touched(subject: str) -> None:
    old = f'<rdf:RDF {RDF} {DC}><rdf:Description rdf:about="">{subject}</rdf:Description></rdf:RDF>'.encode()
    assert is_inserted(merged(old, FIELDS), old)
    with pytest.raises(SidecarError, match=r"keywords .* are no list: .* run again without keywords"):
        merged(old, FIELDS, keywords=["focus:partial"])


def rated(*stars: str) -> bytes:
    inner = "".join(stars)
    return f'<rdf:RDF {RDF} {XMP}><rdf:Description rdf:about="">{inner}</rdf:Description></rdf:RDF>'.encode()


def test_stars_are_given_only_to_a_photo_without() -> None:
    assert b"<xmp:Rating>3</xmp:Rating>" in merged(rated(), FIELDS, rating=3)
    assert b"<xmp:Rating>3</xmp:Rating>" in merged(rated("<xmp:Rating/>"), FIELDS, rating=3)
    for present in (
        "5",
        "0",
        "-1",
        "3",
    ):  # darktable's users choose 0, too: https://github.com/darktable-org/darktable/issues/6752
        old = rated(f"<xmp:Rating>{present}</xmp:Rating>")
        assert merged(old, FIELDS, rating=3) == merged(old, FIELDS)
    assert merged(LIGHTROOM.encode(), FIELDS, rating=2) == merged(LIGHTROOM.encode(), FIELDS)
    windows = rated('<m:Rating xmlns:m="http://ns.microsoft.com/photo/1.0/">75</m:Rating>')
    assert merged(windows, FIELDS, rating=2) == merged(windows, FIELDS)


def test_stars_of_ours_are_changed_until_the_user_changes_them() -> None:
    ours = merged(DIGIKAM.encode(), FIELDS, rating=3)
    assert b"<xmp:Rating>4<" in merged(ours, FIELDS, rating=4)
    for theirs in (b"<xmp:Rating>1</xmp:Rating>", b"<xmp:Rating>0</xmp:Rating>", b""):
        changed = ours.replace(b"<xmp:Rating>3</xmp:Rating>", theirs)
        assert changed != ours
        assert merged(changed, FIELDS, rating=4) == changed
        assert b"<xmp:Rating>5<" not in merged(changed, OTHERS, rating=5)
    as_real = ours.replace(b"<xmp:Rating>3</xmp:Rating>", b"<xmp:Rating>3.0</xmp:Rating>")
    assert merged(as_real, FIELDS, rating=3) == as_real
    assert b"<xmp:Rating>4<" in merged(as_real, FIELDS, rating=4)


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="'partial' has to begin with 'focus:'"):
        merged(None, FIELDS, keywords=["partial"])
    with pytest.raises(ConfigError, match="rating: 6 are no stars"):
        merged(None, FIELDS, rating=6)


LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\0" * 4096, "its XML is damaged"),
        (LIGHTROOM.encode()[:900], "its XML is damaged"),
        (LIGHTROOM.encode() + b"\0\0", "its XML is damaged"),
        (LIGHTROOM.replace("xmlns:crs", "xmlns:crs2").encode(), "its XML is damaged"),
        (LIGHTROOM.replace("Berlin", "Köln").encode("latin-1"), "its text is damaged, or in another encoding"),
        (b"\xff\xfe" + LIGHTROOM.encode("utf-16-le")[:-1], "its text is damaged"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?>" + LIGHTROOM.encode(), "its encoding is ISO-8859-1"),
        (LAUGHS.encode() + LIGHTROOM.encode(), "it has a DOCTYPE"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "it has a DOCTYPE"),
        (b"<html><body/></html>", "it is no XMP"),
        (f"<html><rdf:RDF {RDF}/></html>".encode(), "it is no XMP"),
        (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>', "it is no XMP"),
        (b"\xff\xd8\xff\xe1 Exif", "its text is damaged"),
    ],
)
def test_a_damaged_sidecar_is_refused_and_stays_as_it_is(content: bytes, words: str, tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.xmp"
    sidecar.write_bytes(content)
    with pytest.raises(SidecarError, match=rf"a\.jpg\.xmp: {words}.*run again"):
        write_sidecar(tmp_path / "a.jpg", FIELDS)
    assert sidecar.read_bytes() == content
    assert list(tmp_path.iterdir()) == [sidecar]


def test_a_sidecar_that_is_cut_or_changed_anywhere_is_merged_or_refused() -> None:
    draw = random.Random(5)
    refused = 0
    for style in ("digikam", "odd", "utf-16-le"):
        for _ in range(150):
            content = bytearray(STYLES[style])
            place = draw.randrange(len(content))
            content[place : place + draw.choice((0, 1, 9))] = draw.choice(
                (b"", b"<", b'"', b">", b"&", b"\0", b"]]>", b" ")
            )
            try:
                new = merged(bytes(content), FIELDS, keywords=["focus:partial"], rating=3)
                assert merged(new, FIELDS, keywords=["focus:partial"], rating=3) == new
            except SidecarError:
                refused += 1
    assert 100 < refused < 450


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
