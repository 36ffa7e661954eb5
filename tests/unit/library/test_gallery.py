"""The gallery's files: whole, equal when written twice, and harmless whatever the names in a library are."""

import base64
import json
import math
import re
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from dbd_ray.library import gallery
from dbd_ray.library.gallery_charts import in_dark, spread_by_aperture, spread_by_lens, spread_by_time, spread_chart
from dbd_ray.library.gallery_data import PAGE_ROWS, file_link, in_folder_order, script_json
from dbd_ray.library.gallery_summary import summarize
from dbd_ray.library.schema import LIBRARY_SCHEMA, path_text
from dbd_ray.readable import readable

HASH = "0123456789abcdef" * 2
HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "two\nlines\r.jpg",
    "separators\u2028\u2029.jpg",
    "gpj.\u202eexe.jpg",
    "__proto__",
    "constructor/__proto__/toString",
    "'); alert(1); ('.jpg",
    "<!--.jpg",
    "{{ title }}.jpg",
    "日本 🏔️.jpg",
]


def write_gallery(table: pa.Table, out: str, *, title: str) -> Path:
    """Write a gallery into a local folder; gives the path of its first page."""
    return Path(gallery.write_gallery(table, out, title=title))


def make_row(path: bytes, **values: Any) -> dict[str, Any]:
    """Make a row of a photo that was looked at."""
    known = {
        "path": path_text(path),
        "path_bytes": path,
        "uri": "/photos",
        "status": "ok",
        "content_hash": HASH,
        "focus_kind": "partial",
        "in_focus_fraction": 0.25,
    }
    return dict.fromkeys(LIBRARY_SCHEMA.names) | known | values


def make_table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=LIBRARY_SCHEMA)


def read_call(file: Path) -> list[Any]:
    """Give the arguments of the call that a script of data is."""
    call = re.fullmatch(r"gallery\.(?:index|page)\((.*)\);\n", file.read_text("ascii"))
    assert call
    arguments: list[Any] = json.loads(f"[{call[1]}]")
    return arguments


def read_index(page: Path) -> dict[str, Any]:
    """Give the index that index.html names."""
    name = re.search(r'src="(data/index\.[0-9a-f]{12}\.js)"', page.read_text())
    assert name
    index: dict[str, Any] = read_call(page.parent / name[1])[0]
    return index


def unpack(column: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(column["data"]), np.dtype(f"<{column['type']}"))


def texts_of(column: dict[str, Any]) -> list[str | None]:
    return [column["texts"][code] if code < len(column["texts"]) else None for code in unpack(column)]


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_everything_that_the_pages_name_is_there(tmp_path: Path) -> None:
    page = write_gallery(make_table(make_row(b"a/b.jpg")), str(tmp_path), title="Photos")
    assert page == tmp_path / "gallery" / "index.html"
    for html in page.parent.glob("*.html"):
        named = re.findall(r'(?:src|href)="([^"#:]+)(?:#[^"]*)?"', html.read_text())
        assert "gallery.css" in named
        for name in named:
            assert (page.parent / name).is_file(), name


def test_pages_load_nothing_from_elsewhere_and_run_no_inline_script(tmp_path: Path) -> None:
    page = write_gallery(make_table(make_row(b"a.jpg")), str(tmp_path), title="Photos")
    for file in page.parent.iterdir():
        if file.suffix in (".html", ".js", ".css"):
            assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|eval\(|style=\"", file.read_text()), file.name
    for html in page.parent.glob("*.html"):
        text = html.read_text()
        assert "default-src 'none'" in text
        assert "unsafe" not in text
        assert not re.search(r"<script(?! src=)|\son\w+=", text)


