"""What an installation brings, and what a job leaves here: read from Makefile, pyproject.toml and .rayignore."""

import logging
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ray._private.runtime_env import packaging

from dbd_ray.images.containers import PHOTO_SUFFIXES

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys({absent}))  # None: as if not installed
sys.argv = ["demo.py", "--help"]
runpy.run_path({demo!r}, run_name="__main__")
"""


def _packages(extra: str) -> set[str]:
    found: set[str] = set()
    for one in EXTRAS[extra]:
        own = re.fullmatch(r"dbd-ray\[(.+)\]", one)
        found |= set.union(*map(_packages, own[1].split(","))) if own else {re.split(r"[\[>=]", one)[0]}
    return found


def _make(*arguments: str, **variables: str) -> str:
    """The commands that make would run."""
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "MAKEFLAGS", "MFLAGS")}
    command = ["make", "-n", "-B", "-C", str(ROOT), "VENV=not-there", *arguments]
    return subprocess.run(command, env={**clean, **variables}, capture_output=True, text=True, check=True).stdout


def test_the_demo_brings_nothing_that_tests_alone_need() -> None:
    assert not _packages("demo") & {"moto", "playwright", "transformers", "pytest", "mypy", "mkdocs-material"}
    assert set.union(*map(_packages, EXTRAS)) == _packages("dev"), "tests need every extra"
    for target, extra in {"setup": "demo", "demo": "demo", "test": "dev", "lint": "dev", "docs": "dev"}.items():
        assert f"-e '.[{extra}]'" in _make(target), target


def test_the_demo_runs_without_what_tests_alone_need() -> None:
    absent = {"moto", "playwright", "transformers", "pytest", "boto3", "psycopg2", "optuna", "onnxruntime"}
    code = WITHOUT.format(absent=absent, demo=str(ROOT / "jobs" / "demo.py"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--scenes" in done.stdout


@pytest.mark.parametrize("target", ["setup", "setup-dev"])
def test_torch_can_come_from_an_index_of_wheels_for_cpus(target: str) -> None:
    (install,) = [line for line in _make(target, "TORCH_INDEX=https://wheels.example/cpu").splitlines() if "-e" in line]
    assert "-c constraints.txt" in install
    assert "--extra-index-url 'https://wheels.example/cpu'" in install
    assert "--extra-index-url" not in _make(target)


def test_an_installation_shows_that_it_lives_but_in_ci() -> None:
    assert "--quiet" not in _make("setup")
    assert "--quiet" in _make("setup", CI="1")


def test_photos_and_results_are_no_part_of_a_job(tmp_path: Path) -> None:
    kept = ["dbd_ray/serving/web/icon.svg", "dbd_ray/weights/lite/failures.png", "dbd_ray/weights/lite/card.json"]
    kept += ["jobs/train.py", "jobs/configs/cuhk-mobilenetv2.yaml", "serve/config.yaml", "pyproject.toml"]
    for name in (*kept, ".rayignore", ".gitignore"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.yaml").touch()
    photos = [f"holiday 2026/a{end}" for suffix in PHOTO_SUFFIXES for end in (suffix, suffix.upper())]
    results = ["focus/a.focus.png", "focus/a.overlay.jpg", "annotated/library.parquet", "annotated/masks/a.jpg.png"]
    results += ["annotated/sidecars/a.xmp", "runs/cuhk/model/model.safetensors", "shared/x/notes.txt", "mlflow.db"]
    for name in (*photos, *results):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sent: set[str] = set()

    def send(path: Path) -> None:
        if path.is_file():
            sent.add(path.relative_to(tmp_path).as_posix())

    packaging._dir_travel(tmp_path, [], send, include_gitignore=True, logger=logging.getLogger(__name__))
    assert sent == {*kept, "mine/settings.yaml", ".rayignore", ".gitignore"}
