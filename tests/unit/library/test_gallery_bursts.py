"""The pages of bursts: the sharpest first, whatever the names are, in parts that a browser shows at once."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from dbd_ray.library import gallery_bursts
from dbd_ray.library.gallery import write_gallery
from dbd_ray.library.gallery_bursts import bursts_pages

Library = Callable[..., pa.Table]
NOON = datetime(2024, 5, 1, 12)
HASH = "0123456789abcdef" * 2


def _shot(path: str, after_s: float, sharpness: float | None = 1.0, **values: Any) -> dict[str, Any]:
    taken = {"taken_at": NOON + timedelta(seconds=after_s), "perceptual_hash": "0123456789abcdef"}
    return {"path": path, "sharpness": sharpness, "in_focus_fraction": 0.25, **taken, **values}


def test_the_sharpest_of_a_burst_comes_first(library: Library, tmp_path: Path) -> None:
    table = library(_shot("a/1.jpg", 0, 1.0, content_hash=HASH), _shot("a/2.jpg", 1, 5.0), _shot("alone.jpg", 900))
    write_gallery(table, str(tmp_path), title="Photos")
    text = (tmp_path / "gallery" / "bursts.html").read_text()
    assert "2 photos in 1 burst:" in text
    assert "1. 2024-05-01 12:00:00 <span>A</span>" in text
    assert re.findall(r">([^<]+\.jpg)<", text) == ["a/2.jpg", "a/1.jpg"]
    assert re.findall(r'href="(file:[^"]+)"', text) == ["file:///photos/a/2.jpg", "file:///photos/a/1.jpg"]
    assert f'src="thumbs/01/{HASH}.overlay.jpg"' in text
    assert text.index("Sharpest") < text.index("a/1.jpg")
    assert "sharpness 5 · 25.0 % in focus" in text
    assert "alone.jpg" not in text


def test_names_are_text_and_links_in_other_storages_are_left_out(library: Library, tmp_path: Path) -> None:
    bad = '"><script>alert(1)</script>\u202e.jpg'
    table = library(_shot(bad, 0, uri="s3://b/x", sharpness=None), _shot("x.jpg", 1, uri="s3://b/x", camera="A"))
    write_gallery(table, str(tmp_path), title="<b>")
    text = (tmp_path / "gallery" / "bursts.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\\u202e.jpg" in text
    assert "s3://" not in text


def test_many_bursts_are_several_pages(library: Library, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(gallery_bursts, "BURSTS_PER_PAGE", 2)
    shots = [_shot(f"{burst}-{number}.jpg", 60 * burst + number) for burst in range(5) for number in range(2)]
    pages = list(bursts_pages(library(*shots)))
    assert [(page.name, page.first, len(page.bursts), page.total) for page in pages] == [
        ("bursts.html", 1, 2, 5),
        ("bursts-2.html", 3, 2, 5),
        ("bursts-3.html", 5, 1, 5),
    ]
    assert [(page.earlier, page.later) for page in pages] == [
        (None, "bursts-2.html"),
        ("bursts.html", "bursts-3.html"),
        ("bursts-2.html", None),
    ]
    write_gallery(library(*shots), str(tmp_path), title="Photos")
    assert {file.name for file in (tmp_path / "gallery").glob("bursts*.html")} == {page.name for page in pages}
    write_gallery(library(*shots[:2]), str(tmp_path), title="Photos")
    assert [file.name for file in (tmp_path / "gallery").glob("bursts*.html")] == ["bursts.html"]


def test_a_library_without_bursts_says_so(library: Library, tmp_path: Path) -> None:
    write_gallery(library(_shot("a.jpg", 0)), str(tmp_path), title="Photos")
    assert "No two photos" in (tmp_path / "gallery" / "bursts.html").read_text()
