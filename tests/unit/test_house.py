"""The plan that tools/house.py counts is the one that the import statements make."""

import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "tools" / "house.py"


def _count(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(HOUSE), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of three rooms of which no arrow runs up: cli → images twice, cli → errors, images → errors."""
    files = {
        "__init__.py": "def __getattr__(name):\n    import dbd_ray.cli.app\n",
        "errors.py": "import json\n",
        "images/__init__.py": "",
        "images/decode.py": "from dbd_ray.errors import PhotoError\n",
        "images/encode.py": "",
        "cli/__init__.py": "",
        "cli/app.py": "import dbd_ray.errors\nfrom dbd_ray.images import decode\nfrom dbd_ray.cli import options\n",
        "cli/options.py": "def late():\n    from dbd_ray.images.encode import encode\n",
    }
    for name, text in files.items():
        path = tmp_path / "dbd_ray" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def _numbers(said: str) -> dict[str, int]:
    lines = [line.rsplit(maxsplit=1) for line in said.splitlines()[:6]]
    return {name.strip(): int(count) for name, count in lines}


def test_rooms_arrows_and_imports_are_counted(tree: Path) -> None:
    done = _count(str(tree))
    assert done.returncode == 0, done.stdout
    assert _numbers(done.stdout) == {
        "rooms": 3,
        "arrows": 3,
        "imports between rooms": 4,
        "arrows that run up": 0,
        "circles among rooms": 0,
        "circles among modules": 0,
    }


def test_an_arrow_that_runs_up_is_named_even_where_it_is_lazy(tree: Path) -> None:
    (tree / "dbd_ray/errors.py").write_text("def late():\n    from dbd_ray.images.encode import encode\n")
    (tree / "dbd_ray/images/encode.py").write_text("def late():\n    import dbd_ray.cli.options\n")
    done = _count(str(tree))
    assert done.returncode == 1
    assert "up: images → cli" in done.stdout
    assert "circle of rooms: cli, errors, images" in done.stdout
    assert "circle of modules: cli.options, images.encode" in done.stdout


def test_rooms_of_another_plan_have_no_layer_and_are_not_judged(tree: Path) -> None:
    (tree / "dbd_ray/predict.py").write_text("import dbd_ray.cli.app\n")
    done = _count(str(tree))
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "no layer: predict"


def test_relative_imports_are_refused(tree: Path) -> None:
    (tree / "dbd_ray/cli/app.py").write_text("from . import options\n")
    done = _count(str(tree))
    assert done.returncode != 0
    assert "relative imports hide where a name comes from" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_byte_order_mark_is_no_error(tree: Path) -> None:
    path = tree / "dbd_ray/cli/app.py"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    done = _count(str(tree))
    assert done.returncode == 0, done.stderr
    assert _numbers(done.stdout)["imports between rooms"] == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"import json\ndef broken(:\n", "app.py, line 2: invalid syntax"),
        (b"name = '\xff'\n", "app.py: 'utf-8' codec can't decode byte 0xff"),
        (b"name = '\0'\n", "app.py: source code string cannot contain null bytes"),
    ],
)
def test_a_file_that_is_no_python_is_named(tree: Path, content: bytes, reason: str) -> None:
    (tree / "dbd_ray/cli/app.py").write_bytes(content)
    done = _count(str(tree))
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]


def test_a_package_without_its_own_file_is_refused_in_one_line(tree: Path) -> None:
    (tree / "dbd_ray/__init__.py").unlink()
    done = _count(str(tree))
    assert done.returncode == 2
    assert f"{tree / 'dbd_ray'}: no __init__.py" in done.stderr.splitlines()[-1]


def test_our_own_plan_has_neither_circles_nor_arrows_that_run_up() -> None:
    done = _count()
    assert done.returncode == 0, done.stdout
    assert "no layer" not in done.stdout


def test_a_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    done = _count(str(tmp_path))
    assert done.returncode == 2
    assert "no such folder" in done.stderr
