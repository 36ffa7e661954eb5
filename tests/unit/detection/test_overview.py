"""The overview of a run: sorted by what was found, safe to open, and written over its own files alone."""

import csv
import re
from pathlib import Path

import pytest

from dbd_ray.detection.files import Prediction
from dbd_ray.detection.overview import MOST_SKIPPED, counts_by_kind, write_overview
from dbd_ray.summary import Kind, Summary

HOSTILE = '<img src=x onerror="alert(1)">\u202egpj.jpg'


def _found(out: Path, name: str, kind: Kind, share: float, mask: float | None = None) -> Prediction:
    files = (out / f"{name}.json",)
    return Prediction(
        out.parent / name, Summary(kind, share, None, 0.9, "tiny", "f00d"), files, None, mask, b"\xff\xd8"
    )


@pytest.fixture
def run(tmp_path: Path) -> list[Prediction]:
    out = tmp_path / "out"
    return [
        _found(out, "none.jpg", "none_in_focus", 0.01, 0.002),
        _found(out, "little.jpg", "partial", 0.2, 0.2),
        Prediction(tmp_path / "bad.jpg", None, (), "ends early [truncated]"),
        _found(out, "all.jpg", "all_in_focus", 0.99, 0.99),
        _found(out, "much.jpg", "partial", 0.7, 0.7),
    ]


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "index.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_photos_stand_by_what_was_found_and_then_what_failed_and_what_was_passed_over(
    run: list[Prediction], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert write_overview(run, {tmp_path / "notes.txt": "no suffix of a photo"}, out) == []
    names = ["all.jpg", "much.jpg", "little.jpg", "none.jpg", "bad.jpg", "notes.txt"]
    rows = _rows(out)
    assert [Path(row["path"]).name for row in rows] == names
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["error", "skipped"]
    assert [row["message"] for row in rows[4:]] == ["ends early [truncated]", "no suffix of a photo"]
    page = (out / "index.html").read_text()
    assert sorted(names, key=page.index) == names
    assert "ends early [truncated]" in page and "no suffix of a photo" in page
    assert "mask nearly empty (0.2%)" in page
    assert counts_by_kind(run) == {"all_in_focus": 1, "partial": 2, "none_in_focus": 1, "failed": 1}


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = [_found(out, f"{folder}/0001.jpg", "partial", 0.5) for folder in ("cam0", "cam1")]
    write_overview(run, {}, out)
    page = (out / "index.html").read_text()
    assert "<figcaption>cam0/0001.jpg<" in page and "<figcaption>cam1/0001.jpg<" in page


def test_names_of_files_are_shown_and_nothing_more(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = [_found(out, name, "partial", 0.5) for name in (HOSTILE, "javascript:alert(1).jpg", "=cmd()|1.jpg")]
    run.append(Prediction(tmp_path / HOSTILE, None, (), HOSTILE))
    assert write_overview(run, {tmp_path / HOSTILE: HOSTILE}, out) == []
    page = (out / "index.html").read_text()
    assert "<img src=x" not in page and "\u202e" not in page
    assert page.count("&lt;img src=x onerror=") == 6  # name, title and texts
    assert all(link.startswith("./") for link in re.findall(r'href="([^"]*)"', page))
    assert all(row["path"].startswith("/") for row in _rows(out))


def test_running_again_replaces_the_overview_and_nothing_that_is_not_it(run: list[Prediction], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for some in (run, run[:2], run):
        assert write_overview(some, {}, out) == []
        assert len(_rows(out)) == len(some)
    with (out / "index.csv").open("a") as table:
        table.write("my remark\n")
    (problem,) = write_overview(run[:1], {}, out)
    assert "index.csv is there already" in problem and "--force" in problem
    assert (out / "index.csv").read_text().endswith("my remark\n")
    (problem,) = write_overview(run[:1], {}, out)  # nor by the next run
    assert "index.csv is there already" in problem
    (out / "index.html").write_text("<h1>my site</h1>")
    (problem,) = write_overview(run, {}, out)
    assert "index.html is there already" in problem
    assert (out / "index.html").read_text() == "<h1>my site</h1>"
    assert write_overview(run, {}, out, force=True) == []
    assert len(_rows(out)) == len(run)


def test_a_page_that_was_edited_stays(run: list[Prediction], tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_overview(run, {}, out)
    edited = (out / "index.html").read_text().replace("What is in focus", "My holidays")
    (out / "index.html").write_text(edited)
    assert "index.html is there already" in write_overview(run, {}, out)[0]
    assert (out / "index.html").read_text() == edited


def test_the_page_names_files_that_were_passed_over_up_to_a_number_and_the_table_all(tmp_path: Path) -> None:
    passed_over = {tmp_path / f"{number}.txt": "no suffix of a photo" for number in range(MOST_SKIPPED + 3)}
    write_overview([], passed_over, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("no suffix of a photo") == MOST_SKIPPED
    assert "and 3 more" in page
    assert len(_rows(tmp_path / "out")) == MOST_SKIPPED + 3
