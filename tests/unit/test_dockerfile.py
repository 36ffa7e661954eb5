"""An image cannot be built in a test; what can be said of its description without building it."""

import fnmatch
import json
import re
from pathlib import Path

import pytest

import dbd_ray

ROOT = Path(dbd_ray.__file__).parent.parent
TEXT = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = [
    tuple(line.split(None, 1))
    for line in re.sub(r"\\\n", " ", "\n".join(t for t in TEXT.splitlines() if not t.startswith("#"))).splitlines()
    if line.strip()
]


def of(kind: str) -> list[str]:
    return [words for name, words in INSTRUCTIONS if name == kind]


def sources() -> list[str]:
    return [word for words in of("COPY") if "--from=" not in words for word in words.split()[:-1]]


def ignored(path: str) -> bool:
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        if fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
            out = not line.startswith("!")
    return out


@pytest.mark.parametrize("source", sources())
def test_what_is_copied_is_there_and_sent_to_the_builder(source: str) -> None:
    assert (ROOT / source).exists()
    assert not ignored(source)


def test_what_is_not_needed_stays_outside() -> None:
    for name in (".git", ".venv", "runs", "tests", "docs", "benchmarks"):
        assert ignored(name)


def test_stages_are_made_of_earlier_ones() -> None:
    known: set[str] = set()
    for words in of("FROM"):
        source, _, name = words.split()
        assert source in known or source == "python:3.11-slim-bookworm"
        known.add(name)
    assert {"cpu", "gpu"} <= known
    assert set(re.findall(r"--from=(\S+)", TEXT)) <= known
    assert of("FROM")[-1].endswith(" AS cpu")


def test_it_does_not_run_as_root_and_starts_the_endpoint() -> None:
    assert of("USER") == ["1000"]
    assert json.loads(of("CMD")[-1]) == ["dbd-ray", "serve", "--host", "0.0.0.0"]
    (health,) = of("HEALTHCHECK")
    assert "http://127.0.0.1:8000/readyz" in json.loads(health[health.index("[") :])


def test_versions_are_those_that_the_tests_ran_with() -> None:
    installs = [words for words in of("RUN") if "pip install" in words and "--no-deps" not in words]
    assert installs
    assert all("-c constraints.txt" in words for words in installs)
    assert set(re.findall(r"dbd-ray:([\d.]+)-", TEXT)) == {dbd_ray.__version__}
    extras = set(re.findall(r"\.\[([\w,]+)\]", TEXT))
    project = (ROOT / "pyproject.toml").read_text()
    for name in {extra for names in extras for extra in names.split(",")}:
        assert f"\n{name} = [" in project
