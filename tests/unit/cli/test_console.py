"""What the commands write suits its reader: tables and bars on a terminal, few plain lines in pipes and logs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dbd_ray.cli import console
from dbd_ray.cli.app import main
from dbd_ray.cli.rate import Rate
from dbd_ray.training.progress import Progress


def test_a_long_table_on_a_terminal_ends_in_how_many_more_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"{number}.jpg", "1 %") for number in range(console.MOST_ROWS + 5)]
    console.show_table(("photo", "in focus"), rows)
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 1
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.show_table(("photo", "in focus"), rows)
    said = capsys.readouterr()
    assert said.out.count(".jpg") == console.MOST_ROWS
    assert said.err == "… and 5 more\n"


def test_wide_cells_leave_room_for_every_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    row = (
        "a-model-of-" + "long" * 8,
        "a backbone with a name that is long as well",
        "4.74 M",
        "0.054",
        "measured here",
    )
    console.show_table(("model", "backbone", "size", "MAE", "measured on"), [row])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert {len(line) for line in lines} == {80}
    cells = ["".join(line.split("│")[column].strip() for line in lines if line[0] == "│") for column in range(1, 6)]
    assert [cell.replace(" ", "") for cell in cells] == [cell.replace(" ", "") for cell in row]


def test_progress_in_a_log_is_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with console.show_progress("photos") as advance:
        for done in range(1, 704):
            advance(done, 703)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "photos 703/703"


def test_progress_tells_what_failed_so_far(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with console.show_progress("photos") as advance:
        advance(1, 2)
        advance(2, 2, 1)
    assert capsys.readouterr().err.splitlines() == ["photos 1/2", "photos 2/2, 1 failed"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with console.show_progress("photos") as advance:
        advance(7, 9, 3)
    assert "3 failed" in capsys.readouterr().err


def test_a_rate_begins_with_the_first_count() -> None:
    rate = Rate(iter([100.0, 101.0, 104.0]).__next__)
    assert [rate(count) for count in (50, 60, 90)] == [0, 10, 10]


@pytest.mark.parametrize("terminal", [False, True])
def test_rates_do_not_count_failures(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    with console.show_progress("photos") as advance:
        advance(1, 10)
        advance(5, 10, 4)
    said = capsys.readouterr().err
    assert "4 failed" in said
    assert set(re.findall(r"[\d.]+/s", said)) <= {"0.0/s"}


def test_training_in_a_log_is_its_notes_and_a_line_of_progress_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.show_training() as show:
        show("precision float32")
        for step in range(1, 101):
            show(Progress(epoch=1, epochs=2, step=step, steps=100, loss=0.5, images_per_s=8.0, seconds_left=3900.0))
        show("epoch 1/2 done")
    first, *progress, last = capsys.readouterr().err.splitlines()
    assert (first, last) == ("precision float32", "epoch 1/2 done")
    assert progress[0] == "epoch 1/2  loss 0.5000  8.0 images/s  65 min left  (1 % of the epoch)"
    assert len(progress) < 50


def test_training_on_a_terminal_is_a_bar_with_notes_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with console.show_training() as show:
        show(Progress(epoch=2, epochs=2, step=50, steps=100, loss=0.5, images_per_s=8.0, seconds_left=30.0))
        show("epoch [2/2] done")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "epoch [2/2] done\n" in text
    assert re.search(r"epoch 2/2  loss 0\.5000  8\.0 images/s  30 s left ━+.* 75 %", text)


NAMES = """
import sys
from dbd_ray.cli.console import accept_any_text, say
accept_any_text()
say("gr\\xfcn \\udcff.jpg")
"""


def test_names_that_the_terminal_cannot_write_do_no_harm() -> None:
    for encoding, expected in (("ascii", b"gr\\xfcn \\udcff.jpg\n"), ("utf-8", b"gr\xc3\xbcn \\udcff.jpg\n")):
        done = subprocess.run(
            [sys.executable, "-c", NAMES], capture_output=True, check=True, env={"PYTHONIOENCODING": encoding}
        )
        assert done.stdout == expected


def test_colons_in_a_name_are_colons(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("results in photos:x:2024")
    assert capsys.readouterr().out == "results in photos:x:2024\n"


def test_a_name_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;title\x07 \x1b[2Jb\x9b1m.jpg"
    console.say(f"failed: {name}")
    console.show_table(["photo"], [[name]])
    with pytest.raises(SystemExit):
        main(["predict", f"/nowhere/{name}", "--out", "/nowhere"])
    answered = "".join(capsys.readouterr())
    assert answered.count(r"\x1b]0;title\x07 \x1b[2Jb\x9b1m.jpg") == 3
    assert not set(answered) & {"\x1b", "\x07", "\x9b"}


def test_a_name_says_nothing_on_lines_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    photo = tmp_path / "a\nerror: all photos deleted \x1b[31m\u202egpj.jpg"
    photo.write_bytes(b"x")
    with pytest.raises(SystemExit):
        main(["predict", str(photo), "--out", str(tmp_path / "out"), "--engine", "eager", "--device", "cpu"])
    answered = "".join(capsys.readouterr())
    assert r"a\nerror: all photos deleted \x1b[31m\u202egpj.jpg: these 1 bytes" in answered
    assert not set(answered) & {"\x1b", "\u202e"}


def test_colours_of_rays_messages_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("\x1b[36mray::worker\x1b[39m ended")
    assert capsys.readouterr().out == "ray::worker ended\n"


def test_a_table_in_a_pipe_keeps_the_spaces_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table(("path", "kind"), [(" two  spaces.jpg", "a\tb")])
    assert capsys.readouterr().out == "path\tkind\n two  spaces.jpg\ta b\n"
