"""What `predict` says of photos: a table of what was found, and lines on what failed or was passed over."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from dbd_ray.cli.console import on_one_line, say, show_table

if TYPE_CHECKING:
    # brings torch, for which nothing here should wait
    from dbd_ray.detection.files import Prediction

MOST_NAMED = 10  # files that were passed over


def show_predictions(predictions: "Sequence[Prediction]", counts: Mapping[str, int], out: Path) -> None:
    """Write what was found in each photo, how many of each kind, which failed and why, and where the results are."""
    found = [one for one in predictions if one.summary]
    names, folder = [str(one.photo) for one in found], None
    if len(found) > 1 and Console().is_terminal:
        names, folder = _below_common_folder(names)
    columns = ["photo", "in focus", "kind", "confidence"]
    rows = [
        [
            on_one_line(name),
            f"{one.summary.in_focus_fraction:.1%}",
            one.summary.focus_kind,
            f"{one.summary.focus_confidence:.2f}",
        ]
        for name, one in zip(names, found, strict=True)
        if one.summary
    ]
    if any(one.mask_fraction is not None for one in found):
        columns.append("mask")
        rows = [[*row, one.mask_words()] for row, one in zip(rows, found, strict=True)]
    if rows:
        show_table(columns, rows, title=folder)
    say(", ".join(f"{kind} {count}" for kind, count in counts.items()), aside=True)
    for one in predictions:
        if one.error:
            say(f"failed: {on_one_line(one.photo)}: {one.error}", aside=True)
    if empty := sum(one.is_nearly_empty() for one in found):
        say(f"masks that are empty or nearly so: {empty}; leave their photos out, or lower --threshold", aside=True)
    say(f"{len(found)} of {len(predictions)} photos done, results in {out}", aside=True)


def show_passed_over(what: str, paths: Sequence[Path], why: str) -> None:
    """Write how many files or folders were passed over, why, and the names of the first ones."""
    if paths:
        names = ", ".join(on_one_line(path) for path in paths[:MOST_NAMED])
        more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
        say(f"{what} passed over: {len(paths)} ({why}): {names}{more}", aside=True)


def _below_common_folder(names: Sequence[str]) -> tuple[list[str], str | None]:
    absolute = {Path(name).is_absolute() for name in names}
    common = os.path.commonpath([Path(name).parent for name in names]) if len(absolute) == 1 else ""
    return ([os.path.relpath(name, common) for name in names], f"in {common}") if common else (list(names), None)
