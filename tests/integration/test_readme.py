"""What the README promises: its Python runs, and its commands exist with the options that it names."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbd_ray.config import PrepareConfig, load_ablate_config, load_train_config, load_tune_config, read_yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder_with_photos(tmp_path: Path, cuhk: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in ("0001", "0002", "0003"):
        shutil.copy(cuhk / "image" / f"out_of_focus{number}.jpg", tmp_path / "photos")
    return tmp_path


@pytest.mark.ray
@pytest.mark.parametrize("code", _blocks("python"), ids=lambda code: code.splitlines()[0])
def test_python_of_the_readme_runs(code: str, folder_with_photos: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=folder_with_photos, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_the_predict_command_of_the_readme_writes_what_it_says(folder_with_photos: Path) -> None:
    command = next(line for line in "\n".join(_blocks("sh")).splitlines() if line.startswith("dbd-ray predict"))
    subprocess.run(
        [Path(sys.executable).parent / "dbd-ray", *shlex.split(command)[1:]], cwd=folder_with_photos, check=True
    )
    written = {path.name for path in (folder_with_photos / "focus").iterdir()}
    assert {"out_of_focus0001.focus.png", "out_of_focus0001.overlay.jpg", "out_of_focus0001.json"} <= written


def test_every_command_and_option_of_the_readme_exists() -> None:
    for line in "\n".join(_blocks("sh")).splitlines():
        words = shlex.split(line)
        if words[:1] != ["dbd-ray"]:
            continue
        help_text = subprocess.run(
            [Path(sys.executable).parent / "dbd-ray", words[1], "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        ).stdout
        for option in (word for word in words[2:] if word.startswith("--")):
            assert option in help_text, line


def test_every_shipped_configuration_is_valid() -> None:
    runs = {"sweep": load_tune_config, "ablation": load_ablate_config}
    for path in sorted((ROOT / "jobs" / "configs").glob("*.yaml")):
        load = runs.get(path.stem.split("-")[0])
        assert (load(path, {}, []).train if load else load_train_config(path)).epochs >= 1
    lite = ROOT / "jobs" / "configs" / "lite"
    first, last = (load_train_config(lite / f"{stage}.yaml") for stage in ("first", "train"))
    assert last.start_from == f"runs/{first.name}/model"
    assert first.data == last.data
    prepared = [PrepareConfig(**read_yaml(lite / f"{name}.yaml")) for name in ("cuhk", "sharp", "scenes")]
    assert {one.out for one in prepared} >= set(first.data)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for line in "\n".join(_blocks("sh")).splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
