"""What `dbd-ray predict` says of the photos that it was given, and of those that it was not."""

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dbd_ray.cli import main
from dbd_ray.names import MAX_PIXELS


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
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(
        f"{photo.name}.{end}" for photo in found for end in ("focus.png", "json")
    )
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
        "other files passed over: 1 (hidden, results, no photo's suffix)\n"
        "subfolders passed over: 1 (--recursive looks into them)\n"
    )
    assert _run(*command, "--recursive") == 0
    assert capsys.readouterr().err.endswith(
        "4 of 4 photos done, results in out\n"
        "other files passed over: 1 (hidden, results, no photo's suffix)\n"
        "subfolders passed over: 1 (hidden, links)\n"
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
    assert re.search(r"^failed: .*--max-pixels\) \[too_many_pixels\]$", capsys.readouterr().err, re.M)
    _run("predict", "--help")
    shown = " ".join(re.sub(r"[│╭╰─]", " ", capsys.readouterr().out).split())
    assert f"default {MAX_PIXELS // 10**6} million" in shown
