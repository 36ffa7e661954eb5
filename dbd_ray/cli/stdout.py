"""Where answers go: a reader that has gone ends a command quietly, a full or closed stdout with one line."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FAILED = 2
READER_GONE = 1


@contextmanager
def answers_arrive() -> Iterator[None]:
    """Write out what a command answered before it counts as done.

    Raises:
        SystemExit: The answer cannot be written; a line on stderr says why, unless it is only that its reader has
            gone, as `head` does.
    """
    if sys.stdout is None:  # what is opened next would take its place, and get the answer
        _say("error: stdout is closed: give the answer a place, for instance > answer.txt")
        raise SystemExit(FAILED)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if not _is_of_stdout(error):
            raise
        _give_up_stdout()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(READER_GONE) from None
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        _say(f"error: stdout: the answer cannot be written ({what}): give it another place")
        raise SystemExit(FAILED) from None


def _is_of_stdout(error: OSError) -> bool:
    """Tell whether it is stdout that cannot be written, and not some file."""
    if error.filename is not None:
        return False
    try:
        sys.stdout.flush()  # what could not be written is still there, and fails again
        sys.stdout.write("\n")  # unless nothing is held back, as with PYTHONUNBUFFERED
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    return False


def _give_up_stdout() -> None:
    # else Python tries once more at its end, and tells of it in a traceback
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _say(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")
