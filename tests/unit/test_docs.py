"""What the documents name exists: files, rooms, errors, environment variables, targets."""

import ast
import re
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest

import dbd_ray.errors
from dbd_ray.client.reading import PASSING_REASONS
from dbd_ray.errors import PhotoReason
from dbd_ray.library.places import NAME_REASON, WAY_REASON
from dbd_ray.library.plan import RETRIED
from dbd_ray.names import OUTPUT_COLUMNS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dbd_ray"
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/*.md")),
]
FOLDERS = ("dbd_ray", "jobs", "serve", "benchmarks", "tests", "tools", "docs")
OUR_VARIABLES = r"(?:DBD|RAY|MLFLOW|HF|AWS|GOOGLE)_[A-Z0-9_]+"
NO_VARIABLES = {"MLFLOW_TYPES"}


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _named(page: Path) -> set[str]:
    """Paths in backticks, `FILE.md` of the root among them."""
    words = {word.strip() for word in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _text(page))}
    return {word for word in words if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*", word)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    missing = {name for name in _named(page) if not (ROOT / name).exists()}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_files_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", _text(page))
    paths = {target.partition("#")[0] for target in targets if "://" not in target} - {""}
    assert {path for path in paths if not (page.parent / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    _require_modules(_text(page))


def test_every_module_that_the_changelog_names_as_added_exists() -> None:
    # "Changed" names former modules on purpose
    added = _text(ROOT / "CHANGELOG.md").partition("### Added\n")[2].partition("\n### ")[0]
    assert "dbd_ray." in added, "this test reads the wrong part"
    _require_modules(added)


def _require_modules(text: str) -> None:
    for name in set(re.findall(r"\bdbd_ray(?:\.[a-z_]\w*)+", text)):
        parts = name.split(".")
        module = next(
            ".".join(parts[:length]) for length in range(len(parts), 0, -1) if _source("/".join(parts[:length]))
        )
        rest = parts[module.count(".") + 1 :]
        source = _source(module.replace(".", "/"))
        assert source is not None
        assert len(rest) <= 1, f"there is no module {name}"
        assert not rest or re.search(rf"\b{rest[0]}\b", source.read_text(encoding="utf-8")), name


def _source(path: str) -> Path | None:
    places = (ROOT / f"{path}.py", ROOT / path / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def test_every_room_of_the_package_has_its_line_and_no_other() -> None:
    table = _text(ROOT / "ARCHITECTURE.md").partition("Around the package")[0]
    named = re.findall(r"^\| `([\w.]+)/?` \|", table, flags=re.MULTILINE)
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.*"))} - {"__pycache__"}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert sorted(named) == sorted(folders | files)


def test_every_error_and_reason_has_its_line() -> None:
    page = _text(ROOT / "docs" / "errors.md")
    errors = [
        name for name, value in vars(dbd_ray.errors).items() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert {name for name in errors if name not in page} == set()
    assert _reasons(page, "## Why a photo") == sorted(get_args(PhotoReason))
    of_annotate = {NAME_REASON, WAY_REASON, *RETRIED} - PASSING_REASONS - set(get_args(PhotoReason))
    found = _reasons(page, "## Reasons of `teach` and `annotate`")
    assert set(found) == of_annotate | {"crashed", "teacher_failed", "unreadable", "same_name"}


def _reasons(page: str, heading: str) -> list[str]:
    part = page.partition(heading)[2].partition("\n## ")[0]
    return sorted(re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE))


def test_every_environment_variable_has_its_line() -> None:
    read = set()
    for path in chain(PACKAGE.rglob("*.py"), (ROOT / "tests").rglob("conftest.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(OUR_VARIABLES, node.value)
            ):
                read.add(node.value)
    assert {"DBD_RAY_CACHE", "RAY_ADDRESS", "MLFLOW_TRACKING_URI", "DBD_DATA"} <= read, (
        "this test reads the wrong files"
    )
    named = set(re.findall(OUR_VARIABLES, _text(ROOT / "docs" / "environment.md")))
    assert read - named - NO_VARIABLES - _set_in_tests(read) == set()
    for page in PAGES:
        assert set(re.findall(rf"\b{OUR_VARIABLES}\b", _text(page))) - named == set(), page.name


def _set_in_tests(read: set[str]) -> set[str]:
    """Secrets, regions and switches that tests give to a server of their own."""
    return {name for name in read if name in {"AWS_DEFAULT_REGION", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"}}


def test_every_output_column_is_told() -> None:
    page = _text(ROOT / "docs" / "pipeline.md")
    sides = {"sharp_left", "sharp_top", "sharp_right", "sharp_bottom"}  # told as the box of the sharp area
    assert {name for name in OUTPUT_COLUMNS.keys() - sides if f"`{name}`" not in page} == set()