def test_rows_sort_by_folder_and_by_the_numbers_in_names(tmp_path: Path) -> None:
    names = [b"b/2.jpg", b"IMG_10.jpg", b"a 10/1.jpg", b"a 9/x/1.jpg", b"a 9/10.jpg", b"a 9/9.jpg", b"IMG_9.jpg"]
    rows = in_folder_order(make_table(*(make_row(name) for name in names)))
    assert rows["path"].to_pylist() == [
        *("IMG_9.jpg", "IMG_10.jpg", "a 9/9.jpg", "a 9/10.jpg", "a 9/x/1.jpg", "a 10/1.jpg", "b/2.jpg"),
    ]


def test_a_number_of_thousands_of_digits_is_a_name_like_others(tmp_path: Path) -> None:
    long = b"9" * 5000 + b".jpg"
    rows = in_folder_order(make_table(make_row(long), make_row(b"10.jpg")))
    assert rows["path_bytes"].to_pylist() == [b"10.jpg", long]


def test_the_index_holds_what_the_table_holds(tmp_path: Path) -> None:
    failed = make_row(b"x/b.jpg", status="error", reason="truncated", content_hash=None, focus_kind=None)
    failed |= {"in_focus_fraction": None}
    taken = make_row(b"x/a.jpg", taken_at=datetime(2020, 5, 3, 12, 30), lens="EF 50", f_number=2.8, iso=6400)
    index = read_index(write_gallery(make_table(failed, taken), str(tmp_path), title="Photos"))
    assert index["count"] == 2
    assert index["names"] == ["a.jpg", "b.jpg"]
    assert texts_of(index["codes"]["folder"]) == ["x", "x"]
    assert texts_of(index["codes"]["status"]) == ["ok", "error"]
    assert texts_of(index["codes"]["reason"]) == [None, "truncated"]
    assert texts_of(index["codes"]["lens"]) == ["EF 50", None]
    share = unpack(index["numbers"]["in_focus_fraction"])
    assert share[0] == 0.25
    assert math.isnan(share[1])
    assert unpack(index["numbers"]["taken_at"])[0] == 1588509000
    assert unpack(index["numbers"]["f_number"])[0] == np.float32(2.8)
    assert unpack(index["numbers"]["iso"])[0] == 6400
    assert base64.b64decode(index["hashes"]) == bytes.fromhex(HASH) + bytes(16)


def test_a_share_below_one_is_never_shown_as_all(tmp_path: Path) -> None:
    table = make_table(make_row(b"a.jpg", in_focus_fraction=1 - 1e-12), make_row(b"b.jpg", in_focus_fraction=1.0))
    share = unpack(
        read_index(write_gallery(table, str(tmp_path), title=""))["numbers"]["in_focus_fraction"],
    )
    assert share[0] < 1
    assert share[1] == 1


def test_details_come_in_pages(tmp_path: Path) -> None:
    count = 2 * PAGE_ROWS + 5
    table = make_table(*(make_row(b"%d.jpg" % number, size=number) for number in range(count)))
    page = write_gallery(table, str(tmp_path), title="Photos")
    index = read_index(page)
    assert index["pageRows"] == PAGE_ROWS
    sizes: list[int] = []
    for number, name in enumerate(index["pages"]):
        told, details = read_call(page.parent / "data" / name)
        assert told == number
        assert len(details["links"]) <= PAGE_ROWS
        sizes += details["values"]["size"]
    assert sizes == list(range(count))


def test_writing_twice_gives_equal_bytes_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = [
        make_row(
            b"%d/%d.jpg" % (n % 7, n), lens=f"lens {n % 3}", f_number=1.4 + n % 5, taken_at=datetime(2020, 1, 1 + n)
        )
        for n in range(30)
    ]
    write_gallery(make_table(*rows), str(tmp_path / "first"), title="Photos")
    for _ in range(2):
        write_gallery(make_table(*reversed(rows)), str(tmp_path / "second"), title="Photos")
    assert all_files(tmp_path / "first") == all_files(tmp_path / "second")


