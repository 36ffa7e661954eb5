"""What the README promises: its Python prints what it says, and its commands exist with the options that it names."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbd_ray.config import load_train_config, read_yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what the README's blocks find in a clone."""
    shutil.copytree(ROOT / "docs" / "images", tmp_path / "docs" / "images")
    return tmp_path


def test_python_of_the_readme_prints_what_it_says(clone: Path) -> None:
    (code,), (printed,) = _blocks("python"), _blocks("text")
    finished = subprocess.run([sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == printed


def test_the_predict_command_of_the_readme_writes_what_it_says(clone: Path) -> None:
    command = next(line for line in "\n".join(_blocks("sh")).splitlines() if line.startswith("dbd-ray predict"))
    subprocess.run([Path(sys.executable).parent / "dbd-ray", *shlex.split(command)[1:]], cwd=clone, check=True)
    written = {path.name for path in (clone / "focus").iterdir()}
    assert {"eggs.jpg.focus.png", "eggs.jpg.overlay.jpg", "eggs.jpg.json"} <= written


def test_the_first_screen_shows_the_result_before_the_machinery() -> None:
    assert len(README.splitlines()) < 150
    picture, code, command, start, demo = (
        README.index(part)
        for part in ("](docs/images/focus.png)", "```python", "dbd-ray predict", "## Start here", "make demo")
    )
    assert picture < code < command < start < demo
    assert (ROOT / "docs" / "images" / "focus.png").stat().st_size <= 400 * 1024


def test_every_user_has_one_page() -> None:
    table = README.partition("## Start here")[2].partition("\n\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "](" in line]
    assert len(rows) == 4
    assert all(line.count("](") == 1 for line in rows)


def test_every_command_and_option_of_readme_and_docs_exists() -> None:
    pages = [README, *(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md")))]
    lines = [line for page in pages for line in "\n".join(_blocks("sh", page)).replace("\\\n", " ").splitlines()]
    said: dict[str, str] = {}
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] != ["dbd-ray"]:
            continue
        name = words[1]
        if name not in said:
            said[name] = subprocess.run(
                [Path(sys.executable).parent / "dbd-ray", name, "--help"],
                capture_output=True,
                text=True,
                check=True,
                env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
            ).stdout
        for option in (word for word in words[2:] if word.startswith("--")):
            assert option in said[name], line
    assert {"predict", "train", "serve", "tune", "export"} <= said.keys(), "this test reads the wrong pages"


def test_the_stages_of_the_packaged_model_hold_together() -> None:
    lite = ROOT / "jobs" / "configs" / "lite"
    first, last = (load_train_config(lite / f"{stage}.yaml") for stage in ("first", "train"))
    assert last.start_from == f"runs/{first.name}/model"
    assert first.data == last.data
    assert {read_yaml(lite / f"{name}.yaml")["out"] for name in ("cuhk", "sharp", "scenes")} >= set(first.data)


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for line in "\n".join(_blocks("sh")).splitlines() if line.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
