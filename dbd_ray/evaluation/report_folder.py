"""The folder of a report: which files are written there, and that nobody else's are replaced."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dbd_ray.errors import ConfigError

REPORT_FILES = {
    "metrics": "metrics.json",
    "per_image": "per_image.csv",
    "pr_curve": "pr_curve.svg",
    "reliability": "reliability.svg",
    "markdown": "report.md",
    "html": "report.html",
    "worst": "worst",
}
"""Name of each file of a report in its folder; `worst` is a folder of pictures."""

_FIELDS = {"format", "title", "dataset", "split", "metrics", "pr_curve"}  # that metrics.json has in every version


def require_report_folder(folder: Path) -> None:
    """Make a folder, and check that a report may be written there (errors as of `require_folder`)."""
    require_folder(folder, REPORT_FILES, "metrics", "report", lambda content: content.keys() >= _FIELDS)


def require_folder(
    folder: Path, files: Mapping[str, str], json_file: str, what: str, is_ours: Callable[[dict[str, Any]], bool]
) -> None:
    """Make a folder, and check that it has no files of these names, or those of an earlier evaluation.

    Args:
        folder: Local folder.
        files: What is to be written there: file by name.
        json_file: Name of the one that tells whose they are.
        what: What these files are, for people.
        is_ours: Tells by the content of that one.

    Raises:
        ConfigError: It cannot be made, or there are files of those names that are something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: {folder} cannot be made a folder ({error.strerror}); choose another") from None
    there = [name for name in files.values() if os.path.lexists(folder / name)]
    if not there:
        return
    try:
        content = json.loads((folder / files[json_file]).read_bytes())
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not is_ours(content):
        raise ConfigError(
            f"{folder}: holds {', '.join(there)}, but no {what} of an evaluation, and would lose them: choose another "
            "folder (--out), or move them"
        )
