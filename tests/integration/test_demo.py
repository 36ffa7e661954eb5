"""`make demo`, made still smaller: the whole job on rendered scenes."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.ray
def test_the_demo_goes_from_nothing_to_a_report(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jobs" / "demo.py"), "--scenes", "40", "--size", "64", "--epochs", "2"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = tmp_path / "runs" / "demo" / "report.html"
    assert str(report) in finished.stdout
    assert "mlflow ui --backend-store-uri sqlite:///" in finished.stdout
    page = report.read_text()
    for part in ("Metrics", "Precision and recall", "epoch", "Photos", "data:image/"):
        assert part in page, part
    assert (tmp_path / "runs" / "demo" / "model" / "card.json").is_file()
    with sqlite3.connect(tmp_path / "runs" / "mlflow.db") as database:
        logged = {key for (key,) in database.execute("select distinct key from metrics")}
    assert {"train/loss", "train/bce", "train/depth", "val/mae", "test/mae"} <= logged