def test_data_of_an_earlier_larger_gallery_go_and_other_files_stay(tmp_path: Path) -> None:
    many = make_table(*(make_row(b"%d.jpg" % number) for number in range(PAGE_ROWS + 1)))
    data = write_gallery(many, str(tmp_path), title="Photos").parent / "data"
    assert len(list(data.glob("page-*.js"))) == 2
    thumb = tmp_path / "gallery" / "thumbs" / HASH[:2] / f"{HASH}.jpg"
    thumb.parent.mkdir(parents=True)
    thumb.write_bytes(b"thumb")
    (data / "notes.js").write_text("mine")
    write_gallery(make_table(make_row(b"1.jpg")), str(tmp_path), title="Photos")
    assert len(list(data.glob("page-*.js"))) == 1
    assert len(list(data.glob("index.*.js"))) == 1
    assert (data / "notes.js").read_text() == "mine"
    assert thumb.read_bytes() == b"thumb"


def test_a_gallery_that_was_interrupted_still_shows_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_gallery(make_table(make_row(b"old.jpg")), str(tmp_path), title="Photos")

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dbd_ray.library.gallery.summarize", fail)
    with pytest.raises(KeyboardInterrupt):
        write_gallery(make_table(make_row(b"new.jpg")), str(tmp_path), title="Photos")
    index = read_index(page)
    assert index["names"] == ["old.jpg"]
    assert read_call(page.parent / "data" / index["pages"][0])[0] == 0


def test_no_photos_make_a_gallery_that_says_so(tmp_path: Path) -> None:
    page = write_gallery(make_table(), str(tmp_path), title="Nothing")
    index = read_index(page)
    assert (index["count"], index["names"], index["pages"]) == (0, [], [])
    assert "<b>0</b>" in page.with_name("summary.html").read_text()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_data(name: str, tmp_path: Path) -> None:
    row = make_row(name.encode(), lens=name, camera=name, message=name, reason=name, status="error", focus_model=name)
    page = write_gallery(make_table(row), str(tmp_path), title=name)
    index = read_index(page)
    folder, _, last = name.rpartition("/")
    assert index["names"] == [last]
    assert index["codes"]["folder"]["texts"] == [folder]
    assert index["codes"]["lens"]["texts"] == [name]
    details = read_call(page.parent / "data" / index["pages"][0])[1]
    assert details["values"]["message"] == [name]
    for file in (page.parent / "data").iterdir():
        assert b"<" not in file.read_bytes()
    for html in page.parent.glob("*.html"):
        text = html.read_text()
        assert not re.search(r"<script>|<img src=x|onerror=alert\(1\)>(?!\.)|[\u2028\u2029\u202e]", text)


def test_numbers_that_are_none_are_unknown(tmp_path: Path) -> None:
    odd = {"sharpness": math.nan, "f_number": math.inf, "exposure_s": math.nan, "focus_confidence": -math.inf}
    table = make_table(make_row(b"a.jpg", in_focus_fraction=math.nan, **odd), make_row(b"b.jpg", sharpness=1e300))
    page = write_gallery(table, str(tmp_path), title="Photos")
    index = read_index(page)
    for name in ("in_focus_fraction", "sharpness", "f_number", "iso", "taken_at"):
        assert math.isnan(unpack(index["numbers"][name])[0]), name
    assert math.isnan(unpack(index["numbers"]["sharpness"])[1])
    details = read_call(page.parent / "data" / index["pages"][0])[1]
    assert details["values"]["exposure_s"] == [None, None]


def test_bytes_that_are_no_text_are_shown_and_linked_as_they_are(tmp_path: Path) -> None:
    page = write_gallery(make_table(make_row(b"caf\xe9/100% #1?.jpg")), str(tmp_path), title="Photos")
    index = read_index(page)
    assert index["codes"]["folder"]["texts"] == ["caf\\xe9"]
    links = read_call(page.parent / "data" / index["pages"][0])[1]["links"]
    assert links == ["file:///photos/caf%E9/100%25%20%231%3F.jpg"]


