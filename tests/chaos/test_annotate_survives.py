"""A photo library is annotated to the same table however often its driver or its workers are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from libraries import rows_of, save_photo

pytestmark = [pytest.mark.ray, pytest.mark.chaos, pytest.mark.slow]
PHOTOS, PER_TASK, KILLS = 48, 2, 5
DRIVER = """
import sys
from dbd_ray.cli import main
main(["annotate", *sys.argv[1:]])
"""


def _command(photos: Path, out: Path, runs: Path) -> list[str]:
    settings = ["--set", f"photos_per_task={PER_TASK}", "--set", f"storage={runs}"]
    return [sys.executable, "-c", DRIVER, str(photos), str(out), *settings]


def test_killed_drivers_and_workers_leave_the_table_of_an_uninterrupted_run(
    tmp_path: Path, kill_once: Callable[..., None]
) -> None:
    photos = tmp_path / "photos"
    for number in range(PHOTOS):
        save_photo(photos / f"{number % 5}" / f"{number}.jpg", number)
    whole, broken, runs = tmp_path / "whole", tmp_path / "broken", tmp_path / "runs"
    subprocess.run(_command(photos, whole, runs), check=True, capture_output=True)

    for _ in range(KILLS):
        before = _results(broken)
        kill_once(lambda before=before: _results(broken) > before, _command(photos, broken, runs))
    process = subprocess.Popen(
        _command(photos, broken, runs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    killed: set[int] = set()
    while process.poll() is None and len(killed) < KILLS:
        for worker in _workers(process.pid) - killed:
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
    output = process.communicate()
    assert process.returncode == 0, output
    assert len(killed) == KILLS
    assert rows_of(broken) == rows_of(whole)
    assert not (broken / ".dbd-ray-parts").exists()
    assert {path.name for path in broken.rglob(".*")} == {".dbd-ray", ".dbd-ray-lock"}, "half of a file was left"


def _results(out: Path) -> int:
    return len(list(out.glob("focus/*/*.png")))


def _workers(driver: int) -> set[int]:
    """One process that looks at photos or writes results, if there is any."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(stage in "".join(process.cmdline()) for stage in ("MapBatches", "MapWorker")):
                    return {process.pid}
    return set()
