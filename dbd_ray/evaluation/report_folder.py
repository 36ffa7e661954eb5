"""The folder of a report: which files are written there, and that nobody else's are replaced."""

import json
import os
from pathlib import Path

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
    """Make a folder, and check that a report may be written there: it has no files of its names, or those of a report.

    Raises:
        ConfigError: It cannot be made, or there are files of those names that are no report.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: {folder} cannot be made a folder ({error.strerror}); choose another") from None
    there = [name for name in REPORT_FILES.values() if os.path.lexists(folder / name)]
    if there and not _is_report(folder / REPORT_FILES["metrics"]):
        raise ConfigError(
            f"{folder}: holds {', '.join(there)}, but no report of an evaluation, and would lose them: choose another "
            "folder (--out), or move them"
        )


def _is_report(metrics: Path) -> bool:
    try:
        content = json.loads(metrics.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() >= _FIELDS