@pytest.mark.parametrize(
    ("root", "path", "link"),
    [
        ("/", b"a.jpg", "file:///a.jpg"),
        ("/p/", b"a b.jpg", "file:///p/a%20b.jpg"),
        ("/bücher", "日.jpg".encode(), "file:///b%C3%BCcher/%E6%97%A5.jpg"),
        ("/p", b"javascript:alert(1)", "file:///p/javascript%3Aalert%281%29"),
        ("s3://bucket/p", b"a.jpg", None),
        ("javascript:alert(1)", b"a.jpg", None),
    ],
)
def test_links_lead_to_local_files_alone(root: str, path: bytes, link: str | None) -> None:
    assert file_link(root, path) == link


def test_json_in_scripts_is_ascii_without_tags() -> None:
    text = script_json({"name": "</script><!--\u2028日"})
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == {"name": "</script><!--\u2028日"}
    with pytest.raises(ValueError):
        script_json(math.nan)


def test_unseen_characters_are_written_out() -> None:
    assert readable("a\nb\u202ec\x00\U000e0041") == "a\\x0ab\\u202ec\\x00\\U000e0041"
    assert readable("日本 👩\u200d🚀") == "日本 👩\u200d🚀"
    assert readable("abcdefghij", longest=5) == "ab…ij"


def test_the_summary_counts_kinds_and_reasons_and_leads_to_them() -> None:
    skipped = make_row(b"c.jpg", status="skipped", reason="too_many_bytes", focus_kind=None, in_focus_fraction=None)
    late = make_row(b"d.jpg", status="error", reason="sidecar", focus_kind=None, in_focus_fraction=0.9)
    summary = summarize(make_table(make_row(b"a.jpg"), make_row(b"b.jpg", in_focus_fraction=0.75), skipped, late))
    assert (summary.files, summary.photos, summary.median_share) == (4, 2, 0.5)
    assert [(row.label, row.count) for row in summary.statuses] == [
        ("Looked at", 2),
        ("Failed: sidecar", 1),
        ("Skipped: too many bytes", 1),
    ]
    assert summary.statuses[2].link == "index.html#status=skipped%3Atoo_many_bytes"
    assert [(row.label, row.count, row.share) for row in summary.kinds] == [("Partly in focus", 2, 1.0)]


def test_charts_group_by_time_aperture_and_lens() -> None:
    rows = [
        make_row(b"a", taken_at=datetime(2001, 1, 1), f_number=1.8, lens="B", in_focus_fraction=0.2),
        make_row(b"b", taken_at=datetime(2020, 1, 1), f_number=2.0, lens="B", in_focus_fraction=0.4),
        make_row(b"c", taken_at=datetime(2020, 6, 1), f_number=0.0, lens="A", in_focus_fraction=0.8),
        make_row(b"d", in_focus_fraction=0.9),
    ]
    table = make_table(*rows)
    share = table["in_focus_fraction"].to_numpy()
    time = spread_by_time(table, share)
    assert (time.labels, time.counts) == (("2001", "2020"), (1, 2))
    assert time.medians == pytest.approx((0.2, 0.6))
    aperture = spread_by_aperture(table, share)
    assert (aperture.labels, aperture.counts) == (("f/2",), (2,))
    lens = spread_by_lens(table, share)
    assert (lens.labels, lens.counts) == (("B", "A"), (2, 1))


def test_charts_are_sound_svg_whatever_lenses_are_called() -> None:
    table = make_table(
        *(make_row(b"%d" % n, lens=name) for n, name in enumerate([*HOSTILE, "$x$", "\x00", "$\\frac{"]))
    )
    svg = spread_chart(spread_by_lens(table, table["in_focus_fraction"].to_numpy()))
    for text in (svg, in_dark(svg)):
        assert not ElementTree.fromstring(text).findall(".//{*}script")
    assert "#b4430b" in svg
    assert "#b4430b" not in in_dark(svg)
