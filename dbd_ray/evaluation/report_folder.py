"""The folder of a report: which files are written there, and that nobody else's are replaced."""

import json
from pathlib import Path

from dbd_ray.errors import ConfigError

REPORT_FILES = {
    "metrics": "metrics.json",
    "per_image": "per_image.csv",
    "pr_curve": "pr_curve.svg",
    "markdown": "report.md",
    "html": "report.html",
    "worst": "worst",
}
"""Name of each file of a report in its folder; `worst` is a folder of pictures."""

_FIELDS = {"format", "title", "dataset", "split", "metrics", "pr_curve"}  # that metrics.json has in every version


def require_report_folder(folder: Path) -> None:
    """Check that a report may be written into a folder: it has none of the report's files, or those of a report.

    Raises:
        ConfigError: There are files of those names that are no report.
    """
    there = [name for name in REPORT_FILES.values() if (folder / name).exists() or (folder / name).is_symlink()]
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
