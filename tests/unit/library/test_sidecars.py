"""Merging into sidecars: what other programs wrote stays byte for byte."""

import random
from pathlib import Path

import pytest
from sidecar_styles import DC, DIGIKAM, FIELDS, LIGHTROOM, OTHERS, RDF, STYLES, XMP, every_style

from dbd_ray.errors import ConfigError, SidecarError
from dbd_ray.library.sidecars import FocusFields, merged, write_sidecar


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
