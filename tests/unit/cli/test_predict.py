"""What `dbd-ray predict` says of the photos that it was given, and of those that it was not."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from dbd_ray.cli import main
from dbd_ray.cli.predictions import MOST_NAMED
from dbd_ray.names import MAX_PIXELS
from dbd_ray.summary import Kind


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def test_predict_writes_results_and_a_line_for_every_photo(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("predict", photos, "--out", "out", "--model", model, "--save", "focus, json") == 0
    said = capsys.readouterr()
    found = sorted(photos.iterdir())
    results = [f"{photo.name}.{end}" for photo in found for end in ("focus.png", "json")]
    assert {path.name for path in Path("out").iterdir()} == {*results, "index.csv", "index.html"}
    head, *lines = [line.split("\t") for line in said.out.splitlines()]
    assert head == ["photo", "in focus", "kind", "confidence"]
    assert [line[0] for line in lines] == [str(photo) for photo in found]
    for photo, line in zip(found, lines, strict=True):
        about = json.loads(Path("out", f"{photo.name}.json").read_text())
        assert line[1:] == [f"{about['in_focus_fraction']:.1%}", about["kind"], f"{about['confidence']:.2f}"]
    assert "photos 3/3\n" in said.err
    assert said.err.endswith("3 of 3 photos done, results in out\n")


def test_a_failed_photo_is_named_and_makes_the_exit_status_one(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "[broken] ä.jpg").write_text("no photo")
    assert _run("predict", photos, "--out", "out", "--model", model) == 1
    said = capsys.readouterr()
    assert re.search(r"^failed: .*\[broken\] ä\.jpg: .*\[not_an_image\]$", said.err, re.M)
    assert "3 of 4 photos done" in said.err
    assert len(list(Path("out").glob("*.overlay.jpg"))) == 3


def test_predictions_on_a_terminal_show_whole_names_in_any_width(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = photos / ("a folder with quite a long name/" * 4)
    deep.mkdir(parents=True)
    names = ["[2024] first.jpg", "second-" + "x" * 70 + "-end.jpg"]
    for name, source in zip(names, sorted(photos.glob("*.jpg")), strict=False):
        source.rename(deep / name)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for width in (80, 160):
        monkeypatch.setenv("COLUMNS", str(width))
        assert _run("predict", deep, "--out", "out", "--model", model, "--save", "json") == 0
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
        assert text.splitlines()[0] == f"in {deep}"
        cells = "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│"))
        assert cells == "".join(names)
        assert all(len(line) <= width for line in text.splitlines()[1:])


def test_what_was_passed_over_stands_at_the_end_with_how_to_take_it_in(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "notes.txt").touch()
    (photos / "deeper" / ".hidden").mkdir(parents=True)
    shutil.copy(next(photos.glob("*.jpg")), photos / "deeper" / "copy.jpg")
    command = ("predict", photos, "--out", "out", "--model", model, "--save", "json")
    assert _run(*command) == 0
    assert capsys.readouterr().err.endswith(
        "3 of 3 photos done, results in out\n"
        f"other files passed over: 1 (hidden, results, no photo's suffix): {photos}/notes.txt\n"
        f"subfolders passed over: 1 (--recursive looks into them): {photos}/deeper\n"
    )
    assert _run(*command, "--recursive") == 0
    assert capsys.readouterr().err.endswith(
        "4 of 4 photos done, results in out\n"
        f"other files passed over: 1 (hidden, results, no photo's suffix): {photos}/notes.txt\n"
        f"subfolders passed over: 1 (hidden, links, results): {photos}/deeper/.hidden\n"
    )


def test_the_pixel_limit_can_be_set_by_the_option_that_the_error_and_the_help_name(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = next(photos.glob("*.jpg"))
    with Image.open(photo) as picture:
        pixels = picture.width * picture.height
    command = ("predict", photo, "--out", "out", "--model", model, "--save", "json", "--max-pixels")
    assert _run(*command, str(pixels)) == 0
    assert _run(*command, str(pixels - 1)) == 1
    assert re.search(r"^failed: .*\(--max-pixels of predict, .*\) \[too_many_pixels\]$", capsys.readouterr().err, re.M)
    _run("predict", "--help")
    shown = " ".join(re.sub(r"[│╭╰─]", " ", capsys.readouterr().out).split())
    assert f"default {MAX_PIXELS // 10**6} million" in shown


def test_passed_over_files_are_named_up_to_a_number(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(MOST_NAMED + 2):
        (photos / f"notes{number:02}.txt").touch()
    assert _run("predict", photos, "--out", "out", "--model", model, "--save", "json") == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("other files")]
    assert line.count("notes") == MOST_NAMED
    assert line.endswith(" and 2 more")


def test_the_table_says_how_much_each_mask_holds_and_ends_with_the_counts_by_kind(
    photos: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("predict", photos, "--out", "out", "--model", model, "--save", "mask", "--layout", "colmap")
    assert _run(*command, "--threshold", "1") == 0
    said = capsys.readouterr()
    head, *lines = [line.split("\t") for line in said.out.splitlines()]
    assert head[-1] == "mask"
    assert [line[-1] for line in lines] == ["empty"] * 3
    assert "masks that are empty or nearly so: 3; leave their photos out, or lower --threshold\n" in said.err
    kinds = [line[2] for line in lines]
    counts = [f"{kind} {kinds.count(kind)}" for kind in get_args(Kind) if kind in kinds]
    assert f"\n{', '.join(counts)}\n" in said.err
    with Path("out", "index.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["mask_fraction"] for row in rows] == ["0.0"] * 3
    assert {Path(row["path"]).name for row in rows} == {photo.name for photo in photos.iterdir()}
    assert len(list(Path("out", "masks").glob("*.jpg.png"))) == 3
