"""Output of the commands: tables and progress bars on a terminal, plain lines in pipes and logs."""

import io
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from dbd_ray.cli.rate import Rate
from dbd_ray.masking import masked

if TYPE_CHECKING:
    # bring torch and Ray, for which nothing here should wait
    from dbd_ray.library.report import AnnotateReport
    from dbd_ray.teaching.depth_report import TeachReport
    from dbd_ray.training.reporting import Event

MOST_ROWS = 40  # of a table on a terminal; a pipe gets them all
NARROW = 14  # characters; wider columns are wrapped where the terminal is too narrow
LOGGED_STEPS = 10
LOGGED_EVERY_S = 15.0
_COLOURING = re.compile(r"\x1b\[[0-9;]*m")  # of Ray's messages
# control characters but tabs and line ends, and those that turn the direction of what follows
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKING = re.compile(r"[\t\n\r\v\f]+")  # what would end a cell or a row
_LOWEST = re.compile(r"[\x00-\x1f]")


class Advance(Protocol):
    """Tells a progress bar how many items are done, of how many, and how many of these failed."""

    def __call__(self, done: int, total: int, failed: int = 0) -> None:
        """Show it."""


def accept_any_text() -> None:
    """Let this process write names that its locale, or UTF-8, has no characters for; they are escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def shown(text: str) -> str:
    """Give a text as people may see it: secrets masked, and what would steer a terminal (in a file's name) escaped."""
    return _STEERING.sub(_escaped, _COLOURING.sub("", masked(text)))


def on_one_line(name: object) -> str:
    """Write a name without what would begin a line or colour it."""
    # a name that ends a line would begin another one with words of its own, and one that colours would look like others
    return _LOWEST.sub(_escaped, str(name))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def say(text: str, *, aside: bool = False) -> None:
    """Write a line of a command's answer, or beside it (to stderr): what a program that reads the answer would skip."""
    Console(stderr=aside).print(shown(text), highlight=False, markup=False, emoji=False, soft_wrap=True)


def say_where_recorded(run_id: str, tracking_uri: str, *, aside: bool = False) -> None:
    """Write which MLflow run holds a command's results, and the command that shows it."""
    # a masked address would not work in the command, and it came from there
    store = quote(tracking_uri) if masked(tracking_uri) == tracking_uri else '"$MLFLOW_TRACKING_URI"'
    say(f"MLflow run {run_id}: mlflow ui --backend-store-uri {store}", aside=aside)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Write rows to stdout: as a table on a terminal, else as lines of tab-separated values.

    Args:
        columns: Head of each column.
        rows: Rows of one text per column.
        title: Line above the table on a terminal; a pipe gets none.
    """
    console = Console()
    rows = [[shown(text) for text in row] for row in rows]
    if not console.is_terminal:
        for row in (columns, *rows):
            sys.stdout.write("\t".join(_BREAKING.sub(" ", text) for text in row) + "\n")
        return
    if title:
        say(title)
    table = Table()
    for column, *cells in zip(columns, *rows, strict=True):
        widest = max(map(len, (column, *cells)))
        # never cut off: two names that begin alike must not look the same
        table.add_column(column, overflow="fold", no_wrap=widest <= NARROW, min_width=min(widest, NARROW))
    for row in rows[:MOST_ROWS]:
        table.add_row(*map(Text, row))
    console.print(table)
    if len(rows) > MOST_ROWS:
        say(f"… and {len(rows) - MOST_ROWS} more", aside=True)


def show_teaching(report: "TeachReport") -> None:
    """Write what a depth teacher did, how fast, and which photos have no depth and why."""
    rows = [
        ("depths", str(report.ok)),
        ("of earlier runs", str(report.skipped)),
        ("true depths kept", str(report.kept)),
    ]
    rows += [(f"failed: {reason}", str(count)) for reason, count in sorted(report.errors.items())]
    rows += [("photos/s", f"{report.photos_per_s:.1f}")] if report.actors else []
    rows += [(f"actor {name}", f"{photos} photos, {rate:.1f}/s") for name, (photos, rate) in report.actors.items()]
    rows += [(f"time: {step}", f"{share:.0%}") for step, share in report.time_shares.items()]
    show_table(("what", "count"), rows, title=report.teacher)
    for photo, detail in report.failures.items():
        say(f"failed: {on_one_line(photo)}: {detail}", aside=True)
    say(f"depths, contact sheet and summary: {report.folder}", aside=True)


def show_library(report: "AnnotateReport", *, dry_run: bool = False) -> None:
    """Write what a run over a photo library did, or would do, and which photos failed and why."""
    looked_at = "to look at" if dry_run else "looked at"
    rows = [(looked_at, str(report.looked_at)), ("unchanged since earlier runs", str(report.kept))]
    rows += [("known under another name", str(report.reused))] if report.reused else []
    rows += [(name, str(count)) for name, count in report.counts.items()]
    rows += [("photos/s", f"{report.photos_per_s:.1f}")] if report.photos_per_s else []
    show_table(("files", "count"), rows, title=report.model)
    for photo, detail in report.failures.items():
        say(f"failed: {on_one_line(photo)}: {detail}", aside=True)
    if not dry_run:
        say(f"results: {report.out}", aside=True)


@contextmanager
def show_progress(what: str) -> Iterator[Advance]:
    """Show progress, rate, errors so far and time left on stderr; call what it yields with (done, total[, failed]).

    A bar on a terminal, else a line for every tenth. The rate is that of what did not fail: a photo that is no photo is
    refused within a millisecond.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_tenths(what)
        return
    fine_per_s = Rate()
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")

        def advance(done: int, total: int, failed: int = 0) -> None:
            bar.update(task, completed=done, total=total)
            speed = fine_per_s(done - failed)
            bar.update(task, rate=(f"{speed:.1f}/s" if speed else "") + _told_failures(failed))

        yield advance


@contextmanager
def show_training() -> Iterator[Callable[["Event"], None]]:
    """Show a training's events on stderr: a bar on a terminal, else a line now and then; call what it yields."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _log_events()
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("starting the workers", total=None)

        def show(event: "Event") -> None:
            if isinstance(event, str):
                bar.console.print(shown(event), highlight=False, markup=False, emoji=False)
            else:
                done = (event.epoch - 1) * event.steps + event.step
                bar.update(task, completed=done, total=event.epochs * event.steps, description=event.short())

        yield show


def _log_events() -> Callable[["Event"], None]:
    last = -LOGGED_EVERY_S

    def show(event: "Event") -> None:
        nonlocal last
        if isinstance(event, str):
            say(event, aside=True)
        elif time.monotonic() - last >= LOGGED_EVERY_S:
            last = time.monotonic()
            say(str(event), aside=True)

    return show


def _told_failures(failed: int) -> str:
    return f", {failed} failed" if failed else ""


def _log_tenths(what: str) -> Advance:
    logged, all_per_s, fine_per_s = 0, Rate(), Rate()

    def advance(done: int, total: int, failed: int = 0) -> None:
        nonlocal logged
        pace, rate = all_per_s(done), fine_per_s(done - failed)
        if done * LOGGED_STEPS // total > logged:
            logged = done * LOGGED_STEPS // total
            left = f"  {rate:.1f}/s, {(total - done) / pace:.0f} s left" if pace and done < total else ""
            say(f"{what.strip()} {done}/{total}{left}{_told_failures(failed)}", aside=True)

    return advance
