"""What becomes of answers whose stdout is full, closed, or read by nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbd_ray.library.parts import publish, table_of

COMMAND = "import sys; from dbd_ray.cli import main; sys.exit(main({arguments!r}))"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of rows enough that no buffer holds them all."""
    out = tmp_path_factory.mktemp("library")
    ok = {"uri": "/photos", "status": "ok", "focus_kind": "partial"}
    rows: list[dict[str, object]] = [
        {**ok, "path": f"{number:05d}.jpg", "path_bytes": b"%05d.jpg" % number} for number in range(5000)
    ]
    publish(str(out), table_of(rows))
    return out


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", COMMAND.format(arguments=list(arguments))]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("form", [["--format", "json"], ["--print0"], ["--limit", "1"]])
def test_a_full_disk_behind_stdout_is_told_in_one_line(library: Path, form: list[str], unbuffered: str) -> None:
    command, variables = _command("query", str(library), *form), {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=variables, check=False)
    assert (
        done.stderr.decode()
        == "error: stdout: the answer cannot be written (the disk is full): give it another place\n"
    )
    assert done.returncode == 2


def test_a_reader_that_has_gone_ends_a_command_quietly(library: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:  # noqa: PTH123 - a descriptor
        done = subprocess.run(
            _command("query", str(library), "--format", "csv"), stdout=gone, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_stdout_is_told(library: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *_command("query", str(library))]
    done = subprocess.run(closed, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"error: stdout is closed")
