"""`make demo`, made still smaller: the whole job on rendered scenes."""

import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dbd_ray.tracking.store import database_file

ROOT = Path(__file__).parents[2]
# of a length and with letters that URIs and shells stumble over
FOLDER = "Ana's 100% #1? “beißend” 東京 & co; " + "x" * 160


@pytest.mark.ray
@pytest.mark.cluster
def test_the_demo_goes_from_nothing_to_a_report_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    command = [sys.executable, str(ROOT / "jobs" / "demo.py"), "--scenes", "40", "--size", "64", "--epochs", "2"]
    left_over = folder / "runs" / "demo" / "left over"
    left_over.parent.mkdir(parents=True)
    left_over.touch()
    (folder / "runs" / "demo" / "made-by-make-demo").touch()
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert not left_over.exists()
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, _, rest = finished.stdout.partition("[1/4]")
    assert "8% in focus (partial)" in first
    assert (folder / "runs" / "demo" / "first" / "eggs.jpg.overlay.jpg").is_file()
    assert "answered as the detector does" in rest
    report = folder / "runs" / "demo" / "report.html"
    assert str(report) in finished.stdout
    (command_line,) = [line for line in finished.stdout.splitlines() if line.startswith("MLflow: ")]
    assert database_file(shlex.split(command_line)[-1]) == folder / "runs" / "mlflow.db"
    page = report.read_text()
    for part in ("Metrics", "Precision and recall", "epoch", "Photos", "data:image/"):
        assert part in page, part
    assert (folder / "runs" / "demo" / "model" / "card.json").is_file()
    with sqlite3.connect(folder / "runs" / "mlflow.db") as database:
        logged = {key for (key,) in database.execute("select distinct key from metrics")}
    assert {"train/loss", "train/bce", "train/depth", "val/mae", "test/mae"} <= logged


def test_the_demo_replaces_its_own_folder_and_nobody_elses(tmp_path: Path) -> None:
    mine = tmp_path / "runs" / "demo" / "model" / "card.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("weeks of training")
    command = [sys.executable, str(ROOT / "jobs" / "demo.py"), "--data", "absent"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: runs/demo: was not made by this demo")
    assert "rename or delete that folder" in refused.stderr
    assert mine.read_text() == "weeks of training"
